/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* dbus-daemon in a directory of its own. */
#undef NDEBUG
#include "fakes/test-bus.h"

#include <assert.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

struct TestBus {
    char directory[64], address[128], socket[96], configuration[96];
    pid_t pid;
};

static const char configuration_text[] =
    "<!DOCTYPE busconfig PUBLIC \"-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN\"\n"
    " \"http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd\">\n"
    "<busconfig><type>session</type><listen>unix:path=%s</listen><auth>EXTERNAL</auth>\n"
    "<policy context=\"default\"><allow user=\"*\"/><allow send_destination=\"*\" eavesdrop=\"true\"/><allow "
    "eavesdrop=\"true\"/>\n"
    "<allow own=\"*\"/></policy></busconfig>\n";

static void write_configuration(const TestBus *bus) {
    FILE *file = fopen(bus->configuration, "we");

    assert(file);
    fprintf(file, configuration_text, bus->socket);
    assert(fclose(file) == 0);
}

static void run_daemon(const TestBus *bus, int ready) {
    char option[128], print[32];

    (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void) fcntl(ready, F_SETFD, 0);
    (void) snprintf(option, sizeof(option), "--config-file=%s", bus->configuration);
    (void) snprintf(print, sizeof(print), "--print-address=%d", ready);
    execlp("dbus-daemon", "dbus-daemon", option, "--nofork", print, (char *) NULL);
    _exit(127);
}

TestBus *test_bus_new(void) {
    TestBus *bus = calloc(1, sizeof(*bus));
    const char *base = getenv("TMPDIR");
    char byte;
    int ready[2];

    assert(bus);
    (void) snprintf(bus->directory, sizeof(bus->directory), "%s/identityd-bus-XXXXXX",
                    base && strlen(base) < 32 ? base : "/tmp");
    assert(mkdtemp(bus->directory));
    (void) snprintf(bus->socket, sizeof(bus->socket), "%s/bus", bus->directory);
    (void) snprintf(bus->configuration, sizeof(bus->configuration), "%s/bus.conf", bus->directory);
    (void) snprintf(bus->address, sizeof(bus->address), "unix:path=%s", bus->socket);
    write_configuration(bus);
    assert(pipe2(ready, O_CLOEXEC) == 0);
    bus->pid = fork();
    assert(bus->pid >= 0);
    if (bus->pid == 0)
        run_daemon(bus, ready[1]);
    close(ready[1]);
    assert(read(ready[0], &byte, 1) == 1); /* its address: it listens */
    close(ready[0]);
    return bus;
}

TestBus *test_bus_free(TestBus *bus) {
    if (!bus)
        return NULL;
    (void) kill(bus->pid, SIGKILL);
    (void) waitpid(bus->pid, NULL, 0);
    (void) unlink(bus->socket);
    (void) unlink(bus->configuration);
    (void) rmdir(bus->directory);
    free(bus);
    return NULL;
}

const char *test_bus_address(const TestBus *bus) {
    return bus->address;
}

const char *test_bus_directory(const TestBus *bus) {
    return bus->directory;
}
