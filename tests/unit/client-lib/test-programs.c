/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Mutual TLS 1.3 with tls-client and tls-server handles against other people's programs: openssl s_server and s_client,
 * gnutls-cli and gnutls-serv. */
#include "tls-pair.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct Program {
    pid_t pid;
    int in, out; /* its standard input and output */
} Program;

static char directory[32], path_ca[128], path_key[128], path_cert[128], path_socket[128], path_host_cert[128];

static void write_file(char path[static 128], const char *name, const char *text) {
    (void) snprintf(path, 128, "%s/%s", directory, name);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static int setup_programs(void **state) {
    char *key = fake_key_pem(fixture.key);
    char *client = fake_ca_issue(fixture.ca, fixture.key, &(FakeRequest) { .common_name = "program", .client = true });
    char *server =
        fake_ca_issue(fixture.ca, fixture.key,
                      &(FakeRequest) { .common_name = "service.example", .dns = "service.example", .server = true });

    setup_tls(state);
    /* short: openssl s_server exits where the path of its socket has more than 31 bytes (getnameinfo's NI_MAXSERV) */
    (void) snprintf(directory, sizeof(directory), "/tmp/tls-XXXXXX");
    assert_non_null(mkdtemp(directory));
    write_file(path_ca, "ca.pem", fixture.ca->pem);
    write_file(path_key, "key.pem", key);
    write_file(path_cert, "client.pem", client);
    write_file(path_host_cert, "server.pem", server);
    (void) snprintf(path_socket, sizeof(path_socket), "%s/tls", directory);
    free(key);
    free(client);
    free(server);
    return 0;
}

static int teardown_programs(void **state) {
    const char *paths[] = { path_ca, path_key, path_cert, path_host_cert, path_socket };

    for (size_t i = 0; i < ARRAY_LENGTH(paths); i++)
        (void) unlink(paths[i]);
    (void) rmdir(directory);
    return teardown(state);
}

static Program start(const char *const *arguments) {
    int in[2], out[2];
    Program program;

    assert_int_equal(pipe2(in, O_CLOEXEC), 0);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    program.pid = fork();
    assert_true(program.pid >= 0);
    if (program.pid == 0) {
        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(in[0], STDIN_FILENO);
        dup2(out[1], STDOUT_FILENO);
        dup2(out[1], STDERR_FILENO);
        unsetenv("LD_PRELOAD");
        execvp(arguments[0], (char *const *) (uintptr_t) arguments);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    program.in = in[1];
    program.out = out[0];
    return program;
}

/* Ends it; what it wrote, for the message of a failed test. */
static void stop(Program *program, char ret_output[static 4096]) {
    size_t size = 0;
    ssize_t n;

    close(program->in);
    (void) kill(program->pid, SIGTERM);
    assert_int_equal(waitpid(program->pid, NULL, 0), program->pid);
    while (size < 4095 && (n = read(program->out, ret_output + size, 4095 - size)) > 0)
        size += (size_t) n;
    ret_output[size] = '\0';
    close(program->out);
}

static int connect_unix(void) {
    struct sockaddr_un address = { .sun_family = AF_UNIX };

    (void) snprintf(address.sun_path, sizeof(address.sun_path), "%.107s", path_socket);
    for (unsigned i = 0; i < 1000; i++) {
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_true(fd >= 0);
        if (connect(fd, (struct sockaddr *) &address, sizeof(address)) == 0)
            return fd;
        close(fd);
        usleep(10000);
    }
    fail_msg("nobody listens on %s", path_socket);
    return -1;
}

static int listen_unix(void) {
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void) snprintf(address.sun_path, sizeof(address.sun_path), "%.107s", path_socket);
    assert_int_equal(bind(fd, (struct sockaddr *) &address, sizeof(address)), 0);
    assert_int_equal(listen(fd, 1), 0);
    return fd;
}

static int listen_loopback(char ret_port[static 8]) {
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(bind(fd, (struct sockaddr *) &address, sizeof(address)), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *) &address, &size), 0);
    (void) snprintf(ret_port, 8, "%u", ntohs(address.sin_port));
    return fd;
}

static int accept_one(int listener) {
    struct timeval limit = { .tv_sec = 20 };

    assert_int_equal(setsockopt(listener, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)), 0);
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(fd >= 0);
    close(listener);
    return fd;
}

/* One session over `fd`, which is closed; text of the peer's first line into `line`. */
static int talk(Party *party, bool server, int fd, const char *say, char line[static 64]) {
    unsigned flags = (server ? GNUTLS_SERVER : GNUTLS_CLIENT) | GNUTLS_NO_SIGNAL;
    gnutls_session_t session;
    int r;

    line[0] = '\0';
    assert_int_equal(gnutls_init(&session, flags), 0);
    assert_int_equal(identityd_gnutls_session_begin(party->credentials, session, party->host, 0), 0);
    if (server)
        gnutls_certificate_server_set_request(session, GNUTLS_CERT_REQUIRE);
    gnutls_handshake_set_timeout(session, 20000);
    gnutls_record_set_timeout(session, 20000);
    gnutls_transport_set_int(session, fd);
    do
        r = gnutls_handshake(session);
    while (r < 0 && !gnutls_error_is_fatal(r));
    if (r >= 0) {
        assert_int_equal(gnutls_protocol_get_version(session), GNUTLS_TLS1_3);
        if (say)
            assert_int_equal(gnutls_record_send(session, say, strlen(say)), strlen(say));
        ssize_t n;
        do
            n = gnutls_record_recv(session, line, 63);
        while (n == GNUTLS_E_AGAIN || n == GNUTLS_E_INTERRUPTED);
        r = n < 0 ? (int) n : 0;
        line[n > 0 ? n : 0] = '\0';
        (void) gnutls_bye(session, GNUTLS_SHUT_WR);
    }
    gnutls_deinit(session);
    close(fd);
    return r;
}

static void expect_line(int r, const char *line, const char *expected, const char *output) {
    if (r < 0 || strcmp(line, expected) != 0)
        fail_msg("%s: '%s' instead of '%s'; last error: %s; the program wrote: %s", gnutls_strerror(r), line, expected,
                 identityd_last_error(), output);
}

static void test_openssl_server(void **state) {
    const char *const arguments[] = { "openssl", "s_server", "-unix", path_socket,
                                      "-tls1_3", "-Verify",  "2",     "-verify_return_error",
                                      "-CAfile", path_ca,    "-cert", path_host_cert,
                                      "-key",    path_key,   "-rev",  NULL };
    char line[64], output[4096];
    Party client;

    Program program = start(arguments);
    party_open(&client, "device", "tls-client");
    for (uint32_t i = 0; i < 4; i++) {
        set_device(1 + i % 2, NULL, NULL);
        int r = talk(&client, false, connect_unix(), "ping\n", line);
        if (r < 0 || strcmp(line, "gnip\n") != 0) {
            stop(&program, output);
            expect_line(r, line, "gnip\n", output);
        }
    }
    stop(&program, output);
    party_clear(&client);
}

/* That s_server does look: without the identity's certificate it refuses. */
static void test_openssl_server_refuses_strangers(void **state) {
    const char *const arguments[] = { "openssl", "s_server", "-unix", path_socket,
                                      "-tls1_3", "-Verify",  "2",     "-verify_return_error",
                                      "-CAfile", path_ca,    "-cert", path_host_cert,
                                      "-key",    path_key,   "-rev",  NULL };
    FakeCa *other = fake_ca_new("Stranger", NULL);
    char *chain = fake_ca_issue(other, fixture.key, &(FakeRequest) { .common_name = "device", .client = true });
    char line[64], output[4096];
    Party client;

    fake_identityd_set(
        fixture.fake,
        &(FakeIdentity) {
            .name = "device", .generation = 1, .key = fixture.key, .chain = chain, .anchors = fixture.ca->pem });
    Program program = start(arguments);
    party_open(&client, "device", "tls-client");
    assert_true(talk(&client, false, connect_unix(), "ping\n", line) < 0);
    stop(&program, output);
    party_clear(&client);
    free(chain);
    fake_ca_free(other);
}

static void serve_program(const char *const *arguments, int listener) {
    char line[64], output[4096];
    Party server;

    party_open(&server, "service", "tls-server");
    Program program = start(arguments);
    assert_int_equal(write(program.in, "hello\n", 6), 6);
    int r = talk(&server, true, accept_one(listener), NULL, line);
    stop(&program, output);
    expect_line(r, line, "hello\n", output);
    party_clear(&server);
}

static void test_openssl_client(void **state) {
    const char *const arguments[] = { "openssl",
                                      "s_client",
                                      "-unix",
                                      path_socket,
                                      "-tls1_3",
                                      "-CAfile",
                                      path_ca,
                                      "-cert",
                                      path_cert,
                                      "-key",
                                      path_key,
                                      "-verify_return_error",
                                      "-verify_hostname",
                                      "service.example",
                                      "-quiet",
                                      NULL };

    serve_program(arguments, listen_unix());
}

static void test_gnutls_client(void **state) {
    char port[8];
    int listener = listen_loopback(port);
    const char *const arguments[] = { "gnutls-cli",        "--port",          port,
                                      "--x509cafile",      path_ca,           "--x509certfile",
                                      path_cert,           "--x509keyfile",   path_key,
                                      "--verify-hostname", "service.example", "--sni-hostname",
                                      "service.example",   "127.0.0.1",       NULL };

    serve_program(arguments, listener);
}

static int connect_loopback(const char *port) {
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                   .sin_port = htons((uint16_t) atoi(port)) };
    for (unsigned i = 0; i < 1000; i++) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (connect(fd, (struct sockaddr *) &address, sizeof(address)) == 0)
            return fd;
        close(fd);
        usleep(10000);
    }
    fail_msg("nobody listens on port %s", port);
    return -1;
}

static void test_gnutls_server(void **state) {
    char port[8], line[64], output[4096];
    const char *const arguments[] = { "gnutls-serv",
                                      "--echo",
                                      "--port",
                                      port,
                                      "--x509cafile",
                                      path_ca,
                                      "--x509certfile",
                                      path_host_cert,
                                      "--x509keyfile",
                                      path_key,
                                      "--require-client-cert",
                                      "--verify-client-cert",
                                      "--quiet",
                                      NULL };
    Party client;

    close(listen_loopback(port)); /* a port that is free now */
    Program program = start(arguments);
    party_open(&client, "device", "tls-client");
    int r = talk(&client, false, connect_loopback(port), "hello\n", line);
    stop(&program, output);
    expect_line(r, line, "hello\n", output);
    party_clear(&client);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_programs, teardown_programs)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_openssl_server), TEST(test_openssl_server_refuses_strangers),
        TEST(test_openssl_client), TEST(test_gnutls_client),
        TEST(test_gnutls_server),
    };

    return cmocka_run_group_tests(tests, setup_all, teardown_all);
}
