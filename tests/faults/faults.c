/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Fails each allocation and each system call of identityd once, or takes the power away at it, while it starts, enrols,
 * renews, opens a handle, signs; and wants of each time: it does not crash, and no sanitizer complains; whoever wanted
 * something is told why it is not to be had, or the log is, or it is done all the same; the next try works; the store
 * is whole; no descriptor stays open; and a start finds all of it. See usage(). */
#undef NDEBUG
#include "phases.h"

#include <assert.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#define RESTART_EVERY     40U /* attempts: an orderly end shows what was lost on the way */
#define RETRY_SECONDS     30
#define DYING_SECONDS     3
#define QUIET_SECONDS     0.5
#define DESCRIPTORS_SPARE 2U
#define SANITIZER_STATUS  98

typedef enum Kind { KIND_MEMORY, KIND_CALLS, KIND_CUTS, _KIND_COUNT } Kind;
static const char *const kind_names[_KIND_COUNT] = { "memory", "calls", "cuts" };

typedef struct Point {
    ThreadClass class;
    unsigned turn; /* counted from 1 */
    unsigned variant;
} Point;

typedef struct Options {
    const char *program, *preload, *phase;
    bool kinds[_KIND_COUNT], all, is_verbose;
    unsigned points; /* 0: as many as there are */
} Options;

typedef struct Tally {
    unsigned possible, chosen, met, succeeded, told, ended, wrong;
} Tally;

typedef struct Run {
    const Options *options;
    Trial *trial;
    Kind kind;
    const Phase *phase;
    Point *points;
    size_t points_count;
    Tally tally;
    unsigned since_restart, descriptors;
    size_t log_begins;
    unsigned wrong; /* of all */
} Run;

/* ---- what is to fail ---- */

static void disarm(Run *run) {
    run->trial->control->counts = run->trial->control->records = false;
    run->trial->trap->counts = run->trial->trap->records = false;
    run->trial->control->was_hit = run->trial->trap->was_hit = false; /* from now on, no answer is lost */
}

/* NULL: nothing fails, and all that might is noted. */
static void arm(Run *run, const Point *point) {
    Control *control = run->trial->control;
    Trap *trap = run->trial->trap;

    control->was_hit = trap->was_hit = false;
    control->hit[0] = trap->hit[0] = '\0';
    for (unsigned i = 0; i < _THREAD_CLASS_COUNT; i++) {
        control->count[i] = trap->count[i] = 0;
        control->fails_at[i] = point && point->class == i ? point->turn : 0;
    }
    trap->class = point ? point->class : THREAD_MAIN;
    trap->fails_at = point ? point->turn : 0;
    trap->variant = point ? point->variant : 0;
    trap->kills = run->kind == KIND_CUTS;
    control->records = run->kind == KIND_MEMORY && !point;
    trap->records = run->kind != KIND_MEMORY && !point;
    trap->counts = run->kind != KIND_MEMORY;
    control->counts = run->kind == KIND_MEMORY;
}

static bool was_hit(const Run *run) {
    return run->kind == KIND_MEMORY ? run->trial->control->was_hit : run->trial->trap->was_hit;
}

static const char *hit(const Run *run) {
    return run->kind == KIND_MEMORY ? run->trial->control->hit : run->trial->trap->hit;
}

static void add_point(Run *run, ThreadClass class, unsigned turn, unsigned variant) {
    run->points = reallocarray(run->points, run->points_count + 1U, sizeof *run->points);
    assert(run->points);
    run->points[run->points_count++] = (Point) { class, turn, variant };
}

/* The first of each stack of callers. */
static void collect_allocations(Run *run, ThreadClass class) {
    const Control *control = run->trial->control;
    const uint64_t *stacks = control->stacks[class];
    unsigned count = control->count[class];

    assert(count <= CONTROL_POINTS_MAX);
    for (unsigned i = 0; i < count; i++) {
        bool is_known = stacks[i] == 0;
        for (unsigned j = 0; j < i && !is_known; j++)
            is_known = stacks[j] == stacks[i];
        if (!is_known)
            add_point(run, class, i + 1U, 0);
    }
}

static void collect_calls(Run *run, ThreadClass class) {
    const Trap *trap = run->trial->trap;

    assert(trap->count[class] <= TRAP_POINTS_MAX);
    for (unsigned i = 0; i < trap->count[class]; i++) {
        const unsigned variants = run->kind == KIND_CUTS ? 1U : trap_variants(trap->points[class][i].call);
        if (run->kind == KIND_CUTS && !trap->points[class][i].changes_disk)
            continue;
        for (unsigned j = 0; j < variants; j++)
            if (run->options->all || run->kind == KIND_CUTS || j == i % variants)
                add_point(run, class, i + 1U, j);
    }
}

/* ---- complaints ---- */

static void complain(Run *run, const char *what, const char *more) {
    char *log = trial_log(run->trial);
    const size_t begins = run->log_begins < strlen(log) ? run->log_begins : strlen(log);

    run->tally.wrong++;
    run->wrong++;
    printf("WRONG %s %s: %s%s%s\n  at %s\n  log: %.6000s\n", kind_names[run->kind], run->phase->name, what,
           more[0] ? ": " : "", more, hit(run), log + begins);
    (void) fflush(stdout);
    free(log);
}

/* Whether the log has anything but what it says of things that went well. */
static bool has_logged(const Run *run) {
    static const char *const good[] = {
        ": Granted for ",   " more permissions for uid ",       " → ",        ": Generation ",
        "The TPM is ready", "The configuration was read again", ": Retired: "
    };
    _cleanup_free_ char *log = trial_log(run->trial);
    char *rest = strlen(log) > run->log_begins ? log + run->log_begins : log + strlen(log);
    bool has_logged = false;

    for (char *line = NULL; (line = strtok_r(rest, "\n", &rest));) {
        bool is_good = false;
        for (size_t i = 0; i < ARRAY_LENGTH(good) && !is_good; i++)
            is_good = strstr(line, good[i]) != NULL;
        has_logged |= !is_good;
    }
    return has_logged;
}

/* Nobody can be told. A message that libsystemd could not read, or not hand on, comes to nobody of ours: between the
 * fault and its loop is no function of identityd; its caller finds out by the time that he gave it. A peer that is gone
 * has no ears. */
static bool has_nobody_to_tell(const Run *run) {
    const char *at = hit(run), *loop = strstr(at, "sd_event_dispatch("), *ours = strstr(at, "(identityd+");

    if (run->kind != KIND_MEMORY)
        return run->trial->trap->hit_errno == EPIPE || run->trial->trap->hit_errno == ECONNRESET;
    return loop && (!ours || ours > loop);
}

/* How the process that is gone has ended; true: as it may. */
static bool ended_well(Run *run, bool may_be_killed) {
    const int status = run->trial->status;
    char text[64];

    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL && may_be_killed)
        return true;
    if (WIFSIGNALED(status)) {
        (void) snprintf(text, sizeof text, "signal %d", WTERMSIG(status));
        return complain(run, "it crashed", text), false;
    }
    if (WEXITSTATUS(status) == SANITIZER_STATUS)
        return complain(run, "a sanitizer complained", ""), false;
    if (!has_logged(run))
        return complain(run, "it ended without a word", ""), false;
    return true;
}

/* ---- one attempt ---- */

/* An orderly end, which shows what leaked, and a start that finds what was there. */
static void restart(Run *run) {
    Trial *trial = run->trial;
    Said said = { "" };

    run->since_restart = 0;
    run->log_begins = trial_log_size(trial);
    if (trial_runs(trial)) {
        const uint32_t generation = trial_generation(trial);
        char open[512];
        if (run->descriptors > 0 &&
            !trial_until(trial, trial_descriptors(trial, open, sizeof open) <= run->descriptors + DESCRIPTORS_SPARE,
                         RETRY_SECONDS))
            complain(run, "descriptors stay open", open);
        if (!trial_stop(trial))
            complain(run, "it does not end in order",
                     WIFEXITED(trial->status) && WEXITSTATUS(trial->status) == SANITIZER_STATUS
                         ? "a sanitizer complained"
                         : "");
        if (!phases[1].run(trial, &said) || trial_generation(trial) != generation)
            complain(run, "a start does not find what was there", said.text);
    } else if (!phases[1].run(trial, &said))
        complain(run, "a start does not come up", said.text);
    if (!run->phase->prepare(trial) || (!run->phase->starts && !run->phase->run(trial, &said)))
        complain(run, "after a start it does not work", said.text);
    run->descriptors = trial_runs(trial) ? trial_descriptors(trial, NULL, 0) : 0;
}

/* A start that came to nothing is begun anew. Where the first enrolment failed, the next attempt waits for its time,
 * also after a start: an admin does not. */
static bool starts_again(Run *run, Said *said) {
    _cleanup_answer_ Answer answer = { .done = false };
    Trial *trial = run->trial;

    if (trial_runs(trial) && trial_is_ready(trial))
        return true;
    trial_kill(trial);
    *said = (Said) { "it does not come up" };
    if (!phase_is_up(trial))
        return false;
    if (!trial_until(trial, trial_is_ready(trial), QUIET_SECONDS) &&
        !trial_call(trial, X_PATH, "Enroll", &answer, "a{sv}", 0))
        memcpy(said->text, answer.text, sizeof said->text);
    return trial_is_ready(trial);
}

/* The same once more, and nothing fails; one that has died is started before. */
static bool works_again(Run *run, Said *said) {
    const double end = trial_seconds() + RETRY_SECONDS;
    Trial *trial = run->trial;
    bool works = false;

    do {
        *said = (Said) { "" };
        works = run->phase->starts ? starts_again(run, said) : phase_is_up(trial) && run->phase->run(trial, said);
        if (!works && trial_runs(trial))
            (void) trial_until(trial, false, 0.3);
    } while (!works && trial_seconds() < end);
    return works;
}

/* Soon: what could not be told to the other thread, or removed, is tried again by itself. */
static bool all_is_well(Run *run, Said *said) {
    const double end = trial_seconds() + RETRY_SECONDS;

    while (!phase_all_is_well(run->trial, said)) {
        if (!trial_runs(run->trial) || trial_seconds() > end)
            return false;
        (void) trial_until(run->trial, false, 0.3);
        *said = (Said) { "" };
    }
    return true;
}

static void tell(const Run *run, const Point *point, bool succeeded, const Said *said) {
    char *log = trial_log(run->trial);

    printf("%s %s %s %u: at %s\n  %s%s\n%s", kind_names[run->kind], run->phase->name,
           point->class == THREAD_MAIN ? "main" : "other", point->turn, hit(run),
           succeeded ? "done" : "not done: ", said->text, log + run->log_begins);
    free(log);
}

/* What came of it, for whoever wanted it. */
static void judge(Run *run, bool succeeded, const Said *said) {
    Trial *trial = run->trial;
    const bool is_told = said->text[0] || has_logged(run) || has_nobody_to_tell(run);

    if (!succeeded && !is_told) /* it may be about to die, and others see that first */
        (void) trial_until(trial, has_logged(run), DYING_SECONDS);
    if (!trial_runs(trial))
        run->tally.ended += ended_well(run, run->kind == KIND_CUTS);
    else if (said->is_wrong)
        complain(run, "the answer is wrong", said->text);
    else if (succeeded)
        run->tally.succeeded++;
    else if (is_told || has_logged(run))
        run->tally.told++;
    else
        complain(run, "nobody is told", "");
}

static void attempt(Run *run, const Point *point) {
    Trial *trial = run->trial;
    Said said = { "" }, later = { "" };

    run->log_begins = trial_log_size(trial);
    if (!run->phase->prepare(trial))
        return complain(run, "what comes before it does not work", "");
    run->log_begins = trial_log_size(trial);
    arm(run, point);
    bool succeeded = run->phase->run(trial, &said);
    run->tally.met += was_hit(run);
    disarm(run);
    if (run->options->is_verbose)
        tell(run, point, succeeded, &said);
    judge(run, succeeded, &said);
    if (!works_again(run, &later))
        complain(run, "the next try does not work", later.text);
    else if (!all_is_well(run, &later))
        complain(run, "not all is well afterwards", later.text);
}

/* ---- one phase ---- */

/* Once to warm up, and once to see what there is that can fail. */
static bool record(Run *run) {
    Said said = { "" };

    run->trial->traps = run->kind != KIND_MEMORY;
    trial_kill(run->trial);
    run->log_begins = trial_log_size(run->trial);
    for (unsigned i = 0; i < 2; i++) {
        if (!run->phase->prepare(run->trial))
            return complain(run, "it does not begin", ""), false;
        if (i > 0) {
            (void) trial_until(run->trial, false, QUIET_SECONDS); /* what was begun before is no part of it */
            arm(run, NULL);
        }
        bool succeeded = run->phase->run(run->trial, &said);
        disarm(run);
        if (!succeeded || !phase_all_is_well(run->trial, &said))
            return complain(run, "it does not work at all", said.text), false;
    }
    for (ThreadClass class = 0; class < _THREAD_CLASS_COUNT; class ++)
        (run->kind == KIND_MEMORY ? collect_allocations : collect_calls)(run, class);
    return true;
}

static void run_phase(Run *run) {
    const double begins = trial_seconds();

    run->points_count = 0;
    run->tally = (Tally) { .possible = 0 };
    run->since_restart = 0;
    run->descriptors = 0;
    if (record(run)) {
        const size_t wanted = run->options->points,
                     count = wanted && wanted < run->points_count ? wanted : run->points_count;
        run->tally.possible = (unsigned) run->points_count;
        run->tally.chosen = (unsigned) count;
        for (size_t i = 0; i < count; i++) {
            attempt(run, &run->points[i * run->points_count / count]);
            if (++run->since_restart == RESTART_EVERY || i + 1U == count)
                restart(run);
        }
    }
    const Tally *tally = &run->tally;
    printf("%-7s %-12s %6u points, %6u tried, %6u met: %6u done all the same, %6u told, %5u ended and said so, %3u "
           "wrong (%.0f s)\n",
           kind_names[run->kind], run->phase->name, tally->possible, tally->chosen, tally->met, tally->succeeded,
           tally->told, tally->ended, tally->wrong, trial_seconds() - begins);
    (void) fflush(stdout);
    if (tally->chosen > 3 && tally->met == 0)
        complain(run, "none of the points was met: the test tests nothing", "");
}

/* ---- arguments ---- */

static int usage(FILE *file) {
    (void) fputs(
        "faults [OPTION…] IDENTITYD PRELOAD\n\n"
        "  --kind NAME    memory: an allocation fails; calls: a system call does; cuts: the power goes at a call that\n"
        "                 changes the disk. May be given several times; default: all\n"
        "  --phase NAME   blank-start, start, enrol, renew, open, sign, sign-once, look, reload; default: all\n"
        "  --points N     of each kind and phase, evenly spread; default: as many as there are\n"
        "  --all          each errno, and also each allocation that a library makes for one call; else one of them\n"
        "  --verbose      a line for each\n\n"
        "A complaint has what failed, and identityd's log. Exit status: 0, or 1 where there was one.\n",
        file);
    return 2;
}

static int parse(int argc, char **argv, Options *ret) {
    static const struct option names[] = {
        { "kind", required_argument, NULL, 'k' },   { "phase", required_argument, NULL, 'p' },
        { "points", required_argument, NULL, 'n' }, { "all", no_argument, NULL, 'a' },
        { "verbose", no_argument, NULL, 'v' },      { NULL, 0, NULL, 0 },
    };
    bool some = false;

    for (int c; (c = getopt_long(argc, argv, "", names, NULL)) >= 0;) {
        bool is_known = c != '?';
        for (Kind kind = 0; c == 'k' && kind < _KIND_COUNT; kind++)
            if (strcmp(optarg, kind_names[kind]) == 0)
                ret->kinds[kind] = some = true;
        if (c == 'p')
            ret->phase = optarg;
        else if (c == 'n')
            ret->points = (unsigned) atoi(optarg);
        ret->all |= c == 'a';
        ret->is_verbose |= c == 'v';
        if (!is_known)
            return -1;
    }
    for (Kind kind = 0; !some && kind < _KIND_COUNT; kind++)
        ret->kinds[kind] = true;
    if (argc - optind != 2)
        return -1;
    ret->program = argv[optind];
    ret->preload = argv[optind + 1];
    return 0;
}

int main(int argc, char **argv) {
    Options options = { .points = 0 };
    Run run = { .options = &options };
    unsigned phases_run = 0;

    if (parse(argc, argv, &options) < 0)
        return usage(stderr);
    run.trial = trial_new(options.program, options.preload);
    run.trial->control->is_thorough = options.all;
    for (run.kind = 0; run.kind < _KIND_COUNT; run.kind++)
        for (size_t i = 0; options.kinds[run.kind] && i < phases_count; i++)
            if (!options.phase || strcmp(options.phase, phases[i].name) == 0) {
                run.phase = &phases[i];
                run_phase(&run);
                phases_run++;
            }
    trial_free(run.trial);
    free(run.points);
    if (phases_run == 0)
        return usage(stderr);
    printf("%u complaints\n", run.wrong);
    return run.wrong > 0 ? 1 : 0;
}
