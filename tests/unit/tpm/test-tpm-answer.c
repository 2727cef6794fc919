/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which answers reach the TSS. What a real TPM answers to all that we send passes, and nothing that differs from that
 * in a size, a count or a place does. */
#include "support.h"

#include "tpm/internal.h"

#include <stdio.h>
#include <string.h>

#define HEADER 10U

/* ---- what a real TPM answered ---- */

typedef struct Pair {
    Bytes command, answer;
} Pair;

static Pair pairs[256];
static size_t pair_count;

const char *__real_tpm_answer_fault(BytesView command, BytesView answer);
const char *__wrap_tpm_answer_fault(BytesView command, BytesView answer);

/* Keeps what passes, so that it can be changed. */
const char *__wrap_tpm_answer_fault(BytesView command, BytesView answer) {
    const char *fault = __real_tpm_answer_fault(command, answer);

    if (!fault && pair_count < ARRAY_LENGTH(pairs)) {
        assert_int_equal(bytes_copy(command, &pairs[pair_count].command), 0);
        assert_int_equal(bytes_copy(answer, &pairs[pair_count].answer), 0);
        pair_count++;
    }
    return fault;
}

static uint32_t number_at(const Bytes *bytes, size_t at, size_t size) {
    uint32_t value = 0;

    for (size_t i = 0; i < size; i++)
        value = value << 8 | bytes->data[at + i];
    return value;
}

static void set_number(Bytes *bytes, size_t at, size_t size, uint32_t value) {
    for (size_t i = 0; i < size; i++)
        bytes->data[at + i] = (uint8_t) (value >> (8 * (size - 1 - i)));
}

static bool has_succeeded(const Pair *pair) {
    return number_at(&pair->answer, 6, 4) == TPM2_RC_SUCCESS;
}

/* One whose answer is longer than its header, or any at all where `is_bare`. */
static const Pair *pair_of(TPM2_CC command) {
    for (size_t i = 0; i < pair_count; i++)
        if (number_at(&pairs[i].command, 6, 4) == command && has_succeeded(&pairs[i]))
            return &pairs[i];
    fail_msg("no answer to 0x%x was seen", command);
    return NULL;
}

static const char *fault_of(const Pair *pair) {
    return __real_tpm_answer_fault(bytes_view(&pair->command), bytes_view(&pair->answer));
}

static void pair_clear(Pair *pair) {
    bytes_clear(&pair->command);
    bytes_clear(&pair->answer);
}

static Pair copy_of(TPM2_CC command) {
    const Pair *pair = pair_of(command);
    Pair copy = { BYTES_NULL, BYTES_NULL };

    assert_int_equal(bytes_copy(bytes_view(&pair->command), &copy.command), 0);
    assert_int_equal(bytes_copy(bytes_view(&pair->answer), &copy.answer), 0);
    return copy;
}

/* Everything that is sent from here, to one TPM: making a key, signing in each way, the device ID of both kinds. */
static int live(void **state) {
    _cleanup_swtpm_ Swtpm *makers = NULL, *plain = NULL;
    _cleanup_tpm_ Tpm *tpm = NULL, *other = NULL;
    _cleanup_tpm_key_ TpmKey *key = NULL, *rsa = NULL;
    TpmInformation information;

    if (swtpm_new_with_certificates(&makers) < 0 || swtpm_new(&plain) < 0)
        return -1;
    tpm = open_tpm(makers);
    key = create_key(tpm, KEY_ECDSA_P256);
    for (int i = 0; i < 3; i++) {
        const struct timespec pause = { .tv_nsec = 3000000L }; /* so that signatures are guarded */
        (void) nanosleep(&pause, NULL);
        sign(tpm, key);
    }
    assert_success(tpm_probe(tpm, NULL, &information, failure));
    assert_int_equal(swtpm_reset(plain, false), 0); /* nobody has started it: we do */
    other = open_tpm(plain);
    rsa = create_key(other, KEY_RSA_2048);
    sign_and_verify(other, rsa, "rsa_pss_rsae_sha256");
    assert_success(tpm_probe(other, NULL, &information, failure));
    return 0;
}

static int forget(void **state) {
    for (size_t i = 0; i < pair_count; i++)
        pair_clear(&pairs[i]);
    return 0;
}

static const TPM2_CC commands[] = {
    TPM2_CC_Startup,       TPM2_CC_GetCapability,    TPM2_CC_ReadPublic,
    TPM2_CC_CreatePrimary, TPM2_CC_Create,           TPM2_CC_Load,
    TPM2_CC_Sign,          TPM2_CC_EvictControl,     TPM2_CC_FlushContext,
    TPM2_CC_NV_ReadPublic, TPM2_CC_StartAuthSession, TPM2_CC_HashSequenceStart,
    TPM2_CC_NV_Read,
};

static void every_command_is_foreseen(void **state) {
    for (size_t i = 0; i < ARRAY_LENGTH(commands); i++) {
        const Pair *pair = pair_of(commands[i]);
        assert_true(tpm_answer_is_foreseen(bytes_view(&pair->command)));
        assert_null(fault_of(pair));
    }
}

/* ---- what is refused ---- */

/* Cut off at each byte, the header as it was or mended; and one byte more. */
static void no_other_length(void **state) {
    for (size_t i = 0; i < ARRAY_LENGTH(commands); i++) {
        const Pair *pair = pair_of(commands[i]);
        for (size_t size = 0; size <= pair->answer.size + 1; size++) {
            uint8_t *copy = calloc(1, size + 1); /* so that a byte read beyond the end is seen */
            Pair changed = { pair->command, { copy, size } };
            if (size == pair->answer.size) {
                free(copy);
                continue;
            }
            memcpy(copy, pair->answer.data, size < pair->answer.size ? size : pair->answer.size);
            assert_non_null(fault_of(&changed));
            if (size >= HEADER) {
                set_number(&changed.answer, 2, 4, (uint32_t) size);
                assert_non_null(fault_of(&changed));
            }
            free(copy);
        }
    }
}

/* Each number of two bytes in an answer, one larger: those that are a size, a count or a kind are noticed, and none
 * makes the check itself read past the end. */
static void sizes_are_compared(void **state) {
    for (size_t i = 0; i < ARRAY_LENGTH(commands); i++) {
        Pair copy = copy_of(commands[i]);
        for (size_t at = 0; at + 2 <= copy.answer.size; at++) {
            uint32_t before = number_at(&copy.answer, at, 2);
            static const uint32_t others[] = { 0, 1, 0x7fff, 0xffff };
            for (size_t k = 0; k < ARRAY_LENGTH(others); k++) {
                set_number(&copy.answer, at, 2, others[k]);
                (void) fault_of(&copy);
            }
            set_number(&copy.answer, at, 2, before);
        }
        pair_clear(&copy);
    }
}

/* Changes `size` bytes of the answer at `at`. */
static void refuse(TPM2_CC command, size_t at, size_t size, uint32_t value, const char *part) {
    Pair copy = copy_of(command);

    assert_true(at + size <= copy.answer.size);
    assert_int_not_equal(number_at(&copy.answer, at, size), value);
    set_number(&copy.answer, at, size, value);
    const char *fault = fault_of(&copy);
    if (!fault || !strstr(fault, part))
        fail_msg("0x%x, %zu: %s", command, at, fault ? fault : "taken");
    pair_clear(&copy);
}

static void parameter_sizes(void **state) {
    static const TPM2_CC with_sessions[] = { TPM2_CC_Create, TPM2_CC_Sign, TPM2_CC_NV_Read };

    for (size_t i = 0; i < ARRAY_LENGTH(with_sessions); i++) {
        uint32_t right = number_at(&pair_of(with_sessions[i])->answer, HEADER, 4);
        refuse(with_sessions[i], HEADER, 4, 0xffffffffU, "longer than it");
        refuse(with_sessions[i], HEADER, 4, right + 0x01000000U, "longer than it");
        refuse(with_sessions[i], HEADER, 4, right + 1, "");
        refuse(with_sessions[i], HEADER, 4, right - 1, "");
        refuse(with_sessions[i], HEADER, 4, 0, "");
    }
    refuse(TPM2_CC_CreatePrimary, HEADER + 4, 4, 0xffffffffU, "longer than it");
}

static void sessions_parts(void **state) {
    uint32_t parameters = number_at(&pair_of(TPM2_CC_Create)->answer, HEADER, 4);
    size_t session = HEADER + 4 + parameters;

    refuse(TPM2_CC_Create, session, 2, 0xffff, "session's part");
    refuse(TPM2_CC_Create, session, 2, 65, "session's part");
    refuse(TPM2_CC_Create, session, 2, 0, "");
    refuse(TPM2_CC_Create, session + 2 + 32 + 1, 2, 0xffff, "session's part");
    refuse(TPM2_CC_Create, session + 2 + 32 + 1, 2, 31, "behind the parts");
}

static void tags_and_codes(void **state) {
    refuse(TPM2_CC_Sign, 0, 2, TPM2_ST_NO_SESSIONS, "sessions");
    refuse(TPM2_CC_GetCapability, 0, 2, TPM2_ST_SESSIONS, "sessions");
    refuse(TPM2_CC_GetCapability, 0, 2, 0x1234, "sessions");
    refuse(TPM2_CC_Sign, 6, 4, TPM2_RC_FAILURE, "goes on");
    refuse(TPM2_CC_Startup, 0, 2, TPM2_ST_SESSIONS, "sessions");

    Pair copy = copy_of(TPM2_CC_Startup);
    set_number(&copy.answer, 6, 4, TPM2_RC_FAILURE);
    assert_null(fault_of(&copy)); /* an error that is nothing but that */
    set_number(&copy.answer, 0, 2, TPM2_ST_SESSIONS);
    assert_non_null(fault_of(&copy));
    pair_clear(&copy);
}

static void handles(void **state) {
    static const uint32_t wrong[] = { 0x81000001U, 0x40000001U, 0x01c00002U, 0x03000000U };

    for (size_t i = 0; i < ARRAY_LENGTH(wrong); i++) {
        refuse(TPM2_CC_Load, HEADER, 4, wrong[i], "another kind");
        refuse(TPM2_CC_CreatePrimary, HEADER, 4, wrong[i], "another kind");
        refuse(TPM2_CC_HashSequenceStart, HEADER, 4, wrong[i], "another kind");
        refuse(TPM2_CC_StartAuthSession, HEADER, 4, wrong[i], "another kind");
    }
    refuse(TPM2_CC_StartAuthSession, HEADER, 4, 0x80000000U, "another kind");
    refuse(TPM2_CC_Load, HEADER, 4, 0x02000000U, "another kind");
}

static void parameters(void **state) {
    uint32_t public = number_at(&pair_of(TPM2_CC_ReadPublic)->answer, HEADER, 2);

    refuse(TPM2_CC_GetCapability, HEADER, 1, 2, "parameter");            /* neither yes nor no */
    refuse(TPM2_CC_GetCapability, HEADER + 1, 4, 0x77, "parameter");     /* no such capability */
    refuse(TPM2_CC_GetCapability, HEADER + 5, 4, 0x10000, "parameter");  /* more than there is room for */
    refuse(TPM2_CC_GetCapability, HEADER + 5, 4, 1, "more parameters");  /* fewer than there are */
    refuse(TPM2_CC_StartAuthSession, HEADER + 4, 2, 65, "parameter");    /* a nonce longer than any digest */
    refuse(TPM2_CC_Sign, HEADER + 4, 2, 0x1234, "parameter");            /* no such signature */
    refuse(TPM2_CC_Sign, HEADER + 4 + 4, 2, 0xffff, "parameter");        /* r longer than an integer of a curve */
    refuse(TPM2_CC_ReadPublic, HEADER, 2, public - 1, "parameter");      /* what it holds is longer than it */
    refuse(TPM2_CC_ReadPublic, HEADER, 2, public + 1, "parameter");      /* … or shorter: no tpm2-tss asks */
    refuse(TPM2_CC_ReadPublic, HEADER + 2, 2, 0x1234, "parameter");      /* no such type */
    refuse(TPM2_CC_ReadPublic, HEADER + 2 + 8, 2, 0xffff, "parameter");  /* a policy */
    refuse(TPM2_CC_ReadPublic, HEADER + 2 + public, 2, 69, "parameter"); /* a Name */
    refuse(TPM2_CC_NV_ReadPublic, HEADER, 2, 0xffff, "parameter");
    refuse(TPM2_CC_NV_Read, HEADER + 4, 2, 2049, "parameter"); /* more than is read at a time */
}

/* Where the answer is long enough for a size that is too large, too. */
static void sized_bytes_have_a_maximum(void **state) {
    Pair copy = copy_of(TPM2_CC_StartAuthSession);
    static const uint8_t more[64];

    assert_int_equal(bytes_append(&copy.answer, (BytesView) { more, sizeof more }), 0);
    set_number(&copy.answer, 2, 4, (uint32_t) copy.answer.size);
    set_number(&copy.answer, HEADER + 4, 2, (uint32_t) copy.answer.size - HEADER - 6);
    assert_non_null(strstr(fault_of(&copy), "parameter"));
    pair_clear(&copy);
}

static void other_commands(void **state) {
    Pair copy = copy_of(TPM2_CC_Startup);

    set_number(&copy.command, 6, 4, TPM2_CC_Clear);
    assert_false(tpm_answer_is_foreseen(bytes_view(&copy.command)));
    assert_non_null(strstr(fault_of(&copy), "the command itself"));
    copy.command.size = 5;
    assert_false(tpm_answer_is_foreseen(bytes_view(&copy.command)));
    pair_clear(&copy);

    copy = copy_of(TPM2_CC_Sign);
    set_number(&copy.command, HEADER + 4, 4, 0xffff); /* of the authorizations */
    assert_non_null(strstr(fault_of(&copy), "the command itself"));
    set_number(&copy.command, HEADER + 4, 4, 0);
    assert_non_null(strstr(fault_of(&copy), "the command itself"));
    set_number(&copy.command, HEADER + 4, 4, 3);
    assert_non_null(strstr(fault_of(&copy), "the command itself"));
    pair_clear(&copy);
}

/* ---- on the way ---- */

typedef struct Inner {
    TSS2_TCTI_CONTEXT_COMMON_V2 common;
    const uint8_t *answer;
    size_t size;
    unsigned int sent, received;
} Inner;

static TSS2_RC inner_transmit(TSS2_TCTI_CONTEXT *context, size_t size, const uint8_t *command) {
    ((Inner *) context)->sent++;
    return TSS2_RC_SUCCESS;
}

static TSS2_RC inner_receive(TSS2_TCTI_CONTEXT *context, size_t *size, uint8_t *answer, int32_t timeout) {
    Inner *inner = (Inner *) context;

    inner->received++;
    if (!inner->answer)
        return TSS2_TCTI_RC_IO_ERROR;
    assert_true(*size >= inner->size);
    memcpy(answer, inner->answer, inner->size);
    *size = inner->size;
    return TSS2_RC_SUCCESS;
}

static void answers_are_handed_on_once(void **state) {
    const Pair *pair = pair_of(TPM2_CC_Startup);
    Inner inner = {
        .common = { .v1 = { .version = 2, .transmit = inner_transmit, .receive = inner_receive } },
        .answer = pair->answer.data,
        .size = pair->answer.size,
    };
    TpmAnswers answers;
    TSS2_TCTI_CONTEXT *outer = tpm_answers_open(&answers, (TSS2_TCTI_CONTEXT *) &inner);
    uint8_t answer[64];
    size_t size = 0;

    assert_int_equal(Tss2_Tcti_Transmit(outer, pair->command.size, pair->command.data), TSS2_RC_SUCCESS);
    assert_int_equal(Tss2_Tcti_Receive(outer, &size, NULL, -1), TSS2_RC_SUCCESS);
    assert_int_equal(size, HEADER);
    size = HEADER - 1;
    assert_int_equal(Tss2_Tcti_Receive(outer, &size, answer, -1), TSS2_TCTI_RC_INSUFFICIENT_BUFFER);
    size = sizeof answer;
    assert_int_equal(Tss2_Tcti_Receive(outer, &size, answer, -1), TSS2_RC_SUCCESS);
    assert_int_equal(size, HEADER);
    assert_memory_equal(answer, pair->answer.data, HEADER);
    assert_int_equal(inner.received, 1);

    inner.size = HEADER - 1;
    assert_int_equal(Tss2_Tcti_Transmit(outer, pair->command.size, pair->command.data), TSS2_RC_SUCCESS);
    assert_int_equal(Tss2_Tcti_Receive(outer, &size, NULL, -1), TSS2_TCTI_RC_MALFORMED_RESPONSE);
    assert_non_null(strstr(answers.fault, "its header"));
    inner.answer = NULL;
    assert_int_equal(Tss2_Tcti_Transmit(outer, pair->command.size, pair->command.data), TSS2_RC_SUCCESS);
    assert_int_equal(Tss2_Tcti_Receive(outer, &size, NULL, -1), TSS2_TCTI_RC_IO_ERROR);
    assert_null(answers.fault);

    /* What no shape is known for never leaves. */
    assert_int_equal(inner.sent, 3);
    assert_int_equal(Tss2_Tcti_Transmit(outer, 4, pair->command.data), TSS2_TCTI_RC_MALFORMED_RESPONSE);
    assert_non_null(strstr(answers.fault, "no shape"));
    assert_int_equal(inner.sent, 3);
}

/* The size of the parameters of Create, as something between us and the TPM may change it: ESYS would say no more than
 * that the answer is malformed. */
static void the_reason_is_told(void **state) {
    _cleanup_swtpm_ Swtpm *swtpm = NULL;
    _cleanup_tpm_ Tpm *tpm = NULL;
    _cleanup_tpm_key_ TpmKey *key = NULL;
    char control[256], tcti[512];
    FILE *file;

    assert_int_equal(swtpm_new(&swtpm), 0);
    (void) snprintf(control, sizeof control, "%s/faults", swtpm_directory(swtpm));
    (void) snprintf(tcti, sizeof tcti, "%s:%s,%s", TCTI_FAULT_PATH, control, swtpm_tcti(swtpm));
    file = fopen(control, "we");
    assert_non_null(file);
    assert_true(fputs("Create flip 10\n", file) >= 0);
    assert_int_equal(fclose(file), 0);
    tpm = open_tcti(tcti);
    assert_failure(tpm_key_create_under(tpm, KEY_ECDSA_P256, ANY_PARENT, &key, failure), FAILURE_TPM_UNAVAILABLE,
                   "failed: the answer was refused since its parameters are longer than it; check TCTI=");
    assert_null(key);
    assert_int_equal(remove(control), 0);
    key = create_key(tpm, KEY_ECDSA_P256);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_command_is_foreseen),
        cmocka_unit_test(no_other_length),
        cmocka_unit_test(sizes_are_compared),
        cmocka_unit_test(parameter_sizes),
        cmocka_unit_test(sessions_parts),
        cmocka_unit_test(tags_and_codes),
        cmocka_unit_test(handles),
        cmocka_unit_test(parameters),
        cmocka_unit_test(sized_bytes_have_a_maximum),
        cmocka_unit_test(other_commands),
        cmocka_unit_test(answers_are_handed_on_once),
        cmocka_unit_test(the_reason_is_told),
    };

    return cmocka_run_group_tests(tests, live, forget);
}
