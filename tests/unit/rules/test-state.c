/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Every pair of state and event, written down a second time: by state instead of by event. */
#include "rules/state.h"

#include "tests/unit/common/test.h"

#include <string.h>

/* One letter a state, in the order of the enumeration; `-` must not happen. */
static const char letters[] = "erxvutm";

/* The events: installed, expired, unexpired, revoked, hold-ended, tpm-lost, tpm-back-{empty, ready, expired, revoked},
 * retired, misconfigured, configured. */
static const char *const next_by_event[_STATE_COUNT] = {
    [STATE_EMPTY] = "r--v-ue---tme",         [STATE_READY] = "rxrv-u-rxvtmr",       [STATE_EXPIRED] = "rxrv-u-rxvtmx",
    [STATE_REVOKED] = "rvvvrv---vtmv",       [STATE_UNAVAILABLE] = "ruuvuuerxvtmu", [STATE_RETIRED] = "rttttttttttmt",
    [STATE_MISCONFIGURED] = "-mmmmmmmmmtmu",
};

static void every_pair(void **state) {
    for (int s = 0; s < _STATE_COUNT; s++) {
        assert_int_equal(strlen(next_by_event[s]), _EVENT_COUNT);
        for (int e = 0; e < _EVENT_COUNT; e++) {
            IdentityState next = identity_state_next((IdentityState) s, (IdentityEvent) e);
            char letter = next == _STATE_INVALID ? '-' : letters[next];
            if (letter != next_by_event[s][e])
                fail_msg("%s + %s: %c, not %c", identity_state_to_string((IdentityState) s),
                         identity_event_to_string((IdentityEvent) e), letter, next_by_event[s][e]);
        }
    }
    assert_int_equal(identity_state_next(_STATE_INVALID, EVENT_INSTALLED), _STATE_INVALID);
    assert_int_equal(identity_state_next(_STATE_COUNT, EVENT_INSTALLED), _STATE_INVALID);
    assert_int_equal(identity_state_next(STATE_READY, _EVENT_COUNT), _STATE_INVALID);
    assert_int_equal(identity_state_next(STATE_READY, (IdentityEvent) -1), _STATE_INVALID);
}

/* The rules of docs/design.md §5, each over all events. */
static void rules_of_the_table(void **state) {
    for (int e = 0; e < _EVENT_COUNT; e++) {
        IdentityEvent event = (IdentityEvent) e;
        IdentityState from_retired = identity_state_next(STATE_RETIRED, event),
                      from_revoked = identity_state_next(STATE_REVOKED, event),
                      from_fault = identity_state_next(STATE_MISCONFIGURED, event);
        /* retired ends only by a new generation (a fault of the configuration hides it) */
        assert_true(from_retired == STATE_RETIRED || e == EVENT_INSTALLED || e == EVENT_MISCONFIGURED);
        /* no TPM that comes back, and no clock, brings a revoked key back to life */
        assert_true(from_revoked != STATE_READY || e == EVENT_INSTALLED || e == EVENT_HOLD_ENDED);
        assert_true(from_revoked != STATE_EXPIRED && from_revoked != STATE_EMPTY && from_revoked != STATE_UNAVAILABLE);
        /* nothing signs straight out of a faulty configuration */
        assert_false(identity_state_signs(from_fault));
        /* without a certificate nothing but one makes ready */
        assert_true(identity_state_next(STATE_EMPTY, event) != STATE_READY || e == EVENT_INSTALLED);
    }
}

/* An event that was taken in may come again. */
static void events_repeat(void **state) {
    for (int s = 0; s < _STATE_COUNT; s++)
        for (int e = 0; e < _EVENT_COUNT; e++) {
            IdentityState next = identity_state_next((IdentityState) s, (IdentityEvent) e);
            if (next == _STATE_INVALID || e == EVENT_HOLD_ENDED)
                continue;
            assert_int_equal(identity_state_next(next, (IdentityEvent) e), next);
        }
}

static void names(void **state) {
    static const char *const states[_STATE_COUNT] = { "empty",       "ready",   "expired",      "revoked",
                                                      "unavailable", "retired", "misconfigured" };

    for (int s = 0; s < _STATE_COUNT; s++) {
        assert_string_equal(identity_state_to_string((IdentityState) s), states[s]);
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
    assert_null(identity_event_to_string((IdentityEvent) -1));
    assert_null(identity_activity_to_string(_ACTIVITY_COUNT));
}

static void failures(void **state) {
    static const FailureKind kinds[_STATE_COUNT] = {
        FAILURE_NOT_READY,       FAILURE_NONE,    FAILURE_EXPIRED,   FAILURE_REVOKED,
        FAILURE_TPM_UNAVAILABLE, FAILURE_RETIRED, FAILURE_NOT_READY,
    };

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
        cmocka_unit_test(every_pair), cmocka_unit_test(rules_of_the_table), cmocka_unit_test(events_repeat),
        cmocka_unit_test(names),      cmocka_unit_test(failures),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
