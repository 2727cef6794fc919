/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What an answer has to look like before the TSS reads it. tpm2-tss before 4.2.0 goes by the sizes in an answer: it
 * reads what an earlier answer left where this one is shorter than it claims, passes over what fails inside a sized
 * structure, and hands sizes on unchecked; and no version asks whether a TPM2B was used up by what is in it
 * (docs/facts.md, "TPM"). So each answer is walked here once, by the table of the commands that we send, and every area
 * of it has to end where its size says.
 *
 * The structures themselves are read with the functions of tss2-mu, each within the bytes that are its own: those
 * compare each count and each size with what they fill. TPM 2.0 Library Part 1 §18 (structure of answers), Part 3
 * (commands). */
#include "tpm/internal.h"

#include <string.h>
#include <tss2/tss2_mu.h>

#define HEADER_SIZE    10U
#define HANDLE_SIZE    4U
#define PARAMETERS_MAX 5U

/* ---- reading ---- */

static bool take(BytesView *rest, size_t size, BytesView *ret) {
    if (rest->size < size)
        return false;
    *ret = (BytesView) { rest->data, size };
    *rest = (BytesView) { rest->data + size, rest->size - size };
    return true;
}

static bool take_number(BytesView *rest, size_t size, uint32_t *ret) {
    BytesView bytes;

    if (!take(rest, size, &bytes))
        return false;
    *ret = 0;
    for (size_t i = 0; i < size; i++)
        *ret = *ret << 8 | bytes.data[i];
    return true;
}

static bool take_sized(BytesView *rest, size_t maximum, BytesView *ret) {
    uint32_t size;

    return take_number(rest, 2, &size) && size <= maximum && take(rest, size, ret);
}

/* ---- parameters ---- */

typedef bool (*TakeParameter)(BytesView *rest);

/* A TPM2B of plain bytes: no more than there is room for where ESYS puts them. */
#define SIZED_BYTES(type, member)                                                                                      \
    static bool take_##type(BytesView *rest) {                                                                         \
        BytesView content;                                                                                             \
        return take_sized(rest, sizeof((type *) NULL)->member, &content);                                              \
    }

/* A structure without a size of its own. */
#define STRUCTURE(type)                                                                                                \
    static bool take_##type(BytesView *rest) {                                                                         \
        type value;                                                                                                    \
        BytesView taken;                                                                                               \
        size_t offset = 0;                                                                                             \
        return Tss2_MU_##type##_Unmarshal(rest->data, rest->size, &offset, &value) == TSS2_RC_SUCCESS &&               \
               take(rest, offset, &taken);                                                                             \
    }

/* A TPM2B of a structure, which has to fill it. */
#define SIZED_STRUCTURE(type)                                                                                          \
    STRUCTURE(type)                                                                                                    \
    static bool take_sized_##type(BytesView *rest) {                                                                   \
        BytesView content;                                                                                             \
        return take_sized(rest, sizeof(type), &content) && take_##type(&content) && content.size == 0;                 \
    }

SIZED_BYTES(TPM2B_DIGEST, buffer)
SIZED_BYTES(TPM2B_MAX_NV_BUFFER, buffer)
SIZED_BYTES(TPM2B_NAME, name)
SIZED_BYTES(TPM2B_NONCE, buffer)
SIZED_BYTES(TPM2B_PRIVATE, buffer)
SIZED_STRUCTURE(TPMS_CREATION_DATA)
SIZED_STRUCTURE(TPMS_NV_PUBLIC)
SIZED_STRUCTURE(TPMT_PUBLIC)
STRUCTURE(TPMS_CAPABILITY_DATA)
STRUCTURE(TPMT_SIGNATURE)
STRUCTURE(TPMT_TK_CREATION)

static bool take_yes_no(BytesView *rest) {
    uint32_t value;

    return take_number(rest, 1, &value) && value <= 1;
}

/* ---- the commands that we send ---- */

typedef enum HandleKind { HANDLE_NONE, HANDLE_TRANSIENT, HANDLE_SESSION } HandleKind;

typedef struct Shape {
    TPM2_CC command;
    unsigned int command_handles; /* before the authorizations */
    HandleKind handle;            /* in the answer */
    TakeParameter parameters[PARAMETERS_MAX];
} Shape;

static const Shape shapes[] = {
    { TPM2_CC_Startup, 0, HANDLE_NONE, { NULL } },
    { TPM2_CC_GetCapability, 0, HANDLE_NONE, { take_yes_no, take_TPMS_CAPABILITY_DATA } },
    { TPM2_CC_ReadPublic, 1, HANDLE_NONE, { take_sized_TPMT_PUBLIC, take_TPM2B_NAME, take_TPM2B_NAME } },
    { TPM2_CC_CreatePrimary,
      1,
      HANDLE_TRANSIENT,
      { take_sized_TPMT_PUBLIC, take_sized_TPMS_CREATION_DATA, take_TPM2B_DIGEST, take_TPMT_TK_CREATION,
        take_TPM2B_NAME } },
    { TPM2_CC_Create,
      1,
      HANDLE_NONE,
      { take_TPM2B_PRIVATE, take_sized_TPMT_PUBLIC, take_sized_TPMS_CREATION_DATA, take_TPM2B_DIGEST,
        take_TPMT_TK_CREATION } },
    { TPM2_CC_Load, 1, HANDLE_TRANSIENT, { take_TPM2B_NAME } },
    { TPM2_CC_Sign, 1, HANDLE_NONE, { take_TPMT_SIGNATURE } },
    { TPM2_CC_EvictControl, 2, HANDLE_NONE, { NULL } },
    { TPM2_CC_FlushContext, 0, HANDLE_NONE, { NULL } },
    { TPM2_CC_StartAuthSession, 2, HANDLE_SESSION, { take_TPM2B_NONCE } },
    { TPM2_CC_HashSequenceStart, 0, HANDLE_TRANSIENT, { NULL } },
    { TPM2_CC_NV_ReadPublic, 1, HANDLE_NONE, { take_sized_TPMS_NV_PUBLIC, take_TPM2B_NAME } },
    { TPM2_CC_NV_Read, 2, HANDLE_NONE, { take_TPM2B_MAX_NV_BUFFER } },
};

static const Shape *shape_of(uint32_t command) {
    for (size_t i = 0; i < ARRAY_LENGTH(shapes); i++)
        if (shapes[i].command == command)
            return &shapes[i];
    return NULL;
}

typedef struct Header {
    uint32_t tag, size, code; /* of a command or of an answer */
} Header;

static bool take_header(BytesView *rest, Header *ret) {
    size_t size = rest->size;

    return take_number(rest, 2, &ret->tag) && take_number(rest, 4, &ret->size) && take_number(rest, 4, &ret->code) &&
           ret->size == size;
}

/* One session's part of a command, or of an answer, where no handle stands before it. */
static bool take_session(BytesView *rest, bool is_command) {
    BytesView nonce, hmac;
    uint32_t handle, attributes;

    return (!is_command || take_number(rest, HANDLE_SIZE, &handle)) &&
           take_sized(rest, sizeof((TPM2B_NONCE *) NULL)->buffer, &nonce) && take_number(rest, 1, &attributes) &&
           take_sized(rest, sizeof((TPM2B_AUTH *) NULL)->buffer, &hmac);
}

/* How many sessions a command has, whose header was taken; false: it is not one of ours. */
static bool count_sessions(const Shape *shape, const Header *header, BytesView rest, unsigned int *ret) {
    BytesView handles, sessions;
    uint32_t size;

    *ret = 0;
    if (header->tag == TPM2_ST_NO_SESSIONS)
        return true;
    if (header->tag != TPM2_ST_SESSIONS || !take(&rest, shape->command_handles * (size_t) HANDLE_SIZE, &handles) ||
        !take_number(&rest, 4, &size) || !take(&rest, size, &sessions))
        return false;
    for (; sessions.size > 0; (*ret)++)
        if (!take_session(&sessions, true))
            return false;
    return *ret > 0;
}

/* ---- answers ---- */

static const char *handle_fault(HandleKind kind, BytesView *rest) {
    uint32_t handle, type;

    if (kind == HANDLE_NONE)
        return NULL;
    if (!take_number(rest, HANDLE_SIZE, &handle))
        return "it ends before its handle";
    type = handle >> TPM2_HR_SHIFT;
    if (type != (kind == HANDLE_TRANSIENT ? TPM2_HT_TRANSIENT : TPM2_HT_HMAC_SESSION))
        return "its handle is of another kind than the command makes";
    return NULL;
}

static const char *parameters_fault(const Shape *shape, BytesView parameters) {
    for (size_t i = 0; i < PARAMETERS_MAX && shape->parameters[i]; i++)
        if (!shape->parameters[i](&parameters))
            return "a parameter in it is longer than the place for it, or is not what the command answers";
    return parameters.size > 0 ? "it has more parameters than the command answers" : NULL;
}

static const char *areas_fault(const Shape *shape, unsigned int sessions, BytesView rest) {
    const char *fault = handle_fault(shape->handle, &rest);
    BytesView parameters = rest;
    uint32_t size;

    if (fault)
        return fault;
    if (sessions > 0) {
        if (!take_number(&rest, 4, &size) || !take(&rest, size, &parameters))
            return "its parameters are longer than it";
        for (unsigned int i = 0; i < sessions; i++)
            if (!take_session(&rest, false))
                return "a session's part of it is longer than it, or than the place for it";
        if (rest.size > 0)
            return "it goes on behind the parts of the sessions";
    }
    return parameters_fault(shape, parameters);
}

bool tpm_answer_is_foreseen(BytesView command) {
    Header header;

    return take_header(&command, &header) && shape_of(header.code);
}

const char *tpm_answer_fault(BytesView command, BytesView answer) {
    Header asked, answered;
    unsigned int sessions;

    if (!take_header(&command, &asked) || !shape_of(asked.code) ||
        !count_sessions(shape_of(asked.code), &asked, command, &sessions))
        return "the command itself is not one that is sent from here";
    if (!take_header(&answer, &answered))
        return "it is not as long as its header says";
    if (answered.code != TPM2_RC_SUCCESS) /* Part 1 §18.5: then there is a header and no more */
        return answered.tag == TPM2_ST_NO_SESSIONS && answer.size == 0 ? NULL
                                                                       : "it says that the command failed, and goes on";
    if (answered.tag != asked.tag)
        return "it has sessions where the command had none, or none where it had some";
    return areas_fault(shape_of(asked.code), sessions, answer);
}
