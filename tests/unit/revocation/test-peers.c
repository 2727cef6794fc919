/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* CRLs of peers' CAs: what is kept and handed out, what is refused, when it is asked for again. */
#include "revocation/peers.h"

#include "revocation/peer-downloads.h"
#include "tests/unit/revocation/peer-scenes.h"

#include <dirent.h>
#include <sys/stat.h>

#define URL_A "CRL=" A_CRL "\n"

/* Files in .peer-crls/. */
static unsigned kept_files(const Scene *scene) {
    DIR *directory = opendir(machine_path(scene->machine, "state/.peer-crls"));
    unsigned count = 0;

    for (const struct dirent *entry; directory && (entry = readdir(directory));)
        count += entry->d_name[0] != '.';
    if (directory)
        (void) closedir(directory);
    return count;
}

/* The path of the only one. */
static const char *kept_file(const Scene *scene) {
    static char name[400];
    DIR *directory = opendir(machine_path(scene->machine, "state/.peer-crls"));

    assert_non_null(directory);
    for (const struct dirent *entry; (entry = readdir(directory));)
        if (entry->d_name[0] != '.')
            (void) snprintf(name, sizeof name, "state/.peer-crls/%s", entry->d_name);
    (void) closedir(directory);
    return machine_path(scene->machine, name);
}

/* ---- what comes ---- */

static void test_handed_out(void **state) {
    Scene *scene = *state;
    BytesView crl = crl_of(scene, (CrlIs) { .begins = -100, .serial = 5 });
    const Identity *x = start_with(scene, URL_A, crl);
    PeerCrlView view = view_of(x, A_CRL);

    assert_int_equal(fetches(scene), 1);
    assert_true(enroller_last(scene->machine->enroller)->is_fetch);
    assert_string_equal(enroller_last(scene->machine->enroller)->servers, A_CRL);
    assert_int_equal(kept_files(scene), 1);
    assert_string_equal(view.issuer, "CN=peers");
    assert_string_equal(view.error, "");
    assert_true(view.next_update > view.this_update && view.next_fetch > identity_now(x));
    assert_int_equal(peers_failures(x), 0);
    assert_int_equal(identity_state(x), STATE_READY);
}

/* Whatever a peers' CA signs, no identity's time moves. */
static void test_moves_no_clock(void **state) {
    Scene *scene = *state;
    Identity *x = start_with(scene, URL_A, crl_of(scene, (CrlIs) { .begins = -50 }));
    DomainView domain;

    assert_true(domain_view(device_domains(scene->machine->device), identity_domain(x), &domain));
    assert_true(identity_clock_floor(x) <= identity_now(x) - 3000); /* what its own certificate says */
    assert_null(strstr(domain.source, "CRL"));
}

static void test_without_check(void **state) {
    Scene *scene = *state;

    machine_configure(scene->machine, "x", "[Peers]\nCRL=" A_CRL "\n");
    static const Duty *const table[] = { &loading_duty, &standing_duty, &peers_duty, NULL };
    machine_start_parts(scene->machine, table);
    Identity *x = machine_add(scene->machine, "x");
    machine_certify(scene->machine, x, &(Certified) { .ca = NULL });
    machine_settle(scene->machine);
    assert_int_equal(fetches(scene), 0);
    assert_int_equal(peers_count(x), 0);
    assert_int_equal(peers_duty.when(x).kind, INSTANT_NEVER);
}

/* One that does not answer has a back-off of its own. */
static void test_bad_beside_good(void **state) {
    Scene *scene = *state;
    BytesView crl = crl_of(scene, (CrlIs) { .begins = -100 });

    next_fails(scene, A_CRL ": 503");
    next_brings(scene, crl);
    const Identity *x = start_with(scene, "Interval=1h\nCRL=" A_CRL " " B_CRL "\n", (BytesView) { NULL, 0 });
    machine_until(scene->machine, gets(x, crl) && view_of(x, A_CRL).error[0]);
    assert_int_equal(fetches(scene), 2);
    assert_non_null(strstr(view_of(x, A_CRL).error, "503"));
    assert_string_equal(view_of(x, A_CRL).issuer, "");
    assert_string_equal(view_of(x, B_CRL).error, "");
    machine_expect_log(scene->machine, "No new CRL of a peers' CA came from " A_CRL, 1);
    machine_expect_log(scene->machine, "unchecked, unless they demand a CRL", 1);
    for (unsigned i = 0; i < 3; i++) { /* after 60, 120 and 240 seconds */
        machine_pass(scene->machine, (60 << i) - 2);
        assert_int_equal(fetches(scene), 2 + i);
        next_fails(scene, A_CRL ": 503");
        machine_pass(scene->machine, 3);
        machine_until(scene->machine, peers_failures(x) == 2 + i);
        assert_string_equal(enroller_last(scene->machine->enroller)->servers, A_CRL);
    }
    machine_expect_log(scene->machine, "No new CRL of a peers' CA", 1); /* the same is said once */
    BytesView other = crl_of(scene, (CrlIs) { .begins = -90, .serial = 9 });
    next_brings(scene, other);
    machine_pass(scene->machine, 481);
    machine_until(scene->machine, gets(x, other));
    assert_string_equal(view_of(x, A_CRL).error, "");
    machine_expect_log(scene->machine, "CRLs of a peers' CA come from " A_CRL " again", 1);
}

/* ---- what is refused ---- */

static void refuses(Scene *scene, const Identity *x, BytesView crl, const char *why) {
    uint64_t before = peers_failures(x);

    next_brings(scene, crl);
    machine_pass(scene->machine, 3601);
    machine_until(scene->machine, peers_failures(x) == before + 1);
    if (!strstr(view_of(x, A_CRL).error, why))
        fail_msg("'%s' instead of '%s'", view_of(x, A_CRL).error, why);
}

static void test_older_is_refused(void **state) {
    Scene *scene = *state;
    BytesView crl = crl_of(scene, (CrlIs) { .begins = -100, .serial = 5, .number = 4 }),
              older = crl_of(scene, (CrlIs) { .begins = -200, .number = 9 }),
              lower = crl_of(scene, (CrlIs) { .begins = -90, .number = 3 });
    const Identity *x = start_with(scene, "Interval=1h\n" URL_A, crl);

    refuses(scene, x, older, "the CRL is older than the one at hand");
    machine_expect_log(scene->machine, "programs go on with the one that is kept", 1);
    refuses(scene, x, lower, "lower number");
    assert_true(gets(x, crl));
    next_brings(scene, older);
    x = start_again(scene); /* it is known over a restart */
    machine_until(scene->machine, peers_failures(x) == 1);
    assert_non_null(strstr(view_of(x, A_CRL).error, "older than the one at hand"));
    assert_true(gets(x, crl));
    assert_false(gets(x, older));
}

static void test_others_are_refused(void **state) {
    Scene *scene = *state;
    _cleanup_(fake_ca_free_p) FakeCa *namesake = fake_ca_new("peers", NULL);
    BytesView crl = crl_of(scene, (CrlIs) { .begins = -100 });
    const Identity *x = start_with(scene, "Interval=1h\n" URL_A, crl);

    refuses(scene, x, crl_of(scene, (CrlIs) { .ca = scene->stranger }), "by none of the CAs that peers may have");
    refuses(scene, x, crl_of(scene, (CrlIs) { .ca = scene->intermediate }), "by none of the CAs that peers may have");
    refuses(scene, x, crl_of(scene, (CrlIs) { .ca = namesake }), "was not made by the key");
    refuses(scene, x, crl_of(scene, (CrlIs) { .begins = 86400, .ends = 2 * 86400 }), "from the future");
    refuses(scene, x, bytes_view_string("no CRL"), "neither DER nor PEM");
    assert_true(gets(x, crl));
    assert_int_equal(kept_files(scene), 1);
}

/* What stands in Intermediates= is trusted if it verifies to the peers' anchors, and not else. */
static void test_intermediates(void **state) {
    Scene *scene = *state;
    char more[400];
    BytesView good = crl_of(scene, (CrlIs) { .ca = scene->intermediate, .begins = -100 }),
              bad = crl_of(scene, (CrlIs) { .ca = scene->stranger, .begins = -100 });

    machine_write(scene->machine, "etc/below.pem", "%s%s", scene->intermediate->pem, scene->stranger->pem);
    (void) snprintf(more, sizeof more, "Intermediates=%s/etc/below.pem\nCRL=" A_CRL " " B_CRL "\n",
                    scene->machine->root);
    next_brings(scene, good);
    next_brings(scene, bad);
    const Identity *x = start_with(scene, more, (BytesView) { NULL, 0 });
    machine_until(scene->machine, gets(x, good) && peers_failures(x) == 1);
    assert_string_equal(view_of(x, A_CRL).issuer, "CN=peers intermediate");
    assert_non_null(strstr(view_of(x, B_CRL).error, "by none of the CAs"));
    assert_false(gets(x, bad));
}

/* Replayed at another URL, where no newer one is known, an older one would bring back a hold that was lifted. */
static void test_newest_of_all_places(void **state) {
    Scene *scene = *state;
    BytesView fresh = crl_of(scene, (CrlIs) { .begins = -100, .number = 4 }),
              older = crl_of(scene, (CrlIs) { .begins = -200, .number = 3, .serial = 5 });

    next_brings(scene, fresh);
    next_brings(scene, older);
    const Identity *x = start_with(scene, "CRL=" A_CRL " " B_CRL "\n", (BytesView) { NULL, 0 });
    machine_until(scene->machine, view_of(x, A_CRL).issuer[0] && view_of(x, B_CRL).issuer[0]);
    machine_settle(scene->machine);
    assert_true(gets(x, fresh));
    assert_false(gets(x, older));
    assert_int_equal(kept_files(scene), 2);
}

/* What tells only of changes is handed out beside what it changes, and never takes its place. */
static void test_delta(void **state) {
    Scene *scene = *state;
    BytesView whole = crl_of(scene, (CrlIs) { .begins = -200 }),
              delta = crl_of(scene, (CrlIs) { .begins = -100, .number = 2, .serial = 5, .is_delta = true });

    next_brings(scene, whole);
    next_brings(scene, delta);
    const Identity *x = start_with(scene, "Interval=1h\nCRL=" A_CRL " " B_CRL "\n", (BytesView) { NULL, 0 });
    machine_until(scene->machine, gets(x, whole) && gets(x, delta));
    next_brings(scene, delta);
    next_brings(scene, delta);
    machine_pass(scene->machine, 3700);
    machine_until(scene->machine, peers_failures(x) == 1);
    assert_non_null(strstr(view_of(x, A_CRL).error, "the CRL is a delta, and a whole one came from this place before"));
    assert_true(gets(x, whole) && gets(x, delta));
}

/* ---- when ---- */

static void test_before_it_ends(void **state) {
    Scene *scene = *state;
    BytesView crl = crl_of(scene, (CrlIs) { .begins = -100, .ends = 1000 });
    const Identity *x = start_with(scene, "Interval=1d\n" URL_A, crl);

    machine_pass(scene->machine, 890);
    assert_int_equal(fetches(scene), 1);
    next_fails(scene, "503");
    machine_pass(scene->machine, 20);
    machine_until(scene->machine, peers_failures(x) == 1);
    machine_expect_log(scene->machine, "has ended on", 0);
    next_fails(scene, "503");
    machine_pass(scene->machine, 100); /* the second one, and its end */
    machine_until(scene->machine, peers_failures(x) == 2);
    machine_expect_log(scene->machine, "The CRL of CN=peers from " A_CRL " has ended on", 1);
    next_brings(scene, crl);
    machine_pass(scene->machine, 121);
    machine_until(scene->machine, peers_failures(x) == 3);
    assert_non_null(strstr(view_of(x, A_CRL).error, "has issued none since"));
    assert_true(gets(x, crl)); /* whom it lists stays revoked */
    machine_expect_log(scene->machine, "has ended on", 1);
    BytesView fresh = crl_of(scene, (CrlIs) { .begins = -10, .number = 2 });
    next_brings(scene, fresh);
    machine_pass(scene->machine, 241);
    machine_until(scene->machine, gets(x, fresh));
    assert_false(gets(x, crl));
    assert_string_equal(view_of(x, A_CRL).error, "");
}

static void test_three_refreshes(void **state) {
    Scene *scene = *state;
    const Identity *x = start_with(scene, "Interval=1h\n" URL_A, crl_of(scene, (CrlIs) { .begins = -100 }));

    for (unsigned i = 1; i <= 3; i++) {
        BytesView fresh = crl_of(scene, (CrlIs) { .begins = -50, .number = 1 + i, .serial = i });
        machine_pass(scene->machine, 3590);
        assert_int_equal(fetches(scene), i);
        next_brings(scene, fresh);
        machine_pass(scene->machine, 11);
        machine_until(scene->machine, gets(x, fresh));
        assert_int_equal(fetches(scene), 1 + i);
    }
    assert_int_equal(kept_files(scene), 1);
}

/* ---- many ---- */

static void test_shared(void **state) {
    Scene *scene = *state;
    Machine *machine = scene->machine;
    BytesView crl = crl_of(scene, (CrlIs) { .begins = -100 }), fresh = crl_of(scene, (CrlIs) { .begins = -90 });
    Identity *x = start_with(scene, "Interval=1h\n" URL_A, crl), *y;

    configure_peers(scene, "y", "Interval=1h\n" URL_A);
    y = machine_add(machine, "y");
    next_brings(scene, crl);
    machine_certify(machine, y, &(Certified) { .issue = { .starts = -3600, .ends = 10 * 86400 } });
    machine_until(machine, gets(y, crl));
    assert_int_equal(identity_crls_fd(x), identity_crls_fd(y));
    machine_settle(machine);
    unsigned before = fetches(scene);
    next_brings(scene, fresh); /* both are due by then */
    machine_pass(machine, 3700);
    machine_until(machine, gets(x, fresh) && gets(y, fresh));
    assert_int_equal(fetches(scene), before + 1);
    assert_int_equal(identity_crls_fd(x), identity_crls_fd(y));
    assert_int_equal(kept_files(scene), 1);
}

/* An identity that goes while something is fetched for it and another: that one gets it. */
static void test_one_goes_meanwhile(void **state) {
    Scene *scene = *state;
    Machine *machine = scene->machine;
    BytesView crl = crl_of(scene, (CrlIs) { .begins = -100 }), fresh = crl_of(scene, (CrlIs) { .begins = -90 });
    Identity *x = start_with(scene, "Interval=1h\n" URL_A, crl), *y;

    configure_peers(scene, "y", "Interval=1h\n" URL_A);
    y = machine_add(machine, "y");
    next_brings(scene, crl);
    machine_certify(machine, y, &(Certified) { .issue = { .starts = -3600, .ends = 10 * 86400 } });
    machine_until(machine, gets(y, crl));
    machine_settle(machine);
    unsigned before = fetches(scene);
    enroller_script_fetch(machine->enroller, &(Reply) { .kind = REPLY_HOLD });
    machine_pass(machine, 3700);
    EnrollerJob *job = machine_await_job(machine, before + 1);
    assert_int_equal(view_of(y, A_CRL).next_fetch, 0);
    assert_ptr_equal(identity_set_at(machine->set, 0), x);
    identity_free(identity_set_remove(machine->set, 0));
    enroller_reply(job, &(Reply) { .fetched = fresh });
    machine_until(machine, gets(y, fresh));
}

/* Servers that do not answer leave places for our own checks. */
static void test_hanging(void **state) {
    Scene *scene = *state;

    for (unsigned i = 0; i < 3; i++)
        enroller_script_fetch(scene->machine->enroller, &(Reply) { .kind = REPLY_HOLD });
    const Identity *x = start_with(scene, "CRL=http://a/1 http://a/2 http://a/3\n", (BytesView) { NULL, 0 });
    machine_await_job(scene->machine, PEER_DOWNLOADS_MAX);
    machine_settle(scene->machine);
    assert_int_equal(fetches(scene), PEER_DOWNLOADS_MAX);
    enroller_reply(enroller_job(scene->machine->enroller, 0), &(Reply) { .kind = REPLY_FAILURE, .text = "too late" });
    machine_await_job(scene->machine, PEER_DOWNLOADS_MAX + 1);
    assert_int_equal(peers_failures(x), 1);
}

/* What does not fit beside the others is left out, and said. */
static void test_too_much(void **state) {
    Scene *scene = *state;
    BytesView first = crl_of(scene, (CrlIs) { .begins = -100, .more_lines = 200000 }),
              second = crl_of(scene, (CrlIs) { .ca = scene->intermediate, .begins = -100, .more_lines = 200000 });
    char more[400];

    next_brings(scene, first);
    next_brings(scene, second);
    machine_write(scene->machine, "etc/below.pem", "%s", scene->intermediate->pem);
    (void) snprintf(more, sizeof more, "Intermediates=%s/etc/below.pem\nCRL=" A_CRL " " B_CRL "\n",
                    scene->machine->root);
    const Identity *x = start_with(scene, more, (BytesView) { NULL, 0 });
    machine_until(scene->machine, view_of(x, A_CRL).issuer[0] && view_of(x, B_CRL).issuer[0]);
    assert_true(gets(x, first));
    assert_false(gets(x, second));
    assert_string_equal(view_of(x, A_CRL).error, "");
    assert_non_null(strstr(view_of(x, B_CRL).error, "too big"));
    machine_expect_log(scene->machine, "they do not get that of CN=peers intermediate from " B_CRL, 1);
}

/* ---- the disk ---- */

static void test_full_disk(void **state) {
    Scene *scene = *state;
    BytesView crl = crl_of(scene, (CrlIs) { .begins = -100, .serial = 5 });

    machine_write(scene->machine, "state/.peer-crls", "no directory");
    Identity *x = start_with(scene, URL_A, crl); /* it counts all the same */
    machine_expect_log(scene->machine, "could not be stored", 1);
    x = start_again(scene);
    next_brings(scene, crl);
    machine_until(scene->machine, gets(x, crl));
}

static void test_damaged(void **state) {
    Scene *scene = *state;
    BytesView crl = crl_of(scene, (CrlIs) { .begins = -100, .serial = 5 });

    (void) start_with(scene, URL_A, crl);
    machine_stop(scene->machine);
    FILE *file = fopen(kept_file(scene), "r+e");
    assert_non_null(file);
    assert_int_equal(fseek(file, -3, SEEK_END), 0);
    assert_true(fputs("xyz", file) >= 0);
    assert_int_equal(fclose(file), 0);
    next_brings(scene, crl);
    const Identity *x = start_again(scene);
    machine_until(scene->machine, gets(x, crl));
    machine_expect_log(scene->machine, "is left out, and fetched anew", 1);
    assert_int_equal(fetches(scene), 2);
}

/* What is kept is there at once after a start, and goes where nobody wants it any more. */
static void test_forgotten(void **state) {
    Scene *scene = *state;
    BytesView crl = crl_of(scene, (CrlIs) { .begins = -100 });

    (void) start_with(scene, URL_A, crl);
    enroller_script_fetch(scene->machine->enroller, &(Reply) { .kind = REPLY_HOLD });
    Identity *x = start_again(scene);
    machine_until(scene->machine, gets(x, crl));
    machine_write(scene->machine, "etc/identities/x.conf", "[Nonsense]\n");
    identity_load(x);
    machine_settle(scene->machine);
    assert_int_equal(kept_files(scene), 1); /* what it will want is not known */
    machine_configure(scene->machine, "x", "");
    identity_load(x);
    machine_settle(scene->machine);
    assert_int_equal(machine_crls(x).size, 0);
    assert_int_equal(kept_files(scene), 0);
    assert_int_equal(peers_count(x), 0);
}

/* At a start the first identity that is asked wants none of what the last one does. */
static void test_start_forgets_nothing(void **state) {
    Scene *scene = *state;
    Machine *machine = scene->machine;
    BytesView crl = crl_of(scene, (CrlIs) { .begins = -100 });

    (void) start_with(scene, URL_A, crl);
    machine_stop(machine);
    machine_configure(machine, "a", "");
    enroller_script_fetch(machine->enroller, &(Reply) { .kind = REPLY_HOLD });
    machine->by_hand = true;
    (void) start_again(scene);
    const Identity *a = machine_add(machine, "a");
    assert_ptr_equal(identity_set_at(machine->set, 0), a);
    machine->by_hand = false;
    machine_until(machine, gets(machine_identity(machine, "x"), crl));
    assert_int_equal(kept_files(scene), 1);
}

/* A reload is a new try. */
static void test_reload(void **state) {
    Scene *scene = *state;
    BytesView crl = crl_of(scene, (CrlIs) { .begins = -100 });

    next_fails(scene, "503");
    Identity *x = start_with(scene, URL_A, (BytesView) { NULL, 0 });
    machine_until(scene->machine, peers_failures(x) == 1);
    next_brings(scene, crl);
    identity_load(x);
    machine_until(scene->machine, gets(x, crl));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scene_setup, scene_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_handed_out),
        TEST(test_moves_no_clock),
        TEST(test_without_check),
        TEST(test_bad_beside_good),
        TEST(test_older_is_refused),
        TEST(test_others_are_refused),
        TEST(test_intermediates),
        TEST(test_newest_of_all_places),
        TEST(test_delta),
        TEST(test_before_it_ends),
        TEST(test_three_refreshes),
        TEST(test_shared),
        TEST(test_one_goes_meanwhile),
        TEST(test_hanging),
        TEST(test_too_much),
        TEST(test_full_disk),
        TEST(test_damaged),
        TEST(test_forgotten),
        TEST(test_start_forgets_nothing),
        TEST(test_reload),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
