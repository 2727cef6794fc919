/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The manager's lending, with callers made up. */
#include "tests/unit/lending/lent.h"

#include "common/handle-protocol.h"
#include "common/packet.h"
#include "common/tlv.h"
#include "enrolment/asked.h"

Identity *x_of(const Machine *machine) {
    return machine_identity(machine, "x");
}

void start_ready(Machine *machine, const char *more) {
    machine_configure(machine, "x", more);
    machine_start(machine);
    machine_await_state(machine, "x", STATE_READY);
    machine_settle(machine);
}

void configure_daemon(const Machine *machine, const char *more) {
    machine_write(machine, "etc/identityd.conf", "[TPM]\nTCTI=%s\n%s", swtpm_tcti(machine->swtpm), more);
}

void reload_with(Machine *machine, const char *more) {
    Failure failure = FAILURE_INIT;

    machine_configure(machine, "x", more);
    if (manager_reload(machine->manager, &failure) < 0)
        fail_msg("%s", failure.text);
}

void revoke_x(Machine *machine) {
    const IdentityRevocation revocation = { .revoked = true, .at = identity_now(x_of(machine)) };

    identity_set_revocation(x_of(machine), &revocation);
    identity_evaluate(x_of(machine));
    machine_settle(machine);
    assert_int_equal(identity_state(x_of(machine)), STATE_REVOKED);
}

void renew_x(Machine *machine) {
    Answer answer = { .calls = 0 };

    asked_renew(x_of(machine), -1, answer_done, &answer);
    machine_until(machine, answer.calls > 0);
    if (answer.failure.kind != FAILURE_NONE)
        fail_msg("%s", answer.failure.text);
    machine_settle(machine);
}

void retire_x(Machine *machine, FailureKind kind) {
    Answer answer = { .calls = 0 };

    asked_retire(x_of(machine), answer_done, &answer);
    machine_until(machine, answer.calls > 0);
    if (answer.failure.kind != kind)
        fail_msg("%s", answer.failure.text);
    machine_settle(machine);
}

/* ---- callers ---- */

Caller caller_of(uid_t uid) {
    Caller caller = CALLER_INIT;

    caller.uid = caller.party = uid;
    return caller;
}

int lend(Machine *machine, Purpose purpose, uid_t uid) {
    Caller caller = caller_of(uid);
    const HandleRequest request = { x_of(machine), purpose, &caller };
    Failure failure = FAILURE_INIT;
    int fd = -1;

    if (handles_open(manager_lending(machine->manager), &request, &fd, &failure) < 0)
        fail_msg("%s", failure.text);
    assert_true(fd >= 0);
    return fd;
}

void lend_in_vain(Machine *machine, Purpose purpose, uid_t uid, FailureKind kind, const char *text) {
    Caller caller = caller_of(uid);
    const HandleRequest request = { x_of(machine), purpose, &caller };
    Failure failure = FAILURE_INIT;
    int fd = -1;

    assert_true(handles_open(manager_lending(machine->manager), &request, &fd, &failure) < 0);
    assert_int_equal(fd, -1);
    expect_failure(&failure, kind, text);
}

/* ---- holders ---- */

void seen_clear(Seen *seen) {
    for (size_t i = 0; i < ARRAY_LENGTH(seen->files); i++)
        free(seen->files[i]);
    *seen = (Seen) { .type = 0 };
}

static void take_text(char *text, size_t size, BytesView value) {
    assert_true(value.size < size);
    memcpy(text, value.data, value.size);
    text[value.size] = '\0';
}

static void take_files(const Packet *packet, BytesView kinds, Seen *seen) {
    assert_int_equal(kinds.size, packet->fd_count);
    for (size_t i = 0; i < kinds.size; i++) {
        Bytes content = BYTES_NULL;
        assert_true(kinds.data[i] < ARRAY_LENGTH(seen->files));
        assert_int_equal(bytes_from_memfd(packet->fds[i], HANDLE_CRLS_MAX, &content), 0);
        assert_int_equal(bytes_append(&content, (BytesView) { (const uint8_t *) "", 1 }), 0);
        seen->files[kinds.data[i]] = (char *) content.data;
    }
}

static void take_state(const Packet *packet, Seen *seen) {
    TlvReader reader = { packet->payload };
    uint16_t tag;
    BytesView value;

    while (tlv_read(&reader, &tag, &value) > 0) {
        if (tag == HANDLE_STATE_STATE)
            take_text(seen->state, sizeof seen->state, value);
        else if (tag == HANDLE_STATE_PURPOSE)
            take_text(seen->purpose, sizeof seen->purpose, value);
        else if (tag == HANDLE_STATE_NOT_AFTER)
            assert_int_equal(tlv_value_u64(value, &seen->not_after), 0);
        else if (tag == HANDLE_STATE_FILES)
            take_files(packet, value, seen);
    }
}

bool holder_next(Machine *machine, int fd, Seen *ret) {
    static PacketBuffer buffer;
    _cleanup_packet_ Packet packet = PACKET_INIT;
    int r = PACKET_NONE;

    seen_clear(ret);
    machine_until(machine, (r = packet_receive(fd, &buffer, true, &packet)) != PACKET_NONE);
    if (r != PACKET_RECEIVED) {
        assert_true(r == PACKET_CLOSED || r == -ECONNRESET);
        return false;
    }
    ret->type = packet.header.type;
    ret->status = packet.header.status;
    ret->generation = packet.header.generation;
    ret->size = packet.payload.size;
    if (ret->type == HANDLE_STATE)
        take_state(&packet, ret);
    else if (ret->status != 0)
        take_text(ret->text, sizeof ret->text, packet.payload);
    return true;
}

void holder_expect_end(Machine *machine, int fd, const char *state) {
    _cleanup_seen_ Seen seen = { .type = 0 };
    char last[32] = "";

    while (holder_next(machine, fd, &seen)) {
        assert_int_equal(seen.type, HANDLE_STATE);
        strcpy(last, seen.state);
    }
    assert_string_equal(last, state);
}

void holder_expect_closed(Machine *machine, int fd) {
    _cleanup_seen_ Seen seen = { .type = 0 };

    if (holder_next(machine, fd, &seen))
        fail_msg("it is open: packet %#x, state %s", seen.type, seen.state);
}

void holder_sign_with(Machine *machine, int fd, uint32_t generation, Seen *ret) {
    static const uint8_t hash[32] = { 7 };
    const PacketHeader header = {
        .type = HANDLE_SIGN_TRANSCRIPT,
        .serial = 5,
        .generation = generation,
        .scheme = 0x0403,
    };

    assert_int_equal(packet_send(fd, &header, (BytesView) { hash, sizeof hash }, NULL, 0), 0);
    do
        assert_true(holder_next(machine, fd, ret));
    while (ret->type == HANDLE_STATE);
    assert_int_equal(ret->type, HANDLE_SIGN_TRANSCRIPT | HANDLE_ANSWER);
}

void holder_sign(Machine *machine, int fd, Seen *ret) {
    holder_sign_with(machine, fd, identity_generation(x_of(machine)), ret);
}
