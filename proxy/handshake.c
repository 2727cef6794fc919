/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* See handshake.h. */
#include "proxy/handshake.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

/* Of one piece: a peer that floods must not keep a worker. */
#define RECORDS_MAX  1024U
#define WARNINGS_MAX 16U

static void _printf_(2, 3) fail(Handshake *handshake, const char *format, ...) {
    va_list arguments;

    va_start(arguments, format);
    (void) vsnprintf(handshake->failure, sizeof handshake->failure, format, arguments);
    va_end(arguments);
    size_t length = strlen(handshake->failure);
    if (length > 0 && handshake->failure[length - 1] == '.')
        handshake->failure[length - 1] = '\0';
    handshake->result = HANDSHAKE_FAILED;
}

/* ---- what is asked for beside the certificate ---- */

static bool is_wanted_server_name(const ProxySettings *settings, const char *name) {
    for (size_t i = 0; i < settings->sni_count; i++)
        if (strcasecmp(settings->sni[i], name) == 0)
            return true;
    return settings->sni_count == 0;
}

/* Before the TPM signs for it. The name of a client that asks for none is "". */
static int on_client_hello(gnutls_session_t session) {
    Handshake *handshake = gnutls_session_get_ptr(session);
    char name[HANDSHAKE_SNI_MAX];
    size_t size = sizeof name;
    unsigned type = 0;

    if (gnutls_server_name_get(session, name, &size, &type, 0) >= 0 && type == GNUTLS_NAME_DNS)
        snprintf(handshake->server_name, sizeof handshake->server_name, "%s", name);
    return is_wanted_server_name(handshake->settings, handshake->server_name) ? 0 : GNUTLS_E_UNRECOGNIZED_NAME;
}

static int set_protocols(gnutls_session_t session, const ProxySettings *settings) {
    gnutls_datum_t protocols[PROXY_ALPN_MAX];

    if (settings->alpn_count == 0)
        return 0;
    for (size_t i = 0; i < settings->alpn_count; i++)
        protocols[i] =
            (gnutls_datum_t) { (unsigned char *) (uintptr_t) settings->alpn[i], (unsigned) strlen(settings->alpn[i]) };
    return gnutls_alpn_set_protocols(session, protocols, (unsigned) settings->alpn_count,
                                     settings->server ? GNUTLS_ALPN_MANDATORY | GNUTLS_ALPN_SERVER_PRECEDENCE : 0);
}

static int set_wishes(Handshake *handshake) {
    const ProxySettings *settings = handshake->settings;
    gnutls_session_t session = handshake->session;

    int code = set_protocols(session, settings);
    if (settings->server) {
        gnutls_session_set_ptr(session, handshake);
        gnutls_handshake_set_post_client_hello_function(session, on_client_hello);
    } else if (code >= 0 && settings->sni_count > 0)
        code = gnutls_server_name_set(session, GNUTLS_NAME_DNS, settings->sni[0], strlen(settings->sni[0]));
    return code;
}

static int set_up(Handshake *handshake) {
    const ProxySettings *settings = handshake->settings;
    unsigned flags = settings->require_crl ? IDENTITYD_VERIFY_CRL_HARD : 0;

    if (gnutls_init(&handshake->session,
                    (settings->server ? GNUTLS_SERVER : GNUTLS_CLIENT) | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL) < 0) {
        handshake->session = NULL;
        fail(handshake, "no memory for a TLS session");
        return -ENOMEM;
    }
    int r = identityd_gnutls_session_begin(handshake->credentials, handshake->session, settings->name, flags);
    if (r < 0) {
        fail(handshake, "%s", identityd_last_error());
        handshake->identity_failed = true;
        return r;
    }
    int code = set_wishes(handshake);
    if (code < 0) {
        fail(handshake, "preparing ALPN and SNI: %s", gnutls_strerror(code));
        return -EINVAL;
    }
    if (settings->server)
        gnutls_certificate_server_set_request(handshake->session, GNUTLS_CERT_REQUIRE);
    gnutls_transport_set_int(handshake->session, handshake->fd);
    return 0;
}

/* Codes of the callbacks that libidentityd has in a handshake, whose reason its text tells: chain and key, and the
 * signature … */
static bool is_of_identity(int code) {
    switch (code) {
    case GNUTLS_E_USER_ERROR:
    case GNUTLS_E_TPM_SESSION_ERROR:
    case GNUTLS_E_TPM_ERROR:
    case GNUTLS_E_INSUFFICIENT_CREDENTIALS:
    case GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE:
    case GNUTLS_E_PK_SIGN_FAILED:
    case GNUTLS_E_INVALID_REQUEST:
    case GNUTLS_E_TIMEDOUT:
        return identityd_last_error()[0] != '\0';
    default:
        return false;
    }
}

/* … and the verdict on the peer. */
static bool is_verdict(int code) {
    return code == GNUTLS_E_CERTIFICATE_ERROR && identityd_last_error()[0] != '\0';
}

static void explain(Handshake *handshake, int code) {
    if (code == GNUTLS_E_FATAL_ALERT_RECEIVED) {
        const char *alert = gnutls_alert_get_name(gnutls_alert_get(handshake->session));
        fail(handshake, "the peer refused: %s", alert ? alert : "unknown alert");
        return;
    }
    if (code == GNUTLS_E_CERTIFICATE_REQUIRED || code == GNUTLS_E_NO_CERTIFICATE_FOUND)
        fail(handshake, "the peer shows no certificate");
    else if (code == GNUTLS_E_UNRECOGNIZED_NAME)
        fail(handshake, "the client asks for %s%s, which is none of the server names (--sni)",
             handshake->server_name[0] ? "the server name " : "no server name", handshake->server_name);
    else if (code == GNUTLS_E_NO_APPLICATION_PROTOCOL)
        fail(handshake, "the client offers none of the protocols (--alpn)");
    else if (is_verdict(code) || is_of_identity(code))
        fail(handshake, "%s", identityd_last_error());
    else
        fail(handshake, "%s", gnutls_strerror(code));
    handshake->identity_failed = is_of_identity(code);
    (void) gnutls_alert_send_appropriate(handshake->session, code);
}

static void certificate_deinit(gnutls_x509_crt_t *certificate) {
    if (*certificate)
        gnutls_x509_crt_deinit(*certificate);
}

static int read_leaf(gnutls_session_t session, gnutls_x509_crt_t *ret) {
    _cleanup_(certificate_deinit) gnutls_x509_crt_t leaf = NULL;
    unsigned count = 0;
    const gnutls_datum_t *chain = gnutls_certificate_get_peers(session, &count);

    if (!chain || count == 0)
        return -ENOENT;
    if (gnutls_x509_crt_init(&leaf) < 0)
        return -ENOMEM;
    if (gnutls_x509_crt_import(leaf, &chain[0], GNUTLS_X509_FMT_DER) < 0)
        return -EBADMSG;
    *ret = TAKE_PTR(leaf);
    return 0;
}

/* RFC 4514. */
static void keep_subject(Handshake *handshake, gnutls_x509_crt_t leaf) {
    gnutls_datum_t subject = { NULL, 0 };

    bool has_one = gnutls_x509_crt_get_dn3(leaf, &subject, 0) >= 0 && subject.size > 0;
    snprintf(handshake->peer, sizeof handshake->peer, "%s", has_one ? (const char *) subject.data : "no subject");
    gnutls_free(subject.data);
}

static void keep_protocol(Handshake *handshake) {
    gnutls_datum_t protocol = { NULL, 0 };

    if (gnutls_alpn_get_selected_protocol(handshake->session, &protocol) >= 0)
        snprintf(handshake->protocol, sizeof handshake->protocol, "%.*s", (int) protocol.size, (char *) protocol.data);
}

static void judge_client(Handshake *handshake, gnutls_x509_crt_t leaf) {
    const ProxySettings *settings = handshake->settings;

    const ProxyName *found = proxy_name_find(leaf, settings->allowed, settings->allowed_count);
    if (!found && settings->allowed_count > 0) {
        fail(handshake, "the client %s carries none of the names that are let in", handshake->peer);
        (void) gnutls_alert_send(handshake->session, GNUTLS_AL_FATAL, GNUTLS_A_ACCESS_DENIED);
        return;
    }
    proxy_name_common(leaf, handshake->common_name);
    proxy_name_text(leaf, found, handshake->peer_name);
}

static void judge_peer(Handshake *handshake) {
    const ProxySettings *settings = handshake->settings;
    _cleanup_(certificate_deinit) gnutls_x509_crt_t leaf = NULL;

    if (read_leaf(handshake->session, &leaf) < 0) {
        fail(handshake, "the peer shows no certificate that can be read");
        return;
    }
    keep_subject(handshake, leaf);
    keep_protocol(handshake);
    handshake->result = HANDSHAKE_DONE;
    if (settings->server)
        judge_client(handshake, leaf);
    else if (settings->alpn_count > 0 && handshake->protocol[0] == '\0') {
        fail(handshake, "the server chooses none of the protocols (--alpn)");
        (void) gnutls_alert_send(handshake->session, GNUTLS_AL_FATAL, GNUTLS_A_NO_APPLICATION_PROTOCOL);
    }
}

/* Whether the socket has more, or has ended, where GnuTLS says that it waits: of a message that comes in several
 * records it takes one at a time, and of an end within a record it tells at the next look. No event tells of either a
 * second time. */
static bool has_more(const Handshake *handshake) {
    char byte;

    return gnutls_record_get_direction(handshake->session) == 0 &&
           recv(handshake->fd, &byte, sizeof byte, MSG_PEEK | MSG_DONTWAIT) >= 0;
}

void handshake_step(Handshake *handshake) {
    unsigned records = 0, warnings = 0;
    int code;

    handshake->result = HANDSHAKE_WAIT;
    if (!handshake->session && set_up(handshake) < 0)
        return;
    do
        code = gnutls_handshake(handshake->session);
    while (code == GNUTLS_E_AGAIN ? has_more(handshake) && ++records < RECORDS_MAX
                                  : code != 0 && !gnutls_error_is_fatal(code) && ++warnings < WARNINGS_MAX);
    if (code == 0)
        judge_peer(handshake);
    else if (gnutls_error_is_fatal(code))
        explain(handshake, code);
    else if (records == RECORDS_MAX)
        fail(handshake, "the peer sends its messages in too many pieces");
    else if (code != GNUTLS_E_AGAIN)
        fail(handshake, "the peer sends nothing but warnings");
}

void handshake_clear(Handshake *handshake) {
    if (handshake->session) {
        identityd_gnutls_session_end(handshake->session);
        gnutls_deinit(handshake->session);
    }
    handshake->session = NULL;
}

const char *handshake_cipher(const Handshake *handshake) {
    static const struct {
        gnutls_cipher_algorithm_t cipher;
        const char *name;
    } suites[] = {
        { GNUTLS_CIPHER_AES_128_GCM, "TLS_AES_128_GCM_SHA256" },
        { GNUTLS_CIPHER_AES_256_GCM, "TLS_AES_256_GCM_SHA384" },
        { GNUTLS_CIPHER_CHACHA20_POLY1305, "TLS_CHACHA20_POLY1305_SHA256" },
        { GNUTLS_CIPHER_AES_128_CCM, "TLS_AES_128_CCM_SHA256" },
        { GNUTLS_CIPHER_AES_128_CCM_8, "TLS_AES_128_CCM_8_SHA256" },
    };
    gnutls_cipher_algorithm_t cipher = gnutls_cipher_get(handshake->session);

    for (size_t i = 0; i < ARRAY_LENGTH(suites); i++)
        if (suites[i].cipher == cipher)
            return suites[i].name;
    return "";
}
