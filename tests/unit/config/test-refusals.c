/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Every key of both configuration files: what is just accepted and what just is not, and that each refusal says file,
 * line, key, value and what would be accepted, in the main file and in a drop-in. */
#include "config/identity-config.h"
#include "fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <cmocka.h>

#define X5   "xxxxx"
#define X50  X5 X5 X5 X5 X5 X5 X5 X5 X5 X5
#define X250 X50 X50 X50 X50 X50
#define X255 X250 X5
#define X512 X255 X255 "xx"

#define HEX64        "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define URLS8        "https://a/1 https://a/2 https://a/3 https://a/4 https://a/5 https://a/6 https://a/7 https://a/8"
#define RULES8       "user:a user:b user:c user:d user:e user:f user:g user:h "
#define RULES64      RULES8 RULES8 RULES8 RULES8 RULES8 RULES8 RULES8 RULES8
#define SANS(letter) "dns:" letter "1 dns:" letter "2 dns:" letter "3 dns:" letter "4 "
#define SANS32       SANS("a") SANS("b") SANS("c") SANS("d") SANS("e") SANS("f") SANS("g") SANS("h")

#define BOOLEAN  "must be yes or no"
#define PATH     "must be an absolute path without \"..\", \".\" and \"//\""
#define INTERVAL "must be a number with a unit (s, min, h, d, w) from 1s to 52w, such as 6h"
#define AUTHENTICATE                                                                                                   \
    "must be identity:NAME, or credential:NAME for a user's password in a systemd credential, or one of each"
#define CREDENTIAL                                                                                                     \
    "must be the name of a systemd credential: 1 to 255 printable characters without '/', ':' and white space"
#define RULE                                                                                                           \
    "must be user:NAME, group:NAME (or their numbers) or unit:NAME, where NAME of a unit ends in .service or the like"
#define USER "must be a user of at most 255 bytes without ':'"

typedef struct Bad {
    const char *value;
    const char *text; /* NULL: what the key's refusals say */
} Bad;

typedef struct Key {
    const char *section, *key;
    const char *accepted;
    const char *good[6];
    Bad bad[10];
    const char *beside; /* lines "SECTION KEY VALUE" that a good value wants beside it; an empty VALUE takes one out */
    bool required;      /* with what the test sets beside it */
} Key;

static const Key identity_keys[] = {
    { "Identity",
      "Subject",
      NULL,
      { "CN=%d", "CN=%s,O=a" },
      { { "CN", "must be a distinguished name of RFC 4514, such as CN=%d,O=Example: " },
        { "CN=%x", "unknown % specifier: %d, %H, %m, %s and %% are known" },
        { "CN=x%d", "(%d alone has 64, %m 32)" },
        { X512 X512 "x", "longer than 1024 bytes" } },
      NULL,
      true },
    { "Identity",
      "SubjectAltName",
      NULL,
      { "dns:a", SANS32, "ip:::1\turi:urn:a" },
      { { SANS32 "dns:z", "must be at most 32 names" },
        { "dns:a dns:b dns:a", "\"dns:a\" stands there twice" },
        { "dns:a b", "\"b\": must be dns:NAME, ip:ADDRESS, uri:URI or hardware-module:OID/SERIAL" },
        { "dns:%d", "(%d alone has 64)" },
        { "ip:192.0.2.256", "must be an IPv4 or IPv6 address" } },
      NULL,
      false },
    { "Identity",
      "Kind",
      "must be ldevid or idevid",
      { "ldevid", "idevid" },
      { { "LDevID" }, { "idevi" }, { "idevid2" } },
      NULL,
      false },
    { "Key",
      "Algorithm",
      "must be ecdsa-p256, ecdsa-p384, rsa-2048 or rsa-3072",
      { "ecdsa-p256", "ecdsa-p384", "rsa-2048", "rsa-3072" },
      { { "ecdsa-p521" }, { "rsa-1024" }, { "rsa-4096" }, { "ECDSA-P256" }, { "rsa" } },
      NULL,
      false },
    { "Enrollment",
      "Protocol",
      "must be est or manual",
      { "est", "manual" },
      { { "EST" }, { "scep" }, { "est manual" } },
      NULL,
      false },
    { "Enrollment",
      "Server",
      "must be one or several https://HOST[:PORT][/PATH] without user, query and fragment, each at most 2000 bytes",
      { "https://a", URLS8 },
      { { "http://a/" },
        { "https://u@a/" },
        { "https://a/?q" },
        { "https://a/ b" },
        { URLS8 " https://a/9", "must be at most 8 URLs" } },
      NULL,
      true },
    { "Enrollment",
      "Anchors",
      PATH,
      { "/a", "/" X255 },
      { { "a" }, { "/" }, { "/a/../b" }, { "/a//b" }, { "/" X255 "x" } },
      NULL,
      true },
    { "Enrollment",
      "AnchorsFingerprint",
      "must be sha256: and the 64 hexadecimal digits of one root certificate's SHA-256",
      { "sha256:" HEX64 },
      { { HEX64 }, { "sha256:" HEX64 "0" }, { "sha1:" HEX64 }, { "sha256:" } },
      "Enrollment Anchors ",
      true },
    { "Enrollment", "ServerAnchors", PATH, { "/a" }, { { "a" }, { "/a/." } }, NULL, false },
    { "Enrollment",
      "Proxy",
      "must be http://HOST:PORT",
      { "http://a:1", "http://[::1]:65535/" },
      { { "http://a" }, { "https://a:1" }, { "http://a:0" }, { "http://a:65536" }, { "http://a:1/b" } },
      NULL,
      false },
    { "Enrollment",
      "ProxyUser",
      "must be text of 1 to 255 bytes without a colon",
      { "u", X255 },
      { { "a:b" }, { X255 "x" } },
      "Enrollment ProxyCredential c\nEnrollment Proxy http://a:1\n",
      true },
    { "Enrollment",
      "ProxyCredential",
      "must be the name of a systemd credential",
      { "c", X255 },
      { { "a/b" }, { ".." }, { "a b" }, { X255 "x" } },
      "Enrollment ProxyUser u\nEnrollment Proxy http://a:1\n",
      true },
    { "Enrollment",
      "Authenticate",
      AUTHENTICATE,
      { "identity:a", "credential:a", "credential:a identity:b", "identity:a credential:b" },
      { { "a" },
        { "identity:" },
        { "identity:a identity:b" },
        { "credential:a credential:b" },
        { "identity:a credential:b identity:c" },
        { "Identity:a" },
        { "credential:a/b" } },
      NULL,
      false },
    { "Enrollment",
      "User",
      NULL,
      { "u", "%d", X255 },
      { { "a:b", USER }, { X255 "x", USER }, { "%q", "unknown % specifier" } },
      "Enrollment Authenticate credential:a\n",
      false },
    { "Enrollment",
      "AllowTLS12",
      BOOLEAN,
      { "yes", "no", "true", "0" },
      { { "YES" }, { "2" }, { "yess" } },
      NULL,
      false },
    { "Enrollment",
      "Names",
      "must be exact or ca",
      { "exact", "ca" },
      { { "CA" }, { "any" }, { "exact,ca" } },
      NULL,
      false },
    { "Renewal",
      "At",
      "must be 10% to 95% of the lifetime, or a time before its end with a unit (s, min, h, d, w), such as -14d",
      { "10%", "95%", "10.0%", "-1s", "-10000w" },
      { { "9.9%" }, { "95.1%" }, { "-0s" }, { "-10001w" }, { "14d" }, { "66" }, { "-66%" }, { "--1d" } },
      NULL,
      false },
    { "Renewal",
      "Jitter",
      "must be 0% to 30% of the lifetime",
      { "0%", "30%", "30.0%" },
      { { "30.1%" }, { "31%" }, { "5" }, { "-1%" } },
      NULL,
      false },
    { "Renewal", "RotateKey", BOOLEAN, { "off", "on" }, { { "never" }, { "n" } }, NULL, false },
    { "Renewal",
      "Authenticate",
      AUTHENTICATE,
      { "identity:a", "credential:a", "credential:a identity:x" },
      { { "identity:A" }, { "credential:" }, { "identity:a b" }, { "identity:a identity:a" } },
      NULL,
      false },
    { "Renewal",
      "User",
      NULL,
      { "u" },
      { { "a:b", USER }, { "%", "unknown % specifier" } },
      "Renewal Authenticate credential:a\n",
      false },
    { "Renewal",
      "AnchorsInterval",
      INTERVAL,
      { "1s", "52w", "364d" },
      { { "0s" }, { "53w" }, { "365d" }, { "60" }, { "-1h" } },
      NULL,
      false },
    { "Revocation",
      "Check",
      "must be crl, ocsp, crl,ocsp or none",
      { "crl", "ocsp", "crl,ocsp", "ocsp,crl", "crl, ocsp", "none" },
      { { "crl,crl" },
        { "ocsp,ocsp" },
        { "crl," },
        { "none,crl" },
        { "crl ocsp" },
        { "crls" },
        { "cr" },
        { "ocs" },
        { "," } },
      NULL,
      false },
    { "Revocation",
      "CRL",
      "must be one or several http or https URLs with a path, without user and fragment, each at most 2000 bytes",
      { "http://a/", URLS8 },
      { { "http://a" }, { "ldap://a/b" }, { "http://a/#b" }, { URLS8 " http://a/9", "must be at most 8 URLs" } },
      NULL,
      false },
    { "Revocation",
      "Interval",
      INTERVAL,
      { "1s", "52w", "524160min" },
      { { "0min" }, { "524161min" }, { "1m" } },
      NULL,
      false },
    { "Revocation",
      "AfterRevocation",
      "must be wait or enroll",
      { "wait", "enroll" },
      { { "Wait" }, { "enrol" }, { "no" } },
      NULL,
      false },
    { "Peers", "Anchors", PATH, { "/a" }, { { "./a" }, { "/a/" } }, NULL, false },
    { "Peers",
      "Check",
      "must be crl or none",
      { "crl", "none" },
      { { "ocsp" }, { "CRL" }, { "crl,crl" } },
      NULL,
      false },
    { "Peers",
      "CRL",
      "must be one or several http or https URLs with a path, without user and fragment, each at most 2000 bytes",
      { "http://a/", URLS8 },
      { { "http://a" }, { "ldap://a/b" } },
      NULL,
      false },
    { "Peers", "Intermediates", PATH, { "/a" }, { { "a" }, { "/a/../b" } }, NULL, false },
    { "Peers", "Interval", INTERVAL, { "1s", "52w" }, { { "0min" }, { "1m" } }, NULL, false },
    { "Access",
      "tls-client",
      NULL,
      { "user:a", "unit:a.service group:7", RULES64 },
      { { "a", "\"a\": " RULE },
        { "user:a unit:b", "\"unit:b\": " RULE },
        { RULES64 "user:z", "must be at most 64 rules" } },
      NULL,
      false },
    { "Access", "TLS12", BOOLEAN, { "yes", "no", "true", "0" }, { { "YES" }, { "2" }, { "1.2" } }, NULL, false },
    { "Access", "tls-server", NULL, { "user:0" }, { { "user:", "\"user:\": " RULE } }, NULL, false },
    { "Access", "data", NULL, { "group:a" }, { { "users:a", "\"users:a\": " RULE } }, NULL, false },
    { "Access", "data-raw", NULL, { "group:a" }, { { "users:a", "\"users:a\": " RULE } }, NULL, false },
    { "Access", "digest", NULL, { "group:a" }, { { "unit:", "\"unit:\": " RULE } }, NULL, false },
};

static const Key daemon_keys[] = {
    { "TPM",
      "TCTI",
      "must be NAME or NAME:CONFIGURATION, such as device:/dev/tpmrm0; at most 512 bytes",
      { "device", "device:/dev/tpmrm0", X512 },
      { { ":a" }, { "/a.so" }, { "Device" }, { "a.b:c" }, { X512 "x" } },
      NULL,
      false },
    { "TPM",
      "ParentHandle",
      "must be a persistent handle from 0x81000000 to 0x817fffff",
      { "0x81000000", "0x817fffff", "0x817FFFFF", "2164260864" },
      { { "0x80ffffff" }, { "0x81800000" }, { "0x181000000" }, { "81000001" }, { "0x" } },
      NULL,
      false },
    { "TPM",
      "OwnerAuthCredential",
      CREDENTIAL,
      { "a", X255 },
      { { "." }, { ".." }, { "a/b" }, { "a:b" }, { X255 "x" } },
      NULL,
      false },
    { "TPM", "EndorsementAuthCredential", CREDENTIAL, { "a" }, { { "a b" } }, NULL, false },
    { "TPM", "DeviceIdSalt", "must be at most 256 bytes", { "s", X255 "x" }, { { X255 "xx" } }, NULL, false },
    { "TPM", "SerialCredential", CREDENTIAL, { "a" }, { { "\xc3\xbc" } }, NULL, false },
    { "Limits",
      "HandlesPerUser",
      "must be a number from 1 to 4096",
      { "1", "4096" },
      { { "0" }, { "4097" }, { "-1" }, { "01" }, { "1k" } },
      NULL,
      false },
    { "Limits",
      "HandlesPerRule",
      "must be a number from 1 to 65536",
      { "1", "65536" },
      { { "0" }, { "65537" }, { "-1" }, { "01" }, { "1k" } },
      NULL,
      false },
    { "Limits",
      "Handles",
      "must be a number from 1 to 65536",
      { "1", "65536" },
      { { "0" }, { "65537" }, { "4294967297" } },
      NULL,
      false },
    { "Limits",
      "Identities",
      "must be a number from 1 to 1024",
      { "1", "1024" },
      { { "0" }, { "1025" }, { "1.5" } },
      NULL,
      false },
};

/* ---- files ---- */

typedef struct Table {
    const Key *keys;
    size_t count;
    bool daemon;
    const char *path, *drop_in;
    const char *base; /* lines as in Key.beside that make a good file */
} Table;

static const Table tables[] = {
    { identity_keys, ARRAY_LENGTH(identity_keys), false, "etc/identities/x.conf", "runtime/identities/x.conf.d/5.conf",
      "Identity Subject CN=a\nEnrollment Server https://a/\nEnrollment Anchors /a\nEnrollment Authenticate "
      "identity:f\n" },
    { daemon_keys, ARRAY_LENGTH(daemon_keys), true, "etc/identityd.conf", "runtime/identityd.conf.d/5.conf", "" },
};

/* The value that lines of "SECTION KEY VALUE" have for a key; NULL: none. */
static const char *value_in(const char *lines, const Key *key, char *buffer, size_t size) {
    char head[64];

    (void) snprintf(head, sizeof head, "%s %s ", key->section, key->key);
    for (const char *line = lines; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
        if (strncmp(line, head, strlen(head)) == 0) {
            size_t length = strcspn(line + strlen(head), "\n");
            (void) snprintf(buffer, size, "%.*s", (int) length, line + strlen(head));
            return buffer;
        }
    return NULL;
}

/* The good file with KEY=VALUE in it, each key in the table's order; the line at which that stands. */
static unsigned write_main(const Fixture *fixture, const Table *table, const Key *key, const char *value) {
    char text[8192], other[256];
    const char *section = "";
    unsigned line = 0, found = 0;
    size_t length = 0;

    for (size_t i = 0; i < table->count; i++) {
        const Key *each = &table->keys[i];
        const char *its = each == key ? value : value_in(key->beside, each, other, sizeof other);
        if (!its)
            its = value_in(table->base, each, other, sizeof other);
        if (!its)
            continue;
        if (strcmp(section, each->section) != 0) {
            length += (size_t) snprintf(text + length, sizeof text - length, "[%s]\n", each->section);
            line++;
        }
        section = each->section;
        length += (size_t) snprintf(text + length, sizeof text - length, "%s=%s\n", each->key, its);
        line++;
        if (each == key)
            found = line;
    }
    assert_true(length < sizeof text);
    fixture_write(fixture, table->path, text);
    return found;
}

static void write_drop_in(const Fixture *fixture, const Table *table, const char *section, const char *key,
                          const char *value) {
    char text[4096];

    assert_true((size_t) snprintf(text, sizeof text, "# drop-in\n[%s]\n%s=%s\n", section, key, value) < sizeof text);
    fixture_write(fixture, table->drop_in, text);
}

static void remove_drop_in(const Fixture *fixture, const Table *table) {
    (void) remove(fixture_path(fixture, table->drop_in));
}

/* Whether it was taken. What is in `problems` says the same. */
static bool is_taken(const Fixture *fixture, const Table *table, Problems *problems) {
    _cleanup_strings_ char **paths = NULL;
    IdentityConfig *identity = NULL;
    DaemonConfig *daemon = NULL;

    if (table->daemon) {
        assert_int_equal(daemon_config_load(&fixture->directories, problems, &daemon), 0);
        daemon = daemon_config_free(daemon);
        return !problems_have_errors(problems);
    }
    assert_int_equal(config_identity_paths(&fixture->directories, "x", &paths), 0);
    int r = identity_config_load("x", paths, problems, &identity);
    assert_int_equal(r, problems_have_errors(problems) ? -EINVAL : 0);
    assert_int_equal(identity != NULL, r == 0);
    identity = identity_config_free(identity);
    return r == 0;
}

static void expect_taken(const Fixture *fixture, const Table *table, const Key *key, const char *value) {
    _cleanup_problems_ Problems problems = { 0 };

    if (!is_taken(fixture, table, &problems))
        fail_msg("[%s] %s=%s: %s", key->section, key->key, value, problems.list[0].text);
}

/* One error there, "[SECTION] KEY=VALUE: TEXT", with a long value cut. */
static void expect_refused(const Fixture *fixture, const Table *table, const Key *key, const Bad *bad, const char *path,
                           unsigned line) {
    _cleanup_problems_ Problems problems = { 0 };
    char head[512];

    if (is_taken(fixture, table, &problems))
        fail_msg("taken: [%s] %s=%s", key->section, key->key, bad->value);
    (void) snprintf(head, sizeof head, "[%s] %s=%.160s%s: ", key->section, key->key, bad->value,
                    strlen(bad->value) > 160 ? "..." : "");
    const char *text = problems.list[0].text;
    if (strncmp(text, head, strlen(head)) != 0)
        fail_msg("\"%s\" does not begin with \"%s\"", text, head);
    if (!bad->text)
        assert_string_equal(text + strlen(head), key->accepted);
    else if (!strstr(text + strlen(head), bad->text))
        fail_msg("\"%s\" is not in \"%s\"", bad->text, text);
    expect_problem(fixture, &problems, false, path, line, "");
}

/* ---- each key ---- */

static void try_key(const Fixture *fixture, const Table *table, const Key *key) {
    for (size_t i = 0; i < ARRAY_LENGTH(key->good) && key->good[i]; i++) {
        (void) write_main(fixture, table, key, key->good[i]);
        expect_taken(fixture, table, key, key->good[i]);
    }
    for (size_t i = 0; i < ARRAY_LENGTH(key->bad) && key->bad[i].value; i++) {
        const Bad *bad = &key->bad[i];
        unsigned line = write_main(fixture, table, key, bad->value);
        expect_refused(fixture, table, key, bad, table->path, line);
        /* A drop-in puts it right, also by taking it out, … */
        write_drop_in(fixture, table, key->section, key->key, key->good[0]);
        expect_taken(fixture, table, key, bad->value);
        if (!key->required) {
            write_drop_in(fixture, table, key->section, key->key, "");
            expect_taken(fixture, table, key, "");
        }
        /* … or is what is at fault. */
        (void) write_main(fixture, table, key, key->good[0]);
        write_drop_in(fixture, table, key->section, key->key, bad->value);
        expect_refused(fixture, table, key, bad, table->drop_in, 3);
        remove_drop_in(fixture, table);
    }
}

static void test_each_key(void **state) {
    const Fixture *fixture = *state;

    for (size_t t = 0; t < ARRAY_LENGTH(tables); t++)
        for (size_t i = 0; i < tables[t].count; i++)
            try_key(fixture, &tables[t], &tables[t].keys[i]);
}

/* ---- names of keys ---- */

/* "A=, B=" of a section, in the table's order. */
static void list_keys(const Table *table, const char *section, char *ret, size_t size) {
    size_t length = 0;

    ret[0] = '\0';
    for (size_t i = 0; i < table->count; i++)
        if (strcmp(table->keys[i].section, section) == 0)
            length +=
                (size_t) snprintf(ret + length, size - length, "%s%s=", length > 0 ? ", " : "", table->keys[i].key);
    assert_true(length < size);
}

static bool is_known(const Table *table, const char *section, const char *key) {
    for (size_t i = 0; i < table->count; i++)
        if (strcmp(table->keys[i].section, section) == 0 && strcmp(table->keys[i].key, key) == 0)
            return true;
    return false;
}

static void expect_unknown(const Fixture *fixture, const Table *table, const char *section, const char *key) {
    _cleanup_problems_ Problems problems = { 0 };
    char known[512], text[640];

    write_drop_in(fixture, table, section, key, "yes");
    if (is_taken(fixture, table, &problems))
        fail_msg("taken: [%s] %s=", section, key);
    list_keys(table, section, known, sizeof known);
    (void) snprintf(text, sizeof text, "[%s] %s=: unknown key; known are %s", section, key, known);
    assert_string_equal(problems.list[0].text, text);
    expect_problem(fixture, &problems, false, table->drop_in, 3, "");
}

/* In other letters, one letter shorter or longer, and in each section that has no such key. */
static void test_unknown_keys(void **state) {
    const Fixture *fixture = *state;

    for (size_t t = 0; t < ARRAY_LENGTH(tables); t++) {
        const Table *table = &tables[t];
        (void) write_main(fixture, table, &table->keys[0], table->keys[0].good[0]);
        for (size_t i = 0; i < table->count; i++) {
            const Key *key = &table->keys[i];
            char other[64];
            (void) snprintf(other, sizeof other, "%s", key->key);
            other[0] ^= 0x20;
            expect_unknown(fixture, table, key->section, other);
            (void) snprintf(other, sizeof other, "%ss", key->key);
            expect_unknown(fixture, table, key->section, other);
            (void) snprintf(other, sizeof other, "%.*s", (int) strlen(key->key) - 1, key->key);
            expect_unknown(fixture, table, key->section, other);
            for (size_t k = 0; k < table->count; k++)
                if (!is_known(table, table->keys[k].section, key->key))
                    expect_unknown(fixture, table, table->keys[k].section, key->key);
        }
        remove_drop_in(fixture, table);
    }
}

/* A section that the table has not, whatever stands in it: one complaint, at its header. */
static void test_unknown_sections(void **state) {
    static const char *const sections[] = { "identity", "Identities", "tpm", "Limit", "A" };
    const Fixture *fixture = *state;

    for (size_t t = 0; t < ARRAY_LENGTH(tables); t++)
        for (size_t i = 0; i < ARRAY_LENGTH(sections); i++) {
            _cleanup_problems_ Problems problems = { 0 };
            char text[128];
            (void) write_main(fixture, &tables[t], &tables[t].keys[0], tables[t].keys[0].good[0]);
            write_drop_in(fixture, &tables[t], sections[i], "Subject", "CN=b");
            assert_false(is_taken(fixture, &tables[t], &problems));
            (void) snprintf(text, sizeof text, "[%s]: unknown section; known are %s", sections[i],
                            tables[t].daemon ? "[TPM], [Limits]"
                                             : "[Identity], [Key], [Enrollment], [Renewal], [Revocation], [Peers], "
                                               "[Access]");
            assert_string_equal(problems.list[0].text, text);
            expect_problem(fixture, &problems, false, tables[t].drop_in, 2, "");
            remove_drop_in(fixture, &tables[t]);
        }
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, fixture_setup, fixture_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_each_key),
        TEST(test_unknown_keys),
        TEST(test_unknown_sections),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
