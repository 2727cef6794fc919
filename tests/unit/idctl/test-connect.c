/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* idctl connect against openssl s_server, with handles signed for by software keys: what is accepted, every way in
 * which one side refuses the other, and the session joined with standard input and output. */
#include "command/command.h"
#include "common/bytes.h"
#include "idctl/verbs.h"

#include "fakes/fake-identityd.h"
#include "fakes/fake-pki.h"
#include "said.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

typedef struct Lab {
    FakeIdentityd *fake;
    char directory[64];
    FakeCa *root, *stranger;
    gnutls_privkey_t client_key, server_key;
} Lab;

typedef struct Server {
    pid_t pid;
    char endpoint[64];
} Server;

#define S(text) ((char *) (text))

/* `openssl s_server` on a port of its choice, which it tells in a line "ACCEPT HOST:PORT". */
static Server server_start(const char *certificate, char *const *options) {
    Server server = { 0 };
    char line[256], *argv[32] = { S("openssl"), S("s_server"),   S("-accept"), S("127.0.0.1:0"), S("-rev"),
                                  S("-key"),    S("server.key"), S("-cert"),   S(certificate) };
    int fds[2];

    for (size_t i = 0; options[i]; i++)
        argv[9 + i] = options[i];
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    server.pid = fork();
    assert_true(server.pid >= 0);
    if (server.pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(fds[1], STDOUT_FILENO);
        int null = open("/dev/null", O_RDWR);
        dup2(null, STDIN_FILENO);
        dup2(null, STDERR_FILENO);
        execvp("openssl", argv);
        _exit(127);
    }
    close(fds[1]);
    FILE *output = fdopen(fds[0], "r");
    assert_non_null(output);
    do
        assert_non_null(fgets(line, sizeof line, output));
    while (sscanf(line, "ACCEPT %63s", server.endpoint) != 1);
    fclose(output);
    return server;
}
#define SERVER(certificate, ...) server_start(certificate, (char *[]) { __VA_ARGS__, NULL })

static void server_stop(Server *server) {
    assert_int_equal(kill(server->pid, SIGKILL), 0);
    assert_int_equal(waitpid(server->pid, NULL, 0), server->pid);
}

/* Runs the verb in this process, with standard output in the file "out" and standard input from a text. */
static ExitCode run(const char *input, char *const *arguments) {
    Command command;
    char *argv[16] = { S("connect") };
    int argc = 1, pipe_fds[2], saved_out = dup(STDOUT_FILENO), saved_in = dup(STDIN_FILENO);

    for (; arguments[argc - 1]; argc++)
        argv[argc] = arguments[argc - 1];
    int out = open("out", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
    assert_int_equal(write(pipe_fds[1], input, strlen(input)), strlen(input));
    close(pipe_fds[1]);
    fflush(stdout);
    dup2(out, STDOUT_FILENO);
    dup2(pipe_fds[0], STDIN_FILENO);
    ExitCode code = command_parse(&idctl_program, &verb_connect, argc, argv, &command);
    if (code == _EXIT_CONTINUE)
        code = verb_connect.run(&command);
    fflush(stdout);
    dup2(saved_out, STDOUT_FILENO);
    dup2(saved_in, STDIN_FILENO);
    close(out);
    close(pipe_fds[0]);
    close(saved_out);
    close(saved_in);
    return code;
}
#define CONNECT(input, ...) run(input, (char *[]) { __VA_ARGS__, NULL })

static void assert_output(const char *expected) {
    _cleanup_bytes_ Bytes out = BYTES_NULL;

    assert_int_equal(bytes_read_file("out", 65536, &out), 0);
    if (!memmem(out.data, out.size, expected, strlen(expected)))
        fail_msg("expected \"%s\" in:\n%s", expected, (const char *) out.data);
}

/* A server that wants and verifies a client certificate. */
#define VERIFYING S("-tls1_3"), S("-Verify"), S("2"), S("-verify_return_error"), S("-CAfile"), S("root.pem")

static void test_accepted(void **state) {
    Server server = SERVER("server.pem", VERIFYING);

    assert_int_equal(CONNECT("", S("demo"), server.endpoint, S("--name=host.example"), S("--check")), EXIT_OK);
    assert_output("handshake  good: (TLS1.3)");
    assert_output("name       good");
    assert_int_equal(CONNECT("", S("demo"), server.endpoint, S("--name=host.example"), S("--check"), S("-j")), EXIT_OK);
    assert_output("\"asked_for_certificate\": true");
    server_stop(&server);
}

static void test_joined(void **state) {
    Server server = SERVER("server.pem", VERIFYING);

    assert_int_equal(CONNECT("abc\nand more\n", S("demo"), server.endpoint, S("--name=host.example"), S("-q")),
                     EXIT_OK);
    assert_output("cba\nerom dna\n");
    server_stop(&server);
}

static void test_peer_refuses(void **state) {
    Server server = SERVER("server.pem", S("-tls1_3"), S("-Verify"), S("2"), S("-verify_return_error"), S("-CAfile"),
                           S("stranger.pem"));

    assert_int_equal(CONNECT("", S("demo"), server.endpoint, S("--name=host.example"), S("--check")), EXIT_FAILED);
    assert_output("handshake  BAD: the peer refused: unknown_ca");
    assert_int_equal(CONNECT("hello\n", S("demo"), server.endpoint, S("--name=host.example"), S("-q")), EXIT_FAILED);
    server_stop(&server);
    server = SERVER("server.pem", S("-tls1_2"));
    assert_int_equal(CONNECT("", S("demo"), server.endpoint, S("--name=host.example"), S("--check")), EXIT_FAILED);
    assert_output("protocol_version");
    server_stop(&server);
}

static void test_we_refuse(void **state) {
    Server server = SERVER("server.pem", VERIFYING);

    assert_int_equal(CONNECT("", S("demo"), server.endpoint, S("--name=other.example"), S("--check")), EXIT_FAILED);
    assert_output("name       BAD: ");
    assert_output("chain      good");
    assert_int_equal(
        CONNECT("", S("demo"), server.endpoint, S("--name=host.example"), S("--anchors=stranger.pem"), S("--check")),
        EXIT_FAILED);
    assert_output("chain      BAD");
    server_stop(&server);
    server = SERVER("foreign.pem", VERIFYING);
    assert_int_equal(CONNECT("", S("demo"), server.endpoint, S("--name=host.example"), S("--check")), EXIT_FAILED);
    assert_output("chain      BAD");
    assert_int_equal(
        CONNECT("", S("demo"), server.endpoint, S("--name=host.example"), S("--anchors=stranger.pem"), S("--check")),
        EXIT_OK);
    server_stop(&server);
    server = SERVER("revoked.pem", VERIFYING);
    assert_int_equal(CONNECT("", S("demo"), server.endpoint, S("--name=host.example"), S("--check")), EXIT_FAILED);
    assert_output("revoked");
    server_stop(&server);
}

static void test_not_asked(void **state) {
    Server server = SERVER("server.pem", S("-tls1_3"));

    assert_int_equal(CONNECT("", S("demo"), server.endpoint, S("--name=host.example"), S("--check")), EXIT_OK);
    assert_output("did not ask for our certificate");
    server_stop(&server);
}

static void test_other_refusals(void **state) {
    const Lab *lab = *state;
    Server server = SERVER("server.pem", VERIFYING);

    assert_int_equal(CONNECT("", S("nobody"), server.endpoint), EXIT_NOT_FOUND);
    assert_int_equal(CONNECT("", S("demo"), S("nowhere")), EXIT_USAGE);
    assert_int_equal(CONNECT("", S("demo"), server.endpoint, S("--json")), EXIT_USAGE);
    assert_int_equal(CONNECT("", S("demo"), server.endpoint, S("--anchors=server.key")), EXIT_FAILED);
    fake_identityd_refuse(lab->fake, "org.identityd1.Error.AccessDenied", "no rule admits you");
    assert_int_equal(CONNECT("", S("demo"), server.endpoint), EXIT_DENIED);
    fake_identityd_refuse(lab->fake, NULL, NULL);
    fake_identityd_set_fault(lab->fake, FAKE_FAULT_CLOSE_AT_SIGN);
    assert_int_equal(CONNECT("", S("demo"), server.endpoint, S("--name=host.example"), S("--check")), EXIT_FAILED);
    fake_identityd_set_fault(lab->fake, FAKE_FAULT_BAD_SIGNATURE);
    assert_int_equal(CONNECT("", S("demo"), server.endpoint, S("--name=host.example"), S("--check")), EXIT_FAILED);
    fake_identityd_set_fault(lab->fake, FAKE_FAULT_NONE);
    server_stop(&server);
    assert_int_equal(CONNECT("", S("demo"), server.endpoint), EXIT_FAILED);
}

/* Where the report goes: to standard output with --check, beside the session without, and nowhere when it is good and
 * only results are wanted. */
static void test_streams(void **state) {
    Server server = SERVER("server.pem", VERIFYING);
    static const struct {
        char *options[3];
        const char *name;
        ExitCode code;
        bool out, err;
    } cases[] = {
        { { S("--check") }, "host.example", EXIT_OK, true, false },
        { { S("--check"), S("-q") }, "host.example", EXIT_OK, false, false },
        { { S("--check"), S("-q") }, "other.example", EXIT_FAILED, true, false },
        { { NULL }, "host.example", EXIT_OK, false, true },
        { { S("-q") }, "host.example", EXIT_OK, false, false },
        { { S("-q") }, "other.example", EXIT_FAILED, false, true },
    };

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        _cleanup_bytes_ Bytes out = BYTES_NULL;
        char name[32];
        Said said;
        (void) snprintf(name, sizeof name, "--name=%s", cases[i].name);
        said_begin(stderr, &said);
        ExitCode code = CONNECT("", S("demo"), server.endpoint, name, cases[i].options[0], cases[i].options[1]);
        const char *err = said_end(&said);
        assert_int_equal(code, cases[i].code);
        assert_int_equal(bytes_read_file("out", 65536, &out), 0);
        assert_int_equal(memmem(out.data, out.size, "handshake  ", 11) != NULL, cases[i].out);
        assert_int_equal(strstr(err, "handshake  ") != NULL, cases[i].err);
        if (!cases[i].err)
            assert_string_equal(err, "");
    }
    server_stop(&server);
}

/* One line each, which names what was wrong. */
static void test_complaints(void **state) {
    Server server = SERVER("server.pem", VERIFYING);
    const struct {
        char *arguments[4];
        ExitCode code;
        const char *words;
    } cases[] = {
        { { S("demo"), S("nowhere") }, EXIT_USAGE, ": \"nowhere\" is not HOST:PORT" },
        { { S("demo"), S("::1:443") }, EXIT_USAGE, "an IPv6 address goes in brackets: [::1]:443" },
        { { S("demo"), server.endpoint, S("--json") }, EXIT_USAGE, ": --json goes with --check: " },
        { { S("No Name"), server.endpoint }, EXIT_USAGE, ": \"No Name\" cannot be the name of an identity.\n" },
        { { S("nobody"), server.endpoint },
          EXIT_NOT_FOUND,
          ": cannot open nobody for tls-client: There is no identity 'nobody'.\n" },
        { { S("demo"), server.endpoint, S("--anchors=absent") }, EXIT_FAILED, ": cannot open absent: No such file" },
        { { S("demo"), server.endpoint, S("--anchors=server.key") }, EXIT_FAILED, "server.key" },
        { { S("demo"), S("127.0.0.1:no port") }, EXIT_FAILED, ": cannot resolve 127.0.0.1 port no port: " },
    };

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        Said said;
        said_begin(stderr, &said);
        ExitCode code = run("", cases[i].arguments);
        const char *text = said_end(&said);
        if (code != cases[i].code || !strstr(text, cases[i].words) || strcmp(strchr(text, '\n'), "\n") != 0)
            fail_msg("case %zu: status %d, %s", i, (int) code, text);
    }
    server_stop(&server);
}

static void write_text(const char *path, const char *text) {
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void write_issued(const Lab *lab, const char *path, const FakeCa *ca, unsigned serial) {
    char *certificate = fake_ca_issue(
        ca, lab->server_key,
        &(FakeRequest) { .common_name = "server", .dns = "host.example", .server = true, .serial = serial });
    write_text(path, certificate);
    free(certificate);
}

static int setup(void **state) {
    Lab *lab = calloc(1, sizeof *lab);

    assert_non_null(lab);
    lab->fake = fake_identityd_new();
    strcpy(lab->directory, "/tmp/identityd-test.XXXXXX");
    assert_non_null(mkdtemp(lab->directory));
    assert_int_equal(chdir(lab->directory), 0);
    lab->root = fake_ca_new("root", NULL);
    lab->stranger = fake_ca_new("stranger", NULL);
    lab->client_key = fake_key_new(FAKE_KEY_P256);
    lab->server_key = fake_key_new(FAKE_KEY_P256);
    write_text("root.pem", lab->root->pem);
    write_text("stranger.pem", lab->stranger->pem);
    char *key = fake_key_pem(lab->server_key);
    write_text("server.key", key);
    free(key);
    write_issued(lab, "server.pem", lab->root, 21);
    write_issued(lab, "foreign.pem", lab->stranger, 22);
    write_issued(lab, "revoked.pem", lab->root, 23);
    char *chain = fake_ca_issue(lab->root, lab->client_key,
                                &(FakeRequest) { .common_name = "demo", .client = true, .serial = 7 });
    char *crl = fake_ca_crl(lab->root, (unsigned[]) { 23, 0 }, 3600);
    fake_identityd_set(lab->fake, &(FakeIdentity) { .name = "demo",
                                                    .generation = 1,
                                                    .key = lab->client_key,
                                                    .chain = chain,
                                                    .anchors = lab->root->pem,
                                                    .crls = crl });
    free(chain);
    free(crl);
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
    fake_ca_free(lab->stranger);
    gnutls_privkey_deinit(lab->client_key);
    gnutls_privkey_deinit(lab->server_key);
    free(lab);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accepted),  cmocka_unit_test(test_joined),     cmocka_unit_test(test_peer_refuses),
        cmocka_unit_test(test_we_refuse), cmocka_unit_test(test_not_asked),  cmocka_unit_test(test_other_refusals),
        cmocka_unit_test(test_streams),   cmocka_unit_test(test_complaints),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
