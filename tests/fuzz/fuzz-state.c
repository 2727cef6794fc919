/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is on the disk beside certificates. The first byte says which file the rest is, and whether it gets the checksum
 * that it would need: whatever it is, it is read or refused with a reason that names it, and a state that is not to be
 * believed lets nothing be done that the one which was there may have forbidden. */
#include "scratch.h"

#include "device/domains.h"
#include "store/key-values.h"
#include "store/store.h"

typedef enum Kind {
    KIND_STATE,
    KIND_DEVICE,
    KIND_OCSP,
    KIND_FLAGS,
    KIND_PARENT,
    KIND_CHECKSUM,
    KIND_CURRENT,
    KIND_CLOCK,
    KIND_ANCHORS,
    _KIND_COUNT,
} Kind;

#define WITH_CHECKSUM 0x80

static void check_failure(int r, const Failure *failure) {
    require(r >= 0 || r == -ENOENT || (failure->kind != FAILURE_NONE && failure->text[0]));
}

/* A whole line, somewhere. */
static bool has(BytesView content, const char *line) {
    return content.data && memmem(content.data, content.size, line, strlen(line));
}

static void try_state(Store *store, BytesView content) {
    _cleanup_(stored_state_clear) StoredState state = { 0 }, again = { 0 };
    Failure failure = FAILURE_INIT;

    int r = store_state_load(store, &state, &failure);
    if (r == STORE_SALVAGED) {
        bool is_free = has(content, "revoked=no\n") && has(content, "hold=no\n") && has(content, "retired=no\n");
        require(failure.text[0] && (is_free || state.hold || state.revoked || state.retired));
        require(state.next_attempt == 0 && state.clock_floor == 0 && state.parent_name.size == 0);
        return;
    }
    check_failure(r, &failure);
    if (r < 0)
        return;
    require(state.parent_name.size <= PARENT_NAME_MAX);
    require(strlen(state.last_error) < sizeof state.last_error && strlen(state.host_name) < sizeof state.host_name);
    require(store_state_save(store, &state, &failure) == 0 && store_state_load(store, &again, &failure) == 0);
    require(bytes_view_equal(bytes_view(&state.parent_name), bytes_view(&again.parent_name)));
    bytes_clear(&state.parent_name);
    bytes_clear(&again.parent_name);
    require(state.revoked == again.revoked && state.next_attempt == again.next_attempt && state.late == again.late &&
            state.of_generation == again.of_generation && strcmp(state.settings, again.settings) == 0);
}

static void try_others(Store *store, Kind kind) {
    _cleanup_(stored_pending_clear) StoredPending pending = { 0 };
    _cleanup_(stored_generation_clear) StoredGeneration generation = { 0 };
    _cleanup_bytes_ Bytes anchors = BYTES_NULL;
    StoredOcsp seen[STORE_OCSP_MAX];
    Failure failure = FAILURE_INIT;
    size_t count = 0;

    if (kind == KIND_OCSP) {
        check_failure(store_ocsp_load(store, seen, &count, &failure), &failure);
        require(count <= STORE_OCSP_MAX);
    } else if (kind == KIND_ANCHORS) {
        check_failure(store_anchors_load(store, &anchors, &failure), &failure);
    } else if (kind == KIND_FLAGS || kind == KIND_PARENT) {
        check_failure(store_pending_load(store, &pending, &failure), &failure);
        require(pending.parent_name.size <= PARENT_NAME_MAX);
    }
    failure = FAILURE_INIT;
    check_failure(store_load(store, 1, &generation, &failure), &failure);
    require(generation.parent_name.size <= PARENT_NAME_MAX);
}

static void try_device(int root_fd) {
    _cleanup_(stored_device_clear) StoredDevice device = { 0 };
    Failure failure = FAILURE_INIT;

    check_failure(store_device_load(root_fd, &device, &failure), &failure);
    require(device.parent_name.size <= PARENT_NAME_MAX && device.endorsement.size <= STORE_ENDORSEMENT_MAX);
}

static void try_clock(int root_fd) {
    Domains *domains = NULL;

    require(domains_new(root_fd, &domains) == 0);
    domains_judge(domains);
    domains_free(domains);
}

/* What the file is beside; the same each time. */
static void write_surroundings(void) {
    static const char parent[] = "000b0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20\n";

    (void) scratch_write("x/generations/1/key.pem", bytes_view_string("key\n"));
    (void) scratch_write("x/generations/1/chain.pem", bytes_view_string("chain\n"));
    (void) scratch_write("x/generations/1/parent", bytes_view_string(parent));
    (void) scratch_write("x/pending/key.pem", bytes_view_string("key\n"));
    (void) scratch_write("x/pending/parent", bytes_view_string(parent));
    (void) scratch_write("x/pending/flags",
                         bytes_view_string("reenroll=no\nsame-key=no\nmanual=no\npresent-names=no\n"));
}

static void set_current(int root_fd, BytesView target) {
    char text[64] = "generations/1";

    if (target.size > 0 && target.size < sizeof text && !memchr(target.data, 0, target.size)) {
        memcpy(text, target.data, target.size);
        text[target.size] = '\0';
    }
    (void) unlinkat(root_fd, "x/current", 0);
    require(symlinkat(text, root_fd, "x/current") == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const names[_KIND_COUNT] = {
        "x/state",
        ".device",
        "x/trust/ocsp",
        "x/pending/flags",
        "x/generations/1/parent",
        "x/generations/1/checksum",
        NULL,
        ".clock",
        "x/trust/anchors.pem",
    };
    BytesView rest = { data, size };
    uint8_t first = choose(&rest);
    Kind kind = (Kind) ((first & 0x7f) % _KIND_COUNT);
    _cleanup_store_ Store *store = NULL;
    _cleanup_bytes_ Bytes content = BYTES_NULL;
    Failure failure = FAILURE_INIT;

    scratch_empty();
    write_surroundings();
    _cleanup_close_ int root_fd = open(scratch(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    require(root_fd >= 0 && bytes_copy(rest, &content) == 0);
    if (first & WITH_CHECKSUM)
        require(checksum_append(&content) == 0);
    if (names[kind])
        (void) scratch_write(names[kind], bytes_view(&content));
    set_current(root_fd, kind == KIND_CURRENT ? rest : (BytesView) { NULL, 0 });
    if (kind == KIND_DEVICE)
        try_device(root_fd);
    else if (kind == KIND_CLOCK)
        try_clock(root_fd);
    int r = store_open(root_fd, "x", true, &store, &failure);
    require(r != STORE_SALVAGED || failure.text[0]);
    check_failure(r, &failure);
    if (r < 0)
        return 0;
    require(store_current(store) <= 1);
    if (kind == KIND_STATE)
        try_state(store, bytes_view(&content));
    else
        try_others(store, kind);
    return 0;
}
