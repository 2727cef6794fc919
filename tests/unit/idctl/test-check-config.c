/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* idctl check on directories of configuration: whose faults are told, at which verdict, and what only all files
 * together show. */
#include "idctl/check-config.h"

#include "fakes/fake-pki.h"
#include "found.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static char root[] = "/tmp/idctl-config-XXXXXX";

#define GOOD(name)                                                                                                     \
    "[Identity]\nSubject=CN=" name "\n[Enrollment]\nServer=https://ca.example/\nAnchors=/tmp/%s/ca.pem\n"              \
    "Authenticate=credential:password\n[Access]\ndata-raw=user:root\n"

static const char *path_of(const char *name) {
    static char path[256];

    assert_true(snprintf(path, sizeof path, "%s/%s", root, name) < (int) sizeof path);
    return path;
}

/* "%s" in the text is where the anchors are. */
static void configure(const char *name, const char *text) {
    char file[128];

    (void) snprintf(file, sizeof file, "etc/identities/%s.conf", name);
    FILE *stream = fopen(path_of(file), "we");
    assert_non_null(stream);
    for (const char *p = text; *p; p++)
        if (strncmp(p, "%s", 2) == 0) {
            assert_true(fputs(root + strlen("/tmp/"), stream) >= 0);
            p++;
        } else
            assert_true(fputc(*p, stream) != EOF);
    assert_int_equal(fclose(stream), 0);
}

static void forget(const char *name) {
    char file[128];

    (void) snprintf(file, sizeof file, "etc/identities/%s.conf", name);
    (void) unlink(path_of(file));
}

static Existence not_there(const char *name, void *userdata) {
    return strcmp(name, "root") == 0 ? EXISTS : EXISTS_NOT;
}

static void check(const char *identity, Findings *findings, size_t count) {
    const ConfigLook look = { .identity = identity, .access = { not_there, not_there, not_there, NULL } };
    _cleanup_checked_config_ CheckedConfig config = { 0 };

    assert_int_equal(check_config(&look, findings, &config), 0);
    assert_int_equal(config.count, count);
    assert_non_null(config.daemon);
    if (count > 0)
        assert_ptr_equal(checked_config_find(&config, config.configs[0]->name), config.configs[0]);
    assert_null(checked_config_find(&config, "nobody"));
}

/* Findings about one identity with this verdict and text. */
static unsigned told(const Findings *findings, const char *identity, FindingVerdict verdict, const char *text) {
    unsigned count = 0;

    for (size_t i = 0; i < findings->count; i++) {
        const Finding *one = &findings->list[i];
        count += one->identity && strcmp(one->identity, identity) == 0 && one->verdict == verdict &&
                 strstr(one->text, text) != NULL;
    }
    return count;
}

static void test_none(void **state) {
    Findings findings = { 0 };

    check(NULL, &findings, 0);
    expect_only(&findings, FINDING_WARNING, "no identities are configured", "identity.conf(5)");
}

static void test_good(void **state) {
    Findings findings = { 0 };

    configure("a", GOOD("a"));
    check(NULL, &findings, 1);
    expect_only(&findings, FINDING_OK, "no faults", NULL);
    check("a", &findings, 1);
    expect_only(&findings, FINDING_OK, "no faults", NULL);
    forget("a");
}

/* Who asks about one hears of that one; the others are read all the same, as what it depends on. */
static void test_faults(void **state) {
    static const struct {
        const char *text, *words;
        FindingVerdict verdict;
        bool is_read;
    } cases[] = {
        { GOOD("a") "[Frob]\n", "a.conf:9: ", FINDING_FAILED, false },
        { GOOD("a") "digest=user:\n", "a.conf:9: ", FINDING_FAILED, false },
        { GOOD("a") "digest=user:root\n", "a.conf:9: ", FINDING_WARNING, true },
        { GOOD("a") "digest=unit:no-such.service\n", "there is no unit \"no-such.service\"", FINDING_WARNING, true },
        { GOOD("a") "[Peers]\nAnchors=/nowhere.pem\n", "[Peers] Anchors=/nowhere.pem cannot be read", FINDING_FAILED,
          true },
        { GOOD("a") "[Renewal]\nAuthenticate=identity:nobody\n", "there is no such identity", FINDING_FAILED, true },
    };

    configure("b", GOOD("b"));
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        _cleanup_findings_ Findings all = { 0 }, of_a = { 0 }, of_b = { 0 };
        configure("a", cases[i].text);
        size_t count = cases[i].is_read ? 2 : 1;
        check(NULL, &all, count);
        if (told(&all, "a", cases[i].verdict, cases[i].words) != 1)
            fail_msg("case %zu: not once: %s", i, all.count > 0 ? all.list[0].text : "nothing");
        assert_int_equal(told(&all, "a", FINDING_OK, ""), 0); /* it is not without faults then */
        assert_int_equal(told(&all, "b", FINDING_OK, "no faults"), 1);
        assert_int_equal(findings_exit_code(&all), cases[i].verdict == FINDING_FAILED ? EXIT_FAILED : EXIT_OK);
        check("a", &of_a, cases[i].is_read ? count : 1);
        assert_int_equal(told(&of_a, "a", cases[i].verdict, cases[i].words), 1);
        assert_int_equal(told(&of_a, "b", FINDING_OK, ""), 0);
        check("b", &of_b, count);
        assert_int_equal(of_b.count, 1);
        assert_int_equal(told(&of_b, "b", FINDING_OK, "no faults"), 1);
    }
    forget("a");
    forget("b");
}

static void test_subjects(void **state) {
    static const char *const names[] = { "a", "b", "c" };
    _cleanup_findings_ Findings all = { 0 }, of_a = { 0 }, of_b = { 0 };

    for (size_t i = 0; i < ARRAY_LENGTH(names); i++)
        configure(names[i], i == 1 ? GOOD("other") : GOOD("same"));
    check(NULL, &all, 3);
    assert_int_equal(told(&all, "c", FINDING_WARNING, "[Identity] Subject=CN=same is that of \"a\" too"), 1);
    assert_int_equal(told(&all, "a", FINDING_WARNING, ""), 0);
    check("a", &of_a, 3);
    assert_int_equal(told(&of_a, "c", FINDING_WARNING, "is that of \"a\" too"), 1);
    check("b", &of_b, 3);
    assert_int_equal(told(&of_b, "c", FINDING_WARNING, ""), 0);
    for (size_t i = 0; i < ARRAY_LENGTH(names); i++)
        forget(names[i]);
}

static void test_directories(void **state) {
    const ConfigLook look = { .access = { not_there, not_there, not_there, NULL } };
    _cleanup_checked_config_ CheckedConfig config = { 0 };
    Findings findings = { 0 };

    assert_int_equal(setenv("CONFIGURATION_DIRECTORY", "relative", 1), 0);
    assert_int_equal(check_config(&look, &findings, &config), 0);
    expect_only(&findings, FINDING_FAILED, "CONFIGURATION_DIRECTORY or RUNTIME_DIRECTORY is no absolute path",
                "absolute");
    assert_int_equal(setenv("CONFIGURATION_DIRECTORY", path_of("etc"), 1), 0);
}

static int setup(void **state) {
    if (!mkdtemp(root) || mkdir(path_of("etc"), 0700) < 0 || mkdir(path_of("etc/identities"), 0700) < 0)
        return -1;
    FakeCa *ca = fake_ca_new_dated("ca", NULL, -86400, 365L * 86400);
    FILE *stream = fopen(path_of("ca.pem"), "we");
    if (!stream || fputs(ca->pem, stream) < 0 || fclose(stream) != 0)
        return -1;
    fake_ca_free(ca);
    return setenv("CONFIGURATION_DIRECTORY", path_of("etc"), 1) < 0 ||
           setenv("RUNTIME_DIRECTORY", path_of("run"), 1) < 0;
}

static int teardown(void **state) {
    (void) unlink(path_of("ca.pem"));
    (void) rmdir(path_of("etc/identities"));
    (void) rmdir(path_of("etc"));
    return rmdir(root);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_none),     cmocka_unit_test(test_good),        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_subjects), cmocka_unit_test(test_directories),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
