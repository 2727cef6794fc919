/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A configuration while memory runs out, at each place in turn: it is not loaded, and not loaded in part. The functions
 * are those of this file, which the linker takes before libc's; AddressSanitizer sees what is not freed. */
#undef _FORTIFY_SOURCE /* with it some of these are functions of the headers, which cannot be defined again */
#include "config/check.h"
#include "config/identity-config.h"
#include "fixture.h"

#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* ---- functions that fail ---- */

static unsigned turn; /* which call fails, counted from 1; 0: none */
static bool hit;

static bool fails(void) {
    if (turn == 0 || --turn > 0)
        return false;
    hit = true;
    errno = ENOMEM;
    return true;
}

char *strdup(const char *text) {
    size_t size = strlen(text) + 1;
    char *copy = fails() ? NULL : malloc(size);

    return copy ? memcpy(copy, text, size) : NULL;
}

void *reallocarray(void *old, size_t count, size_t size) {
    size_t bytes;

    return fails() || __builtin_mul_overflow(count, size, &bytes) ? NULL : realloc(old, bytes);
}

int vasprintf(char **ret, const char *format, va_list arguments) {
    static int (*real)(char **ret, const char *format, va_list arguments);

    if (!real)
        *(void **) &real = dlsym(RTLD_NEXT, "vasprintf");
    *ret = (char *) -1; /* undefined, as the manual says */
    return fails() ? -1 : real(ret, format, arguments);
}

int asprintf(char **ret, const char *format, ...) {
    va_list arguments;

    va_start(arguments, format);
    int r = vasprintf(ret, format, arguments);
    va_end(arguments);
    return r;
}

/* ---- what is loaded ---- */

/* As good as it can be, with something for each parser that keeps a copy. */
#define GOOD                                                                                                           \
    "[Identity]\nSubject=CN=%d\nSubjectAltName=dns:%H ip:192.0.2.1\n[Enrollment]\nServer=https://a/ https://b\n"       \
    "Anchors=/a\nServerAnchors=/b\nProxy=http://p:1\nProxyUser=u\nProxyCredential=c\n"                                 \
    "Authenticate=identity:f credential:e\nUser=%s\n[Renewal]\nAuthenticate=credential:r\n"                            \
    "[Revocation]\nCRL=http://a/b\n[Peers]\nAnchors=/p\n[Access]\ntls-client=user:a unit:b.service\n"
/* One fault for each way to say so. */
#define BAD                                                                                                            \
    "stray\n[Identity]\nSubject=CN=%x\nSubjectAltName=dns:%d dns:a dns:a "                                             \
    "foo\nKind=x\nColour=red\n[Key]\nAlgorithm=x\n"                                                                    \
    "[Enrollment]\nProtocol=x\nServer=http://a\nAnchors=x\nAnchorsFingerprint=x\nProxy=x\nProxyUser=a:b\n"             \
    "ProxyCredential=a/"                                                                                               \
    "b\nAuthenticate=x\nUser=a:b\nAllowTLS12=x\nNames=x\n[Renewal]\nAt=x\nAt=y\nJitter=x\nRotateKey=x\n"               \
    "AnchorsInterval=x\n[Revocation]\nCheck=x\nCRL=x\nAfterRevocation=x\n[Access]\ndata-raw=x\n[Nothing]\n"
#define DAEMON     "[TPM]\nTCTI=device\nOwnerAuthCredential=o\nDeviceIdSalt=s\n[Limits]\nHandles=5\n"
#define BAD_DAEMON "[TPM]\nTCTI=/x\nParentHandle=1\nDeviceIdSalt=s\n[Limits]\nHandles=0\nIdentities=x\n"

typedef struct Loaded {
    char **paths, **names;
    DaemonConfig *daemon;
    IdentityConfig *identity;
    Problems problems;
} Loaded;

static void clear(Loaded *loaded) {
    loaded->paths = strings_free(loaded->paths);
    loaded->names = strings_free(loaded->names);
    loaded->daemon = daemon_config_free(loaded->daemon);
    loaded->identity = identity_config_free(loaded->identity);
    problems_clear(&loaded->problems);
}

/* All that a start of the daemon does with its files. */
static int load(const Fixture *fixture, bool certified, Loaded *loaded) {
    int r = daemon_config_load(&fixture->directories, &loaded->problems, &loaded->daemon);
    if (r < 0)
        return r;
    r = config_list_identities(&fixture->directories, &loaded->problems, &loaded->names);
    if (r < 0)
        return r;
    r = config_identity_paths(&fixture->directories, "x", &loaded->paths);
    if (r < 0)
        return r;
    r = certified ? identity_config_load_certified("x", loaded->paths, &loaded->problems, &loaded->identity)
                  : identity_config_load("x", loaded->paths, &loaded->problems, &loaded->identity);
    if (r < 0)
        return r;
    return config_check_all(loaded->daemon, &loaded->identity, 1, NULL, &loaded->problems);
}

/* Each call in turn; the last time none fails, and what is loaded then is the whole. */
static void fail_each(const Fixture *fixture, bool certified, int expected, size_t problems) {
    unsigned count = 0;
    int r = -ENOMEM;

    for (hit = true; hit; count++) {
        Loaded loaded = { 0 };
        hit = false;
        turn = count + 1;
        r = load(fixture, certified, &loaded);
        turn = 0;
        if (hit && r != -ENOMEM)
            fail_msg("call %u failed, and was passed over: %d", count + 1, r);
        if (!hit)
            assert_int_equal(loaded.problems.count, problems);
        clear(&loaded);
    }
    assert_int_equal(r, expected);
    printf("%u calls failed\n", count - 1);
    assert_true(count > 20);
}

static void test_good(void **state) {
    const Fixture *fixture = *state;

    fixture_write(fixture, "vendor/identityd.conf", DAEMON);
    fixture_write(fixture, "etc/identityd.conf.d/1.conf", "[Limits]\nIdentities=4\n");
    fixture_write(fixture, "etc/identities/x.conf", GOOD);
    fixture_write(fixture, "etc/identities/f.conf", GOOD);
    fixture_write(fixture, "vendor/identities/x.conf.d/1.conf", "[Key]\nAlgorithm=rsa-2048\n");
    fail_each(fixture, false, 0, 1); /* one: there is no identity "f" among those that are checked */
    fail_each(fixture, true, 0, 1);
}

static void test_bad(void **state) {
    const Fixture *fixture = *state;

    fixture_write(fixture, "etc/identityd.conf", BAD_DAEMON);
    fixture_write(fixture, "etc/identities/x.conf", BAD);
    fixture_write(fixture, "etc/identities/Bad.conf", GOOD);
    fail_each(fixture, false, -EINVAL, 34);
    fail_each(fixture, true, -EINVAL, 34);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, fixture_setup, fixture_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_good),
        TEST(test_bad),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
