/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* idctl sign against handles with software keys: OpenSSL verifies what is written, and whatever fails leaves no file
 * and the documented exit status. */
#include "command/command.h"
#include "idctl/verbs.h"

#include "fakes/fake-identityd.h"
#include "fakes/fake-pki.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <cmocka.h>

typedef struct Lab {
    FakeIdentityd *fake;
    char directory[64];
    FakeCa *root;
    gnutls_privkey_t keys[2];
} Lab;

static ExitCode sign(char *const *arguments) {
    Command command;
    char *argv[12] = { (char *) "sign" };
    int argc = 1;

    for (; arguments[argc - 1]; argc++)
        argv[argc] = arguments[argc - 1];
    ExitCode code = command_parse(&idctl_program, &verb_sign, argc, argv, &command);
    return code == _EXIT_CONTINUE ? verb_sign.run(&command) : code;
}
#define SIGN(...) sign((char *[]) { __VA_ARGS__, NULL })
#define S(text)   ((char *) (text))

static bool shell(const char *command) {
    int status = system(command);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status) == 0;
}

static void write_text(const char *path, const char *text) {
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void test_raw(void **state) {
    write_text("small", "a small message\n");
    assert_int_equal(SIGN(S("p256"), S("small"), S("-q")), EXIT_OK);
    assert_true(shell("openssl x509 -in p256.pem -pubkey -noout >p256.pub && "
                      "openssl dgst -sha256 -verify p256.pub -signature small.sig small >/dev/null"));
    assert_int_equal(SIGN(S("rsa"), S("--scheme=rsa_pss_rsae_sha384"), S("--out"), S("other"), S("-q"), S("small")),
                     EXIT_OK);
    assert_true(
        shell("openssl x509 -in rsa.pem -pubkey -noout >rsa.pub && openssl dgst -sha384 -sigopt "
              "rsa_padding_mode:pss -sigopt rsa_pss_saltlen:48 -verify rsa.pub -signature other small >/dev/null"));
}

static void test_cms(void **state) {
    assert_true(shell("head -c 3000000 /dev/urandom >large"));
    assert_int_equal(SIGN(S("p256"), S("--cms"), S("-q"), S("large")), EXIT_OK);
    assert_true(shell("openssl cms -verify -binary -inform DER -in large.p7s -content large -CAfile root.pem "
                      "-out /dev/null 2>/dev/null"));
    assert_int_equal(SIGN(S("rsa"), S("--cms"), S("--pem"), S("-q"), S("-o"), S("large.pem"), S("large")), EXIT_OK);
    assert_true(shell("openssl cms -verify -binary -inform PEM -in large.pem -content large -CAfile root.pem "
                      "-out /dev/null 2>/dev/null"));
    assert_true(shell("printf x >>large"));
    assert_false(shell("openssl cms -verify -binary -inform DER -in large.p7s -content large -CAfile root.pem "
                       "-out /dev/null 2>/dev/null"));
}

static void test_limits(void **state) {
    assert_true(shell("head -c 65536 /dev/zero >limit; head -c 65537 /dev/zero >above; : >empty"));
    assert_int_equal(SIGN(S("p256"), S("-q"), S("limit")), EXIT_OK);
    assert_int_equal(SIGN(S("p256"), S("-q"), S("empty")), EXIT_OK);
    assert_int_equal(SIGN(S("p256"), S("above")), EXIT_FAILED);
    assert_int_equal(access("above.sig", F_OK), -1);
}

static void test_usage(void **state) {
    assert_int_equal(SIGN(S("p256"), S("--raw"), S("--cms"), S("small")), EXIT_USAGE);
    assert_int_equal(SIGN(S("p256"), S("--pem"), S("small")), EXIT_USAGE);
    assert_int_equal(SIGN(S("Not A Name"), S("small")), EXIT_USAGE);
    assert_int_equal(SIGN(S("p256"), S("--scheme"), S("rsa_pkcs1_sha256"), S("small")), EXIT_USAGE);
    assert_int_equal(SIGN(S("p256"), S("--scheme"), S("rot13"), S("small")), EXIT_USAGE);
    assert_int_equal(SIGN(S("rsa"), S("--cms"), S("--scheme=rsa_pss_rsae_sha384"), S("small")), EXIT_USAGE);
    assert_int_equal(access("small.p7s", F_OK), -1);
    assert_int_equal(SIGN(S("p256"), S("not-there")), EXIT_FAILED);
}

static void test_refusals(void **state) {
    const Lab *lab = *state;

    write_text("refused", "x");
    assert_int_equal(SIGN(S("stranger"), S("refused")), EXIT_NOT_FOUND);
    fake_identityd_refuse(lab->fake, "org.identityd1.Error.AccessDenied", "no rule admits you");
    assert_int_equal(SIGN(S("p256"), S("refused")), EXIT_DENIED);
    fake_identityd_refuse(lab->fake, "org.identityd1.Error.Revoked", "the CA said so");
    assert_int_equal(SIGN(S("p256"), S("refused")), EXIT_FAILED);
    fake_identityd_refuse(lab->fake, NULL, NULL);
    fake_identityd_set_fault(lab->fake, FAKE_FAULT_BAD_SIGNATURE);
    assert_int_equal(SIGN(S("p256"), S("refused")), EXIT_FAILED);
    assert_int_equal(SIGN(S("p256"), S("--cms"), S("refused")), EXIT_FAILED);
    fake_identityd_set_fault(lab->fake, FAKE_FAULT_CLOSE_AT_SIGN);
    assert_int_equal(SIGN(S("p256"), S("refused")), EXIT_FAILED);
    fake_identityd_set_fault(lab->fake, FAKE_FAULT_NONE);
    assert_int_equal(access("refused.sig", F_OK), -1);
    assert_int_equal(access("refused.p7s", F_OK), -1);
    /* What is there already stays when a signature fails. */
    write_text("refused.sig", "old");
    fake_identityd_set_fault(lab->fake, FAKE_FAULT_BAD_SIGNATURE);
    assert_int_equal(SIGN(S("p256"), S("refused")), EXIT_FAILED);
    fake_identityd_set_fault(lab->fake, FAKE_FAULT_NONE);
    assert_true(shell("grep -qx old refused.sig"));
}

static void add_identity(Lab *lab, size_t place, const char *name, FakeKeyType type) {
    char file[32];

    lab->keys[place] = fake_key_new(type);
    char *chain = fake_ca_issue(lab->root, lab->keys[place], &(FakeRequest) { .common_name = name, .serial = 7 });
    fake_identityd_set(
        lab->fake,
        &(FakeIdentity) {
            .name = name, .generation = 1, .key = lab->keys[place], .chain = chain, .anchors = lab->root->pem });
    snprintf(file, sizeof file, "%s.pem", name);
    write_text(file, chain);
    free(chain);
}

static int setup(void **state) {
    Lab *lab = calloc(1, sizeof *lab);

    assert_non_null(lab);
    lab->fake = fake_identityd_new();
    strcpy(lab->directory, "/tmp/identityd-test.XXXXXX");
    assert_non_null(mkdtemp(lab->directory));
    assert_int_equal(chdir(lab->directory), 0);
    lab->root = fake_ca_new("root", NULL);
    write_text("root.pem", lab->root->pem);
    add_identity(lab, 0, "p256", FAKE_KEY_P256);
    add_identity(lab, 1, "rsa", FAKE_KEY_RSA);
    *state = lab;
    return 0;
}

static int teardown(void **state) {
    Lab *lab = *state;

    char command[96];

    assert_int_equal(chdir("/"), 0);
    snprintf(command, sizeof command, "rm -r %s", lab->directory);
    assert_int_equal(system(command), 0);
    fake_identityd_free(lab->fake);
    fake_ca_free(lab->root);
    for (size_t i = 0; i < ARRAY_LENGTH(lab->keys); i++)
        gnutls_privkey_deinit(lab->keys[i]);
    free(lab);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_raw),   cmocka_unit_test(test_cms),      cmocka_unit_test(test_limits),
        cmocka_unit_test(test_usage), cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
