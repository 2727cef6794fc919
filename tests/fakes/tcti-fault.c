/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A TCTI that misbehaves on demand: libtss2-tcti-fault.so, loaded by tctildr as
 *
 *     /path/to/libtss2-tcti-fault.so:CONTROL,INNER          e.g. …so:/tmp/x/control,swtpm:path=/tmp/x/socket
 *
 * It passes commands on to the TCTI named INNER, and does what the file CONTROL says (read anew for each command; an
 * absent one means nothing). Each line is
 *
 *     COMMAND ACTION [VALUE] [COUNT]
 *
 * COMMAND: Sign, Create, Load, … (the table below), a command code as 0x15d, or * for all. COUNT: so many times, then
 * the line is spent; without, always (an ACTION with COUNT and no VALUE takes 0 as VALUE). The first line that fits and
 * is not spent counts. Numbers as in C. Replace the file by rename(2): counts then start anew.
 *
 *     rc CODE        answers with this response code; the TPM never sees the command
 *     lost CODE      the TPM executes the command, but this response code is answered
 *     tcti CODE      the transport itself fails with this TSS2_RC
 *     delay MS       passes on and answers that much later
 *     hang           answers only when the line is gone from the file (COUNT is not for this one)
 *     garbage        answers 64 bytes of 0xa5
 *     truncate N     passes on, answers only the first N bytes
 *     flip N         passes on, inverts the lowest bit of byte N of the answer, from the end where N is negative
 *     pass           passes on: keeps the lines below from `*`
 *
 * What was done is appended to CONTROL.log, one line "COMMAND ACTION" each; with an empty file CONTROL.trace present,
 * every command's name is appended to that. The TPM must be used by one process at a time, as everywhere. */
#include "common/macros.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <tss2/tss2_tcti.h>
#include <tss2/tss2_tctildr.h>
#include <tss2/tss2_tpm2_types.h>

#define MAGIC       0x6661756c74303031ULL
#define HEADER_SIZE 10U
#define LINES_MAX   32U
#define ANSWER_MAX  TPM2_MAX_RESPONSE_SIZE

typedef enum Action {
    ACTION_PASS,
    ACTION_RC,
    ACTION_LOST,
    ACTION_TCTI,
    ACTION_DELAY,
    ACTION_HANG,
    ACTION_GARBAGE,
    ACTION_TRUNCATE,
    ACTION_FLIP,
    _ACTION_COUNT,
} Action;

static const char *const action_names[_ACTION_COUNT] = { "pass", "rc",      "lost",     "tcti", "delay",
                                                         "hang", "garbage", "truncate", "flip" };

static const struct {
    const char *name;
    uint32_t code;
} commands[] = {
    { "Startup", TPM2_CC_Startup },
    { "Shutdown", TPM2_CC_Shutdown },
    { "GetCapability", TPM2_CC_GetCapability },
    { "ReadPublic", TPM2_CC_ReadPublic },
    { "CreatePrimary", TPM2_CC_CreatePrimary },
    { "Create", TPM2_CC_Create },
    { "Load", TPM2_CC_Load },
    { "Sign", TPM2_CC_Sign },
    { "EvictControl", TPM2_CC_EvictControl },
    { "FlushContext", TPM2_CC_FlushContext },
    { "StartAuthSession", TPM2_CC_StartAuthSession },
    { "HashSequenceStart", TPM2_CC_HashSequenceStart },
    { "NV_ReadPublic", TPM2_CC_NV_ReadPublic },
    { "NV_Read", TPM2_CC_NV_Read },
    { "ActivateCredential", TPM2_CC_ActivateCredential },
    { "Certify", TPM2_CC_Certify },
    { "Quote", TPM2_CC_Quote },
};

typedef struct FaultContext {
    TSS2_TCTI_CONTEXT_COMMON_V2 common;
    TSS2_TCTI_CONTEXT *inner;
    char *control;
    uint32_t command; /* the one under way */
    Action action;
    long value;
} FaultContext;

/* How often each line of the present control file was used. Kept over contexts: the library is never unloaded
 * (-z nodelete), since a client that reopens its TPM must not find the counts fresh. */
static struct {
    pthread_mutex_t lock;
    dev_t device;
    ino_t inode;
    struct timespec modified;
    unsigned long used[LINES_MAX];
} counts = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void command_name(uint32_t code, char *ret, size_t size) {
    for (size_t i = 0; i < ARRAY_LENGTH(commands); i++)
        if (commands[i].code == code) {
            (void) snprintf(ret, size, "%s", commands[i].name);
            return;
        }
    (void) snprintf(ret, size, "0x%x", code);
}

static void append_line(const FaultContext *context, const char *suffix, const char *action, bool create) {
    char path[4096], name[32];
    _cleanup_close_ int fd = -1;

    (void) snprintf(path, sizeof path, "%s.%s", context->control, suffix);
    fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC | (create ? O_CREAT : 0), 0600);
    if (fd < 0)
        return;
    command_name(context->command, name, sizeof name);
    (void) dprintf(fd, "%s%s%s\n", name, action ? " " : "", action ? action : "");
}

static bool command_fits(const char *word, uint32_t code) {
    char name[32];

    command_name(code, name, sizeof name);
    return strcmp(word, "*") == 0 || strcmp(word, name) == 0 ||
           (strncmp(word, "0x", 2) == 0 && strtoul(word, NULL, 0) == code);
}

/* Whether this line applies to the command, and what it says. */
static bool line_fits(const FaultContext *context, const char *line, size_t number, Action *ret, long *ret_value) {
    char command[32], action[32], value[32] = "0", count[32] = "";
    int words = sscanf(line, "%31s %31s %31s %31s", command, action, value, count);

    if (words < 2 || command[0] == '#' || !command_fits(command, context->command))
        return false;
    for (int i = 0; i < _ACTION_COUNT; i++)
        if (strcmp(action, action_names[i]) == 0) {
            if (words == 4 && counts.used[number] >= strtoul(count, NULL, 0))
                return false;
            counts.used[number]++;
            *ret = (Action) i;
            *ret_value = strtol(value, NULL, 0);
            return true;
        }
    return false;
}

static void look_up(FaultContext *context) {
    char line[256];
    struct stat status;
    FILE *file = fopen(context->control, "re");

    context->action = ACTION_PASS;
    if (!file)
        return;
    (void) pthread_mutex_lock(&counts.lock);
    if (fstat(fileno(file), &status) == 0 &&
        (status.st_dev != counts.device || status.st_ino != counts.inode ||
         status.st_mtim.tv_sec != counts.modified.tv_sec || status.st_mtim.tv_nsec != counts.modified.tv_nsec)) {
        counts.device = status.st_dev;
        counts.inode = status.st_ino;
        counts.modified = status.st_mtim;
        memset(counts.used, 0, sizeof counts.used);
    }
    for (size_t number = 0; number < LINES_MAX && fgets(line, sizeof line, file); number++)
        if (line_fits(context, line, number, &context->action, &context->value))
            break;
    (void) pthread_mutex_unlock(&counts.lock);
    (void) fclose(file);
}

static void sleep_ms(long ms) {
    struct timespec wait = { .tv_sec = ms / 1000, .tv_nsec = (ms % 1000) * 1000000L };
    (void) nanosleep(&wait, NULL);
}

/* ---- the TCTI's functions ---- */

static TSS2_RC fault_transmit(TSS2_TCTI_CONTEXT *tcti, size_t size, const uint8_t *command) {
    FaultContext *context = (FaultContext *) tcti;

    if (size < HEADER_SIZE)
        return TSS2_TCTI_RC_BAD_VALUE;
    context->command =
        (uint32_t) command[6] << 24 | (uint32_t) command[7] << 16 | (uint32_t) command[8] << 8 | command[9];
    append_line(context, "trace", NULL, false);
    look_up(context);
    if (context->action != ACTION_PASS)
        append_line(context, "log", action_names[context->action], true);
    switch (context->action) {
    case ACTION_TCTI:
        return (TSS2_RC) context->value;
    case ACTION_RC:
    case ACTION_GARBAGE:
        return TSS2_RC_SUCCESS;
    default:
        return Tss2_Tcti_Transmit(context->inner, size, command);
    }
}

static TSS2_RC answer_code(uint32_t code, size_t *size, uint8_t *answer) {
    const uint8_t header[HEADER_SIZE] = { 0x80,
                                          0x01,
                                          0,
                                          0,
                                          0,
                                          HEADER_SIZE,
                                          (uint8_t) (code >> 24),
                                          (uint8_t) (code >> 16),
                                          (uint8_t) (code >> 8),
                                          (uint8_t) code };

    if (*size < sizeof header)
        return TSS2_TCTI_RC_INSUFFICIENT_BUFFER;
    memcpy(answer, header, sizeof header);
    *size = sizeof header;
    return TSS2_RC_SUCCESS;
}

static void wait_until_line_is_gone(FaultContext *context) {
    do {
        sleep_ms(5);
        look_up(context);
    } while (context->action == ACTION_HANG);
}

static TSS2_RC fault_receive(TSS2_TCTI_CONTEXT *tcti, size_t *size, uint8_t *answer, int32_t timeout) {
    FaultContext *context = (FaultContext *) tcti;
    Action action = context->action;
    size_t at;
    TSS2_RC rc;

    if (!answer) { /* asks for the size: the largest will do */
        *size = ANSWER_MAX;
        return TSS2_RC_SUCCESS;
    }
    if (action == ACTION_HANG)
        wait_until_line_is_gone(context);
    if (action == ACTION_DELAY)
        sleep_ms(context->value);
    if (action == ACTION_RC)
        return answer_code((uint32_t) context->value, size, answer);
    if (action == ACTION_GARBAGE) {
        *size = *size < 64 ? *size : 64;
        memset(answer, 0xa5, *size);
        return TSS2_RC_SUCCESS;
    }
    rc = Tss2_Tcti_Receive(context->inner, size, answer, timeout);
    if (rc != TSS2_RC_SUCCESS)
        return rc;
    if (action == ACTION_LOST)
        return answer_code((uint32_t) context->value, size, answer);
    if (action == ACTION_TRUNCATE && context->value >= 0 && (size_t) context->value < *size) {
        /* The TSS goes by the length in the header and would read on. */
        memset(answer + context->value, 0, *size - (size_t) context->value);
        *size = (size_t) context->value;
    }
    if (action == ACTION_FLIP) {
        at = context->value < 0 ? *size + (size_t) context->value : (size_t) context->value;
        if (at < *size)
            answer[at] ^= 1U;
    }
    return TSS2_RC_SUCCESS;
}

static void fault_finalize(TSS2_TCTI_CONTEXT *tcti) {
    FaultContext *context = (FaultContext *) tcti;

    Tss2_TctiLdr_Finalize(&context->inner);
    free(context->control);
    context->control = NULL;
}

static TSS2_RC fault_cancel(TSS2_TCTI_CONTEXT *tcti) {
    return Tss2_Tcti_Cancel(((FaultContext *) tcti)->inner);
}

static TSS2_RC fault_poll(TSS2_TCTI_CONTEXT *tcti, TSS2_TCTI_POLL_HANDLE *handles, size_t *count) {
    return TSS2_TCTI_RC_NOT_IMPLEMENTED;
}

static TSS2_RC fault_locality(TSS2_TCTI_CONTEXT *tcti, uint8_t locality) {
    return Tss2_Tcti_SetLocality(((FaultContext *) tcti)->inner, locality);
}

static TSS2_RC fault_sticky(TSS2_TCTI_CONTEXT *tcti, TPM2_HANDLE *handle, uint8_t sticky) {
    return TSS2_TCTI_RC_NOT_IMPLEMENTED;
}

static TSS2_RC fault_init(TSS2_TCTI_CONTEXT *tcti, size_t *size, const char *configuration) {
    FaultContext *context = (FaultContext *) tcti;
    const char *comma = configuration ? strchr(configuration, ',') : NULL;
    TSS2_RC rc;

    if (!size)
        return TSS2_TCTI_RC_BAD_VALUE;
    if (!tcti) {
        *size = sizeof *context;
        return TSS2_RC_SUCCESS;
    }
    if (!comma || *size < sizeof *context)
        return TSS2_TCTI_RC_BAD_VALUE;
    memset(context, 0, sizeof *context);
    context->control = strndup(configuration, (size_t) (comma - configuration));
    if (!context->control)
        return TSS2_TCTI_RC_MEMORY;
    rc = Tss2_TctiLdr_Initialize(comma + 1, &context->inner);
    if (rc != TSS2_RC_SUCCESS) {
        free(context->inner); /* as daemon/tpm/tpm.c has it */
        free(context->control);
        return rc;
    }
    context->common.v1.magic = MAGIC;
    context->common.v1.version = 2;
    context->common.v1.transmit = fault_transmit;
    context->common.v1.receive = fault_receive;
    context->common.v1.finalize = fault_finalize;
    context->common.v1.cancel = fault_cancel;
    context->common.v1.getPollHandles = fault_poll;
    context->common.v1.setLocality = fault_locality;
    context->common.makeSticky = fault_sticky;
    return TSS2_RC_SUCCESS;
}

_public_ const TSS2_TCTI_INFO *Tss2_Tcti_Info(void);

const TSS2_TCTI_INFO *Tss2_Tcti_Info(void) {
    static const TSS2_TCTI_INFO info = {
        .version = 2,
        .name = "tcti-fault",
        .description = "passes commands on, and misbehaves when a control file says so",
        .config_help = "CONTROL,INNER",
        .init = fault_init,
    };
    return &info;
}
