/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* pkttyagent as a child: see agent.h. It tells through a pipe that it has registered, by closing it. */
#include "idctl/agent.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define AGENT_PATH            "/usr/bin/pkttyagent"
#define AGENT_REGISTER_MILLIS 5000

static void agent_run(int notify_fd, pid_t parent) {
    char notify[16];
    sigset_t none;

    /* Not to outlive idctl: if the parent is gone already the signal will not come. */
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (prctl(PR_SET_PDEATHSIG, SIGTERM) < 0 || getppid() != parent)
        _exit(1);
    snprintf(notify, sizeof notify, "%d", notify_fd);
    /* Without O_CLOEXEC from here on: the agent inherits it. */
    if (fcntl(notify_fd, F_SETFD, 0) < 0)
        _exit(1);
    execl(AGENT_PATH, AGENT_PATH, "--notify-fd", notify, "--fallback", (char *) NULL);
    _exit(1);
}

int agent_start(Agent *ret) {
    _cleanup_close_ int read_fd = -1, write_fd = -1;
    int fds[2];

    *ret = (Agent) { 0 };
    if (geteuid() == 0 || !isatty(STDIN_FILENO) || access(AGENT_PATH, X_OK) < 0)
        return 0;
    if (pipe2(fds, O_CLOEXEC) < 0)
        return -errno;
    read_fd = fds[0];
    write_fd = fds[1];

    pid_t parent = getpid(), child = fork();
    if (child < 0)
        return -errno;
    if (child == 0)
        agent_run(write_fd, parent);
    ret->pid = child;
    write_fd = close_safe(write_fd);
    struct pollfd wait = { .fd = read_fd };
    (void) poll(&wait, 1, AGENT_REGISTER_MILLIS);
    return 0;
}

void agent_stop(Agent *agent) {
    if (agent->pid <= 0)
        return;
    /* SIGCONT: it may have been stopped by the terminal's job control. */
    (void) kill(agent->pid, SIGTERM);
    (void) kill(agent->pid, SIGCONT);
    while (waitpid(agent->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    agent->pid = 0;
}
