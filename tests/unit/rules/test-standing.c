/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* All 2^6 facts in all seven states: the events lead where the facts are, and nobody signs on the way. */
#include "rules/standing.h"

#include "tests/unit/common/test.h"

#include <stdio.h>
#include <string.h>

static StandingFacts facts_of(unsigned bits) {
    return (StandingFacts) { .is_misconfigured = bits & 1,
                             .is_retired = bits & 2,
                             .is_revoked = bits & 4,
                             .is_usable = bits & 8,
                             .has_generation = bits & 16,
                             .is_expired = bits & 32 };
}

/* What outranks what, with "any" for what does not matter any more. */
static void what_facts_amount_to(void **state) {
    enum { NO, YES, ANY };
    static const struct {
        int misconfigured, retired, revoked, usable, generation, expired;
        IdentityState state;
    } rows[] = {
        { YES, ANY, ANY, ANY, ANY, ANY, STATE_MISCONFIGURED },
        { NO, YES, ANY, ANY, ANY, ANY, STATE_RETIRED },
        { NO, NO, YES, ANY, ANY, ANY, STATE_REVOKED },
        { NO, NO, NO, NO, ANY, ANY, STATE_UNAVAILABLE },
        { NO, NO, NO, YES, NO, ANY, STATE_EMPTY },
        { NO, NO, NO, YES, YES, YES, STATE_EXPIRED },
        { NO, NO, NO, YES, YES, NO, STATE_READY },
    };

    for (unsigned bits = 0; bits < 64; bits++) {
        const int given[6] = { (bits & 1) != 0, (bits & 2) != 0,  (bits & 4) != 0,
                               (bits & 8) != 0, (bits & 16) != 0, (bits & 32) != 0 };
        StandingFacts facts = facts_of(bits);
        unsigned matches = 0;
        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
            const int wanted[6] = { rows[i].misconfigured, rows[i].retired,    rows[i].revoked,
                                    rows[i].usable,        rows[i].generation, rows[i].expired };
            bool fits = true;
            for (size_t j = 0; j < 6; j++)
                fits = fits && (wanted[j] == ANY || wanted[j] == given[j]);
            if (!fits)
                continue;
            matches++;
            assert_int_equal(standing_state(&facts), rows[i].state);
        }
        assert_int_equal(matches, 1);
    }
}

/* What the table has no way for, and rightly so: a certificate comes only with EVENT_INSTALLED, and only a generation
 * that was committed leads out of `retired`; a generation does not go away from under what has one. */
static bool contradicts(IdentityState state, IdentityState wanted) {
    switch (state) {
    case STATE_EMPTY:
        return wanted == STATE_READY || wanted == STATE_EXPIRED;
    case STATE_READY:
    case STATE_EXPIRED:
    case STATE_REVOKED:
        return wanted == STATE_EMPTY;
    case STATE_RETIRED:
        return wanted != STATE_MISCONFIGURED;
    default:
        return false;
    }
}

/* Where a path may pass through `ready` without ending there: the end of a hold says `ready` whatever else is true, and
 * the next event of the same evaluation takes it back before anybody is told. */
static bool may_pass_ready(IdentityState from, IdentityState to) {
    return from == STATE_REVOKED && (to == STATE_UNAVAILABLE || to == STATE_EXPIRED);
}

static void events_lead_there(void **state) {
    unsigned stopped = 0, passed = 0, longest = 0;

    for (int s = 0; s < _STATE_COUNT; s++)
        for (unsigned bits = 0; bits < 64; bits++) {
            StandingFacts facts = facts_of(bits);
            IdentityState at = (IdentityState) s, wanted = standing_state(&facts);
            unsigned steps = 0;
            bool signs = false;
            for (IdentityEvent event; standing_event(at, &facts, &event); steps++) {
                assert_true(steps < STANDING_EVENTS_MAX);
                assert_int_not_equal(event, EVENT_INSTALLED);
                signs = signs || (steps > 0 && identity_state_signs(at));
                IdentityState next = identity_state_next(at, event);
                assert_int_not_equal(next, _STATE_INVALID);
                assert_int_not_equal(next, at);
                at = next;
            }
            longest = steps > longest ? steps : longest;
            if (signs && !may_pass_ready((IdentityState) s, wanted))
                fail_msg("%s to %s passes through a state that signs", identity_state_to_string((IdentityState) s),
                         identity_state_to_string(wanted));
            passed += signs;
            if (at == wanted)
                continue;
            if (!contradicts((IdentityState) s, wanted) || at != (IdentityState) s)
                fail_msg("%s never becomes %s, but stops at %s", identity_state_to_string((IdentityState) s),
                         identity_state_to_string(wanted), identity_state_to_string(at));
            stopped++;
        }
    /* What is listed above does occur. Of 64 facts 1 makes ready, 1 expired, 2 empty, 4 unavailable, 8 revoked. */
    assert_int_equal(stopped, (1 + 1) + 2 + 2 + 2 + 16);
    assert_int_equal(passed, 4 + 1);
    assert_int_equal(longest, 2);
}

/* An event is said only where it changes something, and `ret` only then. */
static void nothing_is_said_at_rest(void **state) {
    for (unsigned bits = 0; bits < 64; bits++) {
        StandingFacts facts = facts_of(bits);
        IdentityEvent event = _EVENT_COUNT;
        assert_false(standing_event(standing_state(&facts), &facts, &event));
        assert_int_equal(event, _EVENT_COUNT);
    }
}

/* The words in the log are those of what happened. */
static void the_event_says_why(void **state) {
    static const struct {
        IdentityState from;
        unsigned bits;
        IdentityEvent event;
    } rows[] = {
        { STATE_READY, 8 | 16 | 32, EVENT_EXPIRED },
        { STATE_EXPIRED, 8 | 16, EVENT_UNEXPIRED },
        { STATE_READY, 4 | 8 | 16, EVENT_REVOKED },
        { STATE_REVOKED, 8 | 16, EVENT_HOLD_ENDED },
        { STATE_READY, 16, EVENT_TPM_LOST },
        { STATE_UNAVAILABLE, 8, EVENT_TPM_BACK_EMPTY },
        { STATE_UNAVAILABLE, 8 | 16, EVENT_TPM_BACK_READY },
        { STATE_UNAVAILABLE, 8 | 16 | 32, EVENT_TPM_BACK_EXPIRED },
        { STATE_UNAVAILABLE, 4 | 8 | 16, EVENT_TPM_BACK_REVOKED },
        { STATE_UNAVAILABLE, 2, EVENT_RETIRED },
        { STATE_READY, 1 | 8 | 16, EVENT_MISCONFIGURED },
        { STATE_MISCONFIGURED, 8 | 16, EVENT_CONFIGURED },
        { STATE_MISCONFIGURED, 2, EVENT_CONFIGURED },
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        StandingFacts facts = facts_of(rows[i].bits);
        IdentityEvent event;
        assert_true(standing_event(rows[i].from, &facts, &event));
        assert_string_equal(identity_event_to_string(event), identity_event_to_string(rows[i].event));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_facts_amount_to),
        cmocka_unit_test(events_lead_there),
        cmocka_unit_test(nothing_is_said_at_rest),
        cmocka_unit_test(the_event_says_why),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
