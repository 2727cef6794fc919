/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A whole proxy in a process of its own: how it begins or does not, what it tells systemd, its limit of connections,
 * and how it ends. */
#include "proxy/run.h"

#include "proxy/program.h"

#include "lab.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#define WORDS_MAX 16U

static char directory[] = "/tmp/identityd-test.XXXXXX";

typedef struct Proxy {
    pid_t pid;
    int notify; /* what it says to systemd comes here */
    char notices[4096];
} Proxy;

/* With these arguments beside an identity and a peer where nobody listens. */
static Proxy start(const char *const *words, rlim_t descriptors) {
    char *argv[WORDS_MAX] = { (char *) "identityd-proxy", (char *) "demo" };
    struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = "notify" };
    Proxy proxy = { .notify = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0) };
    int argc = 2;

    for (size_t i = 0; words[i]; i++)
        argv[argc++] = (char *) (uintptr_t) words[i];
    (void) unlink("notify");
    assert_int_equal(bind(proxy.notify, (struct sockaddr *) &address, sizeof address), 0);
    proxy.pid = fork();
    assert_true(proxy.pid >= 0);
    if (proxy.pid == 0) {
        char path[128];
        Command command;
        struct rlimit limit = { descriptors, descriptors };
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        snprintf(path, sizeof path, "%s/notify", directory);
        setenv("NOTIFY_SOCKET", path, 1);
        if (descriptors > 0)
            (void) setrlimit(RLIMIT_NOFILE, &limit);
        ExitCode code = command_parse(&proxy_program, &proxy_verb, argc, argv, &command);
        _exit(code == _EXIT_CONTINUE ? proxy_verb.run(&command) : code);
    }
    return proxy;
}
#define LISTEN     "--listen", socket_path
#define START(...) start((const char *const[]) { "--connect=127.0.0.1:1", __VA_ARGS__, NULL }, 0)

static char socket_path[64];

/* Waits for a message to systemd. */
static void await_notice(Proxy *proxy, const char *expected) {
    size_t used = 0;

    do {
        struct pollfd wait = { .fd = proxy->notify, .events = POLLIN };
        if (poll(&wait, 1, (int) LAB_PATIENCE_SECONDS * 1000) <= 0)
            fail_msg("no \"%s\" in:\n%s\nbut:\n%s", expected, proxy->notices, lab_said());
        ssize_t n = recv(proxy->notify, proxy->notices + used, sizeof proxy->notices - 1 - used, 0);
        assert_true(n > 0);
        used += (size_t) n;
        proxy->notices[used] = '\0';
    } while (!strstr(proxy->notices, expected));
}

static int end_of(Proxy *proxy) {
    int status;

    for (unsigned i = 0; i < LAB_PATIENCE_SECONDS * 100; i++) {
        pid_t done = waitpid(proxy->pid, &status, WNOHANG);
        if (done == proxy->pid) {
            close(proxy->notify);
            if (!WIFEXITED(status))
                fail_msg("it ended by a signal:\n%s", lab_said());
            return WEXITSTATUS(status);
        }
        usleep(10000);
    }
    (void) kill(proxy->pid, SIGKILL);
    fail_msg("it did not end:\n%s", lab_said());
    return -1;
}

static int stop(Proxy *proxy) {
    assert_int_equal(kill(proxy->pid, SIGTERM), 0);
    return end_of(proxy);
}

static int try_connect(void) {
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    strcpy(address.sun_path, socket_path);
    if (connect(fd, (struct sockaddr *) &address, sizeof address) == 0)
        return fd;
    close(fd);
    return -1;
}

/* Whether the proxy has closed it. */
static bool is_dropped(int fd, int milliseconds) {
    struct pollfd wait = { .fd = fd, .events = POLLIN };
    char byte;

    return poll(&wait, 1, milliseconds) > 0 && recv(fd, &byte, 1, 0) <= 0;
}

static void await_said(const char *part) {
    for (unsigned i = 0; i < LAB_PATIENCE_SECONDS * 100 && !strstr(lab_said(), part); i++)
        usleep(10000);
    lab_assert_said(part);
}

/* ---- beginning ---- */

static void test_ready(void **state) {
    Proxy proxy = START(LISTEN);

    await_notice(&proxy, "READY=1\nSTATUS=demo is ready, generation 1");
    lab_assert_said("passed on to 127.0.0.1 port 1 over TLS as 127.0.0.1");
    int fd = try_connect();
    assert_true(fd >= 0);
    assert_true(is_dropped(fd, 10000)); /* where nobody listens */
    close(fd);
    lab_assert_said("demo #1: refused uid ");
    assert_int_equal(stop(&proxy), EXIT_OK);
    assert_int_equal(access(socket_path, F_OK), -1);
    lab_assert_said("demo: ready, generation 1");
}

static void test_quiet(void **state) {
    Proxy proxy = START(LISTEN, "--quiet");

    await_notice(&proxy, "READY=1");
    assert_int_equal(stop(&proxy), EXIT_OK);
    assert_string_equal(lab_said(), "");
}

static void test_a_server_says_whom_it_lets_in(void **state) {
    Proxy proxy =
        start((const char *const[]) { "--server", "--connect=/run/program", "--listen=127.0.0.1:0", NULL }, 0);

    await_notice(&proxy, "READY=1");
    lab_assert_said("passed on to /run/program; let in: all clients that verify");
    assert_int_equal(stop(&proxy), EXIT_OK);
    proxy = start(
        (const char *const[]) { "--server", "--connect=/run/program", "--listen=127.0.0.1:0", "--allow-cn=a", NULL },
        0);
    await_notice(&proxy, "READY=1");
    lab_assert_said("let in: clients with the given names");
    assert_int_equal(stop(&proxy), EXIT_OK);
}

/* systemd is told that it runs also where it has to wait: it starts before identityd. */
static void test_without_identityd(void **state) {
    fake_identityd_leave_bus(lab.fake);
    Proxy proxy = START(LISTEN, "--handshake-timeout=1");
    await_notice(&proxy, "READY=1\nSTATUS=demo: ");
    await_said("demo: new connections wait: ");
    int fd = try_connect();
    assert_true(is_dropped(fd, 10000));
    close(fd);
    lab_assert_said("waited 1 s, at last for the identity");
    fake_identityd_join_bus(lab.fake);
    await_notice(&proxy, "STATUS=demo is ready, generation 1");
    assert_int_equal(stop(&proxy), EXIT_OK);
}

static void test_states_are_told(void **state) {
    Proxy proxy = START(LISTEN);

    await_notice(&proxy, "is ready, generation 1");
    lab_set_identity(2, "ready");
    await_notice(&proxy, "is ready, generation 2");
    lab_set_identity(2, "unavailable");
    await_notice(&proxy, "STATUS=demo: the TPM is unavailable");
    await_said("demo: new connections are refused: the TPM is unavailable");
    lab_set_identity(2, "revoked");
    await_notice(&proxy, "STATUS=demo: its certificate was revoked by the CA, or put on hold");
    await_said(
        "demo: all 0 connections are closed, new ones refused: its certificate was revoked by the CA, or put on hold");
    assert_int_equal(stop(&proxy), EXIT_OK);
}

/* ---- what keeps it from beginning ---- */

static void test_refused_arguments(void **state) {
    Proxy proxy = START("--mode=0600");

    assert_int_equal(end_of(&proxy), EXIT_USAGE);
    proxy = START("--no-such-option");
    assert_int_equal(end_of(&proxy), EXIT_USAGE);
    lab_assert_said("Try \"identityd-proxy --help\".");
}

static void test_nowhere_to_listen(void **state) {
    Proxy proxy = START("--listen=/nowhere/at/all");

    assert_int_equal(end_of(&proxy), EXIT_FAILED);
    proxy = START("--quiet");
    assert_int_equal(end_of(&proxy), EXIT_USAGE);
    lab_assert_said("--listen is missing");
}

static void test_a_hopeless_identity(void **state) {
    fake_identityd_refuse(lab.fake, "org.identityd1.Error.AccessDenied", "not for you");
    Proxy proxy = START(LISTEN);
    assert_int_equal(end_of(&proxy), EXIT_DENIED);
    lab_assert_said("cannot open demo for tls-client: ");
    lab_assert_said("not for you");
    fake_identityd_refuse(lab.fake, "org.identityd1.Error.NoSuchIdentity", "unheard of");
    proxy = start((const char *const[]) { "--server", "--connect=/run/program", "--listen=127.0.0.1:0", NULL }, 0);
    assert_int_equal(end_of(&proxy), EXIT_NOT_FOUND);
    lab_assert_said("cannot open demo for tls-server: ");
    assert_int_equal(access(socket_path, F_OK), -1);
}

/* Two descriptors a connection: rather not begin than fail with the last of them. */
static void test_too_few_descriptors(void **state) {
    Proxy proxy = start((const char *const[]) { "--connect=127.0.0.1:1", "--max-connections=90",
                                                "--max-handshakes=5:30:10", LISTEN, NULL },
                        200);

    assert_int_equal(end_of(&proxy), EXIT_FAILED);
    lab_assert_said("90 connections and 10 handshakes need 248 file descriptors, and the limit is 200");
    proxy = start((const char *const[]) { "--connect=127.0.0.1:1", "--max-connections=66", "--max-handshakes=5:30:10",
                                          LISTEN, NULL },
                  200);
    await_notice(&proxy, "READY=1");
    assert_int_equal(stop(&proxy), EXIT_OK);
}

/* ---- its limits ---- */

/* With identityd away all are in their handshakes. */
static void test_slots(void **state) {
    int fds[4];

    fake_identityd_leave_bus(lab.fake);
    Proxy proxy = START(LISTEN, "--max-connections=1", "--max-handshakes-per-source=3", "--handshake-timeout=600");
    await_notice(&proxy, "READY=1");
    for (size_t i = 0; i < ARRAY_LENGTH(fds); i++)
        assert_true((fds[i] = try_connect()) >= 0);
    await_said("refused uid ");
    lab_assert_said("it made room for another handshake (--max-handshakes)");
    unsigned dropped = 0;
    for (size_t i = 0; i < ARRAY_LENGTH(fds); i++) {
        dropped += is_dropped(fds[i], i == 3 ? 300 : 100);
        close(fds[i]);
    }
    assert_int_equal(dropped, 1); /* and not the last one */
    assert_int_equal(stop(&proxy), EXIT_OK);
}

static void test_lines_of_the_log(void **state) {
    fake_identityd_leave_bus(lab.fake);
    Proxy proxy = START(LISTEN, "--log-limit=8", "--max-handshakes-per-source=1", "--handshake-timeout=600");
    await_notice(&proxy, "READY=1");
    for (unsigned i = 0; i < 40; i++)
        close(try_connect());
    await_said("2 lines about connections from uid ");
    assert_int_equal(stop(&proxy), EXIT_OK);
    lab_assert_said(" lines about connections were left out (--log-limit)");
    unsigned lines = 0;
    for (const char *at = lab_said(); (at = strstr(at, "refused ")); at++)
        lines++;
    assert_int_equal(lines, 2);
}

/* ---- the end ---- */

static void test_signals(void **state) {
    static const int signals[] = { SIGTERM, SIGINT };

    for (size_t i = 0; i < ARRAY_LENGTH(signals); i++) {
        Proxy proxy = START(LISTEN);
        await_notice(&proxy, "READY=1");
        assert_int_equal(kill(proxy.pid, signals[i]), 0);
        await_notice(&proxy, "STOPPING=1");
        assert_int_equal(end_of(&proxy), EXIT_OK);
    }
}

/* What is open has time; nothing new is taken. */
static void test_draining(void **state) {
    fake_identityd_leave_bus(lab.fake);
    Proxy proxy = START(LISTEN, "--drain-timeout=1");
    await_notice(&proxy, "READY=1");
    int fd = try_connect();
    usleep(200000);
    assert_int_equal(kill(proxy.pid, SIGTERM), 0);
    await_notice(&proxy, "STOPPING=1\nSTATUS=1 connections are finishing");
    lab_assert_said("demo: stopping: 1 connections have 1 s to finish");
    assert_int_equal(try_connect(), -1);
    assert_false(is_dropped(fd, 300));
    assert_int_equal(end_of(&proxy), EXIT_OK);
    assert_true(is_dropped(fd, 0));
    lab_assert_said("the proxy stops");
    close(fd);
}

static void test_it_ends_with_the_last_connection(void **state) {
    fake_identityd_leave_bus(lab.fake);
    Proxy proxy = START(LISTEN, "--drain-timeout=600", "--handshake-timeout=1");
    await_notice(&proxy, "READY=1");
    int fd = try_connect();
    usleep(200000);
    assert_int_equal(kill(proxy.pid, SIGTERM), 0);
    assert_int_equal(end_of(&proxy), EXIT_OK);
    close(fd);
}

static void test_a_second_signal(void **state) {
    fake_identityd_leave_bus(lab.fake);
    Proxy proxy = START(LISTEN, "--drain-timeout=600", "--handshake-timeout=600");
    await_notice(&proxy, "READY=1");
    int fd = try_connect();
    usleep(200000);
    assert_int_equal(kill(proxy.pid, SIGTERM), 0);
    await_notice(&proxy, "STOPPING=1");
    assert_int_equal(kill(proxy.pid, SIGTERM), 0);
    assert_int_equal(end_of(&proxy), EXIT_OK);
    close(fd);
}

static void test_no_time_to_drain(void **state) {
    fake_identityd_leave_bus(lab.fake);
    Proxy proxy = START(LISTEN, "--drain-timeout=0", "--handshake-timeout=600");
    await_notice(&proxy, "READY=1");
    int fd = try_connect();
    usleep(200000);
    assert_int_equal(stop(&proxy), EXIT_OK);
    assert_null(strstr(lab_said(), "stopping: ")); /* there is nothing to wait for */
    close(fd);
}

static int setup(void **state) {
    if (lab_setup_identity(NULL) < 0)
        return -1;
    lab_said_begin(); /* after what the bus says */
    return 0;
}

static int teardown(void **state) {
    lab_said_end();
    return lab_teardown_identity(NULL);
}

static int setup_all(void **state) {
    assert_non_null(mkdtemp(directory));
    assert_int_equal(chdir(directory), 0);
    snprintf(socket_path, sizeof socket_path, "%s/socket", directory);
    return lab_setup(NULL);
}

static int teardown_all(void **state) {
    (void) unlink("notify");
    (void) unlink("socket");
    return chdir("/") < 0 || rmdir(directory) < 0 ? -1 : lab_teardown(NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_ready),
        TEST(test_quiet),
        TEST(test_a_server_says_whom_it_lets_in),
        TEST(test_without_identityd),
        TEST(test_states_are_told),
        TEST(test_refused_arguments),
        TEST(test_nowhere_to_listen),
        TEST(test_a_hopeless_identity),
        TEST(test_too_few_descriptors),
        TEST(test_slots),
        TEST(test_lines_of_the_log),
        TEST(test_signals),
        TEST(test_draining),
        TEST(test_it_ends_with_the_last_connection),
        TEST(test_a_second_signal),
        TEST(test_no_time_to_drain),
    };

    return cmocka_run_group_tests(tests, setup_all, teardown_all);
}
