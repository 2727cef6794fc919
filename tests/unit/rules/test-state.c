/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Every pair of state and event, written down a second time as rules instead of a table. */
#include "rules/state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static IdentityState expected(IdentityState state, IdentityEvent event) {
    if (event == EVENT_INSTALLED) /* leads out of everything */
        return STATE_READY;
    if (event == EVENT_RETIRED || state == STATE_RETIRED) /* and nothing else leads out of retired */
        return STATE_RETIRED;
    if (state == STATE_EMPTY) {
        if (event == EVENT_TPM_LOST)
            return STATE_UNAVAILABLE;
        return event == EVENT_TPM_BACK_EMPTY ? STATE_EMPTY : _STATE_INVALID; /* there is no certificate to speak of */
    }
    if (state == STATE_REVOKED) {
        if (event == EVENT_HOLD_ENDED)
            return STATE_READY;
        if (event == EVENT_TPM_BACK_EMPTY || event == EVENT_TPM_BACK_READY || event == EVENT_TPM_BACK_EXPIRED)
            return _STATE_INVALID;
        return STATE_REVOKED;
    }
    switch (event) {
    case EVENT_REVOKED:
    case EVENT_TPM_BACK_REVOKED:
        return STATE_REVOKED;
    case EVENT_TPM_LOST:
        return STATE_UNAVAILABLE;
    case EVENT_TPM_BACK_READY:
        return STATE_READY;
    case EVENT_TPM_BACK_EXPIRED:
        return STATE_EXPIRED;
    case EVENT_TPM_BACK_EMPTY:
        return state == STATE_UNAVAILABLE ? STATE_EMPTY : _STATE_INVALID;
    case EVENT_HOLD_ENDED:
        return state == STATE_UNAVAILABLE ? STATE_UNAVAILABLE : _STATE_INVALID;
    case EVENT_EXPIRED:
        return state == STATE_UNAVAILABLE ? STATE_UNAVAILABLE : STATE_EXPIRED;
    case EVENT_UNEXPIRED:
        return state == STATE_UNAVAILABLE ? STATE_UNAVAILABLE : STATE_READY;
    default:
        return _STATE_INVALID;
    }
}

static void test_every_pair(void **state) {
    for (int s = 0; s < _STATE_COUNT; s++)
        for (int e = 0; e < _EVENT_COUNT; e++) {
            IdentityState next = identity_state_next((IdentityState) s, (IdentityEvent) e);
            if (next != expected((IdentityState) s, (IdentityEvent) e))
                fail_msg("%s + %s → %s", identity_state_to_string((IdentityState) s),
                         identity_event_to_string((IdentityEvent) e), identity_state_to_string(next) ?: "invalid");
        }
    assert_int_equal(identity_state_next(_STATE_INVALID, EVENT_INSTALLED), _STATE_INVALID);
    assert_int_equal(identity_state_next(_STATE_COUNT, EVENT_INSTALLED), _STATE_INVALID);
    assert_int_equal(identity_state_next(STATE_READY, _EVENT_COUNT), _STATE_INVALID);
    assert_int_equal(identity_state_next(STATE_READY, (IdentityEvent) -1), _STATE_INVALID);
}

/* An event that was taken in may come again. */
static void test_events_repeat(void **state) {
    for (int s = 0; s < _STATE_COUNT; s++)
        for (int e = 0; e < _EVENT_COUNT; e++) {
            IdentityState next = identity_state_next((IdentityState) s, (IdentityEvent) e);
            if (next == _STATE_INVALID || e == EVENT_HOLD_ENDED)
                continue;
            assert_int_equal(identity_state_next(next, (IdentityEvent) e), next);
        }
}

static void test_names(void **state) {
    static const char *const states[] = { "empty", "ready", "expired", "revoked", "unavailable", "retired" };

    for (int s = 0; s < _STATE_COUNT; s++) {
        assert_string_equal(identity_state_to_string((IdentityState) s), states[s]);
        assert_int_equal(identity_state_from_string(states[s]), s);
    }
    for (int e = 0; e < _EVENT_COUNT; e++)
        for (int f = 0; f < e; f++)
            assert_string_not_equal(identity_event_to_string((IdentityEvent) e),
                                    identity_event_to_string((IdentityEvent) f));
    assert_string_equal(identity_activity_to_string(ACTIVITY_IDLE), "idle");
    assert_string_equal(identity_activity_to_string(ACTIVITY_ENROLLING), "enrolling");
    assert_string_equal(identity_activity_to_string(ACTIVITY_RENEWING), "renewing");
    assert_string_equal(identity_activity_to_string(ACTIVITY_WAITING), "waiting");
    assert_null(identity_state_to_string(_STATE_COUNT));
    assert_null(identity_state_to_string(_STATE_INVALID));
    assert_null(identity_event_to_string(_EVENT_COUNT));
    assert_null(identity_activity_to_string(_ACTIVITY_COUNT));
    assert_int_equal(identity_state_from_string("Ready"), _STATE_INVALID);
    assert_int_equal(identity_state_from_string(NULL), _STATE_INVALID);
}

static void test_failures(void **state) {
    static const FailureKind kinds[] = { FAILURE_NOT_READY,       FAILURE_NONE,   FAILURE_EXPIRED, FAILURE_REVOKED,
                                         FAILURE_TPM_UNAVAILABLE, FAILURE_RETIRED };

    for (int s = 0; s < _STATE_COUNT; s++) {
        assert_int_equal(identity_state_failure((IdentityState) s, false), kinds[s]);
        assert_int_equal(identity_state_failure((IdentityState) s, true),
                         s == STATE_UNAVAILABLE ? FAILURE_TPM_REPLACED : kinds[s]);
        assert_int_equal(identity_state_signs((IdentityState) s), kinds[s] == FAILURE_NONE);
    }
    assert_int_equal(identity_state_failure(_STATE_INVALID, false), FAILURE_INTERNAL);
    assert_false(identity_state_signs(_STATE_INVALID));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_pair),
        cmocka_unit_test(test_events_repeat),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_failures),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
