/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Runs a command beside a fake identityd (tests/fakes) on a private bus, for tests of clients in other languages and of
 * modules that programs load:
 *
 *   with-fake-identityd [--renew MS] [--restart MS] [--end STATE] COMMAND…
 *
 * Identities: "demo" (P-256, for clients and for the server demo.example), "demo-p384", "demo-rsa", and "empty", which
 * has no certificate yet. $FAKE/ca.pem is their root, $FAKE/demo.pem a chain of demo's first key. --renew: every MS
 * milliseconds demo gets a new generation, with one of two keys in turn, until the 14th; SIGUSR1 to $FAKE_PID does that
 * once. --restart: every MS milliseconds all handles are closed; SIGUSR2 does that once. --end: SIGUSR2
 * has demo end instead: it is then in STATE, revoked or retired. Exit status: the command's. */
#include "fakes/fake-identityd.h"
#include "fakes/fake-pki.h"

#include <gnutls/gnutls.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define GENERATIONS 14U

typedef struct World {
    FakeIdentityd *fake;
    FakeCa *root, *ca;
    gnutls_privkey_t keys[2], p384, rsa;
    char *anchors, *crl;
    uint32_t generation;
    const char *end; /* NULL, or the state that SIGUSR2 brings */
} World;

static volatile sig_atomic_t renew_now, restart_now;

static void on_signal(int signal_number) {
    if (signal_number == SIGUSR1)
        renew_now = 1;
    else
        restart_now = 1;
}

static char *issue(World *world, gnutls_privkey_t key, const char *name, unsigned serial) {
    FakeRequest request = {
        .common_name = name, .dns = "demo.example", .server = true, .client = true, .serial = serial
    };
    char *leaf = fake_ca_issue(world->ca, key, &request), *chain = fake_concat(leaf, world->ca->pem);

    free(leaf);
    return chain;
}

static void set(World *world, const char *name, gnutls_privkey_t key, uint32_t generation) {
    char *chain = issue(world, key, name, 100 + generation);

    fake_identityd_set(world->fake, &(FakeIdentity) { .name = name,
                                                      .generation = generation,
                                                      .key = key,
                                                      .chain = chain,
                                                      .anchors = world->root->pem,
                                                      .crls = world->crl });
    free(chain);
}

static void renew(World *world) {
    if (world->generation < GENERATIONS) {
        world->generation++;
        set(world, "demo", world->keys[world->generation % 2], world->generation);
    }
}

static void write_file(const World *world, const char *name, const char *text) {
    char path[128];

    (void) snprintf(path, sizeof(path), "%s/%s", fake_identityd_directory(world->fake), name);
    FILE *file = text ? fopen(path, "we") : NULL;
    if (file) {
        (void) fputs(text, file);
        (void) fclose(file);
    } else
        (void) unlink(path);
}

static void world_make(World *world) {
    world->fake = fake_identityd_new();
    world->root = fake_ca_new("Fake Root", NULL);
    world->ca = fake_ca_new("Fake CA", world->root);
    world->keys[0] = fake_key_new(FAKE_KEY_P256);
    world->keys[1] = fake_key_new(FAKE_KEY_P256);
    world->p384 = fake_key_new(FAKE_KEY_P384);
    world->rsa = fake_key_new(FAKE_KEY_RSA);
    world->crl = fake_ca_crl(world->ca, NULL, 3600);
    renew(world);
    set(world, "demo-p384", world->p384, 1);
    set(world, "demo-rsa", world->rsa, 1);
    fake_identityd_set(world->fake, &(FakeIdentity) { .name = "empty", .state = "empty" });
    write_file(world, "ca.pem", world->root->pem);
    char *chain = issue(world, world->keys[1], "demo", 101);
    write_file(world, "demo.pem", chain);
    free(chain);
    setenv("FAKE", fake_identityd_directory(world->fake), 1);
}

static void world_clear(World *world) {
    write_file(world, "ca.pem", NULL);
    write_file(world, "demo.pem", NULL);
    fake_identityd_free(world->fake);
    fake_ca_free(world->ca);
    fake_ca_free(world->root);
    gnutls_privkey_deinit(world->keys[0]);
    gnutls_privkey_deinit(world->keys[1]);
    gnutls_privkey_deinit(world->p384);
    gnutls_privkey_deinit(world->rsa);
    free(world->crl);
}

/* As identityd does it: a last State, the end of the handles, and nobody gets another. */
static void end_with(World *world, const char *state) {
    bool revoked = strcmp(state, "revoked") == 0;
    FailureKind kind = revoked ? FAILURE_REVOKED : FAILURE_RETIRED;

    fake_identityd_set(world->fake, &(FakeIdentity) { .name = "demo", .state = state, .blocked = kind });
    fake_identityd_close_handles(world->fake);
    fake_identityd_refuse(world->fake, failure_dbus_name(kind), revoked ? "demo is revoked" : "demo is retired");
}

static unsigned milliseconds(void) {
    struct timespec now;

    (void) clock_gettime(CLOCK_MONOTONIC, &now);
    return (unsigned) (now.tv_sec * 1000 + now.tv_nsec / 1000000);
}

/* Until the command ends; its status. */
static int attend(World *world, pid_t pid, unsigned renew_every, unsigned restart_every) {
    unsigned start = milliseconds(), renewed = 0, restarted = 0, signatures = 0, signatures_before = 0;
    int status;

    while (waitpid(pid, &status, WNOHANG) == 0) {
        unsigned passed = milliseconds() - start, now_signed = fake_identityd_signed(world->fake);
        /* A command that is slow to begin must not find all generations gone by, or lose its handle at once. */
        if (renew_now || (renew_every > 0 && passed / renew_every > renewed && now_signed > signatures)) {
            renewed += !renew_now;
            renew_now = 0;
            signatures = now_signed;
            renew(world);
        }
        if (restart_now && world->end) {
            restart_now = 0;
            end_with(world, world->end);
        } else if (restart_now ||
                   (restart_every > 0 && passed / restart_every > restarted && now_signed > signatures_before)) {
            restarted += !restart_now;
            restart_now = 0;
            signatures_before = now_signed;
            fake_identityd_close_handles(world->fake);
        }
        usleep(5000);
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int main(int argc, char *argv[]) {
    unsigned renew_every = 0, restart_every = 0;
    World world = { .generation = 0 };
    char self[16];
    int next = 1;

    for (; next + 1 < argc && strncmp(argv[next], "--", 2) == 0; next += 2)
        if (strcmp(argv[next], "--end") == 0)
            world.end = argv[next + 1];
        else
            *(strcmp(argv[next], "--renew") == 0 ? &renew_every : &restart_every) = (unsigned) atoi(argv[next + 1]);
    if (next >= argc) {
        fprintf(stderr, "with-fake-identityd [--renew MS] [--restart MS] [--end STATE] COMMAND…\n");
        return 2;
    }
    (void) signal(SIGUSR1, on_signal);
    (void) signal(SIGUSR2, on_signal);
    world_make(&world);
    (void) snprintf(self, sizeof(self), "%d", (int) getpid());
    setenv("FAKE_PID", self, 1);
    pid_t pid = fork();
    if (pid == 0) {
        execvp(argv[next], argv + next);
        perror(argv[next]);
        _exit(127);
    }
    int status = pid < 0 ? 2 : attend(&world, pid, renew_every, restart_every);
    world_clear(&world);
    return status;
}
