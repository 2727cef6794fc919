/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* See attempts.h. */
#include "tests/unit/enrolment/attempts.h"

static void on_ended(Attempt *attempt, const AttemptEnd *end, void *userdata) {
    Tried *tried = userdata;

    tried->calls++;
    tried->end = *end;
    tried->was_resumed = attempt_is_resumed(attempt);
    tried->kept_key = attempt_keeps_key(attempt);
    tried->attempt = attempt_free(attempt);
}

void tried_begin(Identity *identity, const AttemptStart *how, Tried *tried) {
    AttemptStart start = *how;

    *tried = (Tried) { .calls = 0 };
    start.ended = on_ended;
    start.userdata = tried;
    if (attempt_begin(identity, &start, &tried->attempt, &tried->end) >= 0) {
        tried->has_begun = true;
        assert_int_equal(tried->calls, 0); /* in a later turn */
        return;
    }
    assert_null(tried->attempt);
    assert_int_equal(tried->end.result, ATTEMPT_FAILED);
}

Tried attempt_try(Machine *machine, Identity *identity, AttemptStart how) {
    Tried tried;

    tried_begin(identity, &how, &tried);
    if (!tried.has_begun) {
        machine_settle(machine);
        assert_int_equal(tried.calls, 0); /* nobody is called */
        return tried;
    }
    machine_until(machine, tried.calls > 0);
    assert_int_equal(tried.calls, 1);
    return tried;
}

void tried_clear(Tried *tried) {
    tried->attempt = attempt_free(tried->attempt);
}

void expect_tried(const Tried *tried, FailureKind kind, const char *text) {
    assert_int_equal(tried->end.result, ATTEMPT_FAILED);
    expect_failure(&tried->end.failure, kind, text);
}

void expect_done(const Tried *tried) {
    if (tried->end.result == ATTEMPT_FAILED)
        fail_msg("%s", tried->end.failure.text);
    assert_int_equal(tried->end.result, ATTEMPT_DONE);
}
