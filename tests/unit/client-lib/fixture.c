/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The fixture of the tests of libidentityd. */
#include "fixture.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

Fixture fixture;

void set_generation(uint32_t generation, const char *state) {
    const FakeIdentity identity = {
        .name = "mqtt",
        .state = state,
        .generation = generation,
        .key = generation == 2 ? fixture.next_key : fixture.key,
        .chain = generation == 2 ? fixture.next_chain : fixture.chain,
        .anchors = fixture.ca->pem,
        .crls = fixture.crl,
    };

    fake_identityd_set(fixture.fake, &identity);
}

int setup_all(void **state) {
    fixture.ca = fake_ca_new("Fake Root", NULL);
    fixture.key = fake_key_new(FAKE_KEY_P256);
    fixture.next_key = fake_key_new(FAKE_KEY_P256);
    fixture.rsa_key = fake_key_new(FAKE_KEY_RSA);
    fixture.chain = fake_ca_issue(fixture.ca, fixture.key, &(FakeRequest) { .common_name = "one", .client = true });
    fixture.next_chain =
        fake_ca_issue(fixture.ca, fixture.next_key, &(FakeRequest) { .common_name = "two", .client = true });
    fixture.rsa_chain =
        fake_ca_issue(fixture.ca, fixture.rsa_key, &(FakeRequest) { .common_name = "rsa", .client = true });
    fixture.crl = fake_ca_crl(fixture.ca, NULL, 3600);
    return 0;
}

int teardown_all(void **state) {
    fake_ca_free(fixture.ca);
    gnutls_privkey_deinit(fixture.key);
    gnutls_privkey_deinit(fixture.next_key);
    gnutls_privkey_deinit(fixture.rsa_key);
    free(fixture.chain);
    free(fixture.next_chain);
    free(fixture.rsa_chain);
    free(fixture.crl);
    return 0;
}

int setup(void **state) {
    fixture.fake = fake_identityd_new();
    set_generation(1, "ready");
    return 0;
}

int teardown(void **state) {
    fixture.fake = fake_identityd_free(fixture.fake);
    return 0;
}

identityd_credential *open_for(const char *purpose) {
    identityd_credential *credential = NULL;

    if (identityd_credential_open("mqtt", purpose, &credential) < 0)
        fail_msg("open: %s", identityd_last_error());
    return credential;
}

void assert_error_says(const char *part) {
    if (!strstr(identityd_last_error(), part))
        fail_msg("'%s' does not say '%s'", identityd_last_error(), part);
}

int verify(const char *chain, const void *message, size_t size, const void *signature, size_t signature_size) {
    gnutls_datum_t der = fake_pem_to_der(chain), data = { (void *) (uintptr_t) message, (unsigned) size };
    gnutls_datum_t sig = { (void *) (uintptr_t) signature, (unsigned) signature_size };
    gnutls_x509_crt_t certificate;
    gnutls_pubkey_t pubkey;

    assert_int_equal(gnutls_x509_crt_init(&certificate), 0);
    assert_int_equal(gnutls_x509_crt_import(certificate, &der, GNUTLS_X509_FMT_DER), 0);
    assert_int_equal(gnutls_pubkey_init(&pubkey), 0);
    assert_int_equal(gnutls_pubkey_import_x509(pubkey, certificate, 0), 0);
    gnutls_sign_algorithm_t algorithm = gnutls_pubkey_get_pk_algorithm(pubkey, NULL) == GNUTLS_PK_RSA
                                            ? GNUTLS_SIGN_RSA_SHA256
                                            : GNUTLS_SIGN_ECDSA_SHA256;
    int r = gnutls_pubkey_verify_data2(pubkey, algorithm, 0, &data, &sig);
    gnutls_pubkey_deinit(pubkey);
    gnutls_x509_crt_deinit(certificate);
    gnutls_free(der.data);
    return r;
}

bool is_readable(int fd, int milliseconds) {
    struct pollfd item = { .fd = fd, .events = POLLIN };

    return poll(&item, 1, milliseconds) == 1;
}

int take_handles_away(int ret_ends[static HANDLES_TAKEN_MAX]) {
    int count = 0;

    for (int fd = 3; fd < 1024 && count < HANDLES_TAKEN_MAX; fd++) {
        int type = 0, pair[2];
        socklen_t size = sizeof(type);
        if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0 || type != SOCK_SEQPACKET)
            continue;
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0 || dup2(pair[0], fd) < 0)
            return -1;
        close(pair[0]);
        ret_ends[count++] = pair[1];
    }
    return count;
}

bool were_left_alone(const int *ends, int count) {
    for (int i = 0; i < count; i++)
        if (is_readable(ends[i], 0)) /* also where the other end is closed */
            return false;
    return true;
}

void expect_child(int (*run)(void *userdata), void *userdata) {
    int status;

    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        alarm(60);
        _exit(run(userdata));
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}
