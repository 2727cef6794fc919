/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A TCTI between ESYS and the one that is configured. It takes each answer in whole and hands on only what answer.c
 * finds no fault with; anything else is an error of the transport, so that the epoch ends with it. */
#include "tpm/internal.h"

#include <string.h>

#define MAGIC   0x6964656e74747921ULL
#define VERSION 2U

static TpmAnswers *of_context(TSS2_TCTI_CONTEXT *context) {
    return (TpmAnswers *) context;
}

static TSS2_RC transmit(TSS2_TCTI_CONTEXT *context, size_t size, const uint8_t *command) {
    TpmAnswers *answers = of_context(context);

    answers->size = 0;
    answers->fault = NULL;
    if (size > sizeof answers->command || !tpm_answer_is_foreseen((BytesView) { command, size })) {
        answers->fault = "no shape is known for the answer to this command (a fault in identityd)";
        return TSS2_TCTI_RC_MALFORMED_RESPONSE;
    }
    memcpy(answers->command, command, size);
    answers->command_size = size;
    return Tss2_Tcti_Transmit(answers->inner, size, command);
}

/* The whole answer, once, whoever asks in how many pieces. */
static TSS2_RC fetch(TpmAnswers *answers, int32_t timeout) {
    size_t size = sizeof answers->answer;
    TSS2_RC rc;

    if (answers->size > 0)
        return TSS2_RC_SUCCESS;
    rc = Tss2_Tcti_Receive(answers->inner, &size, answers->answer, timeout);
    if (rc != TSS2_RC_SUCCESS)
        return rc;
    answers->fault = tpm_answer_fault((BytesView) { answers->command, answers->command_size },
                                      (BytesView) { answers->answer, size });
    if (answers->fault)
        return TSS2_TCTI_RC_MALFORMED_RESPONSE;
    answers->size = size;
    return TSS2_RC_SUCCESS;
}

static TSS2_RC receive(TSS2_TCTI_CONTEXT *context, size_t *size, uint8_t *answer, int32_t timeout) {
    TpmAnswers *answers = of_context(context);
    size_t room = *size;
    TSS2_RC rc = fetch(answers, timeout);

    if (rc != TSS2_RC_SUCCESS)
        return rc;
    *size = answers->size;
    if (!answer) /* asks how long it is */
        return TSS2_RC_SUCCESS;
    if (room < answers->size)
        return TSS2_TCTI_RC_INSUFFICIENT_BUFFER;
    memcpy(answer, answers->answer, answers->size);
    answers->size = 0;
    return TSS2_RC_SUCCESS;
}

TSS2_TCTI_CONTEXT *tpm_answers_open(TpmAnswers *answers, TSS2_TCTI_CONTEXT *inner) {
    memset(answers, 0, sizeof *answers);
    answers->common.v1.magic = MAGIC;
    answers->common.v1.version = VERSION;
    answers->common.v1.transmit = transmit;
    answers->common.v1.receive = receive;
    answers->inner = inner;
    return (TSS2_TCTI_CONTEXT *) &answers->common;
}
