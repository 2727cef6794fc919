/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What needs no server: faults of several servers in one text, URLs and where they lead, and a body in pieces. */
#include "enroller/fault.h"
#include "enroller/http-session.h"
#include "enroller/note.h"
#include "enroller/url.h"
#include "support.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

/* ---- faults ---- */

static Failure failure_of(FailureKind kind, char letter, size_t length) {
    Failure failure = { .kind = kind };

    memset(failure.text, letter, length);
    return failure;
}

static void test_faults_add_up(void **state) {
    Failure all = FAILURE_INIT, first = failure_of(FAILURE_BUSY, 'a', 3), next = failure_of(FAILURE_STORAGE, 'b', 2);

    assert_int_equal(fault_collect(&all, &first, -EIO), -EIO);
    assert_string_equal(all.text, "aaa");
    assert_int_equal(all.kind, FAILURE_BUSY);
    assert_int_equal(fault_collect(&all, &next, -EPERM), -EPERM);
    assert_string_equal(all.text, "aaa; bb");
    assert_int_equal(all.kind, FAILURE_STORAGE);
}

/* Whatever there is room for, the last one is whole, and what was before is cut by no more than it must be. */
static void test_faults_at_each_length(void **state) {
    const size_t most = FAILURE_TEXT_MAX - 1;

    for (size_t length = 1; length <= most; length++) {
        Failure all = failure_of(FAILURE_BUSY, 'a', most - 20), last = failure_of(FAILURE_STORAGE, 'b', length);
        const char *cut = "\u2026; ";
        assert_int_equal(fault_collect(&all, &last, -EIO), -EIO);
        size_t before = strspn(all.text, "a");
        const char *behind = all.text + before;
        if (length <= 18) /* with "; " */
            assert_true(before == most - 20 && strncmp(behind, "; b", 3) == 0);
        else if (before == 0)
            assert_true(length + strlen(cut) >= most);
        else
            assert_true(before + strlen(cut) + length == most && strncmp(behind, cut, strlen(cut)) == 0);
        assert_string_equal(strchr(all.text, 'b'), last.text);
        assert_int_equal(all.kind, FAILURE_STORAGE);
    }
}

static void test_faults_are_cut_at_characters(void **state) {
    for (size_t length = 400; length < 410; length++) {
        Failure all = { .kind = FAILURE_BUSY }, last = failure_of(FAILURE_STORAGE, 'b', length);
        for (size_t i = 0; i + 2 < FAILURE_TEXT_MAX - 1; i += 2)
            memcpy(all.text + i, "\u00e4", 2);
        assert_int_equal(fault_collect(&all, &last, -EIO), -EIO);
        assert_null(strchr(all.text, '?')); /* which half a character would become */
        assert_non_null(strstr(all.text, "\u00e4\u2026; b"));
    }
}

/* ---- URLs ---- */

static void expect_url(UrlRules rules, const char *url, bool good) {
    Failure failure = FAILURE_INIT;
    int r = url_check(url, rules, &failure);

    if (r != (good ? 0 : -EBADMSG))
        fail_msg("%s: %d", url, r);
    if (good)
        return;
    assert_int_equal(failure.kind, FAILURE_INVALID_ARGUMENT);
    assert_non_null(strstr(failure.text, rules == URL_HTTPS_BASE ? "https://HOST[:PORT]/PATH without user"
                                         : rules == URL_PROXY    ? "http://HOST:PORT is accepted"
                                                                 : "http:// or https://HOST[:PORT]/PATH is accepted"));
}

static void test_urls(void **state) {
    static const struct {
        const char *url;
        bool base, either, proxy;
    } cases[] = {
        { "https://a.example", true, true, false },
        { "https://a.example:8443/x/y", true, true, false },
        { "https://[2001:db8::1]/x", true, true, false },
        { "http://a.example/x", false, true, false },
        { "http://a.example:80", false, true, true },
        { "http://a.example:3128/", false, true, true },
        { "http://a.example:3128/x", false, true, false },
        { "http://a.example:3128?x", false, true, false },
        { "http://a.example:3128/?x", false, true, false },
        { "http://a.example", false, true, false },
        { "https://a.example:3128", true, true, false },
        { "https://a.example/x?y", false, true, false },
        { "https://a.example/x#y", false, false, false },
        { "http://a.example:3128#y", false, false, false },
        { "https://u@a.example/x", false, false, false },
        { "https://u:p@a.example/x", false, false, false },
        { "https://:p@a.example/x", false, false, false },
        { "http://u@a.example:3128", false, false, false },
        { "https:///a.example/x", false, false, false },
        { "http:///a.example:1", false, false, false },
        { "ftp://a.example/x", false, false, false },
        { "file:///etc/passwd", false, false, false },
        { "a.example", false, false, false },
        { "", false, false, false },
        { "https://a.example/a b", false, false, false },
        { "https://a.example/\x7f", false, false, false },
        { "https://a.example/\x1f", false, false, false },
        { "https://a.example/!", true, true, false },
        { "https://a.example/~", true, true, false },
        { "https://a.example/\xc3\xa4", false, false, false },
    };

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        expect_url(URL_HTTPS_BASE, cases[i].url, cases[i].base);
        expect_url(URL_HTTP_OR_HTTPS, cases[i].url, cases[i].either);
        expect_url(URL_PROXY, cases[i].url, cases[i].proxy);
    }
}

static void test_hosts(void **state) {
    static const char *const cases[][2] = {
        { "https://a.example/x", "a.example" },
        { "https://a.example:1/x", "a.example" },
        { "https://a.example./", "a.example" },
        { "https://[2001:db8::1]:8443/", "2001:db8::1" },
        { "https://[::]/", "::" },
        { "https://192.0.2.1/", "192.0.2.1" },
        { "https://a", "a" },
    };

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        _cleanup_free_ char *host = url_host(cases[i][0]);
        assert_string_equal(host, cases[i][1]);
    }
    assert_null(url_host("http://a b/"));
}

static void test_where_it_leads(void **state) {
    static const struct {
        const char *location, *url; /* NULL: nowhere */
        bool is_same;
    } cases[] = {
        { "/y", "https://a.example/y", true },
        { "y", "https://a.example/est/y", true },
        { "../y#part", "https://a.example/y", true },
        { "?q", "https://a.example/est/x?q", true },
        { "https://A.EXAMPLE/y", "https://a.example/y", true },
        { "https://a.example:443/y", "https://a.example:443/y", true },
        { "https://a.example:444/y", "https://a.example:444/y", false },
        { "http://a.example/y", "http://a.example/y", false },
        { "http://a.example:443/y", "http://a.example:443/y", false },
        { "//b.example/y", "https://b.example/y", false },
        { "https://u@a.example/y", "https://u@a.example/y", false },
        { "https://u:p@a.example/y", "https://u:p@a.example/y", false },
        { "https://:p@a.example/y", NULL, false },
        { "https:// /", NULL, false },
    };

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        _cleanup_free_ char *url = NULL;
        bool is_same = true;
        int r = url_follow("https://a.example/est/x", cases[i].location, &url, &is_same);
        if (!cases[i].url && r < 0) {
            assert_int_equal(r, -EBADMSG);
            continue;
        }
        assert_int_equal(r, 0);
        assert_int_equal(is_same, cases[i].is_same);
        if (cases[i].url && strcasecmp(url, cases[i].url) != 0)
            fail_msg("%s leads to %s", cases[i].location, url);
    }
    char *untouched = NULL;
    bool is_same = false;
    assert_int_equal(url_follow("no url", "/y", &untouched, &is_same), -EBADMSG);
    assert_null(untouched);
}

/* ---- a body in pieces ---- */

static void test_body(void **state) {
    char buffer[16] = { 0 };
    HttpSession session = { .body = { (uint8_t *) (uintptr_t) "0123456789", 10 } };

    assert_int_equal(http_body_read(buffer, 2, 2, &session), 4);
    assert_memory_equal(buffer, "0123", 4);
    assert_int_equal(http_body_read(buffer, 1, 16, &session), 6);
    assert_memory_equal(buffer, "456789", 6);
    assert_int_equal(http_body_read(buffer, 1, 16, &session), 0);
    assert_int_equal(http_body_seek(&session, 10, SEEK_SET), CURL_SEEKFUNC_OK);
    assert_int_equal(http_body_read(buffer, 1, 16, &session), 0);
    assert_int_equal(http_body_seek(&session, 11, SEEK_SET), CURL_SEEKFUNC_FAIL);
    assert_int_equal(http_body_seek(&session, -1, SEEK_SET), CURL_SEEKFUNC_FAIL);
    assert_int_equal(http_body_seek(&session, 0, SEEK_CUR), CURL_SEEKFUNC_FAIL);
    assert_int_equal(http_body_seek(&session, 0, SEEK_SET), CURL_SEEKFUNC_OK);
    assert_int_equal(http_body_read(buffer, 1, 1, &session), 1);
    assert_int_equal(buffer[0], '0');
}

/* ---- notes ---- */

/* What a note with this text writes to standard error. */
static Bytes note_of(const char *text) {
    int memory = memfd_create("stderr", MFD_CLOEXEC), kept = dup(STDERR_FILENO);
    Bytes written = BYTES_NULL;

    assert_true(memory >= 0 && kept >= 0 && dup2(memory, STDERR_FILENO) >= 0);
    note("demo", "%s", text);
    assert_int_equal(dup2(kept, STDERR_FILENO), STDERR_FILENO);
    assert_int_equal(lseek(memory, 0, SEEK_SET), 0);
    assert_int_equal(bytes_read_fd(memory, 10000, &written), 0);
    close(memory);
    close(kept);
    return written;
}

static void expect_note(const char *text, const char *expected) {
    _cleanup_bytes_ Bytes written = note_of(text);

    assert_string_equal((char *) written.data, expected);
}

static void test_notes(void **state) {
    expect_note("the CA is slow", "<5>identityd-enroller: demo: the CA is slow\n");
    expect_note("", "<5>identityd-enroller: demo: \n");
    expect_note("a\nb\x1b", "<5>identityd-enroller: demo: a b?\n");
    expect_note("a\xe2\x82", "<5>identityd-enroller: demo: a??\n"); /* nothing was cut: that is how it came */
    for (size_t before = 0; before < 3; before++) {                 /* cut at a character, wherever it stands */
        char text[FAILURE_TEXT_MAX + 8] = "aaa";
        for (size_t at = before; at + 3 < sizeof text; at += 3)
            memcpy(text + at, "\u20ac", 4);
        _cleanup_bytes_ Bytes written = note_of(text);
        assert_null(memchr(written.data, '?', written.size));
        assert_true(written.size > FAILURE_TEXT_MAX);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_faults_add_up),
        cmocka_unit_test(test_faults_at_each_length),
        cmocka_unit_test(test_faults_are_cut_at_characters),
        cmocka_unit_test(test_urls),
        cmocka_unit_test(test_hosts),
        cmocka_unit_test(test_where_it_leads),
        cmocka_unit_test(test_body),
        cmocka_unit_test(test_notes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
