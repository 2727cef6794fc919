/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The sockets that the proxy accepts at: made at a path without taking another's place, at a port, or passed by
 * systemd. */
#include "proxy/listener.h"

#include "lab.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define FIRST_PASSED 3 /* sd_listen_fds(3) */

static char directory[] = "/tmp/identityd-test.XXXXXX";
static char path[64], lock_path[72];

static ProxySettings at_path(void) {
    ProxySettings settings = { .identity = "demo", .listens = true, .mode = PROXY_MODE };

    assert_int_equal(proxy_address_parse_plain(path, false, &settings.listen), EXIT_OK);
    return settings;
}

static ProxySettings at_port(bool server) {
    ProxySettings settings = { .identity = "demo", .listens = true, .server = server, .loopback = !server };

    assert_int_equal(proxy_address_parse_tls("127.0.0.1:0", &settings.listen), EXIT_OK);
    return settings;
}

static int try_connect(const ProxyAddress *address) {
    _cleanup_close_ int fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    return connect(fd, &address->any, address->size) < 0 ? -errno : 0;
}

static void assert_not_there(void) {
    struct stat status;

    assert_int_equal(lstat(path, &status), -1);
}

static void assert_refused(const ProxySettings *settings, ExitCode code, const char *why) {
    ProxyListeners listeners = { .count = 77 };

    assert_int_equal(proxy_listeners_open(settings, &listeners), code);
    assert_int_equal(listeners.count, 77);
    lab_assert_said(why);
}

static int setup(void **state) {
    lab_said_begin();
    (void) unlink(path);
    (void) unlink(lock_path);
    return 0;
}

static int teardown(void **state) {
    lab_said_end();
    (void) unlink(path);
    (void) unlink(lock_path);
    return 0;
}

/* ---- a path ---- */

static void test_a_path(void **state) {
    ProxySettings settings = at_path();
    ProxyListeners listeners;
    struct stat status;

    assert_int_equal(proxy_listeners_open(&settings, &listeners), EXIT_OK);
    assert_int_equal(listeners.count, 1);
    assert_int_equal(lstat(path, &status), 0);
    assert_true(S_ISSOCK(status.st_mode));
    assert_int_equal(status.st_mode & 0777, 0600);
    assert_int_equal(try_connect(&settings.listen), 0);
    assert_true(fcntl(listeners.list[0].fd, F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(listeners.list[0].fd, F_GETFD) & FD_CLOEXEC);
    proxy_listeners_close(&listeners);
    assert_int_equal(listeners.count, 0);
    assert_not_there();
}

/* As asked for, whatever the umask is, and that is as it was. */
static void test_modes(void **state) {
    static const mode_t modes[] = { 0600, 0660, 0666, 0777, 0000 };
    mode_t before = umask(0027);

    for (size_t i = 0; i < ARRAY_LENGTH(modes); i++) {
        ProxySettings settings = at_path();
        ProxyListeners listeners;
        struct stat status;
        settings.mode = modes[i];
        assert_int_equal(proxy_listeners_open(&settings, &listeners), EXIT_OK);
        assert_int_equal(lstat(path, &status), 0);
        assert_int_equal(status.st_mode & 0777, modes[i]);
        proxy_listeners_close(&listeners);
    }
    assert_int_equal(umask(before), 0027);
}

static void test_a_socket_that_was_left_behind(void **state) {
    ProxySettings settings = at_path();
    ProxyListeners listeners;

    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, &settings.listen.any, settings.listen.size), 0);
    close(fd);
    assert_int_equal(proxy_listeners_open(&settings, &listeners), EXIT_OK);
    assert_int_equal(try_connect(&settings.listen), 0);
    proxy_listeners_close(&listeners);
    assert_not_there();
}

static void test_a_socket_that_answers(void **state) {
    ProxySettings settings = at_path();
    ProxyListeners listeners;

    assert_int_equal(proxy_listeners_open(&settings, &listeners), EXIT_OK);
    assert_refused(&settings, EXIT_FAILED, "another process listens there");
    assert_int_equal(try_connect(&settings.listen), 0); /* and goes on doing so */
    proxy_listeners_close(&listeners);
}

/* One whose queue is full answers as well, only not now. */
static void test_a_socket_with_a_full_queue(void **state) {
    ProxySettings settings = at_path();
    int clients[4];

    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, &settings.listen.any, settings.listen.size), 0);
    assert_int_equal(listen(fd, 0), 0);
    for (size_t i = 0; i < ARRAY_LENGTH(clients); i++) {
        clients[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        (void) connect(clients[i], &settings.listen.any, settings.listen.size);
    }
    assert_refused(&settings, EXIT_FAILED, "another process listens there");
    for (size_t i = 0; i < ARRAY_LENGTH(clients); i++)
        close(clients[i]);
    close(fd);
}

static void test_what_is_no_socket(void **state) {
    ProxySettings settings = at_path();
    struct stat status;

    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    close(fd);
    assert_refused(&settings, EXIT_FAILED, "there is a file that is no socket");
    assert_int_equal(lstat(path, &status), 0);
    assert_true(S_ISREG(status.st_mode));
}

/* Not even to a socket that was left behind: whoever may make links there would choose what is removed. */
static void test_a_link_to_a_socket(void **state) {
    ProxySettings settings = at_path();
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    struct stat status;

    snprintf(address.sun_path, sizeof address.sun_path, "%s/other", directory);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *) &address, sizeof address), 0);
    close(fd);
    assert_int_equal(symlink(address.sun_path, path), 0);
    assert_refused(&settings, EXIT_FAILED, "there is a file that is no socket");
    assert_int_equal(lstat(path, &status), 0);
    assert_true(S_ISLNK(status.st_mode));
    assert_int_equal(unlink(address.sun_path), 0);
}

static void test_a_directory_that_is_not_there(void **state) {
    ProxySettings settings = { .identity = "demo", .listens = true, .mode = PROXY_MODE };

    assert_int_equal(proxy_address_parse_plain("/nowhere/at/all", false, &settings.listen), EXIT_OK);
    assert_refused(&settings, EXIT_FAILED,
                   "cannot listen at /nowhere/at/all: taking its lock (the path with .lock): No such file");
}

/* Two that start at once: the second waits until the first listens, and then finds it. */
typedef struct Holder {
    int fd;
    unsigned milliseconds;
} Holder;

static void *hold(void *data) {
    Holder *holder = data;

    usleep(holder->milliseconds * 1000);
    close(holder->fd); /* which releases the lock */
    return NULL;
}

static int make_lock(mode_t mode) {
    int fd = open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC, mode);

    assert_true(fd >= 0);
    assert_int_equal(fchmod(fd, mode), 0);
    return fd;
}

static void test_a_path_that_is_locked(void **state) {
    ProxySettings settings = at_path();
    Holder holder = { make_lock(0600), 200 };
    ProxyListeners listeners;
    pthread_t thread;

    assert_int_equal(flock(holder.fd, LOCK_EX), 0);
    assert_int_equal(pthread_create(&thread, NULL, hold, &holder), 0);
    assert_int_equal(proxy_listeners_open(&settings, &listeners), EXIT_OK);
    assert_int_equal(pthread_join(thread, NULL), 0);
    proxy_listeners_close(&listeners);
    assert_int_equal(access(lock_path, F_OK), -1); /* it goes with the one that held it */
}

/* The one that held it removes the file: a lock on that is none any more, and another is taken. */
static void *hold_and_remove(void *data) {
    Holder *holder = data;

    usleep(holder->milliseconds * 1000);
    assert_int_equal(unlink(lock_path), 0);
    close(holder->fd);
    return NULL;
}

static void test_a_lock_that_is_removed(void **state) {
    ProxySettings settings = at_path();
    Holder holder = { make_lock(0600), 200 };
    ProxyListeners listeners;
    pthread_t thread;

    assert_int_equal(flock(holder.fd, LOCK_EX), 0);
    assert_int_equal(pthread_create(&thread, NULL, hold_and_remove, &holder), 0);
    assert_int_equal(proxy_listeners_open(&settings, &listeners), EXIT_OK);
    assert_int_equal(pthread_join(thread, NULL), 0);
    proxy_listeners_close(&listeners);
}

static void test_a_path_that_stays_locked(void **state) {
    ProxySettings settings = at_path();
    int fd = make_lock(0600);

    assert_int_equal(flock(fd, LOCK_EX), 0);
    assert_refused(&settings, EXIT_FAILED, "taking its lock (the path with .lock): Connection timed out");
    assert_not_there();
    close(fd);
    assert_int_equal(access(lock_path, F_OK), 0); /* it is the other's */
}

/* Who may read the directory can lock that, and so nothing hangs on it. */
static void test_a_directory_that_is_locked(void **state) {
    ProxySettings settings = at_path();
    ProxyListeners listeners;
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    assert_int_equal(flock(fd, LOCK_EX), 0);
    assert_int_equal(proxy_listeners_open(&settings, &listeners), EXIT_OK);
    proxy_listeners_close(&listeners);
    close(fd);
}

/* One that others can open could be held by them for ever. */
static void test_a_lock_that_others_can_hold(void **state) {
    ProxySettings settings = at_path();

    for (unsigned i = 0; i < 3; i++) {
        static const mode_t modes[] = { 0644, 0620, 0600 };
        (void) unlink(lock_path);
        close(make_lock(modes[i]));
        if (modes[i] == 0600) { /* as root only */
            if (geteuid() != 0 || chown(lock_path, 65534, 65534) < 0)
                continue;
        }
        assert_refused(&settings, EXIT_FAILED, "its lock (the path with .lock) is no file of ours alone: remove it");
    }
    assert_not_there();
}

static void test_a_lock_that_is_a_link(void **state) {
    ProxySettings settings = at_path();

    assert_int_equal(symlink("/dev/null", lock_path), 0);
    assert_refused(&settings, EXIT_FAILED, "its lock (the path with .lock) is no file of ours alone: remove it");
    assert_not_there();
}

/* Somebody may have put another there meanwhile, which is not ours to remove. */
static void test_only_its_own_is_removed(void **state) {
    ProxySettings settings = at_path();
    ProxyListeners listeners;
    struct stat status;

    assert_int_equal(proxy_listeners_open(&settings, &listeners), EXIT_OK);
    assert_int_equal(unlink(path), 0);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, &settings.listen.any, settings.listen.size), 0);
    proxy_listeners_close(&listeners);
    assert_int_equal(lstat(path, &status), 0);
    close(fd);
}

static void test_it_may_be_gone_already(void **state) {
    ProxySettings settings = at_path();
    ProxyListeners listeners;

    assert_int_equal(proxy_listeners_open(&settings, &listeners), EXIT_OK);
    assert_int_equal(unlink(path), 0);
    proxy_listeners_close(&listeners);
    assert_string_equal(lab_said(), "");
}

/* ---- a port ---- */

static void test_a_port(void **state) {
    for (unsigned server = 0; server < 2; server++) {
        ProxySettings settings = at_port(server);
        ProxyListeners listeners;
        assert_int_equal(proxy_listeners_open(&settings, &listeners), EXIT_OK);
        const ProxyAddress address = listeners.list[0].address;
        assert_true(ntohs(address.ipv4.sin_port) > 0); /* that the kernel has chosen */
        assert_int_equal(try_connect(&address), 0);
        proxy_listeners_close(&listeners);
        assert_int_equal(try_connect(&address), -ECONNREFUSED);
    }
}

static void test_a_port_in_use(void **state) {
    ProxySettings settings = at_port(true);
    ProxyListeners listeners;

    assert_int_equal(proxy_listeners_open(&settings, &listeners), EXIT_OK);
    settings.listen = listeners.list[0].address;
    assert_refused(&settings, EXIT_FAILED, "making the socket: Address already in use");
    proxy_listeners_close(&listeners);
}

/* An address that no interface has. */
static void test_an_address_of_another(void **state) {
    ProxySettings settings = at_port(true);

    assert_int_equal(proxy_address_parse_tls("192.0.2.1:0", &settings.listen), EXIT_OK);
    assert_refused(&settings, EXIT_FAILED, "cannot listen at 192.0.2.1:0: making the socket");
}

/* ---- sockets that were passed ---- */

/* In a child, for the numbers of descriptors are given: these in their order, and the exit status. */
static int with_passed(const ProxySettings *settings, const int *fds, unsigned count) {
    ProxyListeners listeners;
    char text[16];
    int status, spare[16];

    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        for (unsigned i = 0; i < count; i++)
            spare[i] = fcntl(fds[i], F_DUPFD, 100);
        for (unsigned i = 0; i < count; i++)
            if (dup2(spare[i], FIRST_PASSED + (int) i) < 0)
                _exit(99);
        snprintf(text, sizeof text, "%d", getpid());
        setenv("LISTEN_PID", text, 1);
        snprintf(text, sizeof text, "%u", count);
        setenv("LISTEN_FDS", text, 1);
        ExitCode code = proxy_listeners_open(settings, &listeners);
        if (code != EXIT_OK)
            _exit(code);
        bool right = listeners.count == count && !getenv("LISTEN_FDS");
        for (unsigned i = 0; i < listeners.count; i++)
            right = right && listeners.list[i].fd == FIRST_PASSED + (int) i && !listeners.list[i].owns_path &&
                    (fcntl(FIRST_PASSED + (int) i, F_GETFL) & O_NONBLOCK) != 0;
        proxy_listeners_close(&listeners);
        _exit(right ? 0 : 98);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int listening(const char *address, int type) {
    ProxyAddress at;

    assert_int_equal(address[0] == '/' ? proxy_address_parse_plain(address, false, &at)
                                       : proxy_address_parse_tls(address, &at),
                     EXIT_OK);
    int fd = socket(at.any.sa_family, type | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, &at.any, at.size), 0);
    if (type != SOCK_DGRAM)
        assert_int_equal(listen(fd, 1), 0);
    return fd;
}

static ProxySettings passed(bool server, bool loopback) {
    return (ProxySettings) { .identity = "demo", .server = server, .loopback = loopback };
}

static void test_passed(void **state) {
    ProxySettings client = passed(false, false), loopback = passed(false, true), server = passed(true, false);
    struct stat status;

    int at = listening(path, SOCK_STREAM), port = listening("127.0.0.1:0", SOCK_STREAM),
        anywhere = listening("0.0.0.0:0", SOCK_STREAM);
    assert_int_equal(with_passed(&client, (int[]) { at }, 1), 0);
    assert_int_equal(lstat(path, &status), 0); /* it is systemd's */
    assert_int_equal(with_passed(&loopback, (int[]) { at, port }, 2), 0);
    assert_int_equal(with_passed(&server, (int[]) { port, anywhere }, 2), 0);
    close(at);
    close(port);
    close(anywhere);
}

static int abstract(void) {
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(bind(fd, (struct sockaddr *) &address, sizeof(sa_family_t)),
                     0); /* a name of the kernel's choice */
    assert_int_equal(listen(fd, 1), 0);
    return fd;
}

static void test_passed_and_refused(void **state) {
    const struct {
        ProxySettings settings;
        int fd;
        const char *why;
    } cases[] = {
        { passed(true, false), listening(path, SOCK_STREAM), "with --server TLS is accepted at a port" },
        { passed(false, false), abstract(), "an abstract socket has no access mode" },
        { passed(false, false), listening("127.0.0.1:0", SOCK_STREAM), "every local user reaches a port" },
        { passed(false, true), listening("0.0.0.0:0", SOCK_STREAM), "without TLS only a socket's path" },
        { passed(true, false), listening("127.0.0.1:0", SOCK_DGRAM), "it is no listening stream socket" },
        { passed(false, false), open("/dev/null", O_RDWR | O_CLOEXEC), "it is no listening stream socket" },
        { passed(true, false), socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "it is no listening stream socket" },
    };

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        assert_true(cases[i].fd >= 0);
        assert_int_equal(with_passed(&cases[i].settings, &cases[i].fd, 1), EXIT_USAGE);
        lab_assert_said(cases[i].why);
        close(cases[i].fd);
    }
}

/* One bad one among several, wherever it stands. */
static void test_passed_with_a_bad_one(void **state) {
    ProxySettings settings = passed(false, false);
    int good = listening(path, SOCK_STREAM), bad = abstract();

    assert_int_equal(with_passed(&settings, (int[]) { good, bad }, 2), EXIT_USAGE);
    assert_int_equal(with_passed(&settings, (int[]) { bad, good }, 2), EXIT_USAGE);
    close(good);
    close(bad);
}

static void test_passed_beside_listen(void **state) {
    ProxySettings settings = at_port(true);
    int fd = listening("127.0.0.1:0", SOCK_STREAM);

    assert_int_equal(with_passed(&settings, &fd, 1), EXIT_USAGE);
    lab_assert_said("leave one of them out");
    close(fd);
}

static void test_nothing_passed(void **state) {
    ProxySettings settings = passed(false, false);

    assert_refused(&settings, EXIT_USAGE, "--listen is missing, and no socket was passed");
}

static void test_too_many_passed(void **state) {
    ProxySettings settings = passed(true, false);
    int fds[PROXY_LISTENERS_MAX + 1];

    for (size_t i = 0; i < ARRAY_LENGTH(fds); i++)
        fds[i] = listening("127.0.0.1:0", SOCK_STREAM);
    assert_int_equal(with_passed(&settings, fds, PROXY_LISTENERS_MAX), 0);
    assert_int_equal(with_passed(&settings, fds, PROXY_LISTENERS_MAX + 1), EXIT_USAGE);
    lab_assert_said("9 sockets were passed: at most 8 are taken");
    for (size_t i = 0; i < ARRAY_LENGTH(fds); i++)
        close(fds[i]);
}

static int setup_all(void **state) {
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_PID");
    assert_non_null(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/socket", directory);
    snprintf(lock_path, sizeof lock_path, "%s.lock", path);
    return 0;
}

static int teardown_all(void **state) {
    return rmdir(directory);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_a_path),
        TEST(test_modes),
        TEST(test_a_socket_that_was_left_behind),
        TEST(test_a_socket_that_answers),
        TEST(test_a_socket_with_a_full_queue),
        TEST(test_what_is_no_socket),
        TEST(test_a_link_to_a_socket),
        TEST(test_a_directory_that_is_not_there),
        TEST(test_a_path_that_is_locked),
        TEST(test_a_lock_that_is_removed),
        TEST(test_a_path_that_stays_locked),
        TEST(test_a_directory_that_is_locked),
        TEST(test_a_lock_that_others_can_hold),
        TEST(test_a_lock_that_is_a_link),
        TEST(test_only_its_own_is_removed),
        TEST(test_it_may_be_gone_already),
        TEST(test_a_port),
        TEST(test_a_port_in_use),
        TEST(test_an_address_of_another),
        TEST(test_passed),
        TEST(test_passed_and_refused),
        TEST(test_passed_with_a_bad_one),
        TEST(test_passed_beside_listen),
        TEST(test_nothing_passed),
        TEST(test_too_many_passed),
    };

    return cmocka_run_group_tests(tests, setup_all, teardown_all);
}
