/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* common/access-rule and common/names: what is taken, and every kind of word that is refused. */
#include "common/access-rule.h"
#include "common/names.h"

#include "tests/unit/common/test.h"

#include <stdio.h>
#include <string.h>

static void takes(void **state) {
    static const struct {
        const char *word;
        AccessRuleKind kind;
        const char *name;
    } good[] = {
        { "user:telemetry", ACCESS_RULE_USER, "telemetry" },
        { "user:0", ACCESS_RULE_USER, "0" },
        { "user:1000", ACCESS_RULE_USER, "1000" },
        { "user:4294967294", ACCESS_RULE_USER, "4294967294" },
        { "user:_x-1.y", ACCESS_RULE_USER, "_x-1.y" },
        { "group:www-data", ACCESS_RULE_GROUP, "www-data" },
        { "group:33", ACCESS_RULE_GROUP, "33" },
        { "unit:mosquitto.service", ACCESS_RULE_UNIT, "mosquitto.service" },
        { "unit:getty@*.service", ACCESS_RULE_UNIT, "getty@*.service" },
        { "unit:app-[ab]?.scope", ACCESS_RULE_UNIT, "app-[ab]?.scope" },
        { "unit:dev-\\x2d.service", ACCESS_RULE_UNIT, "dev-\\x2d.service" },
    };

    for (size_t i = 0; i < ARRAY_LENGTH(good); i++) {
        AccessRule rule;
        assert_int_equal(access_rule_parse(good[i].word, &rule), 0);
        assert_int_equal(rule.kind, good[i].kind);
        assert_string_equal(rule.name, good[i].name);
        access_rule_clear(&rule);
        assert_null(rule.name);
    }
}

static void refuses(void **state) {
    static const char *const bad[] = {
        "",
        "user",
        "user:",
        "group:",
        "unit:",
        "telemetry",
        "User:x",
        " user:x",
        "user:x ",
        "user:a b",
        "users:x",
        "user:-x",
        "user:4294967295",
        "user:4294967296",
        "user:10000000000",
        "user:99999999999999999999",
        "user:36893488147419103233", /* 2^65 + 1 */
        "user:007",
        "user:00",
        "user:a/b",
        "user:ä",
        "user:x\n",
        "group:a:b",
        "unit:mosquitto",
        "unit:.service",
        "unit:x.timer",
        "unit:x.target",
        "unit:x.service ",
        "unit:a/b.service",
        "unit:x.services",
        "unit:*",
        "any:x",
        "*",
        "user:*",
    };
    AccessRule rule;

    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++)
        assert_int_equal(access_rule_parse(bad[i], &rule), -EINVAL);
    assert_int_equal(access_rule_parse(NULL, &rule), -EINVAL);
    char word[400] = "unit:";
    memset(word + 5, 'a', 248);
    strcpy(word + 253, ".service"); /* 256 characters */
    assert_int_equal(access_rule_parse(word, &rule), -EINVAL);
    assert_int_equal(access_rule_parse(memmove(word + 1, "unit:", 5), &rule), 0); /* 255 */
    access_rule_clear(&rule);
    memset(word, 'a', sizeof(word) - 1);
    memcpy(word, "user:", 5);
    word[5 + 257] = '\0';
    assert_int_equal(access_rule_parse(word, &rule), -EINVAL);
    word[5 + 256] = '\0';
    assert_int_equal(access_rule_parse(word, &rule), 0);
    access_rule_clear(&rule);
}

static void adds_up_to_the_maximum(void **state) {
    AccessRules rules = { NULL, 0 };

    for (unsigned i = 0; i <= ACCESS_RULES_MAX; i++) {
        char word[32];
        AccessRule rule;
        snprintf(word, sizeof(word), "user:u%u", i);
        assert_int_equal(access_rule_parse(word, &rule), 0);
        assert_int_equal(access_rules_add(&rules, rule), i < ACCESS_RULES_MAX ? 0 : -E2BIG);
    }
    assert_int_equal(rules.count, ACCESS_RULES_MAX);
    assert_string_equal(rules.rules[63].name, "u63");
    access_rules_clear(&rules);
    assert_int_equal(rules.count, 0);
    assert_null(rules.rules);
    access_rules_clear(&rules);
}

static void purposes(void **state) {
    static const char *const names[] = { "tls-client", "tls-server", "data", "data-raw", "digest" };

    for (int i = 0; i < _PURPOSE_COUNT; i++) {
        assert_string_equal(purpose_to_string((Purpose) i), names[i]);
        assert_int_equal(purpose_from_string(names[i]), i);
    }
    assert_null(purpose_to_string(_PURPOSE_INVALID));
    assert_null(purpose_to_string(_PURPOSE_COUNT));
    assert_int_equal(purpose_from_string("tls"), _PURPOSE_INVALID);
    assert_int_equal(purpose_from_string(""), _PURPOSE_INVALID);
    assert_int_equal(purpose_from_string(NULL), _PURPOSE_INVALID);
}

static void identity_names(void **state) {
    static const char *const bad[] = { "", ".", "..", "-a", "_a", ".a", "A", "a/b", "a b", "ä", "a\n", "a:b" };
    char name[IDENTITY_NAME_MAX + 2];

    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++)
        assert_false(identity_name_is_valid(bad[i]));
    assert_false(identity_name_is_valid(NULL));
    assert_true(identity_name_is_valid("0"));
    assert_true(identity_name_is_valid("mqtt-1.example_x"));
    memset(name, 'a', sizeof(name));
    name[IDENTITY_NAME_MAX + 1] = '\0';
    assert_false(identity_name_is_valid(name));
    name[IDENTITY_NAME_MAX] = '\0';
    assert_true(identity_name_is_valid(name));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes),    cmocka_unit_test(refuses),        cmocka_unit_test(adds_up_to_the_maximum),
        cmocka_unit_test(purposes), cmocka_unit_test(identity_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
