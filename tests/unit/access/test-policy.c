/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who is admitted by which rule, and that everybody else is not. Every combination of a small world is tried against a
 * second, plainer statement of the policy. */
#include "access/access.h"

#include <grp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static int fake_user(const char *name, uid_t *ret) {
    if (strcmp(name, "broken") == 0)
        return -EIO;
    if (strcmp(name, "none") == 0)
        *ret = (uid_t) -1;
    else if (strcmp(name, "telemetry") == 0)
        *ret = 1000;
    else if (strcmp(name, "root") == 0)
        *ret = 0;
    else
        return -ENOENT;
    return 0;
}

static int fake_group(const char *name, gid_t *ret) {
    if (strcmp(name, "staff") == 0)
        *ret = 50;
    else if (strcmp(name, "telemetry") == 0)
        *ret = 2000;
    else
        return -ENOENT;
    return 0;
}

static int fake_knows(uid_t uid) {
    return uid < 10000;
}

/* Where the user namespace maps only some. */
static bool fake_stands_for_many(bool group, uint32_t id) {
    return id == (group ? 65533U : 65534U);
}

static const AccessNames names = { fake_user, fake_group, fake_knows, fake_stands_for_many };

static AccessRules rules_of(const char *words) {
    AccessRules rules = { 0 };
    char copy[512], *save = NULL;

    (void) snprintf(copy, sizeof(copy), "%s", words);
    for (char *word = strtok_r(copy, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
        AccessRule rule = { 0 };
        if (access_rule_parse(word, &rule) < 0)
            fail_msg("no rule: %s", word);
        assert_int_equal(access_rules_add(&rules, rule), 0);
    }
    return rules;
}

/* `expected` NULL: refused. */
static void expect(const char *words, const Caller *caller, bool units_allowed, const char *expected) {
    AccessRules rules = rules_of(words);
    AccessDecision decision;

    memset(&decision, 0xff, sizeof(decision));
    access_decide(&rules, PURPOSE_TLS_CLIENT, caller, units_allowed, &names, &decision);
    if (decision.admitted != (expected != NULL))
        fail_msg("\"%s\": %s", words, decision.reason);
    if (expected) {
        assert_string_equal(decision.reason, expected);
        assert_non_null(decision.rule);
        assert_int_equal(decision.by_unit, strncmp(expected, "unit:", 5) == 0);
    } else {
        assert_null(decision.rule);
        assert_false(decision.by_unit);
        assert_non_null(strstr(decision.reason, "[Access] tls-client="));
    }
    assert_false(decision.lookup_failed);
    access_rules_clear(&rules);
}

static Caller caller_of(uid_t uid, gid_t *groups, size_t count, const char *unit) {
    return (Caller) {
        .uid = uid, .groups = groups, .group_count = count, .pidfd = -1, .unit = (char *) unit, .unit_is_known = true
    };
}

static void test_users(void **state) {
    Caller user = caller_of(1000, NULL, 0, NULL), other = caller_of(1001, NULL, 0, NULL);

    expect("", &user, true, NULL);
    expect("user:telemetry", &user, true, "user:telemetry");
    expect("user:telemetry", &other, true, NULL);
    expect("user:1001", &other, true, "user:1001");
    expect("user:1000", &other, true, NULL);
    expect("user:nobody-of-that-name", &other, true, NULL);
    expect("user:nobody-of-that-name user:1001", &other, true, "user:1001");
    expect("group:telemetry", &user, true, NULL);
    expect("user:broken user:1001", &other, true, "user:1001");
}

/* Root needs a rule like everybody. */
static void test_root(void **state) {
    gid_t groups[] = { 0 };
    Caller root = caller_of(0, groups, 1, "identityd.service");

    expect("", &root, true, NULL);
    expect("user:telemetry group:staff unit:x.service", &root, true, NULL);
    expect("user:root", &root, true, "user:root");
    expect("user:0", &root, true, "user:0");
    expect("group:0", &root, true, "group:0");
    /* The parser lets no empty name through; if one came in another way it would not be a number, let alone 0. */
    AccessRule nameless = { .kind = ACCESS_RULE_USER, .name = (char *) "" };
    const AccessRules rules = { .rules = &nameless, .count = 1 };
    AccessDecision decision;
    access_decide(&rules, PURPOSE_TLS_CLIENT, &root, true, &names, &decision);
    assert_false(decision.admitted);
}

static void test_groups(void **state) {
    gid_t many[CALLER_GROUPS_MAX], primary[] = { 50 }, supplementary[] = { 7, 8, 50 };
    Caller a = caller_of(1, primary, 1, NULL), b = caller_of(1, supplementary, 3, NULL),
           c = caller_of(50, NULL, 0, NULL), d = caller_of(1, many, CALLER_GROUPS_MAX, NULL);

    for (size_t i = 0; i < CALLER_GROUPS_MAX; i++)
        many[i] = (gid_t) (10000 + i);
    expect("group:staff", &a, true, "group:staff");
    expect("group:staff", &b, true, "group:staff");
    expect("group:8", &b, true, "group:8");
    expect("group:staff", &c, true, NULL); /* a user's number is no group's */
    expect("user:50", &b, true, NULL);
    expect("group:nothing", &b, true, NULL);
    expect("group:11023", &d, true, "group:11023");
    expect("group:11024", &d, true, NULL);
}

static void test_units(void **state) {
    static const struct {
        const char *rule, *unit;
        bool admitted;
    } cases[] = {
        { "unit:mosquitto.service", "mosquitto.service", true },
        { "unit:mosquitto.service", "mosquitto.service.evil.service", false },
        { "unit:mosquitto.service", "xmosquitto.service", false },
        { "unit:mosquitto.service", "Mosquitto.service", false },
        { "unit:mosquitto.service", "mosquitto.socket", false },
        { "unit:mosquitto.service", "user@1000.service", false },
        { "unit:app@*.service", "app@1.service", true },
        { "unit:app@*.service", "app@.service", true },
        { "unit:app@*.service", "app@1.scope", false },
        { "unit:app@*.service", "other-app@1.service", false },
        { "unit:app@[ab].service", "app@a.service", true },
        { "unit:app@[ab].service", "app@c.service", false },
        { "unit:app@?.service", "app@a.service", true },
        { "unit:app@?.service", "app@ab.service", false },
        { "unit:dev-disk\\x2dby.service", "dev-disk\\x2dby.service", true },
        { "unit:dev-disk\\x2dby.service", "dev-diskx2dby.service", false },
        { "unit:x.service", NULL, false },
        { "unit:*.service", NULL, false },
    };

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        Caller caller = caller_of(1, NULL, 0, cases[i].unit);
        expect(cases[i].rule, &caller, true, cases[i].admitted ? cases[i].rule : NULL);
        expect(cases[i].rule, &caller, false, NULL); /* Sign takes no unit rules */
    }
}

/* user and group before unit, so that nobody has to prove a process who does not need to. */
static void test_order(void **state) {
    Caller caller = caller_of(1000, NULL, 0, "a.service");

    expect("unit:a.service user:telemetry", &caller, true, "user:telemetry");
    expect("unit:a.service unit:*.service", &caller, true, "unit:a.service");
    expect("unit:a.service user:telemetry", &caller, false, "user:telemetry");
}

/* Numbers that stand for "unknown" meet in no rule. */
static void test_unknown_caller(void **state) {
    gid_t groups[] = { (gid_t) -1, 50 };
    Caller unknown = CALLER_INIT, no_groups = caller_of(5, groups, 1, NULL);

    expect("user:none", &unknown, true, NULL);
    expect("unit:*.service", &unknown, true, NULL);
    unknown.unit = (char *) "a.service";
    unknown.groups = groups;
    unknown.group_count = 2;
    expect("unit:*.service group:staff user:none", &unknown, true, NULL);
    expect("user:none", &no_groups, true, NULL);
    /* A rule that did not come through the parser. */
    AccessRule bad[] = { { ACCESS_RULE_GROUP, (char *) "4294967295" },
                         { ACCESS_RULE_GROUP, (char *) "99999999999999999999" } };
    AccessRules rules = { bad, 2 };
    AccessDecision decision;
    access_decide(&rules, PURPOSE_DATA_RAW, &no_groups, true, &names, &decision);
    assert_false(decision.admitted);
}

static void test_reasons(void **state) {
    static const struct {
        const char *words, *unit;
        bool units_allowed;
        const char *reason;
    } cases[] = {
        { "", NULL, true, "[Access] data-raw= is not set, so nobody is admitted" },
        { "user:root", NULL, true, "no [Access] data-raw= rule admits uid 1000" },
        { "user:root", "a.service", true, "no [Access] data-raw= rule admits uid 1000 in a.service" },
        { "unit:b.service", NULL, true,
          "no [Access] data-raw= rule admits uid 1000; its unit is not known to the system's service manager" },
        { "unit:b.service", "b.service", false,
          "no [Access] data-raw= rule admits uid 1000 in b.service; unit: rules do not count here" },
    };

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        Caller caller = caller_of(1000, NULL, 0, cases[i].unit);
        AccessRules rules = rules_of(cases[i].words);
        AccessDecision decision;
        access_decide(&rules, PURPOSE_DATA_RAW, &caller, cases[i].units_allowed, &names, &decision);
        assert_string_equal(decision.reason, cases[i].reason);
        access_rules_clear(&rules);
    }
    char unit[300];
    memset(unit, 'u', sizeof(unit));
    unit[299] = '\0';
    Caller caller = caller_of(1000, NULL, 0, unit);
    AccessRules rules = rules_of("unit:b.service");
    AccessDecision decision;
    access_decide(&rules, PURPOSE_DATA_RAW, &caller, false, &names, &decision);
    assert_true(strlen(decision.reason) < sizeof(decision.reason));
    access_rules_clear(&rules);
}

/* Not to know is no refusal: nobody is admitted, and what failed is said. */
static void test_failed_lookups(void **state) {
    static const struct {
        const char *words;
        bool groups_failed, unit_is_known, units_allowed;
        const char *reason; /* NULL: no failure */
    } cases[] = {
        { "user:broken", false, true, true,
          "the system's databases (nsswitch.conf) could not say who user:broken is: Input/output error" },
        { "user:root user:broken user:broken-too", false, true, true,
          "the system's databases (nsswitch.conf) could not say who user:broken is: Input/output error" },
        { "group:staff", true, true, true,
          "neither the bus nor the system's databases said which groups the caller has, which group:staff asks" },
        { "unit:b.service", false, false, true,
          "the system's service manager did not say in which unit the caller is, which unit:b.service asks" },
        /* What could not be known did not matter. */
        { "unit:b.service", false, false, false, NULL },
        { "unit:b.service", false, true, true, NULL },
        { "user:root", true, false, true, NULL },
        { "group:missing", true, false, true, NULL },
        { "user:broken user:telemetry", true, false, true, NULL },
        { "group:staff unit:b.service user:1000", true, false, true, NULL },
    };

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        Caller caller = caller_of(1000, NULL, 0, NULL);
        AccessRules rules = rules_of(cases[i].words);
        AccessDecision decision;
        caller.groups_failed = cases[i].groups_failed;
        caller.unit_is_known = cases[i].unit_is_known;
        access_decide(&rules, PURPOSE_DATA, &caller, cases[i].units_allowed, &names, &decision);
        assert_int_equal(decision.lookup_failed, cases[i].reason != NULL);
        if (cases[i].reason) {
            assert_false(decision.admitted);
            assert_string_equal(decision.reason, cases[i].reason);
        }
        access_rules_clear(&rules);
    }
}

/* 65534 is everybody whom our user namespace does not map, and so it is nobody. */
static void test_numbers_that_stand_for_many(void **state) {
    gid_t groups[] = { 65533, 65534 };
    Caller many = caller_of(65534, groups, 2, "a.service"), other = caller_of(65533, groups, 2, NULL);

    expect("user:65534 group:65533", &many, true, NULL);
    expect("user:65533", &other, true, "user:65533"); /* as a user it is a number like any other … */
    expect("group:65534", &other, true, "group:65534");
    expect("user:65534 unit:a.service", &many, true, "unit:a.service"); /* systemd knows the process */
    AccessRules rules = rules_of("user:65534");
    AccessDecision decision;
    access_decide(&rules, PURPOSE_DATA, &many, true, &names, &decision);
    assert_string_equal(decision.reason, "no [Access] data= rule admits uid 65534 in a.service, which stands for all "
                                         "whom identityd's user namespace does not map");
    access_rules_clear(&rules);
}

/* The policy once more in other words: admitted if and only if some rule of the set names the user, one of the groups,
 * or, where units count, the unit. Over every subset of rules, user, set of groups and unit. */
static void test_exhaustively(void **state) {
    static const char *const words[] = { "user:0",  "user:1000",     "user:missing",   "group:50",
                                         "group:0", "group:missing", "unit:a.service", "unit:b@*.service" };
    static const uid_t uids[] = { 0, 1000, 1001, (uid_t) -1 };
    static const char *const units[] = { NULL, "a.service", "b@1.service", "c.service" };
    gid_t group_sets[][2] = { { 1, 2 }, { 50, 1 }, { 1, 0 }, { 50, 0 } };
    unsigned admitted = 0, total = 0;

    for (unsigned set = 0; set < 1U << ARRAY_LENGTH(words); set++) {
        char text[256] = "";
        for (size_t i = 0; i < ARRAY_LENGTH(words); i++)
            if (set & 1U << i)
                (void) snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s ", words[i]);
        AccessRules rules = rules_of(text);
        for (unsigned i = 0; i < ARRAY_LENGTH(uids) * ARRAY_LENGTH(units) * ARRAY_LENGTH(group_sets) * 2; i++) {
            uid_t uid = uids[i % 4];
            const char *unit = units[i / 4 % 4];
            gid_t *groups = group_sets[i / 16 % 4];
            bool units_allowed = i / 64;
            Caller caller = caller_of(uid, groups, 2, unit);
            AccessDecision decision;
            access_decide(&rules, PURPOSE_TLS_SERVER, &caller, units_allowed, &names, &decision);
            bool expected = ((set & 1) && uid == 0) || ((set & 2) && uid == 1000) || ((set & 8) && groups[0] == 50) ||
                            ((set & 16) && groups[1] == 0) ||
                            ((set & 64) && units_allowed && unit && strcmp(unit, "a.service") == 0) ||
                            ((set & 128) && units_allowed && unit && strcmp(unit, "b@1.service") == 0);
            expected = expected && uid != (uid_t) -1;
            if (decision.admitted != expected)
                fail_msg("rules \"%s\", uid %u, unit %s: %s", text, uid, unit ?: "-", decision.reason);
            admitted += decision.admitted;
            total++;
        }
        access_rules_clear(&rules);
    }
    assert_int_equal(total, 256 * 128);
    assert_true(admitted > 0 && admitted < total);
}

static void test_system_names(void **state) {
    uint32_t number = 12345;

    assert_int_equal(access_names_system.user("root", &number), 0);
    assert_int_equal(number, 0);
    assert_int_equal(access_names_system.user("no-such-user-here", &number), -ENOENT);
    assert_int_equal(access_names_system.group("no-such-group-here", &number), -ENOENT);
    assert_int_equal(number, 0);
    struct group *group = getgrgid(0);
    assert_non_null(group);
    number = 12345;
    assert_int_equal(access_names_system.group(group->gr_name, &number), 0);
    assert_int_equal(number, 0);
}

static void test_caller_clear(void **state) {
    int pipe_fds[2];

    assert_int_equal(pipe(pipe_fds), 0);
    Caller caller = { .uid = 5,
                      .groups = malloc(sizeof(gid_t)),
                      .group_count = 1,
                      .pid = 7,
                      .pidfd = pipe_fds[0],
                      .unit = strdup("a.service"),
                      .bus_name = strdup(":1.5") };
    caller_clear(&caller);
    assert_true(caller.uid == (uid_t) -1 && caller.pidfd == -1 && caller.pid == 0);
    assert_null(caller.groups);
    assert_null(caller.unit);
    assert_null(caller.bus_name);
    struct stat status;
    assert_int_equal(fstat(pipe_fds[0], &status), -1);
    caller_clear(&caller); /* harmless twice */
    (void) close(pipe_fds[1]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_users),          cmocka_unit_test(test_root),
        cmocka_unit_test(test_groups),         cmocka_unit_test(test_units),
        cmocka_unit_test(test_order),          cmocka_unit_test(test_unknown_caller),
        cmocka_unit_test(test_reasons),        cmocka_unit_test(test_exhaustively),
        cmocka_unit_test(test_system_names),   cmocka_unit_test(test_caller_clear),
        cmocka_unit_test(test_failed_lookups), cmocka_unit_test(test_numbers_that_stand_for_many),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
