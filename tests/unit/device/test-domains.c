/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What time each trust domain goes by, and the file that keeps it for the rest of a boot. */
#include "device/domains.h"

#include "device/build-time.h"
#include "tests/unit/device/clock.h"
#include "tests/unit/device/machine.h"

#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>

#define A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define C "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"

#define BUILT "the time at which identityd was built"

typedef struct Fixture {
    Machine *machine;
    int runtime_fd;
    Domains *domains;
} Fixture;

/* As after a restart of the daemon within one boot. */
static void restart(Fixture *f) {
    f->domains = domains_free(f->domains);
    assert_int_equal(domains_new(f->runtime_fd, &f->domains), 0);
}

static int setup(void **state) {
    Fixture *f = calloc(1, sizeof *f);

    f->machine = machine_new();
    f->runtime_fd = open(machine_path(f->machine, "runtime"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(f->runtime_fd >= 0);
    restart(f);
    *state = f;
    return 0;
}

static int teardown(void **state) {
    Fixture *f = *state;
    Machine *machine = f->machine;

    domains_free(f->domains);
    close_safe(f->runtime_fd);
    free(f);
    return machine_free(machine);
}

static DomainView view(const Fixture *f, const char *id) {
    DomainView view = { .id = NULL };

    assert_true(domain_view(f->domains, id, &view));
    assert_string_equal(view.id, id);
    assert_int_equal(view.is_behind, domain_is_behind(f->domains, id));
    return view;
}

/* Within the second or two that a test takes. */
static void assert_about(int64_t value, int64_t wanted) {
    if (value < wanted || value > wanted + 2)
        fail_msg("%" PRId64 " is not about %" PRId64, value, wanted);
}

static void test_unknown(void **state) {
    Fixture *f = *state;
    DomainView none = { .floor = 7 };

    assert_about(domain_now(f->domains, A), realtime_seconds());
    assert_false(domain_is_behind(f->domains, A));
    assert_false(domain_view(f->domains, A, &none));
    assert_int_equal(none.floor, 7);
    domain_learn(f->domains, A, realtime_seconds(), "nobody");
    domain_reset(f->domains, A);
    assert_false(domain_view(f->domains, A, &none));
    clock_set(-(realtime_seconds() - 1000)); /* 1970 */
    assert_int_equal(domain_now(f->domains, A), IDENTITYD_BUILD_TIME);
    assert_false(domains_any_is_behind(f->domains)); /* there is none */
}

static void test_build_time_is_a_floor(void **state) {
    Fixture *f = *state;

    assert_int_equal(domain_join(f->domains, A, 0, "nothing"), 0);
    assert_about(view(f, A).floor, IDENTITYD_BUILD_TIME);
    assert_string_equal(view(f, A).source, BUILT);
    assert_false(view(f, A).is_behind);
    assert_int_equal(domain_join(f->domains, B, IDENTITYD_BUILD_TIME - 5, "before it"), 0);
    assert_string_equal(view(f, B).source, BUILT);
    clock_set(-(realtime_seconds() - 1000));
    assert_about(domain_now(f->domains, A), IDENTITYD_BUILD_TIME);
    assert_false(view(f, A).is_behind); /* it is judged when it was set, and that nobody has said yet */
    domains_judge(f->domains);
    assert_true(view(f, A).is_behind);
    assert_true(view(f, B).is_behind);
    assert_true(domains_any_is_behind(f->domains));
}

static void test_join(void **state) {
    Fixture *f = *state;
    int64_t now = realtime_seconds();

    assert_int_equal(domain_join(f->domains, A, now + 1000, "what x has seen signed"), 0);
    assert_int_equal(domain_join(f->domains, B, 0, ""), 0);
    assert_about(domain_now(f->domains, A), now + 1000);
    assert_string_equal(view(f, A).source, "what x has seen signed");
    assert_true(view(f, A).is_behind);
    assert_true(domains_any_is_behind(f->domains));
    /* One domain's word moves no other. */
    assert_about(domain_now(f->domains, B), now);
    assert_false(view(f, B).is_behind);
    /* A lower one changes nothing, a higher one does; and what nobody can have seen counts for nothing. */
    assert_int_equal(domain_join(f->domains, A, now + 500, "less"), 0);
    assert_string_equal(view(f, A).source, "what x has seen signed");
    assert_int_equal(domain_join(f->domains, A, now + 2000, "more"), 0);
    assert_string_equal(view(f, A).source, "more");
    assert_about(view(f, A).floor, now + 2000);
    assert_int_equal(domain_join(f->domains, A, INT32_MAX * 100LL, "the end of time"), 0);
    assert_string_equal(view(f, A).source, "more");
}

/* µs are finer than seconds, and follow the floor as these do. */
static void test_microseconds(void **state) {
    Fixture *f = *state;

    assert_int_equal(domain_join(f->domains, A, 0, ""), 0);
    bool is_fine = false;
    for (unsigned i = 0; i < 100 && !is_fine; i++) {
        usleep(1100);
        is_fine = domain_now_usec(f->domains, A) % 1000000U != 0;
    }
    assert_true(is_fine);
    assert_about((int64_t) (domain_now_usec(f->domains, A) / 1000000U), domain_now(f->domains, A));
    assert_int_equal(domain_join(f->domains, A, realtime_seconds() + 1000, ""), 0);
    assert_about((int64_t) (domain_now_usec(f->domains, A) / 1000000U), realtime_seconds() + 1000);
    clock_set(-(realtime_seconds() + 1000)); /* before the epoch */
    assert_true(domain_now_usec(f->domains, A) >= (uint64_t) IDENTITYD_BUILD_TIME * 1000000U);
    assert_true(domain_now_usec(f->domains, B) == (uint64_t) IDENTITYD_BUILD_TIME * 1000000U);
}

static void test_floor_grows(void **state) {
    Fixture *f = *state;
    int64_t floor = realtime_seconds() + 1000;

    assert_int_equal(domain_join(f->domains, A, floor, "x"), 0);
    clock_pass(50);
    clock_set(-200000); /* and the floor does not go back with it */
    assert_about(view(f, A).floor, floor + 50);
    assert_about(domain_now(f->domains, A), floor + 50);
    restart(f); /* adds nothing twice */
    assert_about(view(f, A).floor, floor + 50);
    assert_string_equal(view(f, A).source, "x");
    assert_true(view(f, A).is_behind); /* judged at the start */
    clock_pass(50);
    assert_about(view(f, A).floor, floor + 100);
}

static void test_learn(void **state) {
    Fixture *f = *state;
    int64_t now = realtime_seconds();

    assert_int_equal(domain_join(f->domains, A, 0, ""), 0);
    assert_int_equal(domain_join(f->domains, B, 0, ""), 0);
    domain_learn(f->domains, A, IDENTITYD_BUILD_TIME - 10, "an old one");
    assert_string_equal(view(f, A).source, BUILT);
    clock_pass(100);
    /* Beyond the time in use nothing is learned, while the clock is believed. */
    domain_learn(f->domains, A, now + 100000, "a liar");
    assert_about(view(f, A).floor, now + 100);
    assert_string_equal(view(f, A).source, "a liar");
    assert_false(view(f, A).is_behind);
    assert_string_equal(view(f, B).source, BUILT);
    restart(f); /* kept: A was moved; B, of which only the build is known, need not be */
    assert_string_equal(view(f, A).source, "a liar");
    assert_about(view(f, A).floor, now + 100);
}

/* The exception: a clock that turned out to be behind. Then only the domain moves whose authority spoke. */
static void test_learn_while_behind(void **state) {
    Fixture *f = *state;
    int64_t now = realtime_seconds();

    assert_int_equal(domain_join(f->domains, A, 0, ""), 0);
    assert_int_equal(domain_join(f->domains, B, 0, ""), 0);
    clock_set(-100000);
    domain_learn(f->domains, A, now, "too soon"); /* the clock has not been judged yet */
    assert_string_equal(view(f, A).source, BUILT);
    domains_judge(f->domains);
    domain_learn(f->domains, A, now + 50, "a certificate");
    assert_about(domain_now(f->domains, A), now + 50);
    assert_string_equal(view(f, A).source, "a certificate");
    assert_true(domain_now(f->domains, B) < now + 2);
    clock_set(100000);
    assert_true(view(f, A).is_behind);
    domains_judge(f->domains);
    assert_false(view(f, A).is_behind); /* by less than a minute is not behind */
    assert_false(domains_any_is_behind(f->domains));
}

static void test_reset(void **state) {
    Fixture *f = *state;
    int64_t now = realtime_seconds();

    assert_int_equal(domain_join(f->domains, A, now + 1000, "x"), 0);
    assert_int_equal(domain_join(f->domains, B, now + 1000, "y"), 0);
    clock_pass(100);
    domain_reset(f->domains, A);
    assert_about(view(f, A).floor, IDENTITYD_BUILD_TIME);
    assert_string_equal(view(f, A).source, BUILT);
    assert_false(view(f, A).is_behind);
    assert_string_equal(view(f, B).source, "y");
    restart(f);
    assert_string_equal(view(f, A).source, BUILT);
    assert_string_equal(view(f, B).source, "y");
}

/* ---- the file ---- */

/* Each line with FLOOR where an instant that would do stands. */
static void test_garbage(void **state) {
    static const char *const lines[] = {
        "",
        "\n",
        " ",
        "x",
        A,
        A " ",
        A " FLOOR 5", /* no source */
        "aaag FLOOR 5 x",
        A " nothing 5 x",
        A " 5 5 before the build",
        A " 214748364700 5 after all",
        A " -1 5 x",
        A " FLOOR 18446744073709551615 in another boot",
        A " FLOOR five x",
        A "aa FLOOR 5 too long a name",
    };
    Fixture *f = *state;
    int64_t floor = realtime_seconds() + 1000;
    DomainView none;

    for (size_t i = 0; i < ARRAY_LENGTH(lines); i++) {
        const char *mark = strstr(lines[i], "FLOOR");
        char text[256];
        if (mark)
            snprintf(text, sizeof text, "%.*s%" PRId64 "%s", (int) (mark - lines[i]), lines[i], floor, mark + 5);
        else
            snprintf(text, sizeof text, "%s", lines[i]);
        machine_write(f->machine, "runtime/.clock", "%s\n%s %" PRId64 " 5 good\n%s %" PRId64 " 5 twice\n", text, B,
                      floor, B, floor + 5000);
        restart(f);
        if (domain_view(f->domains, A, &none))
            fail_msg("taken: %s", text);
        assert_string_equal(view(f, B).source, "good"); /* what is written well counts all the same … */
        assert_int_equal(domain_join(f->domains, C, floor, "third"), 0);
        _cleanup_free_ char *file = machine_read(f->machine, "runtime/.clock");
        assert_null(strstr(file, "twice")); /* … once */
    }
}

static void test_no_file(void **state) {
    Fixture *f = *state;
    int64_t floor = realtime_seconds() + 1000;
    DomainView none;

    /* A link to elsewhere is not followed. */
    machine_write(f->machine, "etc/clock", "%s %" PRId64 " 5 x\n", A, floor);
    assert_int_equal(symlink(machine_path(f->machine, "etc/clock"), machine_path(f->machine, "runtime/.clock")), 0);
    restart(f);
    assert_false(domain_view(f->domains, A, &none));
    assert_int_equal(unlink(machine_path(f->machine, "runtime/.clock")), 0);
    assert_int_equal(mkdir(machine_path(f->machine, "runtime/.clock"), 0700), 0);
    restart(f);
    assert_false(domain_view(f->domains, A, &none));
    /* It cannot be written either: said, and the time is known until the next start. */
    assert_int_equal(domain_join(f->domains, A, floor, "x"), 0);
    assert_about(domain_now(f->domains, A), floor);
    machine_expect_log(f->machine, "Cannot write the clock's floors to the runtime directory", 1);
}

static void test_file(void **state) {
    Fixture *f = *state;
    int64_t floor = realtime_seconds() + 1000;
    struct stat status;
    char *text;

    assert_int_equal(domain_join(f->domains, A, floor, "the beginning of a certificate"), 0);
    assert_int_equal(stat(machine_path(f->machine, "runtime/.clock"), &status), 0);
    assert_int_equal(status.st_mode & 07777, 0600);
    text = machine_read(f->machine, "runtime/.clock");
    assert_non_null(text);
    assert_non_null(strstr(text, A " "));
    assert_non_null(strstr(text, " the beginning of a certificate\n"));
    free(text);
    assert_int_equal(access(machine_path(f->machine, "runtime/.clock~"), F_OK), -1);
}

/* What was learned later in this boot than now is of another boot. */
static void test_since(void **state) {
    Fixture *f = *state;
    int64_t floor = realtime_seconds() + 1000;
    DomainView none;

    machine_write(f->machine, "runtime/.clock", "%s %" PRId64 " %" PRIu64 " x\n", A, floor,
                  boottime_usec() + UINT64_C(3600000000));
    restart(f);
    assert_false(domain_view(f->domains, A, &none));
    clock_pass(3600);
    restart(f);
    assert_true(domain_view(f->domains, A, &none));
}

/* Many domains, each with its own time. */
static void test_many(void **state) {
    Fixture *f = *state;
    int64_t now = realtime_seconds();

    for (unsigned turn = 0; turn < 2; turn++) {
        for (int64_t i = 0; i < 50; i++) {
            char id[DOMAIN_ID_SIZE], source[16];
            snprintf(id, sizeof id, "%064" PRIx64, i);
            snprintf(source, sizeof source, "source %d", (int) i);
            if (turn == 0)
                assert_int_equal(domain_join(f->domains, id, now + 1000 + i * 100, source), 0);
            assert_about(view(f, id).floor, now + 1000 + i * 100);
            assert_string_equal(view(f, id).source, source);
        }
        restart(f);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_unknown),
        TEST(test_build_time_is_a_floor),
        TEST(test_join),
        TEST(test_microseconds),
        TEST(test_floor_grows),
        TEST(test_learn),
        TEST(test_learn_while_behind),
        TEST(test_reset),
        TEST(test_garbage),
        TEST(test_no_file),
        TEST(test_file),
        TEST(test_since),
        TEST(test_many),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
