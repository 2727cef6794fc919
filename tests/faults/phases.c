/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The phases, and what has to be so after each. */
#undef NDEBUG
#include "phases.h"

#include "common/handle-protocol.h"
#include "common/names.h"

#include <assert.h>
#include <dirent.h>
#include <fcntl.h>
#include <gnutls/crypto.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define READY_SECONDS    60
#define CRIPPLED_SECONDS 15 /* after the fault, until it counts as one that does not come up */
#define PACKET_SECONDS   10
#define SCHEME           0x0403 /* ecdsa_secp256r1_sha256 */

static bool say(Said *said, const char *text) {
    (void) snprintf(said->text, sizeof said->text, "%s", text);
    return false;
}

/* An answer that is none is worse than a refusal. Where identityd died meanwhile, it was none of its. */
static bool say_wrong(const Trial *trial, Said *said, const char *text) {
    said->is_wrong = trial->pid > 0;
    return say(said, said->is_wrong ? text : "");
}

/* ---- handles ---- */

typedef struct Handle {
    Trial *trial;
    int fd;
    sd_event_source *io;
    Packet packet;
    bool has_packet, is_closed;
} Handle;

static int on_packet(sd_event_source *source, int fd, uint32_t events, void *userdata) {
    Handle *handle = userdata;
    int r = packet_receive(fd, &handle->trial->buffer, true, &handle->packet);

    handle->has_packet = r == PACKET_RECEIVED;
    handle->is_closed = r != PACKET_RECEIVED && r != PACKET_NONE;
    if (handle->is_closed)
        (void) sd_event_source_set_enabled(source, SD_EVENT_OFF);
    return 0;
}

/* The next packet is of that type and no refusal; `text` of a refusal is told. */
static bool await_packet(Handle *handle, uint8_t type, Said *said) {
    handle->has_packet = false;
    if (!trial_until(handle->trial, handle->has_packet || handle->is_closed, PACKET_SECONDS) || !handle->has_packet)
        return say(said, "");
    const Packet *packet = &handle->packet;
    if (packet->header.status != 0) {
        (void) snprintf(said->text, sizeof said->text, "status %u: %.*s", packet->header.status,
                        (int) packet->payload.size, (const char *) packet->payload.data);
        return false;
    }
    return packet->header.type == type || say(said, "");
}

static void handle_close(Handle *handle) {
    handle->io = sd_event_source_disable_unref(handle->io);
    handle->fd = close_safe(handle->fd);
    packet_clear(&handle->packet);
}
#define _cleanup_handle_ _cleanup_(handle_close)
#define HANDLE_INIT      ((Handle) { .fd = -1, .packet = PACKET_INIT })

/* Opens one, and has its State. */
static bool handle_open(Trial *trial, Handle *ret, Said *said) {
    _cleanup_answer_ Answer answer = { .done = false };
    int fd = -1;

    if (!trial_call(trial, X_PATH, "OpenCredential", &answer, "sa{sv}", "digest", 0))
        return say(said, answer.text);
    if (sd_bus_message_read(answer.message, "h", &fd) <= 0)
        return say_wrong(trial, said, "an answer without a handle");
    ret->trial = trial;
    ret->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    assert(ret->fd >= 0 && fcntl(ret->fd, F_SETFL, O_NONBLOCK) == 0);
    assert(sd_event_add_io(trial->loop, &ret->io, ret->fd, EPOLLIN, on_packet, ret) >= 0);
    bool is_open = await_packet(ret, HANDLE_STATE, said);
    packet_clear(&ret->packet);
    return is_open;
}

/* ---- signatures ---- */

/* Before anything fails: what is asked then is failed, too. */
static bool learn_key(Trial *trial) {
    _cleanup_answer_ Answer answer = { .done = false };
    const void *der = NULL;
    size_t size = 0;

    bytes_clear(&trial->key);
    return trial_get(trial, "PublicKey", &answer) && sd_bus_message_enter_container(answer.message, 'v', "ay") >= 0 &&
           sd_bus_message_read_array(answer.message, 'y', &der, &size) > 0 &&
           bytes_copy((BytesView) { der, size }, &trial->key) >= 0;
}

static bool verifies(const Trial *trial, const void *signature, size_t size, const uint8_t digest[32]) {
    const gnutls_datum_t hash = { (unsigned char *) (uintptr_t) digest, 32 };
    const gnutls_datum_t data = { (unsigned char *) (uintptr_t) signature, (unsigned) size };
    const gnutls_datum_t info = { trial->key.data, (unsigned) trial->key.size };
    gnutls_pubkey_t key;

    assert(gnutls_pubkey_init(&key) >= 0);
    bool is_good = gnutls_pubkey_import(key, &info, GNUTLS_X509_FMT_DER) >= 0 &&
                   gnutls_pubkey_verify_hash2(key, GNUTLS_SIGN_ECDSA_SECP256R1_SHA256, 0, &hash, &data) >= 0;
    gnutls_pubkey_deinit(key);
    return is_good;
}

static bool handle_sign(Handle *handle, Said *said) {
    const PacketHeader header = {
        .type = HANDLE_SIGN_DIGEST, .serial = 7, .scheme = SCHEME /* the current generation */
    };
    const uint8_t digest[32] = { 1, 2, 3 };

    if (packet_send(handle->fd, &header, (BytesView) { digest, sizeof digest }, NULL, 0) < 0)
        return say(said, "");
    if (!await_packet(handle, HANDLE_SIGN_DIGEST | HANDLE_ANSWER, said))
        return false;
    uint8_t signature[512];
    const size_t size = handle->packet.payload.size;
    assert(size <= sizeof signature);
    memcpy(signature, handle->packet.payload.data, size);
    return verifies(handle->trial, signature, size, digest) ||
           say_wrong(handle->trial, said, "the signature does not verify");
}

/* ---- phases ---- */

/* By its signals, as programs do: what it is asked while memory is counted would be counted, too. */
static bool becomes_ready(Trial *trial) {
    double end = trial_seconds() + READY_SECONDS;
    bool is_ready = false;

    for (unsigned seen = trial->changes; !is_ready && trial_runs(trial) && trial_seconds() < end;
         seen = trial->changes) {
        (void) trial_until(trial, trial->changes != seen, 1);
        end = trial_deadline(trial, end, CRIPPLED_SECONDS);
        is_ready = trial->changes > 0 && trial_is_ready(trial);
    }
    return is_ready;
}

bool phase_is_up(Trial *trial) {
    const double end = trial_seconds() + READY_SECONDS;
    bool answers = false;

    if (!trial_runs(trial))
        trial_start(trial);
    while (!answers && trial_runs(trial) && trial_seconds() < end) {
        _cleanup_answer_ Answer answer = { .done = false };
        const unsigned seen = trial->changes;
        answers = trial_get(trial, "State", &answer);
        (void) (answers || trial_until(trial, trial->changes != seen, 1));
    }
    return answers;
}

static bool is_up(Trial *trial) {
    if (trial_runs(trial))
        return true;
    trial_start(trial);
    return becomes_ready(trial);
}

static bool prepare_blank(Trial *trial) {
    trial_kill(trial);
    trial_forget(trial);
    return true;
}

static bool prepare_start(Trial *trial) {
    return is_up(trial) && trial_stop(trial);
}

static bool run_start(Trial *trial, Said *said) {
    trial->changes = 0;
    trial_start(trial);
    return becomes_ready(trial) || say(said, "");
}

static bool call(Trial *trial, const char *path, const char *member, const char *types, Said *said) {
    _cleanup_answer_ Answer answer = { .done = false };

    return trial_call(trial, path, member, &answer, types, 0) || say(said, answer.text);
}

static bool prepare_enrol(Trial *trial) {
    Said said = { "" };

    return is_up(trial) && call(trial, X_PATH, "Retire", "", &said);
}

static bool run_enrol(Trial *trial, Said *said) {
    return call(trial, X_PATH, "Enroll", "a{sv}", said);
}

static bool run_renew(Trial *trial, Said *said) {
    _cleanup_answer_ Answer answer = { .done = false };

    return trial_call(trial, X_PATH, "Renew", &answer, "a{sv}", 1, "rotate-key", "b", true) || say(said, answer.text);
}

static bool run_open(Trial *trial, Said *said) {
    _cleanup_handle_ Handle handle = HANDLE_INIT;

    return handle_open(trial, &handle, said);
}

static Handle kept = { .fd = -1, .packet = { .fds = { -1, -1, -1, -1 } } };

static bool prepare_sign(Trial *trial) {
    Said said = { "" };

    handle_close(&kept);
    kept = HANDLE_INIT;
    return is_up(trial) && learn_key(trial) && handle_open(trial, &kept, &said);
}

static bool prepare_sign_once(Trial *trial) {
    return is_up(trial) && learn_key(trial);
}

/* Whose handle was closed opens another, as libidentityd does. */
static bool run_sign(Trial *trial, Said *said) {
    if ((kept.fd < 0 || kept.is_closed) && !prepare_sign(trial))
        return say(said, "no handle");
    return handle_sign(&kept, said);
}

static bool run_sign_once(Trial *trial, Said *said) {
    _cleanup_answer_ Answer answer = { .done = false };
    const void *signature = NULL;
    uint8_t digest[32];
    size_t size = 0;

    if (!trial_call(trial, X_PATH, "Sign", &answer, "ssay", "raw", "ecdsa_secp256r1_sha256", 3, 'a', 'b', 'c'))
        return say(said, answer.text);
    if (sd_bus_message_read_array(answer.message, 'y', &signature, &size) <= 0)
        return say_wrong(trial, said, "an answer without a signature");
    assert(gnutls_hash_fast(GNUTLS_DIG_SHA256, "abc", 3, digest) >= 0);
    return verifies(trial, signature, size, digest) ||
           say(said, trial->pid == 0 ? "" : "the signature does not verify");
}

static bool run_look(Trial *trial, Said *said) {
    return call(trial, NULL, "Metrics", "", said) && call(trial, NULL, "ListIdentities", "", said);
}

static bool run_reload(Trial *trial, Said *said) {
    return call(trial, NULL, "Reload", "", said);
}

const Phase phases[] = {
    { "blank-start", true, prepare_blank, run_start },
    { "start", true, prepare_start, run_start },
    { "enrol", false, prepare_enrol, run_enrol },
    { "renew", false, is_up, run_renew },
    { "open", false, is_up, run_open },
    { "sign", false, prepare_sign, run_sign },
    { "sign-once", false, prepare_sign_once, run_sign_once },
    { "look", false, is_up, run_look },
    { "reload", false, is_up, run_reload },
};
const size_t phases_count = ARRAY_LENGTH(phases);

/* ---- afterwards ---- */

/* As sha256sum(1) checks it. */
static bool checksum_is_right(const Trial *trial, uint32_t generation) {
    char path[128], line[128], hex[65];
    uint8_t digest[32];
    unsigned right = 0;

    (void) snprintf(path, sizeof path, "state/x/generations/%u/checksum", generation);
    FILE *file = fopen(trial_path(trial, path), "re");
    while (file && fgets(line, sizeof line, file)) {
        _cleanup_bytes_ Bytes content = BYTES_NULL;
        line[strcspn(line, "\n")] = '\0';
        (void) snprintf(path, sizeof path, "state/x/generations/%u/%s", generation, strlen(line) > 66 ? line + 66 : "");
        if (bytes_read_file(trial_path(trial, path), 1U << 20, &content) < 0)
            break;
        assert(gnutls_hash_fast(GNUTLS_DIG_SHA256, content.data, content.size, digest) >= 0);
        for (size_t i = 0; i < sizeof digest; i++)
            (void) snprintf(hex + 2 * i, 3, "%02x", digest[i]);
        right += strncmp(line, hex, 64) == 0;
    }
    if (file)
        (void) fclose(file);
    return right == 3;
}

/* What a directory has that it should not have: anything, or what is unfinished. */
static bool has_rest(const Trial *trial, const char *path, bool anything) {
    DIR *directory = opendir(trial_path(trial, path));
    bool found = false;

    for (struct dirent *entry; directory && (entry = readdir(directory));)
        found |= entry->d_name[0] != '.' ? anything : strncmp(entry->d_name, ".#", 2) == 0;
    if (directory)
        (void) closedir(directory);
    return found;
}

static bool store_is_whole(Trial *trial, Said *said) {
    const uint32_t generation = trial_generation(trial);
    char path[128], link[64] = "";

    (void) snprintf(path, sizeof path, "generations/%u", generation);
    if (readlink(trial_path(trial, "state/x/current"), link, sizeof link - 1U) < 0 || strcmp(link, path) != 0)
        return say(said, "the link current is not what the bus says");
    if (!checksum_is_right(trial, generation))
        return say(said, "the generation on the disk is not what its checksum says");
    if (access(trial_path(trial, "state/x/pending"), F_OK) == 0)
        return say(said, "pending/ is still there");
    if (!trial_until(trial, !has_rest(trial, "state/x/trash", true), 3) || has_rest(trial, "state/x", false))
        return say(said, "something is left over in the store");
    return true;
}

bool phase_all_is_well(Trial *trial, Said *said) {
    _cleanup_handle_ Handle handle = HANDLE_INIT;

    if (!trial_is_ready(trial))
        return say(said, "x is not ready");
    if (!learn_key(trial) || !handle_open(trial, &handle, said) || !handle_sign(&handle, said))
        return false;
    return store_is_whole(trial, said);
}
