/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Parser of the job: first every field by itself, then what they mean together. Whatever is unknown, twice there or out
 * of place is refused before anything is done. */
#include "enroller/enroll-job.h"

#include "common/scheme.h"
#include "common/tlv.h"
#include "enroller/url.h"
#include "pki/csr.h"

#include <inttypes.h>
#include <string.h>

typedef struct JobReader {
    EnrollJob *job;
    const Packet *packet;
    uint64_t seen;     /* bit n: tag n was there */
    unsigned fds_seen; /* bit n: descriptor n belongs to a field */
    Failure *failure;
} JobReader;

EnrollJob *enroll_job_free(EnrollJob *job) {
    if (!job)
        return NULL;
    free(job->identity);
    for (size_t i = 0; i < job->server_count; i++)
        free(job->servers[i]);
    certificate_list_clear(&job->server_anchors);
    free(job->proxy);
    free(job->proxy_user);
    secret_free(job->proxy_password);
    certificate_list_clear(&job->client_chain);
    free(job->user);
    secret_free(job->password);
    bytes_clear(&job->request);
    bytes_clear(&job->ocsp_request);
    free(job);
    return NULL;
}

static int job_malformed(Failure *failure, const char *what) {
    return failure_set(failure, -EBADMSG, FAILURE_INTERNAL, "The job from identityd is not as agreed: %s.", what);
}

/* ---- single fields ---- */

static int job_read_certificates(JobReader *reader, BytesView value, const char *what, CertificateList *ret) {
    _cleanup_bytes_ Bytes pem = BYTES_NULL;
    uint8_t index;

    if (tlv_value_u8(value, &index) < 0 || index >= reader->packet->fd_count || reader->fds_seen & 1U << index)
        return job_malformed(reader->failure, "a field names no descriptor of its own");
    reader->fds_seen |= 1U << index;
    int r = bytes_from_memfd(reader->packet->fds[index], JOB_ANCHORS_MAX, &pem);
    if (r < 0)
        return failure_errno(reader->failure, r, "Reading a file that came with the job");
    r = certificate_list_from_pem(bytes_view(&pem), BUNDLE_MAX, ret, reader->failure);
    return r < 0 ? failure_prefix(reader->failure, r, "The %s cannot be used", what) : 0;
}

static int job_read_server(JobReader *reader, BytesView value) {
    EnrollJob *job = reader->job;

    if (job->server_count >= JOB_SERVERS_MAX)
        return job_malformed(reader->failure, "too many servers");
    int r = tlv_value_string(value, JOB_URL_MAX, &job->servers[job->server_count]);
    if (r < 0)
        return job_malformed(reader->failure, "a server's URL is empty or too long");
    job->server_count++;
    return 0;
}

static int job_read_scheme(JobReader *reader, BytesView value) {
    EnrollJob *job = reader->job;
    uint16_t id;

    if (job->scheme_count >= JOB_SCHEMES_MAX || tlv_value_u16(value, &id) < 0 || !scheme_by_id(id))
        return job_malformed(reader->failure, "an unknown signature scheme, or too many");
    job->schemes[job->scheme_count++] = id;
    return 0;
}

static int job_read_time(JobReader *reader, BytesView value) {
    uint64_t seconds;

    if (tlv_value_u64(value, &seconds) < 0 || seconds > (uint64_t) 1 << 40)
        return job_malformed(reader->failure, "a time out of range");
    reader->job->time = (int64_t) seconds;
    return 0;
}

static int job_read_fingerprint(JobReader *reader, BytesView value) {
    if (value.size != sizeof reader->job->fingerprint)
        return job_malformed(reader->failure, "a fingerprint that is not 32 bytes long");
    memcpy(reader->job->fingerprint, value.data, value.size);
    reader->job->has_fingerprint = true;
    return 0;
}

static int job_read_flag(JobReader *reader, BytesView value, bool *ret) {
    uint8_t flag;

    if (tlv_value_u8(value, &flag) < 0 || flag != 1)
        return job_malformed(reader->failure, "a flag that is not 1");
    *ret = true;
    return 0;
}

static int job_read_blob(JobReader *reader, BytesView value, size_t maximum, Bytes *ret) {
    if (value.size == 0 || value.size > maximum)
        return job_malformed(reader->failure, "a request that is empty or too long");
    int r = bytes_copy(value, ret);
    return r < 0 ? failure_errno(reader->failure, r, "Keeping the job") : 0;
}

static int job_read_string(JobReader *reader, BytesView value, size_t maximum, char **ret) {
    int r = tlv_value_string(value, maximum, ret);

    return r < 0 ? job_malformed(reader->failure, "a text that is empty, too long or not text") : 0;
}

static int job_read_password(JobReader *reader, BytesView value, Secret **ret) {
    if (value.size == 0 || memchr(value.data, '\0', value.size))
        return job_malformed(reader->failure, "a password that is empty or holds a NUL byte");
    int r = secret_new(value, ret);
    return r < 0 ? failure_errno(reader->failure, r, "Keeping the password") : 0;
}

static int job_read_field(JobReader *reader, uint16_t tag, BytesView value) {
    EnrollJob *job = reader->job;

    switch (tag) {
    case JOB_KIND:
        return tlv_value_u8(value, &job->kind) < 0 ? job_malformed(reader->failure, "its kind is not one byte") : 0;
    case JOB_IDENTITY:
        return job_read_string(reader, value, 64U, &job->identity);
    case JOB_SERVER:
        return job_read_server(reader, value);
    case JOB_SERVER_ANCHORS_FD:
        return job_read_certificates(reader, value, "anchors for the CA's server", &job->server_anchors);
    case JOB_FINGERPRINT:
        return job_read_fingerprint(reader, value);
    case JOB_PROXY:
        return job_read_string(reader, value, JOB_URL_MAX, &job->proxy);
    case JOB_TIME:
        return job_read_time(reader, value);
    case JOB_TIME_IS_FLOOR:
        return job_read_flag(reader, value, &job->time_is_floor);
    case JOB_CLIENT_CHAIN_FD:
        return job_read_certificates(reader, value, "chain for client authentication", &job->client_chain);
    case JOB_CLIENT_SCHEME:
        return job_read_scheme(reader, value);
    case JOB_USER:
        return job_read_string(reader, value, JOB_USER_MAX, &job->user);
    case JOB_PASSWORD:
        return job_read_password(reader, value, &job->password);
    case JOB_PROXY_USER:
        return job_read_string(reader, value, JOB_USER_MAX, &job->proxy_user);
    case JOB_PROXY_PASSWORD:
        return job_read_password(reader, value, &job->proxy_password);
    case JOB_REQUEST:
        return job_read_blob(reader, value, JOB_REQUEST_MAX, &job->request);
    case JOB_ALLOW_TLS12:
        return job_read_flag(reader, value, &job->allow_tls12);
    case JOB_OCSP_REQUEST:
        return job_read_blob(reader, value, JOB_OCSP_REQUEST_MAX, &job->ocsp_request);
    default:
        return job_malformed(reader->failure, "an unknown field");
    }
}

static int job_read(JobReader *reader) {
    TlvReader fields = { reader->packet->payload };
    uint16_t tag;
    BytesView value;
    int r;

    while ((r = tlv_read(&fields, &tag, &value)) > 0) {
        bool repeats = tag == JOB_SERVER || tag == JOB_CLIENT_SCHEME;

        if (tag > 63)
            return job_malformed(reader->failure, "an unknown field");
        if (reader->seen & (uint64_t) 1 << tag && !repeats)
            return job_malformed(reader->failure, "a field is there twice");
        reader->seen |= (uint64_t) 1 << tag;
        r = job_read_field(reader, tag, value);
        if (r < 0)
            return r;
    }
    if (r < 0)
        return job_malformed(reader->failure, "a field is cut short");
    if (reader->fds_seen != (1U << reader->packet->fd_count) - 1U)
        return job_malformed(reader->failure, "a descriptor that no field names");
    return 0;
}

/* ---- what the fields mean together ---- */

static bool job_has(const JobReader *reader, uint16_t tag) {
    return reader->seen & (uint64_t) 1 << tag;
}

static int job_check_fetch(const JobReader *reader) {
    static const uint16_t forbidden[] = {
        JOB_FINGERPRINT, JOB_CLIENT_CHAIN_FD, JOB_CLIENT_SCHEME, JOB_USER, JOB_PASSWORD, JOB_REQUEST, JOB_ALLOW_TLS12,
    };

    for (size_t i = 0; i < ARRAY_LENGTH(forbidden); i++)
        if (job_has(reader, forbidden[i]))
            return job_malformed(reader->failure, "it fetches a file and carries a credential or a request");
    return 0;
}

static int job_check_est(const JobReader *reader) {
    const EnrollJob *job = reader->job;
    bool enrolls = job->kind == JOB_KIND_ENROLL || job->kind == JOB_KIND_REENROLL;

    if (job_has(reader, JOB_OCSP_REQUEST))
        return job_malformed(reader->failure, "an OCSP request in a job that fetches nothing");
    if (job->server_anchors.count == 0 && !job->has_fingerprint)
        return job_malformed(reader->failure, "neither anchors nor a fingerprint to verify the CA's server with");
    if ((job->client_chain.count > 0) != (job->scheme_count > 0))
        return job_malformed(reader->failure, "a client chain without schemes, or schemes without a chain");
    if (job->client_chain.count > CHAIN_MAX)
        return job_malformed(reader->failure, "a client chain that is too long");
    if (!job->user != !job->password)
        return job_malformed(reader->failure, "a user without a password, or a password without a user");
    if (job->user && strchr(job->user, ':')) /* RFC 7617 §2 */
        return failure_set(reader->failure, -EBADMSG, FAILURE_INVALID_ARGUMENT,
                           "The user name for HTTP authentication contains a colon, which HTTP cannot express.");
    if (job->request.size > 0) {
        _cleanup_bytes_ Bytes spki = BYTES_NULL;

        if (!enrolls || csr_spki(bytes_view(&job->request), &spki) < 0)
            return job_malformed(reader->failure, "a request that is not PKCS#10, or in a job that enrols nobody");
    }
    return 0;
}

static int job_check_proxy(const JobReader *reader) {
    const EnrollJob *job = reader->job;

    if (!job->proxy_user != !job->proxy_password)
        return job_malformed(reader->failure, "a proxy's user without a password, or the other way round");
    if (job->proxy_user && (!job->proxy || strchr(job->proxy_user, ':')))
        return job_malformed(reader->failure, "a proxy's user without a proxy, or with a colon");
    return 0;
}

static int job_check_urls(const JobReader *reader) {
    EnrollJob *job = reader->job;
    UrlRules rules = job->kind == JOB_KIND_FETCH ? URL_HTTP_OR_HTTPS : URL_HTTPS_BASE;

    if (job->server_count == 0)
        return job_malformed(reader->failure, "no server");
    for (size_t i = 0; i < job->server_count; i++) {
        int r = url_check(job->servers[i], rules, reader->failure);
        if (r < 0)
            return r;
        if (rules == URL_HTTPS_BASE)
            for (size_t n = strlen(job->servers[i]); n > 0 && job->servers[i][n - 1] == '/'; n--)
                job->servers[i][n - 1] = '\0';
    }
    return job->proxy ? url_check(job->proxy, URL_PROXY, reader->failure) : 0;
}

static int job_check(const JobReader *reader, EnrollRole role) {
    EnrollJob *job = reader->job;

    if (job->kind < JOB_KIND_ENROLL || job->kind > JOB_KIND_PROBE)
        return job_malformed(reader->failure, "its kind is unknown");
    if ((job->kind == JOB_KIND_FETCH) != (role == ENROLL_ROLE_FETCH))
        return job_malformed(reader->failure, role == ENROLL_ROLE_FETCH
                                                  ? "this role fetches files and does nothing else"
                                                  : "this role speaks EST and fetches no files");
    if (!job_has(reader, JOB_TIME))
        return job_malformed(reader->failure, "no time to judge certificates by");
    int r = role == ENROLL_ROLE_FETCH ? job_check_fetch(reader) : job_check_est(reader);
    if (r >= 0)
        r = job_check_proxy(reader);
    return r < 0 ? r : job_check_urls(reader);
}

int enroll_job_parse(const Packet *packet, EnrollRole role, EnrollJob **ret, Failure *ret_failure) {
    _cleanup_(enroll_job_free_p) EnrollJob *job = calloc(1, sizeof *job);
    JobReader reader = { .job = job, .packet = packet, .failure = ret_failure };

    if (!job)
        return failure_errno(ret_failure, -ENOMEM, "Keeping the job");
    if (packet->header.type != JOB_PACKET_JOB)
        return job_malformed(ret_failure, "the first packet is no job");
    int r = job_read(&reader);
    if (r >= 0)
        r = job_check(&reader, role);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(job);
    return 0;
}
