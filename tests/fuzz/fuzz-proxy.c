/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a stranger may send to identityd-proxy before anybody knows who it is: as a client, as a server, in pieces,
 * until it hangs up; and as certificates, what a name in one lets in. The identity is a fake one that signs with a key
 * of software. No handshake is done by bytes that somebody prepared, and each that fails has a reason. */
#include "scratch.h"

#include "fakes/fake-identityd.h"
#include "fakes/fake-pki.h"
#include "identityd/identityd.h"
#include "proxy/handshake.h"
#include "proxy/peer-name.h"

#include <sys/socket.h>

#define PIECES_MAX 64U

static FakeIdentityd *fake;
static FakeCa *ca;
static gnutls_privkey_t key;
static identityd_credential *handles[2];
static identityd_gnutls_credentials *credentials[2]; /* of a client, of a server */

static void end(void) {
    for (unsigned i = 0; i < 2; i++) {
        identityd_gnutls_credentials_free(credentials[i]);
        identityd_credential_free(handles[i]);
    }
    fake_identityd_free(fake);
    fake_ca_free(ca);
    gnutls_privkey_deinit(key);
}

static void begin(void) {
    const FakeRequest request = { .common_name = "demo", .dns = "server.example", .server = true, .client = true };

    fake = fake_identityd_new();
    ca = fake_ca_new("root", NULL);
    key = fake_key_new(FAKE_KEY_P256);
    char *chain = fake_ca_issue(ca, key, &request);
    fake_identityd_set(
        fake, &(FakeIdentity) { .name = "demo", .generation = 1, .key = key, .chain = chain, .anchors = ca->pem });
    free(chain);
    for (unsigned i = 0; i < 2; i++) {
        require(identityd_credential_open("demo", i ? "tls-server" : "tls-client", &handles[i]) == 0);
        require(identityd_gnutls_credentials_new(handles[i], i ? IDENTITYD_GNUTLS_TICKETS : 0, &credentials[i]) == 0);
    }
    require(atexit(end) == 0);
}

/* So that what the peer is answered never fills the socket. */
static void drain(int fd) {
    uint8_t buffer[4096];

    while (recv(fd, buffer, sizeof buffer, MSG_DONTWAIT) > 0)
        ;
}

static void shake(BytesView rest, bool server) {
    const ProxySettings settings = { .identity = "demo", .server = server, .name = server ? NULL : "server.example" };
    Handshake handshake = { .settings = &settings, .credentials = credentials[server] };
    int pair[2];

    require(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0);
    handshake.fd = pair[0];
    for (unsigned i = 0; i < PIECES_MAX && rest.size > 0 && handshake.result == HANDSHAKE_WAIT; i++) {
        BytesView piece = i + 1U < PIECES_MAX ? choose_sized(&rest) : rest;
        require(send(pair[1], piece.data, piece.size, MSG_NOSIGNAL) == (ssize_t) piece.size);
        handshake_step(&handshake);
        drain(pair[1]);
    }
    require(shutdown(pair[1], SHUT_WR) == 0);
    if (handshake.result == HANDSHAKE_WAIT)
        handshake_step(&handshake); /* one event tells of the end */
    require(handshake.result == HANDSHAKE_FAILED && handshake.failure[0] && !handshake.peer[0]);
    require(!handshake.identity_failed); /* it was there all the time */
    handshake_clear(&handshake);
    close(pair[0]);
    close(pair[1]);
}

static void judge_name(BytesView der) {
    static const ProxyName names[] = { { PROXY_NAME_CN, "leaf" },
                                       { PROXY_NAME_DNS, "leaf.example" },
                                       { PROXY_NAME_URI, "urn:x" } };
    gnutls_datum_t datum = { (uint8_t *) (uintptr_t) der.data, (unsigned) der.size };
    gnutls_x509_crt_t certificate;

    require(gnutls_x509_crt_init(&certificate) == 0);
    if (gnutls_x509_crt_import(certificate, &datum, GNUTLS_X509_FMT_DER) >= 0) {
        const ProxyName *found = proxy_name_find(certificate, names, ARRAY_LENGTH(names)), *first = NULL;
        char text[PROXY_NAME_TEXT];
        for (size_t i = 0; i < ARRAY_LENGTH(names) && !first; i++)
            first = proxy_name_find(certificate, &names[i], 1);
        require(found == first && !proxy_name_find(certificate, NULL, 0));
        proxy_name_text(certificate, found, text);
        require(strnlen(text, sizeof text) < sizeof text && (!found || text[0]));
        proxy_name_common(certificate, text);
        require(strnlen(text, sizeof text) < sizeof text);
    }
    gnutls_x509_crt_deinit(certificate);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    BytesView rest = { data, size };

    if (!fake)
        begin();
    uint8_t first = choose(&rest);
    if (first % 3 == 2)
        judge_name(rest);
    else
        shake(rest, first % 3);
    return 0;
}
