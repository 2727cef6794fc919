/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Inside tests/sandbox: signatures through identityd's handles beside raw ones on the same TPM, in short turns, for a
 * machine is not equally fast from second to second; prints JSON for tests/bench/device. */
#include "bench/measure.h"
#include "bench/raw-tpm.h"

#include <identityd/identityd.h>
#include <jansson.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>

#define IDENTITY   "demo-data"
#define SCHEME     0x0403
#define HANDLES    8U
#define ROUNDS     100U
#define PER_TURN   24U
#define PER_HANDLE 12U

static int sign(identityd_credential *credential) {
    uint8_t signature[IDENTITYD_SIGNATURE_MAX];
    size_t size = sizeof signature;

    return identityd_sign_message(credential, 0, SCHEME, "bench", 5, signature, &size);
}

/* ---- eight handles in flight: a thread each, which live as long as all is measured ---- */

typedef struct Member {
    struct Crew *crew;
    identityd_credential *credential;
    pthread_t thread;
    int result;
} Member;

typedef struct Crew {
    pthread_barrier_t turn; /* everybody and main, before a turn and after it */
    bool over;
    Member members[HANDLES];
} Crew;

static void *work(void *data) {
    Member *member = data;

    for (;;) {
        (void) pthread_barrier_wait(&member->crew->turn);
        if (member->crew->over)
            return NULL;
        for (unsigned i = 0; i < PER_HANDLE && member->result >= 0; i++)
            if ((member->result = sign(member->credential)) < 0)
                fprintf(stderr, "%s\n", identityd_last_error());
        (void) pthread_barrier_wait(&member->crew->turn);
    }
}

static int crew_begin(Crew *crew) {
    if (pthread_barrier_init(&crew->turn, NULL, HANDLES + 1) != 0)
        return -ENOMEM;
    for (unsigned i = 0; i < HANDLES; i++) {
        Member *member = &crew->members[i];
        member->crew = crew;
        if (identityd_credential_open(IDENTITY, "data-raw", &member->credential) < 0 || sign(member->credential) < 0) {
            fprintf(stderr, "%s\n", identityd_last_error());
            return -EIO;
        }
    }
    for (unsigned i = 0; i < HANDLES; i++)
        if (pthread_create(&crew->members[i].thread, NULL, work, &crew->members[i]) != 0)
            return -ENOMEM;
    return 0;
}

static int crew_turn(Crew *crew) {
    int r = 0;

    (void) pthread_barrier_wait(&crew->turn);
    (void) pthread_barrier_wait(&crew->turn);
    for (unsigned i = 0; i < HANDLES; i++)
        r = crew->members[i].result < 0 ? crew->members[i].result : r;
    return r;
}

static void crew_end(Crew *crew) {
    crew->over = true;
    (void) pthread_barrier_wait(&crew->turn);
    for (unsigned i = 0; i < HANDLES; i++) {
        (void) pthread_join(crew->members[i].thread, NULL);
        identityd_credential_free(crew->members[i].credential);
    }
}

/* ---- turns ---- */

/* Microseconds of a signature in each turn of a round. */
typedef struct Round {
    double raw, handle, eight;
} Round;

static int measure_round(RawTpm *raw, Crew *crew, Round *ret) {
    int r = raw_tpm_sign(raw, raw->key); /* each turn begins with one that does not count */
    double began = measure_now();

    for (unsigned i = 0; i < PER_TURN && r >= 0; i++)
        r = raw_tpm_sign(raw, raw->key);
    ret->raw = (measure_now() - began) / PER_TURN;
    if (r >= 0)
        r = sign(crew->members[0].credential);
    began = measure_now();
    for (unsigned i = 0; i < PER_TURN && r >= 0; i++)
        r = sign(crew->members[0].credential);
    ret->handle = (measure_now() - began) / PER_TURN;
    began = measure_now();
    if (r >= 0)
        r = crew_turn(crew);
    ret->eight = (measure_now() - began) / (HANDLES * PER_HANDLE);
    return r;
}

static int print(const Round rounds[static ROUNDS]) {
    json_t *list = json_array();
    int r = list ? 0 : -1;

    for (unsigned i = 0; i < ROUNDS && r >= 0; i++)
        r = json_array_append_new(list, json_pack("{s:f, s:f, s:f}", "raw", rounds[i].raw, "handle", rounds[i].handle,
                                                  "eight", rounds[i].eight));
    if (r >= 0)
        r = json_dumpf(list, stdout, JSON_COMPACT);
    json_decref(list);
    return r < 0 || putchar('\n') == EOF ? -EIO : 0;
}

int main(void) {
    static Round rounds[ROUNDS];
    static Crew crew;
    _cleanup_(raw_tpm_free_p) RawTpm *raw = NULL;

    if (raw_tpm_open(getenv("TPM2TOOLS_TCTI"), &raw) < 0) {
        fputs("the TPM of the sandbox cannot be opened (TPM2TOOLS_TCTI)\n", stderr);
        return EXIT_FAILURE;
    }
    if (crew_begin(&crew) < 0)
        return EXIT_FAILURE;
    for (unsigned i = 0; i < ROUNDS; i++)
        if (measure_round(raw, &crew, &rounds[i]) < 0)
            return EXIT_FAILURE;
    crew_end(&crew);
    return print(rounds) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
