/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* idctl sign against handles with software keys: OpenSSL verifies what is written, and whatever fails leaves no file
 * and the documented exit status. */
#include "command/command.h"
#include "idctl/verbs.h"

#include "fakes/fake-identityd.h"
#include "fakes/fake-pki.h"
#include "said.h"

#include <fcntl.h>
#include <sys/wait.h>

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
    assert_int_equal(SIGN(S("p256"), S("--raw"), S("small"), S("-q")), EXIT_OK);
    assert_true(shell("openssl x509 -in p256.pem -pubkey -noout >p256.pub && "
                      "openssl dgst -sha256 -verify p256.pub -signature small.sig small >/dev/null"));
    assert_int_equal(
        SIGN(S("rsa"), S("--raw"), S("--scheme=rsa_pss_rsae_sha384"), S("--out"), S("other"), S("-q"), S("small")),
        EXIT_OK);
    assert_true(
        shell("openssl x509 -in rsa.pem -pubkey -noout >rsa.pub && openssl dgst -sha384 -sigopt "
              "rsa_padding_mode:pss -sigopt rsa_pss_saltlen:48 -verify rsa.pub -signature other small >/dev/null"));
}

static void test_cms(void **state) {
    assert_true(shell("head -c 3000000 /dev/urandom >large"));
    assert_int_equal(SIGN(S("p256"), S("-q"), S("large")), EXIT_OK);
    assert_true(shell("openssl cms -verify -binary -inform DER -in large.p7s -content large -CAfile root.pem "
                      "-out /dev/null 2>/dev/null"));
    assert_int_equal(SIGN(S("rsa"), S("--cms"), S("--pem"), S("-q"), S("-o"), S("large.pem"), S("large")), EXIT_OK);
    assert_true(shell("openssl cms -verify -binary -inform PEM -in large.pem -content large -CAfile root.pem "
                      "-out /dev/null 2>/dev/null"));
    assert_true(shell("printf x >>large"));
    assert_false(shell("openssl cms -verify -binary -inform DER -in large.p7s -content large -CAfile root.pem "
                       "-out /dev/null 2>/dev/null"));
}

/* The frame is what identityd-handle(7) says; COSE is checked with other people's library in tests/integration. */
static void test_framed(void **state) {
    write_text("small", "a small message\n");
    assert_int_equal(SIGN(S("p256"), S("--framed"), S("small"), S("-q")), EXIT_OK);
    assert_true(
        shell("{ head -c 64 /dev/zero | tr '\\0' '~'; printf 'identityd data v1\\0p256\\0'; cat small; } >framed && "
              "openssl x509 -in p256.pem -pubkey -noout >p256.pub && "
              "openssl dgst -sha256 -verify p256.pub -signature small.sig framed >/dev/null"));
    for (unsigned size = 0; size < 300; size += size < 22 || size > 250 ? 1 : 50) { /* the forms of a length */
        char command[64];
        (void) snprintf(command, sizeof command, "head -c %u /dev/zero >sized", size);
        assert_true(shell(command));
        assert_int_equal(SIGN(S("p256"), S("--cose"), S("sized"), S("-q")), EXIT_OK);
    }
    assert_int_equal(SIGN(S("rsa"), S("--cose"), S("small"), S("-q")), EXIT_OK);
    assert_int_equal(access("small.cose", F_OK), 0);
}

static void test_limits(void **state) {
    assert_true(shell("head -c 65536 /dev/zero >limit; head -c 65537 /dev/zero >above; : >empty"));
    assert_int_equal(SIGN(S("p256"), S("--raw"), S("-q"), S("limit")), EXIT_OK);
    assert_int_equal(SIGN(S("p256"), S("--raw"), S("-q"), S("empty")), EXIT_OK);
    assert_int_equal(SIGN(S("p256"), S("--raw"), S("above")), EXIT_FAILED);
    assert_int_equal(access("above.sig", F_OK), -1);
}

static void test_usage(void **state) {
    assert_int_equal(SIGN(S("p256"), S("--raw"), S("--cms"), S("small")), EXIT_USAGE);
    assert_int_equal(SIGN(S("p256"), S("--raw"), S("--pem"), S("small")), EXIT_USAGE);
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
    assert_int_equal(SIGN(S("p256"), S("--raw"), S("refused")), EXIT_FAILED);
    assert_int_equal(SIGN(S("p256"), S("--framed"), S("refused")), EXIT_FAILED);
    assert_int_equal(SIGN(S("p256"), S("--cose"), S("refused")), EXIT_FAILED);
    assert_int_equal(SIGN(S("rsa"), S("--cose"), S("refused")), EXIT_FAILED);
    assert_int_equal(SIGN(S("p256"), S("--cms"), S("refused")), EXIT_FAILED);
    fake_identityd_set_fault(lab->fake, FAKE_FAULT_CLOSE_AT_SIGN);
    assert_int_equal(SIGN(S("p256"), S("refused")), EXIT_FAILED);
    fake_identityd_set_fault(lab->fake, FAKE_FAULT_NONE);
    assert_int_equal(access("refused.sig", F_OK), -1);
    assert_int_equal(access("refused.p7s", F_OK), -1);
    assert_int_equal(access("refused.cose", F_OK), -1);
    /* What is there already stays when a signature fails. */
    write_text("refused.sig", "old");
    fake_identityd_set_fault(lab->fake, FAKE_FAULT_BAD_SIGNATURE);
    assert_int_equal(SIGN(S("p256"), S("--raw"), S("refused")), EXIT_FAILED);
    fake_identityd_set_fault(lab->fake, FAKE_FAULT_NONE);
    assert_true(shell("grep -qx old refused.sig"));
}

/* What is said of a signature, and of why there is none: one line, with the words that lead on. */
static void test_told(void **state) {
    static const struct {
        char *arguments[6];
        ExitCode code;
        const char *words;
    } cases[] = {
        { { S("p256"), S("--raw"), S("told") },
          EXIT_OK,
          "told.sig: ecdsa_secp256r1_sha256 signature of told by p256, generation 1\n" },
        { { S("p256"), S("--framed"), S("told") },
          EXIT_OK,
          "told.sig: ecdsa_secp256r1_sha256 signature of told by p256, generation 1\n" },
        { { S("p256"), S("--cose"), S("told") }, EXIT_OK, "told.cose: COSE signature of told by p256, generation 1\n" },
        { { S("rsa"), S("told") }, EXIT_OK, "told.p7s: CMS signature of told by rsa, generation 1\n" },
        { { S("p256"), S("--scheme=rot13"), S("told") },
          EXIT_USAGE,
          ": the key of p256 does not sign with \"rot13\" in CMS, but with: ecdsa_secp256r1_sha256" },
        { { S("rsa"), S("--cms"), S("--scheme=rsa_pss_rsae_sha384"), S("told") },
          EXIT_USAGE,
          ": the key of rsa does not sign with \"rsa_pss_rsae_sha384\" in CMS, but with: " },
        { { S("Not.A.Name"), S("told") }, EXIT_USAGE, ": \"Not.A.Name\" cannot be the name of an identity.\n" },
        { { S("p256"), S("--cose"), S("--pem"), S("told") }, EXIT_USAGE, ": --pem goes with --cms: " },
        { { S("p256"), S("--cms"), S("--raw"), S("told") },
          EXIT_USAGE,
          ": --cms, --cose, --framed and --raw exclude each other.\n" },
        { { S("p256"), S("--raw"), S("above") },
          EXIT_FAILED,
          ": above is larger than 65536 bytes, the most that can be signed whole: "
          "use --cms" },
        { { S("p256"), S("--framed"), S("above") }, EXIT_FAILED, ": above is larger than 65449 bytes, " },
        { { S("p256"), S("--cose"), S("above") }, EXIT_FAILED, ": above is larger than 65500 bytes, " },
        { { S("p256"), S("--raw"), S(".") }, EXIT_FAILED, ": cannot read .: Is a directory.\n" },
        { { S("p256"), S("--cms"), S(".") }, EXIT_FAILED, ": cannot read .: Is a directory.\n" },
        { { S("p256"), S("absent") }, EXIT_FAILED, ": cannot open absent: No such file or directory.\n" },
        { { S("stranger"), S("told") },
          EXIT_NOT_FOUND,
          ": cannot open stranger for data: There is no identity 'stranger'.\n" },
        { { S("stranger"), S("--raw"), S("told") },
          EXIT_NOT_FOUND,
          ": cannot open stranger for data-raw: There is no identity 'stranger'.\n" },
        { { S("p256"), S("-o"), S("absent/out"), S("told") },
          EXIT_FAILED,
          ": cannot write absent/out: No such file or directory.\n" },
    };

    write_text("told", "to be told\n");
    assert_true(shell("head -c 65537 /dev/zero >above"));
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        Said said;
        said_begin(stderr, &said);
        ExitCode code = sign(cases[i].arguments);
        const char *text = said_end(&said);
        if (code != cases[i].code || !strstr(text, cases[i].words) || strcmp(strchr(text, '\n'), "\n") != 0)
            fail_msg("case %zu: status %d, %s", i, (int) code, text);
    }
}

/* From standard input to standard output, in silence; PEM is text. */
static void test_streams(void **state) {
    Said out, err;
    int input = open("told", O_RDONLY | O_CLOEXEC), saved = dup(STDIN_FILENO);

    assert_true(dup2(input, STDIN_FILENO) >= 0);
    said_begin(stdout, &out);
    said_begin(stderr, &err);
    ExitCode code = SIGN(S("p256"), S("--cms"), S("--pem"), S("-"));
    (void) said_end(&err);
    (void) said_end(&out);
    assert_true(dup2(saved, STDIN_FILENO) >= 0);
    close(saved);
    close(input);
    assert_int_equal(code, EXIT_OK);
    assert_string_equal(err.text, "");
    assert_ptr_equal(strstr(out.text, "-----BEGIN CMS-----\n"), out.text);
    write_text("streamed.pem", out.text);
    assert_true(shell("openssl cms -verify -binary -inform PEM -in streamed.pem -content told -CAfile root.pem "
                      "-out /dev/null 2>/dev/null"));
}

/* A signature that does not verify is told as what it is, and whose fault it may be. */
static void test_bad_signature_told(void **state) {
    const Lab *lab = *state;
    Said said;

    fake_identityd_set_fault(lab->fake, FAKE_FAULT_BAD_SIGNATURE);
    said_begin(stderr, &said);
    ExitCode code = SIGN(S("p256"), S("told"));
    const char *text = said_end(&said);
    fake_identityd_set_fault(lab->fake, FAKE_FAULT_NONE);
    assert_int_equal(code, EXIT_FAILED);
    assert_non_null(strstr(text, ": identityd's signature does not verify with its certificate: nothing is written."));
    assert_non_null(strstr(text, "\"idctl check\""));
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
        cmocka_unit_test(test_raw),    cmocka_unit_test(test_cms),     cmocka_unit_test(test_framed),
        cmocka_unit_test(test_limits), cmocka_unit_test(test_usage),   cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_told),   cmocka_unit_test(test_streams), cmocka_unit_test(test_bad_signature_told),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
