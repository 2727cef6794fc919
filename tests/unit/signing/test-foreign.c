/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tests/integration/handle-client.py, which knows the protocol from its manual page alone, against the signing thread:
 * every purpose with P-256 and RSA keys, signatures verified by openssl. */
#include "fakes/fake-pki.h"
#include "tests/unit/signing/support.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

/* A certificate for a key in the TPM, by a CA with a software key. */
static int certify(const FakeCa *ca, const TpmKey *key) {
    gnutls_x509_crt_t certificate = NULL;
    gnutls_pubkey_t public = NULL;
    BytesView spki = tpm_key_spki(key);
    const gnutls_datum_t der = { (uint8_t *) (uintptr_t) spki.data, (unsigned) spki.size };
    gnutls_datum_t pem = { NULL, 0 };

    assert_int_equal(gnutls_pubkey_init(&public), 0);
    assert_int_equal(gnutls_pubkey_import(public, &der, GNUTLS_X509_FMT_DER), 0);
    assert_int_equal(gnutls_x509_crt_init(&certificate), 0);
    assert_int_equal(gnutls_x509_crt_set_version(certificate, 3), 0);
    assert_int_equal(gnutls_x509_crt_set_serial(certificate, "\1", 1), 0);
    assert_int_equal(gnutls_x509_crt_set_dn(certificate, "CN=demo", NULL), 0);
    assert_int_equal(gnutls_x509_crt_set_pubkey(certificate, public), 0);
    assert_int_equal(gnutls_x509_crt_set_activation_time(certificate, time(NULL) - 60), 0);
    assert_int_equal(gnutls_x509_crt_set_expiration_time(certificate, time(NULL) + 3600), 0);
    assert_int_equal(gnutls_x509_crt_privkey_sign(certificate, ca->certificate, ca->key, GNUTLS_DIG_SHA256, 0), 0);
    assert_int_equal(gnutls_x509_crt_export2(certificate, GNUTLS_X509_FMT_PEM, &pem), 0);
    int fd = bytes_to_memfd("chain", (BytesView) { pem.data, pem.size });
    gnutls_free(pem.data);
    gnutls_x509_crt_deinit(certificate);
    gnutls_pubkey_deinit(public);
    return fd;
}

static void run_client(int fd, const char *identity, Purpose purpose) {
    char number[16];
    int status;

    snprintf(number, sizeof(number), "%d", fd);
    pid_t child = fork();
    if (child == 0) {
        /* tpm2-tss opens its sockets without close-on-exec, and swtpm serves one connection until its last end is
         * closed: inherited, one would hold up the TPM for as long as python lives. */
        (void) close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
        (void) fcntl(fd, F_SETFD, 0);
        /* A sanitizer's preloading is for us, not for python. */
        unsetenv("LD_PRELOAD");
        execl("/usr/bin/python3", "python3", "-B", HANDLE_CLIENT, "--fd", number, identity, purpose_to_string(purpose),
              NULL);
        _exit(127);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void speaks_the_protocol(void **state) {
    Bench *bench = *state;
    FakeCa *ca = fake_ca_new("Test CA", NULL);
    static const uint32_t generations[] = { 1, 3 };

    for (size_t i = 0; i < ARRAY_LENGTH(generations); i++) {
        SigningIdentity identity = bench_identity(bench, generations[i]);
        _cleanup_close_ int chain = certify(ca, identity.key),
                            anchors = bytes_to_memfd("anchors", bytes_view_string(ca->pem));
        identity.name = i == 0 ? "elliptic" : "rsa";
        identity.chain_fd = chain;
        identity.anchors_fd = anchors;
        assert_int_equal(signing_set_identity(bench->signing, &identity), 0);
        for (int purpose = 0; purpose < _PURPOSE_COUNT; purpose++) {
            int fds[2];
            assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
            assert_int_equal(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
            const SigningHandle handle = { bench->next_id++, identity.name, (Purpose) purpose, fds[0], 0, -1 };
            assert_int_equal(signing_open_handle(bench->signing, &handle), 0);
            run_client(fds[1], identity.name, (Purpose) purpose);
            close(fds[1]);
        }
    }
    fake_ca_free(ca);
}

int main(void) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(speaks_the_protocol) };
    return cmocka_run_group_tests(tests, bench_start_with_rsa, bench_stop);
}
