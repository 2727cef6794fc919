/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The control socket DIR/control: one packet of NUL-separated words is a command, one packet of text its answer,
 * "ok…" or "error: …". */
#include "server.h"

#include "index.h"
#include "tls.h"

#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#define COMMAND_MAX    4096U
#define WORDS_MAX      32U
#define ANSWER_MAX     4096U
#define CLIENT_SECONDS 5

typedef struct Answer {
    char text[ANSWER_MAX];
    size_t used;
    bool stop;
} Answer;

static void say(Answer *answer, const char *format, ...) _printf_(2, 3);
static void say(Answer *answer, const char *format, ...) {
    va_list arguments;
    int n;

    va_start(arguments, format);
    n = vsnprintf(answer->text + answer->used, sizeof(answer->text) - answer->used, format, arguments);
    va_end(arguments);
    if (n > 0)
        answer->used += (size_t) n;
    if (answer->used >= sizeof(answer->text))
        answer->used = sizeof(answer->text) - 1;
}

/* Every command runs under the server's lock. `words` are those after the command's name. */
typedef void (*Command)(Server *server, char *const *words, size_t count, Answer *answer);

static void say_result(Answer *answer, int r, const char *what) {
    if (r < 0)
        say(answer, "error: %s: %s\n", what, strerror(-r));
    else
        say(answer, "ok\n");
}

static void command_fault(Server *server, char *const *words, size_t count, Answer *answer) {
    const char *reason = "";

    if (faults_add(&server->faults, words, count, &reason) < 0)
        say(answer, "error: %s\n", reason);
    else
        say(answer, "ok\n");
}

static void command_clear(Server *server, char *const *words, size_t count, Answer *answer) {
    say_result(answer, faults_clear(&server->faults, count > 0 ? words[0] : NULL), "no such operation");
}

static void command_revoke(Server *server, char *const *words, size_t count, Answer *answer) {
    bool by_name = count > 0 && strncmp(words[0], "name=", 5) == 0;
    int r;

    if (count < 1) {
        say(answer, "error: wanted: revoke SERIAL|name=COMMON-NAME [REASON]\n");
        return;
    }
    r = index_revoke(server->directory, by_name ? NULL : words[0], by_name ? words[0] + 5 : NULL,
                     count > 1 ? words[1] : "");
    if (r < 0)
        say_result(answer, r, r == -EINVAL ? "no such reason" : "nothing that is valid matches");
    else
        say(answer, "ok %d revoked\n", r);
}

static void command_release(Server *server, char *const *words, size_t count, Answer *answer) {
    say_result(answer, count == 1 ? index_release(server->directory, words[0]) : -EINVAL, "wanted: a serial on hold");
}

static void command_rollover(Server *server, char *const *words, size_t count, Answer *answer) {
    const char *step = count == 1 ? words[0] : "";
    int r = -EINVAL;

    if (strcmp(step, "begin") == 0)
        r = ca_rollover_begin(server->ca);
    else if (strcmp(step, "switch") == 0)
        r = ca_rollover_switch(server->ca);
    else if (strcmp(step, "finish") == 0) {
        r = ca_rollover_finish(server->ca);
        if (r == 0)
            r = credentials_renew(server);
    }
    say_result(answer, r, "wanted: rollover begin, then switch, then finish (or begin, finish)");
}

static void command_intermediate(Server *server, char *const *words, size_t count, Answer *answer) {
    int64_t lifetime;
    int r;

    r = count == 1 ? parse_number(words[0], 1, INT32_MAX, &lifetime) : -EINVAL;
    if (r == 0)
        r = ca_renew_intermediate(server->ca, lifetime);
    say_result(answer, r, "wanted: intermediate-lifetime SECONDS");
}

static void command_csrattrs(Server *server, char *const *words, size_t count, Answer *answer) {
    Csrattrs made = { 0 };
    int r;

    r = count == 1 ? csrattrs_make(words[0], &made) : -EINVAL;
    if (r == 0) {
        csrattrs_clear(&server->csrattrs);
        server->csrattrs = made;
    }
    say_result(answer, r, "no such variant; see lab-ca --help");
}

static void command_lifetime(Server *server, char *const *words, size_t count, Answer *answer) {
    say_result(answer, count == 1 ? parse_number(words[0], 1, INT32_MAX, &server->lifetime) : -EINVAL,
               "wanted: lifetime SECONDS");
}

static void command_crl_lifetime(Server *server, char *const *words, size_t count, Answer *answer) {
    int r;

    r = count == 1 ? parse_number(words[0], 1, INT32_MAX, &server->crls.lifetime) : -EINVAL;
    if (r == 0)
        crl_cache_drop(&server->crls);
    say_result(answer, r, "wanted: crl-lifetime SECONDS");
}

static void command_crl_renew(Server *server, char *const *words, size_t count, Answer *answer) {
    crl_cache_drop(&server->crls);
    say(answer, "ok\n");
}

static void command_crl_file(Server *server, char *const *words, size_t count, Answer *answer) {
    bool none = count == 1 && strcmp(words[0], "none") == 0;
    char *path = NULL;

    if (count != 1 || (!none && !file_exists(server->directory, words[0]))) {
        say(answer, "error: wanted: crl-file PATH of a DER CRL, or none\n");
        return;
    }
    if (!none)
        path = strdup(words[0]);
    free(server->crl_file);
    server->crl_file = path;
    say(answer, "ok\n");
}

static void command_forget(Server *server, char *const *words, size_t count, Answer *answer) {
    server->pending_count = 0;
    say(answer, "ok\n");
}

static void command_status(Server *server, char *const *words, size_t count, Answer *answer) {
    say(answer, "ok\nphase %s\nissuer %s\nlifetime %" PRId64 "\npending %zu\n", ca_phase_to_string(server->ca->phase),
        ca_issuer(server->ca)->name, server->lifetime, server->pending_count);
    for (unsigned i = 0; i < _OPERATION_COUNT; i++) {
        say(answer, "requests %s %" PRIu64 "\n", operation_to_string((Operation) i), server->requests[i]);
        for (size_t j = 0; j < server->faults.count[i]; j++)
            say(answer, "fault %s %s count=%u\n", operation_to_string((Operation) i),
                fault_to_string(server->faults.queue[i][j].kind), server->faults.queue[i][j].remaining);
    }
}

static void command_stop(Server *server, char *const *words, size_t count, Answer *answer) {
    answer->stop = true;
    say(answer, "ok\n");
}

static const struct {
    const char *name;
    Command run;
} commands[] = {
    { "fault", command_fault },
    { "clear", command_clear },
    { "revoke", command_revoke },
    { "release", command_release },
    { "rollover", command_rollover },
    { "csrattrs", command_csrattrs },
    { "lifetime", command_lifetime },
    { "intermediate-lifetime", command_intermediate },
    { "crl-lifetime", command_crl_lifetime },
    { "crl-renew", command_crl_renew },
    { "crl-file", command_crl_file },
    { "forget-pending", command_forget },
    { "status", command_status },
    { "stop", command_stop },
};

static void run_command(Server *server, char *const *words, size_t count, Answer *answer) {
    for (size_t i = 0; count > 0 && i < ARRAY_LENGTH(commands); i++) {
        if (strcmp(commands[i].name, words[0]) != 0)
            continue;
        (void) pthread_mutex_lock(&server->lock);
        commands[i].run(server, words + 1, count - 1, answer);
        (void) pthread_mutex_unlock(&server->lock);
        return;
    }
    say(answer, "error: no such command; there are:");
    for (size_t i = 0; i < ARRAY_LENGTH(commands); i++)
        say(answer, " %s", commands[i].name);
    say(answer, "\n");
}

/* One client: one command. True when the server shall stop. */
static bool serve_client(Server *server, int fd) {
    const struct timeval patience = { .tv_sec = CLIENT_SECONDS };
    char command[COMMAND_MAX + 1], *words[WORDS_MAX];
    Answer answer = { .used = 0 };
    size_t count = 0;
    ssize_t n;

    (void) setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    n = recv(fd, command, COMMAND_MAX, 0);
    if (n <= 0)
        return false;
    command[n] = '\0';
    for (char *word = command; word < command + n && count < WORDS_MAX; word += strlen(word) + 1)
        words[count++] = word;
    run_command(server, words, count, &answer);
    (void) send(fd, answer.text, answer.used, MSG_NOSIGNAL);
    return answer.stop;
}

/* The socket's address through /proc/self/fd, since a directory's path may be longer than sun_path. */
static int control_address(const char *directory, struct sockaddr_un *ret) {
    _cleanup_close_ int fd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return -errno;
    *ret = (struct sockaddr_un) { .sun_family = AF_UNIX };
    (void) snprintf(ret->sun_path, sizeof(ret->sun_path), "/proc/self/fd/%d/control", fd);
    return TAKE_FD(fd);
}

static int control_listen(const char *directory) {
    _cleanup_close_ int fd = -1, base = -1;
    struct sockaddr_un address;

    base = control_address(directory, &address);
    if (base < 0)
        return base;
    (void) unlinkat(base, "control", 0);
    fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *) &address, sizeof(address)) < 0 || listen(fd, 16) < 0)
        return -errno;
    return TAKE_FD(fd);
}

int control_serve(Server *server, int signals) {
    _cleanup_close_ int listener = control_listen(server->directory);
    struct pollfd polled[2] = { { .fd = listener, .events = POLLIN }, { .fd = signals, .events = POLLIN } };

    if (listener < 0) {
        complain("cannot listen on %s/control: %s", server->directory, strerror(-listener));
        return listener;
    }
    if (file_write_text(server->directory, "ready", "ready\n") < 0)
        return -EIO;
    for (;;) {
        _cleanup_close_ int client = -1;

        if (poll(polled, ARRAY_LENGTH(polled), -1) < 0) {
            if (errno == EINTR)
                continue;
            return -errno;
        }
        if (polled[1].revents)
            return 0;
        client = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (client >= 0 && serve_client(server, client))
            return 0;
    }
}

int control_send(const char *directory, char *const *words, size_t count) {
    _cleanup_close_ int fd = -1, base = -1;
    char command[COMMAND_MAX], answer[ANSWER_MAX + 1];
    struct sockaddr_un address;
    size_t used = 0;
    ssize_t n;

    for (size_t i = 0; i < count; i++) {
        size_t length = strlen(words[i]) + 1;

        if (length > sizeof(command) - used) {
            complain("the command is too long");
            return 2;
        }
        memcpy(command + used, words[i], length);
        used += length;
    }
    base = control_address(directory, &address);
    fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (base < 0 || fd < 0 || connect(fd, (struct sockaddr *) &address, sizeof(address)) < 0 ||
        send(fd, command, used, MSG_NOSIGNAL) < 0) {
        complain("no lab CA answers in %s: %m", directory);
        return 1;
    }
    n = recv(fd, answer, ANSWER_MAX, 0);
    if (n <= 0) {
        complain("the lab CA in %s gave no answer", directory);
        return 1;
    }
    answer[n] = '\0';
    (void) fputs(answer, strncmp(answer, "ok", 2) == 0 ? stdout : stderr);
    return strncmp(answer, "ok", 2) == 0 ? 0 : 1;
}
