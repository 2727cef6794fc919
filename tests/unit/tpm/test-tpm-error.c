/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Response codes to classes: every code that docs/facts.md, "TPM" names, with the layers and positions in which it
 * comes. */
#include "support.h"

#include "tpm/error.h"

#include <string.h>

static void classes(void **state) {
    static const struct {
        TSS2_RC rc;
        TpmErrorClass class;
    } cases[] = {
        { 0x0, TPM_ERROR_NONE },
        { 0x922, TPM_ERROR_BUSY },     /* RETRY */
        { 0x908, TPM_ERROR_BUSY },     /* YIELDED */
        { 0x90a, TPM_ERROR_BUSY },     /* TESTING */
        { 0x909, TPM_ERROR_BUSY },     /* CANCELED */
        { 0x920, TPM_ERROR_BUSY },     /* NV_RATE */
        { 0x923, TPM_ERROR_BUSY },     /* NV_UNAVAILABLE */
        { 0xb0922, TPM_ERROR_BUSY },   /* through a resource manager */
        { 0x902, TPM_ERROR_MEMORY },   /* OBJECT_MEMORY */
        { 0x903, TPM_ERROR_MEMORY },   /* SESSION_MEMORY */
        { 0x905, TPM_ERROR_MEMORY },   /* SESSION_HANDLES */
        { 0x906, TPM_ERROR_MEMORY },   /* OBJECT_HANDLES */
        { 0x901, TPM_ERROR_MEMORY },   /* CONTEXT_GAP */
        { 0xc0902, TPM_ERROR_MEMORY }, /* the resource manager's own */
        { 0x100, TPM_ERROR_STALE },    /* INITIALIZE */
        { 0x910, TPM_ERROR_STALE },    /* REFERENCE_H0 */
        { 0x916, TPM_ERROR_STALE },    /* REFERENCE_H6 */
        { 0x918, TPM_ERROR_STALE },    /* REFERENCE_S0 */
        { 0x18b, TPM_ERROR_STALE },    /* HANDLE, handle 1 */
        { 0x1cb, TPM_ERROR_STALE },    /* HANDLE, parameter 1: flushing what is gone */
        { 0x184, TPM_ERROR_STALE },    /* VALUE, handle 1: from tpm2-abrmd */
        { 0xb018b, TPM_ERROR_STALE },
        { 0xa000a, TPM_ERROR_TRANSPORT }, /* swtpm killed: once … */
        { 0x70007, TPM_ERROR_TRANSPORT }, /* … and then for ever */
        { 0x70018, TPM_ERROR_TRANSPORT },
        { 0x921, TPM_ERROR_LOCKOUT },
        { 0x9a2, TPM_ERROR_AUTHORIZATION }, /* BAD_AUTH, session 1 */
        { 0x98e, TPM_ERROR_AUTHORIZATION }, /* AUTH_FAIL, session 1 */
        { 0x14b, TPM_ERROR_NV_FULL },
        { 0x143, TPM_ERROR_REFUSED },   /* COMMAND_CODE */
        { 0xb0143, TPM_ERROR_REFUSED }, /* the same as Linux says it */
        { 0x1df, TPM_ERROR_REFUSED },   /* INTEGRITY, parameter 1 */
        { 0x2c4, TPM_ERROR_REFUSED },   /* VALUE, parameter 2 */
        { 0x185, TPM_ERROR_OTHER },     /* HIERARCHY disabled */
        { 0x101, TPM_ERROR_OTHER },     /* FAILURE */
        { 0x14c, TPM_ERROR_OTHER },     /* NV_DEFINED */
    };

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        Failure failure = FAILURE_INIT;

        if (tpm_error_class(cases[i].rc) != cases[i].class)
            fail_msg("0x%x: class %d, not %d", cases[i].rc, (int) tpm_error_class(cases[i].rc), (int) cases[i].class);
        if (cases[i].rc == 0)
            continue;
        assert_true(tpm_error_failure(&failure, cases[i].rc, "testing") < 0);
        assert_non_null(strstr(failure.text, "TPM: testing failed: "));
        assert_int_equal(failure.kind,
                         cases[i].class == TPM_ERROR_REFUSED ? FAILURE_INVALID_ARGUMENT : FAILURE_TPM_UNAVAILABLE);
    }
}

static void no_such_handle(void **state) {
    assert_true(tpm_error_is_no_such_handle(0x18b));
    assert_true(tpm_error_is_no_such_handle(0x1cb));
    assert_true(tpm_error_is_no_such_handle(0xb018b));
    assert_false(tpm_error_is_no_such_handle(0));
    assert_false(tpm_error_is_no_such_handle(0x910));
    assert_false(tpm_error_is_no_such_handle(0x7000b));
    assert_true(tpm_error_is_not_started(0x100));
    assert_true(tpm_error_is_not_started(0xb0100));
    assert_false(tpm_error_is_not_started(0x101));
}

/* Every value of every byte has a class and a text: nothing is out of the table. */
static void all_codes(void **state) {
    for (TSS2_RC layer = 0; layer < 16; layer++)
        for (TSS2_RC code = 1; code < 0x1000; code++) {
            Failure failure = FAILURE_INIT;
            assert_true(tpm_error_failure(&failure, layer << 16 | code, "x") < 0);
            assert_true(failure.kind == FAILURE_TPM_UNAVAILABLE || failure.kind == FAILURE_INVALID_ARGUMENT);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(classes),
        cmocka_unit_test(no_such_handle),
        cmocka_unit_test(all_codes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
