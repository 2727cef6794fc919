/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The program itself: how it is started, what it does to itself, and what it makes of an identityd that misbehaves. */
#include "support.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

static Lab lab;
static Device device;
static Bytes anchors;

static Order good_order(void) {
    return (
        Order) { .kind = JOB_KIND_ENROLL, .servers = { lab.url }, .anchors = bytes_view(&anchors), .device = &device };
}

static int wait_status(pid_t pid) {
    int status;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* ---- starting ---- */

static void test_listen_fd(void **state) {
    _cleanup_outcome_ Outcome outcome;
    Order order = good_order();

    order.as_listen_fd = true;
    run_job(&order, &outcome);
    assert_result(&outcome);
}

/* Runs it with these arguments and nothing to talk to; what it says must have `says` in it. */
static int run_with(const char *first, const char *second, const char *says) {
    char text[1024] = "";
    int said = memfd_create("said", 0);
    assert_true(said >= 0);
    pid_t pid = fork();

    if (pid == 0) {
        (void) freopen("/dev/null", "r", stdin);
        (void) dup2(said, STDOUT_FILENO);
        (void) dup2(said, STDERR_FILENO);
        (void) execl(getenv("ENROLLER"), "identityd-enroller", first, second, NULL);
        _exit(127);
    }
    int status = wait_status(pid);
    assert_true(pread(said, text, sizeof text - 1, 0) >= 0);
    close_safe(said);
    if (!strstr(text, says))
        fail_msg("'%s' does not say '%s'", text, says);
    return status;
}

static void test_usage(void **state) {
    static const char socket[] = "expected one connected SOCK_SEQPACKET socket", usage[] = "usage: identityd-enroller";

    assert_int_equal(run_with(NULL, NULL, socket), 2);
    assert_int_equal(run_with("--fetch", NULL, socket), 2);
    assert_int_equal(run_with("--help-me", NULL, usage), 2);
    assert_int_equal(run_with("--fetch", "--version", usage), 2);
    assert_int_equal(run_with("--version", "--fetch", usage), 2);
    assert_int_equal(run_with("--version", NULL, "identityd-enroller " IDENTITYD_VERSION "\n"), 0);
}

/* Neither a stream nor anything but a local socket will do. */
static void test_wrong_socket(void **state) {
    Order order = { 0 };
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(wait_status(start_enroller(pair[1], &order)), 2);
    close_safe(pair[0]);
    close_safe(pair[1]);
}

static void test_nobody_there(void **state) {
    Order order = { 0 };
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    pid_t pid = start_enroller(pair[1], &order);
    close_safe(pair[1]);
    close_safe(pair[0]);
    assert_int_equal(wait_status(pid), 1);
}

static void check_first_packet(const void *data, size_t size) {
    Order order = { 0 };
    PacketBuffer *buffer = malloc(sizeof *buffer);
    _cleanup_packet_ Packet packet = PACKET_INIT;
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    pid_t pid = start_enroller(pair[1], &order);
    close_safe(pair[1]);
    assert_int_equal(send(pair[0], data, size, 0), size);
    assert_int_equal(packet_receive(pair[0], buffer, false, &packet), PACKET_RECEIVED);
    assert_int_equal(packet.header.type, JOB_PACKET_FAILURE);
    assert_int_equal(wait_status(pid), 0);
    close_safe(pair[0]);
    free(buffer);
}

static void test_first_packet(void **state) {
    uint8_t packet[PACKET_HEADER_SIZE + 4] = { 1, JOB_PACKET_JOB };

    check_first_packet("x", 1);
    check_first_packet(packet, PACKET_HEADER_SIZE);     /* no fields */
    check_first_packet(packet, PACKET_HEADER_SIZE + 4); /* a field cut short */
    packet[1] = JOB_PACKET_RESULT;
    check_first_packet(packet, PACKET_HEADER_SIZE);
    packet[0] = 2; /* another version */
    check_first_packet(packet, PACKET_HEADER_SIZE);
}

/* ---- what it does to itself ---- */

static void read_proc(pid_t pid, const char *name, char *ret, size_t size) {
    char path[64];

    (void) snprintf(path, sizeof path, "/proc/%d/%s", (int) pid, name);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    ret[fread(ret, 1, size - 1, file)] = '\0';
    (void) fclose(file);
}

static void look_at_process(pid_t pid) {
    char text[8192];

    read_proc(pid, "status", text, sizeof text);
    assert_non_null(strstr(text, "\nNoNewPrivs:\t1\n"));
    assert_non_null(strstr(text, "\nUmask:\t0077\n"));
    read_proc(pid, "limits", text, sizeof text);
    const char *core = strstr(text, "Max core file size");
    assert_non_null(core);
    assert_int_equal(strspn(core + strlen("Max core file size"), " 0"),
                     strcspn(core + strlen("Max core file size"), "b\n"));
    /* a process that may not be dumped belongs to root in /proc, whoever runs it */
    char path[64];
    struct stat st;
    (void) snprintf(path, sizeof path, "/proc/%d/environ", (int) pid);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_uid, 0);
}

static void test_hardening(void **state) {
    _cleanup_outcome_ Outcome outcome;
    Order order = good_order();

    order.while_it_runs = look_at_process;
    run_job(&order, &outcome);
    assert_result(&outcome);
}

/* ---- an identityd that misbehaves ---- */

static void test_wrong_answers(void **state) {
    for (unsigned i = 0; i < 4; i++) {
        static const char *const texts[] = {
            "identityd answered something that was not asked",
            "identityd answered something that was not asked",
            "identityd sent a certificate request of 65536 bytes",
            "Receiving a packet from identityd",
        };
        _cleanup_outcome_ Outcome outcome;
        Order order = good_order();

        order.answer_wrong_serial = i == 0;
        order.answer_wrong_type = i == 1;
        order.answer_too_much = i == 2;
        order.answer_with_descriptor = i == 3;
        run_job(&order, &outcome);
        assert_failed(&outcome, texts[i], true);
        assert_null(strstr(outcome.steps, "simpleenroll"));
    }
}

static void test_wrong_signature(void **state) {
    _cleanup_outcome_ Outcome outcome;
    _cleanup_bytes_ Bytes chain = device_self_signed(&device);
    Order order = good_order();

    order.client_chain = bytes_view(&chain);
    order.answer_too_much = true;
    run_job(&order, &outcome);
    assert_failed(&outcome, "identityd sent a signature of 65536 bytes", true);
}

static int setup(void **state) {
    static const char *const arguments[] = { "--open", NULL };

    lab_start(&lab, arguments);
    anchors = lab_file(&lab, "server.pem");
    device_new(&device, GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1));
    return 0;
}

static int teardown(void **state) {
    lab_stop(&lab);
    device_clear(&device);
    bytes_clear(&anchors);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_listen_fd),     cmocka_unit_test(test_usage),
        cmocka_unit_test(test_wrong_socket),  cmocka_unit_test(test_nobody_there),
        cmocka_unit_test(test_first_packet),  cmocka_unit_test(test_hardening),
        cmocka_unit_test(test_wrong_answers), cmocka_unit_test(test_wrong_signature),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
