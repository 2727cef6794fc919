/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Programs are found by ENROLLER and LAB_CA in the environment, which meson sets. */
#include "support.h"

#include "common/certificate-verify.h"
#include "common/scheme.h"
#include "common/tlv.h"
#include "pki/chain.h"
#include "pki/csr.h"

#include <gnutls/crypto.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#define JOB_MILLISECONDS 100000U

static uint64_t milliseconds(void) {
    struct timespec now;

    (void) clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t) now.tv_sec * 1000U + (uint64_t) now.tv_nsec / 1000000U;
}

static const char *program(const char *variable) {
    const char *path = getenv(variable);

    if (!path)
        fail_msg("%s is not set: run this by meson test", variable);
    return path;
}

/* ---- the lab CA ---- */

void lab_start(Lab *lab, const char *const *arguments) {
    const char *argv[32] = { program("LAB_CA"), "serve", lab->directory };
    size_t count = 3;
    char path[128], users_path[128];
    struct stat st;

    (void) snprintf(lab->directory, sizeof lab->directory, "%s/enroller-lab-XXXXXX",
                    getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    assert_non_null(mkdtemp(lab->directory));
    if (arguments && arguments[0] && strcmp(arguments[0], "USER") == 0) { /* the one user of these tests */
        (void) snprintf(users_path, sizeof users_path, "%s/users", lab->directory);
        FILE *users = fopen(users_path, "w");
        assert_non_null(users);
        (void) fputs("device:secret of the factory\n", users);
        (void) fclose(users);
        argv[count++] = "--users";
        argv[count++] = users_path;
        arguments++;
    }
    for (size_t i = 0; arguments && arguments[i] && count < ARRAY_LENGTH(argv) - 1; i++)
        argv[count++] = arguments[i];
    lab->pid = fork();
    assert_true(lab->pid >= 0);
    if (lab->pid == 0) {
        (void) prctl(PR_SET_PDEATHSIG, SIGTERM); /* a test that dies leaves no server behind */
        (void) freopen("/dev/null", "w", stderr);
        (void) execv(argv[0], (char *const *) argv);
        _exit(127);
    }
    (void) snprintf(path, sizeof path, "%s/ready", lab->directory);
    for (unsigned i = 0; stat(path, &st) < 0; i++) {
        if (i > 600 || waitpid(lab->pid, NULL, WNOHANG) != 0)
            fail_msg("lab-ca does not start in %s", lab->directory);
        (void) usleep(50000);
    }
    _cleanup_bytes_ Bytes url = lab_file(lab, "est-url");
    (void) snprintf(lab->url, sizeof lab->url, "%.*s", (int) strcspn((char *) url.data, "\n"), (char *) url.data);
}

void lab_stop(Lab *lab) {
    char command[160];

    if (lab->pid > 0) {
        (void) kill(lab->pid, SIGTERM);
        (void) waitpid(lab->pid, NULL, 0);
    }
    lab->pid = 0;
    (void) snprintf(command, sizeof command, "rm -rf %s", lab->directory);
    assert_int_equal(system(command), 0);
}

void lab_control(const Lab *lab, const char *words) {
    char command[1024];

    (void) snprintf(command, sizeof command, "%s control %s %s >/dev/null", program("LAB_CA"), lab->directory, words);
    if (system(command) != 0)
        fail_msg("lab-ca control %s", words);
}

Bytes lab_file(const Lab *lab, const char *name) {
    char path[160];
    Bytes content = BYTES_NULL;

    (void) snprintf(path, sizeof path, "%s/%s", lab->directory, name);
    assert_int_equal(bytes_read_file(path, 1U << 20, &content), 0);
    return content;
}

unsigned lab_log_count(const Lab *lab, const char *text) {
    _cleanup_bytes_ Bytes log = lab_file(lab, "log");
    unsigned count = 0;

    char *rest = (char *) log.data, *line;
    while ((line = strsep(&rest, "\n")))
        count += strstr(line, text) != NULL;
    return count;
}

/* ---- the device ---- */

void device_new(Device *device, gnutls_pk_algorithm_t algorithm, unsigned bits) {
    gnutls_x509_privkey_t key;
    gnutls_pubkey_t public_key;
    gnutls_datum_t spki = { NULL, 0 };

    *device = (Device) { .scheme = algorithm == GNUTLS_PK_RSA ? 0x0804 : 0x0403 };
    assert_int_equal(gnutls_x509_privkey_init(&key), 0);
    assert_int_equal(gnutls_x509_privkey_generate(key, algorithm, bits, 0), 0);
    assert_int_equal(gnutls_privkey_init(&device->key), 0);
    assert_int_equal(gnutls_privkey_import_x509(device->key, key, GNUTLS_PRIVKEY_IMPORT_AUTO_RELEASE), 0);
    assert_int_equal(gnutls_pubkey_init(&public_key), 0);
    assert_int_equal(gnutls_pubkey_import_privkey(public_key, device->key, 0, 0), 0);
    assert_int_equal(gnutls_pubkey_export2(public_key, GNUTLS_X509_FMT_DER, &spki), 0);
    assert_int_equal(bytes_copy((BytesView) { spki.data, spki.size }, &device->spki), 0);
    gnutls_free(spki.data);
    gnutls_pubkey_deinit(public_key);
}

void device_clear(Device *device) {
    if (device->key)
        gnutls_privkey_deinit(device->key);
    device->key = NULL;
    bytes_clear(&device->spki);
}

Bytes device_request(const Device *device, const char *subject, const char *const *dns) {
    CsrSan sans[8];
    CsrTemplate template = { .subject = subject ? subject : "CN=device", .sans = sans };
    Failure failure = FAILURE_INIT;
    Bytes der = BYTES_NULL;

    for (; dns && dns[template.san_count]; template.san_count++)
        sans[template.san_count] = (CsrSan) { SAN_DNS, dns[template.san_count] };
    if (csr_create(&template, device->key, bytes_view(&device->spki), &der, &failure) < 0)
        fail_msg("csr_create: %s", failure.text);
    return der;
}

Bytes device_self_signed(const Device *device) {
    gnutls_x509_crt_t crt;
    gnutls_pubkey_t key;
    gnutls_datum_t pem;
    Bytes chain = BYTES_NULL;

    assert_int_equal(gnutls_x509_crt_init(&crt), 0);
    assert_int_equal(gnutls_pubkey_init(&key), 0);
    assert_int_equal(gnutls_pubkey_import_privkey(key, device->key, 0, 0), 0);
    assert_int_equal(gnutls_x509_crt_set_version(crt, 3), 0);
    assert_int_equal(gnutls_x509_crt_set_dn(crt, "CN=device", NULL), 0);
    assert_int_equal(gnutls_x509_crt_set_serial(crt, "\x12", 1), 0);
    assert_int_equal(gnutls_x509_crt_set_activation_time(crt, time(NULL) - 60), 0);
    assert_int_equal(gnutls_x509_crt_set_expiration_time(crt, time(NULL) + 3600), 0);
    assert_int_equal(gnutls_x509_crt_set_pubkey(crt, key), 0);
    assert_int_equal(gnutls_x509_crt_privkey_sign(crt, crt, device->key, GNUTLS_DIG_SHA256, 0), 0);
    assert_int_equal(gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_PEM, &pem), 0);
    assert_int_equal(bytes_copy((BytesView) { pem.data, pem.size }, &chain), 0);
    gnutls_free(pem.data);
    gnutls_pubkey_deinit(key);
    gnutls_x509_crt_deinit(crt);
    return chain;
}

static gnutls_sign_algorithm_t device_algorithm(uint16_t scheme) {
    return scheme == 0x0403   ? GNUTLS_SIGN_ECDSA_SHA256
           : scheme == 0x0804 ? GNUTLS_SIGN_RSA_PSS_RSAE_SHA256
           : scheme == 0x0401 ? GNUTLS_SIGN_RSA_SHA256
                              : GNUTLS_SIGN_UNKNOWN;
}

static int device_sign(const Device *device, const Packet *question, gnutls_datum_t *ret) {
    gnutls_sign_algorithm_t algorithm = device_algorithm(question->header.scheme);
    uint8_t content[CERTIFICATE_VERIFY_MAX];

    if (question->header.type == JOB_PACKET_SIGN_TLS12) {
        gnutls_datum_t messages = { (uint8_t *) question->payload.data, (unsigned) question->payload.size };
        return gnutls_privkey_sign_data2(device->key, algorithm, 0, &messages, ret);
    }
    int length = certificate_verify_build(TLS_SIDE_CLIENT, question->payload, content);
    if (length < 0)
        return length;
    return gnutls_privkey_sign_data2(device->key, algorithm, 0, &(gnutls_datum_t) { content, (unsigned) length }, ret);
}

/* ---- the job ---- */

static void body_file(Bytes *body, uint16_t tag, BytesView content, int *fds, size_t *count) {
    if (content.size == 0)
        return;
    fds[*count] = bytes_to_memfd("test", content);
    assert_true(fds[*count] >= 0);
    assert_int_equal(tlv_append_u8(body, tag, (uint8_t) (*count)++), 0);
}

Bytes order_body(const Order *order, int fds[PACKET_FDS_MAX], size_t *ret_count) {
    Bytes body = BYTES_NULL;

    *ret_count = 0;
    assert_int_equal(tlv_append_u8(&body, JOB_KIND, order->kind), 0);
    assert_int_equal(tlv_append_string(&body, JOB_IDENTITY, "demo"), 0);
    for (size_t i = 0; order->servers[i]; i++)
        assert_int_equal(tlv_append_string(&body, JOB_SERVER, order->servers[i]), 0);
    body_file(&body, JOB_SERVER_ANCHORS_FD, order->anchors, fds, ret_count);
    if (order->fingerprint)
        assert_int_equal(tlv_append(&body, JOB_FINGERPRINT, (BytesView) { order->fingerprint, 32 }), 0);
    assert_int_equal(tlv_append_string(&body, JOB_PROXY, order->proxy), 0);
    assert_int_equal(tlv_append_string(&body, JOB_PROXY_USER, order->proxy_user), 0);
    if (order->proxy_password)
        assert_int_equal(tlv_append(&body, JOB_PROXY_PASSWORD, bytes_view_string(order->proxy_password)), 0);
    assert_int_equal(tlv_append_u64(&body, JOB_TIME, (uint64_t) (order->time ? order->time : time(NULL))), 0);
    if (order->time_is_floor)
        assert_int_equal(tlv_append_u8(&body, JOB_TIME_IS_FLOOR, 1), 0);
    body_file(&body, JOB_CLIENT_CHAIN_FD, order->client_chain, fds, ret_count);
    if (order->client_chain.size > 0) {
        assert_int_equal(tlv_append_u16(&body, JOB_CLIENT_SCHEME, order->device->scheme), 0);
        if (order->allow_tls12 && order->device->scheme == 0x0804)
            assert_int_equal(tlv_append_u16(&body, JOB_CLIENT_SCHEME, 0x0401), 0);
    }
    assert_int_equal(tlv_append_string(&body, JOB_USER, order->user), 0);
    if (order->password)
        assert_int_equal(tlv_append(&body, JOB_PASSWORD, bytes_view_string(order->password)), 0);
    if (order->request.size > 0)
        assert_int_equal(tlv_append(&body, JOB_REQUEST, order->request), 0);
    if (order->allow_tls12)
        assert_int_equal(tlv_append_u8(&body, JOB_ALLOW_TLS12, 1), 0);
    if (order->ocsp_request.size > 0)
        assert_int_equal(tlv_append(&body, JOB_OCSP_REQUEST, order->ocsp_request), 0);
    return body;
}

pid_t start_enroller(int fd, const Order *order) {
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        char number[32];

        (void) dup2(fd, order->as_listen_fd ? 3 : STDIN_FILENO);
        if (order->log_fd > 0)
            (void) dup2(order->log_fd, STDERR_FILENO);
        if (order->as_listen_fd) {
            (void) freopen("/dev/null", "r", stdin);
            (void) snprintf(number, sizeof number, "%d", (int) getpid());
            (void) setenv("LISTEN_PID", number, 1);
            (void) setenv("LISTEN_FDS", "1", 1);
        }
        (void) setenv("https_proxy", "http://127.0.0.1:1", 1); /* must not matter */
        (void) setenv("http_proxy", "http://127.0.0.1:1", 1);
        (void) setenv("ALL_PROXY", "http://127.0.0.1:1", 1);
        (void) setenv("SSLKEYLOGFILE", "/dev/stdout", 1);
        (void) execl(program("ENROLLER"), "identityd-enroller", order->with_fetch_role ? "--fetch" : NULL, NULL);
        _exit(127);
    }
    return pid;
}

static void take_file(const Packet *packet, BytesView value, Bytes *ret) {
    uint8_t index;

    assert_int_equal(tlv_value_u8(value, &index), 0);
    assert_true(index < packet->fd_count);
    assert_int_equal(bytes_from_memfd(packet->fds[index], JOB_FETCH_MAX, ret), 0);
}

static void take_text(BytesView value, char *ret, size_t size) {
    (void) snprintf(ret, size, "%.*s", (int) value.size, (const char *) value.data);
}

static void on_end(const Packet *packet, Outcome *outcome) {
    TlvReader reader = { packet->payload };
    uint16_t tag;
    BytesView value;
    int r;

    outcome->has_result = packet->header.type == JOB_PACKET_RESULT;
    outcome->has_failure = !outcome->has_result;
    while ((r = tlv_read(&reader, &tag, &value)) > 0) {
        switch (tag) {
        case JOB_RESULT_ISSUED_FD:
            take_file(packet, value, &outcome->issued);
            break;
        case JOB_RESULT_CACERTS_FD:
            take_file(packet, value, &outcome->cacerts);
            break;
        case JOB_RESULT_CHAIN_FD:
            take_file(packet, value, &outcome->server_chain);
            break;
        case JOB_RESULT_FETCHED_FD:
            take_file(packet, value, &outcome->fetched);
            break;
        case JOB_RESULT_LATER:
            outcome->is_later = true;
            assert_int_equal(tlv_value_u32(value, &outcome->later), 0);
            break;
        case JOB_RESULT_SERVER:
            take_text(value, outcome->server, sizeof outcome->server);
            break;
        case JOB_RESULT_TLS:
            take_text(value, outcome->tls, sizeof outcome->tls);
            break;
        case JOB_RESULT_CLOCK_AHEAD:
            outcome->has_clock = true;
            assert_int_equal(tlv_value_u64(value, &outcome->clock_ahead), 0);
            break;
        case JOB_FAILURE_TEXT:
            take_text(value, outcome->text, sizeof outcome->text);
            break;
        case JOB_FAILURE_RETRY:
            assert_int_equal(tlv_value_u8(value, &outcome->retry), 0);
            break;
        case JOB_FAILURE_REJECTED:
            assert_int_equal(tlv_value_u8(value, &outcome->rejected), 0);
            break;
        case JOB_FAILURE_AFTER:
            assert_int_equal(tlv_value_u32(value, &outcome->after), 0);
            break;
        default:
            fail_msg("unknown tag %u", tag);
        }
    }
    assert_int_equal(r, 0);
}

static void append_text(char *text, size_t size, BytesView value) {
    size_t length = strlen(text);

    (void) snprintf(text + length, size - length, "%.*s ", (int) value.size, (const char *) value.data);
}

static void answer(int fd, const Order *order, const Packet *question, uint16_t status, BytesView body) {
    static uint8_t much[PACKET_PAYLOAD_MAX];
    PacketHeader header = {
        .type = (uint8_t) (question->header.type | JOB_PACKET_ANSWER),
        .serial = question->header.serial + order->answer_wrong_serial,
        .status = status,
    };

    if (order->answer_wrong_type)
        header.type ^= 1;
    if (order->answer_too_much)
        body = (BytesView) { much, sizeof much };
    (void) packet_send(fd, &header, body, &fd, order->answer_with_descriptor);
}

static void on_create_request(int fd, const Order *order, const Packet *packet, Outcome *outcome) {
    TlvReader reader = { packet->payload };
    uint16_t tag;
    BytesView value;
    uint8_t type;

    outcome->requests++;
    while (tlv_read(&reader, &tag, &value) > 0) {
        if (tag == JOB_KEY_TYPE && tlv_value_u8(value, &type) >= 0)
            outcome->key_type = type;
        if (tag == JOB_EXTENSION_EKU)
            append_text(outcome->eku, sizeof outcome->eku, value);
        if (tag == JOB_BINDING)
            outcome->binding_size = value.size;
    }
    if (order->refuse_request) {
        answer(fd, order, packet, FAILURE_TPM_UNAVAILABLE, bytes_view_string("the TPM is away"));
        return;
    }
    bytes_clear(&outcome->request);
    outcome->request =
        device_request(order->subject_device ? order->subject_device : order->device, order->subject, order->dns);
    answer(fd, order, packet, 0, bytes_view(&outcome->request));
}

static void on_sign(int fd, const Order *order, const Packet *packet, Outcome *outcome) {
    gnutls_datum_t signature = { NULL, 0 };

    if (packet->header.type == JOB_PACKET_SIGN_TRANSCRIPT)
        outcome->transcripts++;
    else
        outcome->digests++;
    if (order->refuse_signature || device_sign(order->device, packet, &signature) < 0) {
        answer(fd, order, packet, FAILURE_TPM_UNAVAILABLE, bytes_view_string("the TPM is away"));
        return;
    }
    answer(fd, order, packet, 0, (BytesView) { signature.data, signature.size });
    gnutls_free(signature.data);
}

static void on_packet(int fd, const Order *order, const Packet *packet, Outcome *outcome) {
    TlvReader reader = { packet->payload };
    uint16_t tag;
    BytesView value;

    switch (packet->header.type) {
    case JOB_PACKET_PROGRESS:
        assert_int_equal(tlv_read(&reader, &tag, &value), 1);
        assert_int_equal(tag, JOB_STEP);
        append_text(outcome->steps, sizeof outcome->steps, value);
        break;
    case JOB_PACKET_CREATE_REQUEST:
        on_create_request(fd, order, packet, outcome);
        break;
    case JOB_PACKET_SIGN_TRANSCRIPT:
    case JOB_PACKET_SIGN_TLS12:
        on_sign(fd, order, packet, outcome);
        break;
    case JOB_PACKET_RESULT:
    case JOB_PACKET_FAILURE:
        assert_false(outcome->has_result || outcome->has_failure);
        on_end(packet, outcome);
        break;
    default:
        fail_msg("a packet of type %u", packet->header.type);
    }
}

static void serve_job(int fd, const Order *order, pid_t pid, Outcome *outcome) {
    PacketBuffer *buffer = malloc(sizeof *buffer);
    uint64_t until =
        milliseconds() + (order->hang_up_after_milliseconds ? order->hang_up_after_milliseconds : JOB_MILLISECONDS);

    for (;;) {
        _cleanup_packet_ Packet packet = PACKET_INIT;
        struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
        uint64_t now = milliseconds();

        if (poll(&poll_fd, 1, now >= until ? 0 : (int) (until - now)) == 0) {
            if (!order->hang_up_after_milliseconds)
                fail_msg("the enroller takes too long; steps: %s", outcome->steps);
            break;
        }
        int r = packet_receive(fd, buffer, true, &packet);
        if (r == PACKET_CLOSED || r == -ECONNRESET)
            break;
        assert_int_equal(r, PACKET_RECEIVED);
        if (order->while_it_runs && packet.header.type == JOB_PACKET_PROGRESS && !outcome->steps[0])
            order->while_it_runs(pid);
        on_packet(fd, order, &packet, outcome);
    }
    free(buffer);
}

/* What it said, for the test and for whoever reads the test's output. */
static void take_log(int fd, Outcome *outcome) {
    ssize_t n = pread(fd, outcome->log, sizeof outcome->log - 1, 0);

    assert_true(n >= 0);
    outcome->log[n] = '\0';
    (void) fputs(outcome->log, stderr);
}

void run_job(const Order *asked, Outcome *ret) {
    _cleanup_close_ int log_fd = memfd_create("log", MFD_CLOEXEC);
    Order copy = *asked;
    const Order *order = &copy;
    int pair[2], fds[PACKET_FDS_MAX], status;
    size_t count;
    uint64_t begin = milliseconds();
    _cleanup_bytes_ Bytes body = order_body(order, fds, &count);

    copy.log_fd = log_fd;
    *ret = (Outcome) { .key_type = -1 };
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    pid_t pid = start_enroller(pair[1], order);
    close_safe(pair[1]);
    PacketHeader header = { .type = JOB_PACKET_JOB, .serial = 1 };
    assert_int_equal(packet_send(pair[0], &header, bytes_view(&body), fds, count), 0);
    for (size_t i = 0; i < count; i++)
        close_safe(fds[i]);
    serve_job(pair[0], order, pid, ret);
    close_safe(pair[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    take_log(log_fd, ret);
    ret->status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    ret->milliseconds = (unsigned) (milliseconds() - begin);
}

void outcome_clear(Outcome *outcome) {
    bytes_clear(&outcome->issued);
    bytes_clear(&outcome->cacerts);
    bytes_clear(&outcome->server_chain);
    bytes_clear(&outcome->fetched);
    bytes_clear(&outcome->request);
}

void assert_result(const Outcome *outcome) {
    if (!outcome->has_result || outcome->status != 0)
        fail_msg("no result: status %d, steps %s, failure: %s", outcome->status, outcome->steps, outcome->text);
}

void assert_failed(const Outcome *outcome, const char *part, bool may_retry) {
    if (!outcome->has_failure || outcome->status != 0 || !strstr(outcome->text, part) || outcome->retry != may_retry)
        fail_msg("wanted \"%s\", retry %d, but: result %d, status %d, retry %d, steps %s: %s", part, may_retry,
                 outcome->has_result, outcome->status, outcome->retry, outcome->steps, outcome->text);
}

CertificateList pkcs7_list(const Bytes *der) {
    CertificateList list = { 0 };
    Failure failure = FAILURE_INIT;
    LeftOut left_out;

    if (certificate_bundle_from_pkcs7(bytes_view(der), BUNDLE_MAX, &list, &left_out, &failure) < 0)
        fail_msg("PKCS#7: %s", failure.text);
    return list;
}

Bytes outcome_chain(const Outcome *outcome, const Device *device) {
    _cleanup_certificates_ CertificateList issued = pkcs7_list(&outcome->issued),
                                           others = pkcs7_list(&outcome->cacerts), chain = { 0 };
    _cleanup_certificates_ CertificateList anchors = { 0 };
    Failure failure = FAILURE_INIT;
    Bytes pem = BYTES_NULL;

    const Certificate *leaf = certificate_list_find_spki(&issued, bytes_view(&device->spki));
    assert_non_null(leaf);
    for (size_t i = 0; i < others.count; i++)
        if (certificate_is_self_signed(others.list[i]))
            assert_int_equal(certificate_list_add_ref(&anchors, others.list[i]), 0);
    if (chain_build(leaf, &others, &anchors, time(NULL), &chain, NULL, &failure) < 0)
        fail_msg("chain: %s", failure.text);
    assert_int_equal(certificate_list_to_pem(&chain, &pem), 0);
    return pem;
}
