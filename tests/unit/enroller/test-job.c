/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The job's parser: what is right is taken whole, everything else is refused before anything is done. */
#include "enroller/enroll-job.h"
#include "support.h"

#include "common/tlv.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

static Device device;
static Bytes chain_pem;

static int parse(Bytes *body, const int *fds, size_t count, EnrollRole role, EnrollJob **ret, Failure *failure) {
    Packet packet = PACKET_INIT;

    packet.header.type = JOB_PACKET_JOB;
    packet.payload = bytes_view(body);
    packet.fd_count = count;
    for (size_t i = 0; i < count; i++)
        packet.fds[i] = fds[i]; /* lent */
    *failure = FAILURE_INIT;
    return enroll_job_parse(&packet, role, ret, failure);
}

static int parse_order(const Order *order, EnrollRole role, EnrollJob **ret, Failure *failure) {
    int fds[PACKET_FDS_MAX];
    size_t count;
    _cleanup_bytes_ Bytes body = order_body(order, fds, &count);

    int r = parse(&body, fds, count, role, ret, failure);
    for (size_t i = 0; i < count; i++)
        close_safe(fds[i]);
    return r;
}

static Order full_order(void) {
    return (Order) {
        .kind = JOB_KIND_REENROLL,
        .servers = { "https://ca.example:8443/.well-known/est/line-1/", "https://[::1]/.well-known/est" },
        .anchors = bytes_view(&chain_pem),
        .proxy = "http://proxy.example:3128",
        .proxy_user = "branch",
        .proxy_password = "open: sesame",
        .time = 1234567,
        .time_is_floor = true,
        .client_chain = bytes_view(&chain_pem),
        .user = "device",
        .password = "secret",
        .allow_tls12 = true,
        .device = &device,
    };
}

static void test_whole(void **state) {
    _cleanup_(enroll_job_free_p) EnrollJob *job = NULL;
    _cleanup_bytes_ Bytes request = device_request(&device, NULL, NULL);
    Order order = full_order();
    Failure failure;

    order.request = bytes_view(&request);
    if (parse_order(&order, ENROLL_ROLE_EST, &job, &failure) < 0)
        fail_msg("%s", failure.text);
    assert_int_equal(job->kind, JOB_KIND_REENROLL);
    assert_string_equal(job->identity, "demo");
    assert_int_equal(job->server_count, 2);
    assert_string_equal(job->servers[0], "https://ca.example:8443/.well-known/est/line-1");
    assert_string_equal(job->servers[1], "https://[::1]/.well-known/est");
    assert_int_equal(job->server_anchors.count, 1);
    assert_int_equal(job->client_chain.count, 1);
    assert_string_equal(job->proxy, "http://proxy.example:3128");
    assert_string_equal(job->proxy_user, "branch");
    assert_true(bytes_view_equal(secret_view(job->proxy_password), bytes_view_string("open: sesame")));
    assert_true(job->time == 1234567 && job->time_is_floor && job->allow_tls12 && !job->has_fingerprint);
    assert_string_equal(job->user, "device");
    assert_true(bytes_view_equal(secret_view(job->password), bytes_view_string("secret")));
    assert_true(bytes_view_equal(bytes_view(&job->request), bytes_view(&request)));
    assert_int_equal(job->scheme_count, 1);
    assert_int_equal(job->schemes[0], 0x0403);
}

static void check_refused(const Order *order, EnrollRole role, const char *part) {
    EnrollJob *job = (EnrollJob *) 1;
    Failure failure;

    int r = parse_order(order, role, &job, &failure);
    if (r >= 0 || !strstr(failure.text, part) || job != (EnrollJob *) 1)
        fail_msg("%s: wanted \"%s\": %d: %s", order->servers[0] ? order->servers[1] : "", part, r, failure.text);
}

static void test_refused_together(void **state) {
    _cleanup_bytes_ Bytes request = device_request(&device, NULL, NULL);
    uint8_t fingerprint[32] = { 0 };
    Order order;

#define REFUSED(change, role, part)                                                                                    \
    order = full_order();                                                                                              \
    change;                                                                                                            \
    check_refused(&order, role, part)

    REFUSED(order.kind = 0, ENROLL_ROLE_EST, "its kind is unknown");
    REFUSED(order.kind = 6, ENROLL_ROLE_EST, "its kind is unknown");
    REFUSED(order.servers[0] = NULL, ENROLL_ROLE_EST, "no server");
    REFUSED(order.anchors.size = 0, ENROLL_ROLE_EST, "neither anchors nor a fingerprint");
    REFUSED(order.user = NULL, ENROLL_ROLE_EST, "a password without a user");
    REFUSED(order.password = NULL, ENROLL_ROLE_EST, "a user without a password");
    REFUSED(order.proxy_user = NULL, ENROLL_ROLE_EST, "a proxy's user without a password, or the other way round");
    REFUSED(order.proxy_password = NULL, ENROLL_ROLE_EST, "a proxy's user without a password");
    REFUSED(order.proxy = NULL, ENROLL_ROLE_EST, "a proxy's user without a proxy");
    REFUSED(order.proxy_user = "a:b", ENROLL_ROLE_EST, "with a colon");
    REFUSED(order.user = "a:b", ENROLL_ROLE_EST, "contains a colon");
    REFUSED(order.ocsp_request = bytes_view_string("x"), ENROLL_ROLE_EST, "an OCSP request");
    REFUSED(order.request = bytes_view_string("x"), ENROLL_ROLE_EST, "a request that is not PKCS#10");
    REFUSED((order.kind = JOB_KIND_PROBE, order.request = bytes_view(&request)), ENROLL_ROLE_EST, "enrols nobody");
    REFUSED(order.anchors = bytes_view_string("no PEM"), ENROLL_ROLE_EST,
            "The anchors for the CA's server cannot be used");
    REFUSED(order.kind = JOB_KIND_FETCH, ENROLL_ROLE_EST, "this role speaks EST");
    REFUSED(, ENROLL_ROLE_FETCH, "this role fetches files");
    REFUSED(order.kind = JOB_KIND_FETCH, ENROLL_ROLE_FETCH, "carries a credential");
    REFUSED((order = (Order) { .kind = JOB_KIND_FETCH, .servers = { "http://a/" }, .fingerprint = fingerprint }),
            ENROLL_ROLE_FETCH, "carries a credential");
#undef REFUSED
}

static void test_urls(void **state) {
    static const char *const refused[] = {
        "http://ca.example/x",
        "ftp://ca.example/x",
        "https://user@ca.example/x",
        "https://user:pw@ca.example/x",
        "https://ca.example/x?y",
        "https://ca.example/x#y",
        "https:///x",
        "ca.example",
        "https://ca.example/a b",
        "file:///etc/passwd",
        "https://ca.example\n/x",
        "https://ca.example/\xc3\xa4",
    };
    static const char *const bad_proxies[] = {
        "https://p:1", "socks5://p:1", "http://p", "http://u:p@p:1", "http://p:1/path", "p:1",
    };

    for (size_t i = 0; i < ARRAY_LENGTH(refused); i++) {
        Order order = full_order();
        order.servers[1] = refused[i];
        check_refused(&order, ENROLL_ROLE_EST, "cannot be used: https://HOST[:PORT]/PATH");
    }
    for (size_t i = 0; i < ARRAY_LENGTH(bad_proxies); i++) {
        Order order = full_order();
        order.proxy = bad_proxies[i];
        check_refused(&order, ENROLL_ROLE_EST, "cannot be used: http://HOST:PORT");
    }
}

typedef struct Raw {
    uint16_t tag;
    const char *value;
    size_t size;
    const char *part;
} Raw;

/* Fields that order_body would not write. */
static void test_raw_fields(void **state) {
    static const Raw raws[] = {
        { JOB_KIND, "\1", 1, "a field is there twice" },
        { JOB_TIME, "\0\0\0\0\0\0\0\0", 8, "a field is there twice" },
        { 18, "x", 1, "an unknown field" },
        { 64, "x", 1, "an unknown field" },
        { 0, "x", 1, "an unknown field" },
        { 0xffff, "x", 1, "an unknown field" },
        { JOB_STEP, "x", 1, "an unknown field" },
        { JOB_SERVER, "", 0, "a server's URL is empty or too long" },
        { JOB_SERVER, "a\0b", 3, "a server's URL is empty or too long" },
        { JOB_FINGERPRINT, "short", 5, "a fingerprint that is not 32 bytes long" },
        { JOB_CLIENT_SCHEME, "\1", 1, "an unknown signature scheme" },
        { JOB_CLIENT_SCHEME, "\1\2", 2, "an unknown signature scheme" },
        { JOB_OCSP_REQUEST, "", 0, "a request that is empty or too long" },
        { JOB_REQUEST, "", 0, "a request that is empty or too long" },
    };

    for (size_t i = 0; i < ARRAY_LENGTH(raws); i++) {
        Order order = full_order();
        int fds[PACKET_FDS_MAX];
        EnrollJob *job = NULL;
        Failure failure;
        size_t count;
        _cleanup_bytes_ Bytes body = order_body(&order, fds, &count);

        assert_int_equal(tlv_append(&body, raws[i].tag, (BytesView) { (const uint8_t *) raws[i].value, raws[i].size }),
                         0);
        int r = parse(&body, fds, count, ENROLL_ROLE_EST, &job, &failure);
        if (r >= 0 || !strstr(failure.text, raws[i].part))
            fail_msg("%zu: wanted \"%s\": %d: %s", i, raws[i].part, r, failure.text);
        for (size_t j = 0; j < count; j++)
            close_safe(fds[j]);
    }
}

static void check_body(const char *what, Bytes *body, const int *fds, size_t count, const char *part) {
    EnrollJob *job = NULL;
    Failure failure;

    int r = parse(body, fds, count, ENROLL_ROLE_EST, &job, &failure);
    if (r >= 0 || !strstr(failure.text, part))
        fail_msg("%s: wanted \"%s\": %d: %s", what, part, r, failure.text);
}

static void test_descriptors(void **state) {
    Order order = full_order();
    int fds[PACKET_FDS_MAX], plain = memfd_create("plain", 0);
    size_t count;
    _cleanup_bytes_ Bytes body = order_body(&order, fds, &count);

    assert_int_equal(count, 2);
    check_body("missing", &body, fds, 1, "a field names no descriptor of its own");
    int more[] = { fds[0], fds[1], fds[0] };
    check_body("unused", &body, more, 3, "a descriptor that no field names");
    int unsealed[] = { plain, fds[1] };
    check_body("unsealed", &body, unsealed, 2, "Reading a file that came with the job");
    close_safe(plain);
    for (size_t i = 0; i < count; i++)
        close_safe(fds[i]);

    order.client_chain.size = 0;
    _cleanup_bytes_ Bytes twice = order_body(&order, fds, &count);
    assert_int_equal(tlv_append_u8(&twice, JOB_CLIENT_CHAIN_FD, 0), 0);
    check_body("shared", &twice, fds, count, "a field names no descriptor of its own");
    close_safe(fds[0]);
}

static void test_too_many(void **state) {
    Order order = full_order();
    int fds[PACKET_FDS_MAX];
    size_t count;
    _cleanup_bytes_ Bytes servers = order_body(&order, fds, &count), schemes = BYTES_NULL;
    char longest[JOB_URL_MAX + 2];

    assert_int_equal(bytes_copy(bytes_view(&servers), &schemes), 0);
    for (unsigned i = 0; i < JOB_SERVERS_MAX - 1; i++)
        assert_int_equal(tlv_append_string(&servers, JOB_SERVER, "https://a/"), 0);
    check_body("servers", &servers, fds, count, "too many servers");
    for (unsigned i = 0; i < JOB_SCHEMES_MAX; i++)
        assert_int_equal(tlv_append_u16(&schemes, JOB_CLIENT_SCHEME, 0x0403), 0);
    check_body("schemes", &schemes, fds, count, "an unknown signature scheme, or too many");
    for (size_t i = 0; i < count; i++)
        close_safe(fds[i]);

    memset(longest, 'a', sizeof longest);
    memcpy(longest, "https://", 8);
    longest[sizeof longest - 1] = '\0';
    order.servers[1] = longest;
    check_refused(&order, ENROLL_ROLE_EST, "a server's URL is empty or too long");
}

/* Each field at its bound, and beyond it: as the last one of a job that has none yet. */
static void test_sizes(void **state) {
    static const struct {
        uint16_t tag;
        size_t maximum;
        const char *part;
    } fields[] = {
        { JOB_SERVER, JOB_URL_MAX, "a server's URL is empty or too long" },
        { JOB_USER, JOB_USER_MAX, "a text that is empty, too long or not text" },
        { JOB_PASSWORD, SECRET_MAX, "Keeping the password" },
        { JOB_REQUEST, JOB_REQUEST_MAX, "a request that is empty or too long" },
        { JOB_OCSP_REQUEST, JOB_OCSP_REQUEST_MAX, "a request that is empty or too long" },
        { JOB_PROXY_USER, JOB_USER_MAX, "a text that is empty, too long or not text" },
        { JOB_PROXY_PASSWORD, SECRET_MAX, "Keeping the password" },
        { JOB_PROXY, JOB_URL_MAX, "a text that is empty, too long or not text" },
        { JOB_IDENTITY, 64, "a text that is empty, too long or not text" },
        { JOB_FINGERPRINT, 32, "a fingerprint that is not 32 bytes long" },
    };
    static uint8_t bytes[JOB_REQUEST_MAX + 1];

    memset(bytes, 'a', sizeof bytes);
    for (size_t i = 0; i < ARRAY_LENGTH(fields); i++)
        for (size_t more = 0; more < 2; more++) {
            _cleanup_bytes_ Bytes body = BYTES_NULL;
            Failure failure;
            EnrollJob *job = NULL;
            assert_int_equal(tlv_append(&body, fields[i].tag, (BytesView) { bytes, fields[i].maximum + more }), 0);
            assert_true(parse(&body, NULL, 0, ENROLL_ROLE_EST, &job, &failure) < 0);
            if ((strstr(failure.text, fields[i].part) != NULL) != (more > 0))
                fail_msg("field %u with %zu bytes: %s", fields[i].tag, fields[i].maximum + more, failure.text);
        }
}

static void test_flags_and_times(void **state) {
    static const struct {
        uint16_t tag;
        uint64_t value;
        size_t size;
        const char *part; /* NULL: it is something else that this job lacks */
    } fields[] = {
        { JOB_TIME, UINT64_C(1) << 40, 8, NULL },
        { JOB_TIME, (UINT64_C(1) << 40) + 1, 8, "a time out of range" },
        { JOB_TIME, 1, 4, "a time out of range" },
        { JOB_TIME_IS_FLOOR, 1, 1, NULL },
        { JOB_TIME_IS_FLOOR, 0, 1, "a flag that is not 1" },
        { JOB_TIME_IS_FLOOR, 2, 1, "a flag that is not 1" },
        { JOB_ALLOW_TLS12, 1, 2, "a flag that is not 1" },
        { JOB_KIND, 1, 2, "its kind is not one byte" },
        { JOB_PASSWORD, 0, 1, "a password that is empty or holds a NUL byte" },
        { JOB_PASSWORD, 0, 0, "a password that is empty or holds a NUL byte" },
        { JOB_PROXY_PASSWORD, 0x61, 2, "a password that is empty or holds a NUL byte" },
        { 63, 1, 1, "an unknown field" },
    };

    for (size_t i = 0; i < ARRAY_LENGTH(fields); i++) {
        _cleanup_bytes_ Bytes body = BYTES_NULL;
        Failure failure;
        EnrollJob *job = NULL;
        BytesView value = { (const uint8_t *) &fields[i].value, fields[i].size }; /* little-endian, as all of it is */
        assert_int_equal(tlv_append(&body, fields[i].tag, value), 0);
        assert_true(parse(&body, NULL, 0, ENROLL_ROLE_EST, &job, &failure) < 0);
        const char *part = fields[i].part ? fields[i].part : "its kind is unknown";
        if (!strstr(failure.text, part))
            fail_msg("case %zu: %s", i, failure.text);
    }
}

static void test_chain_is_as_long_as_it_may(void **state) {
    for (size_t count = CHAIN_MAX; count <= CHAIN_MAX + 1; count++) {
        _cleanup_(enroll_job_free_p) EnrollJob *job = NULL;
        _cleanup_bytes_ Bytes chain = BYTES_NULL;
        Order order = full_order();
        Failure failure;
        for (size_t i = 0; i < count; i++)
            assert_int_equal(bytes_append(&chain, bytes_view(&chain_pem)), 0);
        order.client_chain = bytes_view(&chain);
        int r = parse_order(&order, ENROLL_ROLE_EST, &job, &failure);
        assert_int_equal(r<0, count> CHAIN_MAX);
        if (r < 0)
            assert_non_null(strstr(failure.text, "a client chain that is too long"));
    }
}

static void test_wrong_packet(void **state) {
    Packet packet = PACKET_INIT;
    EnrollJob *job = NULL;
    Failure failure = FAILURE_INIT;

    packet.header.type = JOB_PACKET_RESULT;
    assert_int_equal(enroll_job_parse(&packet, ENROLL_ROLE_EST, &job, &failure), -EBADMSG);
    packet.header.type = JOB_PACKET_JOB; /* and empty */
    assert_int_equal(enroll_job_parse(&packet, ENROLL_ROLE_EST, &job, &failure), -EBADMSG);
}

/* Cut at every byte, and with every byte changed in a few ways: taken or refused, never crashed (the sanitizers watch).
 */
static void test_mutations(void **state) {
    Order order = full_order();
    int fds[PACKET_FDS_MAX];
    size_t count;
    _cleanup_bytes_ Bytes body = order_body(&order, fds, &count);
    Failure failure;

    for (size_t size = 0; size < body.size; size++) {
        _cleanup_(enroll_job_free_p) EnrollJob *job = NULL;
        Bytes cut = { body.data, size };

        assert_true(parse(&cut, fds, count, ENROLL_ROLE_EST, &job, &failure) < 0 || job);
    }
    for (size_t i = 0; i < body.size; i++)
        for (unsigned change = 1; change < 256; change = change * 2 + 1) {
            _cleanup_(enroll_job_free_p) EnrollJob *job = NULL;

            body.data[i] ^= (uint8_t) change;
            assert_true(parse(&body, fds, count, ENROLL_ROLE_EST, &job, &failure) < 0 || job);
            body.data[i] ^= (uint8_t) change;
        }
    for (size_t i = 0; i < count; i++)
        close_safe(fds[i]);
}

static int setup(void **state) {
    device_new(&device, GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1));
    chain_pem = device_self_signed(&device);
    return 0;
}

static int teardown(void **state) {
    device_clear(&device);
    bytes_clear(&chain_pem);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole),
        cmocka_unit_test(test_refused_together),
        cmocka_unit_test(test_urls),
        cmocka_unit_test(test_raw_fields),
        cmocka_unit_test(test_descriptors),
        cmocka_unit_test(test_too_many),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_flags_and_times),
        cmocka_unit_test(test_chain_is_as_long_as_it_may),
        cmocka_unit_test(test_wrong_packet),
        cmocka_unit_test(test_mutations),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
