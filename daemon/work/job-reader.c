/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Each packet has a table of its fields: what is not in the table is unknown. */
#include "work/job-reader.h"

#include "common/text.h"
#include "common/tlv.h"

#include <string.h>

#define SERVER_TLS_MAX 256U
#define EKU_TEXT_MAX   128U
#define TAG_LIMIT      64U /* of tags that exist */

#define KIND(kind)       (1U << (kind))
#define KINDS_ENROL      (KIND(JOB_KIND_ENROLL) | KIND(JOB_KIND_REENROLL))
#define KINDS_OF_CACERTS (KINDS_ENROL | KIND(JOB_KIND_CACERTS) | KIND(JOB_KIND_PROBE))
#define KINDS_ALL        (KINDS_OF_CACERTS | KIND(JOB_KIND_FETCH))

typedef struct FieldRule {
    uint16_t tag;
    unsigned kinds; /* of jobs that it may stand in */
    bool repeats;
} FieldRule;

typedef struct Reader {
    TlvReader fields;
    const FieldRule *rules;
    size_t rule_count;
    uint8_t kind;
    uint64_t seen; /* bit n: tag n was there */
} Reader;

static const FieldRule result_rules[] = {
    { JOB_RESULT_ISSUED_FD, KINDS_ENROL, false },     { JOB_RESULT_CACERTS_FD, KINDS_OF_CACERTS, false },
    { JOB_RESULT_LATER, KINDS_ENROL, false },         { JOB_RESULT_FETCHED_FD, KIND(JOB_KIND_FETCH), false },
    { JOB_RESULT_SERVER, KINDS_ALL, false },          { JOB_RESULT_TLS, KINDS_ALL, false },
    { JOB_RESULT_CHAIN_FD, KINDS_OF_CACERTS, false }, { JOB_RESULT_CLOCK_AHEAD, KINDS_OF_CACERTS, false },
};

static const FieldRule failure_rules[] = {
    { JOB_FAILURE_TEXT, KINDS_ALL, false },
    { JOB_FAILURE_RETRY, KINDS_ALL, false },
    { JOB_FAILURE_AFTER, KINDS_ALL, false },
    { JOB_FAILURE_REJECTED, KINDS_ALL, false },
};

static const FieldRule create_rules[] = {
    { JOB_KEY_TYPE, KINDS_ALL, false },
    { JOB_EXTENSION_EKU, KINDS_ALL, true },
    { JOB_BINDING, KINDS_ALL, false },
};

static const FieldRule progress_rules[] = { { JOB_STEP, KINDS_ALL, false } };

#define READER(packet, table, of_kind)                                                                                 \
    { .fields = { (packet)->payload }, .rules = (table), .rule_count = ARRAY_LENGTH(table), .kind = (of_kind) }

static const FieldRule *rule_of(const Reader *reader, uint16_t tag) {
    for (size_t i = 0; i < reader->rule_count; i++)
        if (reader->rules[i].tag == tag && reader->rules[i].kinds & KIND(reader->kind))
            return &reader->rules[i];
    return NULL;
}

/* 1 and the next field, 0 at the end, -EBADMSG where it is not as agreed. */
static int next_field(Reader *reader, uint16_t *ret_tag, BytesView *ret_value) {
    int r = tlv_read(&reader->fields, ret_tag, ret_value);

    if (r <= 0)
        return r;
    const FieldRule *rule = rule_of(reader, *ret_tag);
    if (!rule || *ret_tag >= TAG_LIMIT)
        return -EBADMSG;
    uint64_t bit = (uint64_t) 1 << *ret_tag;
    if (reader->seen & bit && !rule->repeats)
        return -EBADMSG;
    reader->seen |= bit;
    return 1;
}

static bool was_there(const Reader *reader, uint16_t tag) {
    return reader->seen & (uint64_t) 1 << tag;
}

static int take_flag(BytesView value, bool *ret) {
    uint8_t flag;

    if (tlv_value_u8(value, &flag) < 0 || flag > 1)
        return -EBADMSG;
    *ret = flag == 1;
    return 0;
}

/* Text that is shown to people: on the bus, whose end it would be if it were no UTF-8, and in the log. */
static int take_text(BytesView value, size_t maximum, char **ret) {
    int r = tlv_value_string(value, maximum, ret);

    if (r >= 0)
        text_sanitize(*ret, strlen(*ret), false);
    return r;
}

/* ---- results ---- */

void job_result_clear(JobResult *result) {
    bytes_clear(&result->issued);
    bytes_clear(&result->cacerts);
    bytes_clear(&result->server_chain);
    bytes_clear(&result->fetched);
    free(result->server);
    free(result->tls);
}

typedef struct FileReader {
    const Packet *packet;
    unsigned taken; /* bit n: descriptor n belongs to a field */
} FileReader;

static int take_file(FileReader *files, BytesView value, size_t maximum, bool *ret_has, Bytes *ret) {
    uint8_t index;

    if (tlv_value_u8(value, &index) < 0 || index >= files->packet->fd_count || files->taken & 1U << index)
        return -EBADMSG;
    files->taken |= 1U << index;
    int r = bytes_from_memfd(files->packet->fds[index], maximum, ret);
    if (r >= 0)
        *ret_has = true;
    return r;
}

static int take_clock(BytesView value, JobResult *result) {
    uint64_t ahead = 0;
    int r = tlv_value_u64(value, &ahead);

    result->has_clock = r >= 0;
    result->clock_ahead = (int64_t) ahead;
    return r;
}

static int take_result_field(FileReader *files, uint16_t tag, BytesView value, JobResult *result) {
    switch (tag) {
    case JOB_RESULT_ISSUED_FD:
        return take_file(files, value, JOB_ISSUED_MAX, &result->has_issued, &result->issued);
    case JOB_RESULT_CACERTS_FD:
        return take_file(files, value, JOB_CACERTS_MAX, &result->has_cacerts, &result->cacerts);
    case JOB_RESULT_FETCHED_FD:
        return take_file(files, value, JOB_FETCH_MAX, &result->has_fetched, &result->fetched);
    case JOB_RESULT_CHAIN_FD:
        return take_file(files, value, JOB_CHAIN_MAX, &result->has_server_chain, &result->server_chain);
    case JOB_RESULT_LATER:
        result->is_later = true;
        return tlv_value_u32(value, &result->later);
    case JOB_RESULT_SERVER:
        return take_text(value, JOB_URL_MAX, &result->server);
    case JOB_RESULT_CLOCK_AHEAD:
        return take_clock(value, result);
    default: /* JOB_RESULT_TLS */
        return take_text(value, SERVER_TLS_MAX, &result->tls);
    }
}

int job_read_result(const Packet *packet, uint8_t kind, JobResult *ret) {
    Reader reader = READER(packet, result_rules, kind);
    FileReader files = { .packet = packet };
    uint16_t tag;
    BytesView value;
    int r;

    while ((r = next_field(&reader, &tag, &value)) > 0) {
        r = take_result_field(&files, tag, value, ret);
        if (r < 0)
            return r;
    }
    if (r < 0)
        return r;
    bool is_both = was_there(&reader, JOB_RESULT_LATER) && was_there(&reader, JOB_RESULT_ISSUED_FD);
    return is_both || files.taken != (1U << packet->fd_count) - 1U ? -EBADMSG : 0;
}

/* ---- failures ---- */

static int take_failure_text(BytesView value, JobFailure *failure) {
    _cleanup_free_ char *text = NULL;
    int r = tlv_value_string(value, sizeof failure->text - 1U, &text);

    if (r >= 0)
        strcpy(failure->text, text);
    return r;
}

static int take_failure_field(uint16_t tag, BytesView value, JobFailure *failure) {
    bool may_retry = true;
    int r;

    switch (tag) {
    case JOB_FAILURE_TEXT:
        return take_failure_text(value, failure);
    case JOB_FAILURE_RETRY:
        r = take_flag(value, &may_retry);
        failure->permanent = !may_retry;
        return r;
    case JOB_FAILURE_AFTER:
        return tlv_value_u32(value, &failure->after);
    default: /* JOB_FAILURE_REJECTED */
        return take_flag(value, &failure->rejected);
    }
}

int job_read_failure(const Packet *packet, JobFailure *ret) {
    Reader reader = READER(packet, failure_rules, JOB_KIND_ENROLL);
    JobFailure failure = { .text = "" };
    uint16_t tag;
    BytesView value;
    int r;

    while ((r = next_field(&reader, &tag, &value)) > 0) {
        r = take_failure_field(tag, value, &failure);
        if (r < 0)
            return r;
    }
    if (r < 0 || failure.text[0] == '\0')
        return -EBADMSG;
    *ret = failure;
    return 0;
}

/* ---- questions and progress ---- */

static int take_key_type(BytesView value, JobQuestion *question) {
    uint8_t type;

    if (tlv_value_u8(value, &type) < 0 || type >= _KEY_ALGORITHM_COUNT)
        return -EBADMSG;
    question->key_type = type;
    return 0;
}

static int take_eku(BytesView value, JobQuestion *question, char **texts) {
    if (question->eku_count == JOB_EKU_MAX)
        return -EBADMSG;
    int r = tlv_value_string(value, EKU_TEXT_MAX, &texts[question->eku_count]);
    if (r < 0)
        return r;
    question->eku[question->eku_count] = texts[question->eku_count];
    question->eku_count++;
    return 0;
}

static int take_binding(BytesView value, JobQuestion *question) {
    if (value.size != JOB_TLS_UNIQUE_SIZE && value.size != JOB_TLS_EXPORTER_SIZE)
        return -EBADMSG;
    question->binding = value;
    return 0;
}

static int take_create_field(uint16_t tag, BytesView value, JobQuestion *question, char **texts) {
    switch (tag) {
    case JOB_KEY_TYPE:
        return take_key_type(value, question);
    case JOB_EXTENSION_EKU:
        return take_eku(value, question, texts);
    default: /* JOB_BINDING */
        return take_binding(value, question);
    }
}

int job_read_create(const Packet *packet, JobQuestion *ret, char *texts[static JOB_EKU_MAX]) {
    Reader reader = READER(packet, create_rules, JOB_KIND_ENROLL);
    uint16_t tag;
    BytesView value;
    int r;

    while ((r = next_field(&reader, &tag, &value)) > 0) {
        r = take_create_field(tag, value, ret, texts);
        if (r < 0)
            return r;
    }
    return r;
}

int job_read_step(const Packet *packet, size_t maximum, char **ret) {
    Reader reader = READER(packet, progress_rules, JOB_KIND_ENROLL);
    _cleanup_free_ char *step = NULL;
    uint16_t tag;
    BytesView value;
    int r;

    while ((r = next_field(&reader, &tag, &value)) > 0) {
        r = take_text(value, maximum, &step);
        if (r < 0)
            return r;
    }
    if (r < 0 || !step)
        return -EBADMSG;
    *ret = TAKE_PTR(step);
    return 0;
}
