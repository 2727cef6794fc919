/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Identities as handles see them: what main last said of each, its generations that can still sign, and the State that
 * is made of it for each purpose. */
#include "signing/signing-internal.h"

#include "common/tlv.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

static ServedGeneration *generation_free(Tpm *tpm, ServedGeneration *generation) {
    if (generation) {
        if (tpm)
            tpm_key_unload(tpm, generation->key);
        tpm_key_free(generation->key);
        bytes_clear(&generation->certificate);
        free(generation);
    }
    return NULL;
}

static int generation_new(const SigningIdentity *identity, ServedGeneration **ret) {
    _cleanup_free_ ServedGeneration *generation = calloc(1, sizeof(*generation));

    if (!generation)
        return -ENOMEM;
    generation->key = tpm_key_ref(identity->key);
    int r = bytes_copy(identity->certificate, &generation->certificate);
    if (r < 0) {
        tpm_key_free(generation->key);
        return r;
    }
    generation->number = identity->generation;
    *ret = TAKE_PTR(generation);
    return 0;
}

static int copy_files(const SigningIdentity *identity, int ret[static SERVED_FILES_MAX]) {
    const int files[SERVED_FILES_MAX] = {
        [HANDLE_FILE_CHAIN - 1] = identity->chain_fd,
        [HANDLE_FILE_ANCHORS - 1] = identity->anchors_fd,
        [HANDLE_FILE_CRLS - 1] = identity->crls_fd,
        [HANDLE_FILE_OCSP - 1] = identity->ocsp_fd,
    };

    for (size_t i = 0; i < SERVED_FILES_MAX; i++) {
        ret[i] = files[i] < 0 ? -1 : fcntl(files[i], F_DUPFD_CLOEXEC, 3);
        if (files[i] >= 0 && ret[i] < 0)
            return -errno;
    }
    return 0;
}

int served_identity_new(Signing *signing, const SigningIdentity *identity, ServedIdentity **ret) {
    _cleanup_(served_identity_free_p) ServedIdentity *served = calloc(1, sizeof(*served));

    if (!served)
        return -ENOMEM;
    served->signing = signing;
    memset(served->files, -1, sizeof(served->files));
    served->name = strdup(identity->name);
    served->state = strdup(identity->state);
    served->blocked_reason = strdup(identity->blocked_reason ?: "");
    if (!served->name || !served->state || !served->blocked_reason)
        return -ENOMEM;
    served->blocked = identity->blocked;
    served->not_after = identity->not_after;
    served->tls12 = identity->tls12;
    if (identity->generation > 0 && identity->key) {
        int r = generation_new(identity, &served->generations);
        if (r < 0)
            return r;
        served->generation = identity->generation;
    }
    int r = copy_files(identity, served->files);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(served);
    return 0;
}

ServedIdentity *served_identity_free(ServedIdentity *identity) {
    if (!identity)
        return NULL;
    while (identity->generations) {
        ServedGeneration *generation = identity->generations;
        identity->generations = generation->next;
        generation_free(NULL, generation);
    }
    for (size_t i = 0; i < SERVED_FILES_MAX; i++)
        identity->files[i] = close_safe(identity->files[i]);
    free(identity->name);
    free(identity->state);
    free(identity->blocked_reason);
    free(identity);
    return NULL;
}

ServedIdentity *served_find(const ServedSet *set, const char *name) {
    for (ServedIdentity *identity = set->first; identity; identity = identity->next)
        if (strcmp(identity->name, name) == 0)
            return identity;
    return NULL;
}

ServedGeneration *served_generation(const ServedIdentity *identity, uint32_t number) {
    if (number == 0)
        number = identity->generation;
    for (ServedGeneration *generation = identity->generations; number > 0 && generation; generation = generation->next)
        if (generation->number == number)
            return generation;
    return NULL;
}

static bool file_is_same(int a, int b) {
    struct stat left, right;

    if (a < 0 || b < 0)
        return a < 0 && b < 0;
    if (fstat(a, &left) < 0 || fstat(b, &right) < 0)
        return false;
    if (left.st_dev == right.st_dev && left.st_ino == right.st_ino)
        return true;
    if (left.st_size != right.st_size)
        return false;
    _cleanup_bytes_ Bytes one = BYTES_NULL, other = BYTES_NULL;
    if (bytes_from_memfd(a, HANDLE_CRLS_MAX, &one) < 0 || bytes_from_memfd(b, HANDLE_CRLS_MAX, &other) < 0)
        return false;
    return bytes_view_equal(bytes_view(&one), bytes_view(&other));
}

static void swap_strings(char **a, char **b) {
    char *kept = *a;
    *a = *b;
    *b = kept;
}

/* Adopts the generation of `fresh` unless the same key is known by that number already. True if it is new. */
static bool adopt_generation(const ServedSet *set, ServedIdentity *identity, ServedIdentity *fresh) {
    bool changed = identity->generation != fresh->generation;
    ServedGeneration *offered = fresh->generations, **place = &identity->generations;

    identity->generation = fresh->generation;
    if (!offered)
        return changed;
    while (*place && (*place)->number > offered->number)
        place = &(*place)->next;
    ServedGeneration *known = *place;
    if (known && known->number == offered->number) {
        if (bytes_view_equal(tpm_key_name(known->key), tpm_key_name(offered->key)))
            return changed;
        *place = known->next;
        generation_free(set->tpm, known);
    }
    fresh->generations = NULL;
    offered->next = *place;
    *place = offered;
    return true;
}

bool served_merge(ServedSet *set, ServedIdentity *fresh, ServedIdentity **ret) {
    ServedIdentity *identity = served_find(set, fresh->name);

    if (!identity) {
        fresh->next = set->first;
        set->first = fresh;
        *ret = fresh;
        return true;
    }
    bool changed = adopt_generation(set, identity, fresh);
    changed = changed || strcmp(identity->state, fresh->state) != 0 || identity->not_after != fresh->not_after ||
              identity->tls12 != fresh->tls12;
    for (size_t i = 0; i < SERVED_FILES_MAX; i++)
        if (!file_is_same(identity->files[i], fresh->files[i])) {
            int kept = identity->files[i];
            identity->files[i] = fresh->files[i];
            fresh->files[i] = kept;
            changed = true;
        }
    swap_strings(&identity->state, &fresh->state);
    swap_strings(&identity->blocked_reason, &fresh->blocked_reason);
    identity->blocked = fresh->blocked;
    identity->not_after = fresh->not_after;
    identity->tls12 = fresh->tls12;
    served_identity_free(fresh);
    *ret = identity;
    return changed;
}

void served_remove(ServedSet *set, ServedIdentity *identity) {
    ServedIdentity **place = &set->first;

    while (*place != identity)
        place = &(*place)->next;
    *place = identity->next;
    for (ServedGeneration *generation = identity->generations; set->tpm && generation; generation = generation->next)
        tpm_key_unload(set->tpm, generation->key);
    served_identity_free(identity);
}

void served_forget(const ServedSet *set, ServedIdentity *identity, uint32_t generation) {
    for (ServedGeneration **place = &identity->generations; *place; place = &(*place)->next) {
        ServedGeneration *found = *place;
        if (found->number != generation || generation == identity->generation)
            continue;
        *place = found->next;
        generation_free(set->tpm, found);
        return;
    }
}

static int append_schemes(Bytes *body, const ServedIdentity *identity, const ServedView *view) {
    const SignatureScheme *schemes[SCHEMES_PER_KEY_MAX];
    const ServedGeneration *current = served_generation(identity, 0);
    KeyAlgorithm algorithm = current ? tpm_key_algorithm(current->key) : _KEY_ALGORITHM_INVALID;
    size_t count = current ? scheme_list(algorithm, schemes) : 0, size = 0;
    bool is_tls = view->purpose == PURPOSE_TLS_CLIENT || view->purpose == PURPOSE_TLS_SERVER;
    uint8_t encoded[2 * SCHEMES_PER_KEY_MAX];

    for (size_t i = 0; i < count; i++) {
        bool is_restricted = is_tls && !(view->purpose == PURPOSE_TLS_CLIENT && identity->tls12);
        if (is_restricted && !schemes[i]->tls)
            continue;
        if (schemes[i]->padding == SCHEME_RSA_PSS && (view->pss_unusable & (1U << algorithm)))
            continue;
        encoded[size++] = (uint8_t) schemes[i]->id;
        encoded[size++] = (uint8_t) (schemes[i]->id >> 8);
    }
    return tlv_append(body, HANDLE_STATE_SCHEMES, (BytesView) { encoded, size });
}

bool served_pss_matters(const ServedIdentity *identity, unsigned algorithms) {
    const ServedGeneration *current = served_generation(identity, 0);

    return current && (algorithms & (1U << tpm_key_algorithm(current->key)));
}

static uint32_t oldest_generation(const ServedIdentity *identity) {
    uint32_t oldest = 0;

    for (const ServedGeneration *generation = identity->generations; generation; generation = generation->next)
        oldest = generation->number;
    return oldest;
}

/* For programs that read a pair of files just before it was replaced: which key their certificate belongs to. */
static int append_earlier(Bytes *body, const ServedIdentity *identity) {
    _cleanup_bytes_ Bytes earlier = BYTES_NULL;
    int r = 0;

    for (const ServedGeneration *generation = identity->generations; generation && r >= 0;
         generation = generation->next) {
        BytesView spki = tpm_key_spki(generation->key);
        const uint8_t header[6] = { (uint8_t) generation->number,
                                    (uint8_t) (generation->number >> 8),
                                    (uint8_t) (generation->number >> 16),
                                    (uint8_t) (generation->number >> 24),
                                    (uint8_t) spki.size,
                                    (uint8_t) (spki.size >> 8) };
        if (generation->number >= identity->generation || spki.size > UINT16_MAX)
            continue;
        r = bytes_append(&earlier, (BytesView) { header, sizeof(header) });
        if (r >= 0)
            r = bytes_append(&earlier, spki);
    }
    return r < 0 ? r : tlv_append(body, HANDLE_STATE_EARLIER, bytes_view(&earlier));
}

int served_state(const ServedIdentity *identity, const ServedView *view, ServedState *ret) {
    _cleanup_bytes_ Bytes body = BYTES_NULL;
    uint8_t kinds[SERVED_FILES_MAX];
    int fds[SERVED_FILES_MAX];
    size_t count = 0;

    for (size_t i = 0; i < SERVED_FILES_MAX; i++)
        if (identity->files[i] >= 0) {
            fds[count] = identity->files[i];
            kinds[count++] = (uint8_t) (i + 1);
        }
    if (tlv_append_string(&body, HANDLE_STATE_IDENTITY, identity->name) < 0 ||
        tlv_append_string(&body, HANDLE_STATE_PURPOSE, purpose_to_string(view->purpose)) < 0 ||
        tlv_append_string(&body, HANDLE_STATE_STATE, identity->state) < 0 ||
        append_schemes(&body, identity, view) < 0 ||
        tlv_append_u64(&body, HANDLE_STATE_NOT_AFTER, identity->not_after) < 0 ||
        tlv_append(&body, HANDLE_STATE_FILES, (BytesView) { kinds, count }) < 0 ||
        tlv_append_u32(&body, HANDLE_STATE_OLDEST, oldest_generation(identity)) < 0 ||
        (identity->tls12 && view->purpose == PURPOSE_TLS_CLIENT && tlv_append_u8(&body, HANDLE_STATE_TLS12, 1) < 0) ||
        append_earlier(&body, identity) < 0)
        return -ENOMEM;
    memcpy(ret->fds, fds, count * sizeof(fds[0]));
    ret->fd_count = count;
    ret->body = body;
    body = BYTES_NULL;
    return 0;
}

static int on_review(sd_event_source *source, uint64_t time, void *userdata) {
    Signing *signing = userdata;

    signing->review_at = UINT64_MAX;
    for (ServedIdentity *identity = signing->served.first; identity; identity = identity->next)
        served_review(signing, identity);
    return 0;
}

static void review_again_at(Signing *signing, uint64_t time) {
    if (time >= signing->review_at)
        return;
    /* Out of memory, the review happens with the next thing that calls for one. */
    if (!signing->review_timer) {
        if (sd_event_add_time(signing->loop, &signing->review_timer, CLOCK_MONOTONIC, time, 0, on_review, signing) < 0)
            return;
    } else if (sd_event_source_set_time(signing->review_timer, time) < 0 ||
               sd_event_source_set_enabled(signing->review_timer, SD_EVENT_ONESHOT) < 0)
        return;
    signing->review_at = time;
}

/* One that is older than the newest so many is held by nobody, whoever uses it. */
static bool can_be_held(const ServedIdentity *identity, const ServedGeneration *generation) {
    unsigned newer = 0;

    for (const ServedGeneration *other = identity->generations; other && other != generation; other = other->next)
        newer++;
    return newer < SIGNING_GENERATIONS_MAX;
}

void served_say_used(Signing *signing, const ServedIdentity *identity, ServedGeneration *generation) {
    if (generation->used_said && (!generation->unused_said || !can_be_held(identity, generation)))
        return;
    if (thread_tell_generation(signing, identity->name, generation->number, true) < 0)
        return; /* with the next signature */
    generation->used_said = true;
    generation->unused_said = false;
}

void served_review(Signing *signing, ServedIdentity *identity) {
    uint32_t oldest_held = UINT32_MAX;
    uint64_t now = thread_now();
    unsigned newer = 0;

    if (!identity->generations ||
        (identity->generations->number == identity->generation && !identity->generations->next))
        return;
    for (Handle *handle = identity->handles; handle; handle = handle->next) {
        uint64_t next;
        uint32_t held = generation_hold_settle(&handle->hold, now, signing->grace, &next);
        if (held > 0 && held < oldest_held)
            oldest_held = held;
        review_again_at(signing, next);
    }
    for (ServedGeneration *generation = identity->generations; generation; generation = generation->next, newer++) {
        if (generation->number == identity->generation || generation->unused_said)
            continue;
        if (generation->number < oldest_held || newer >= SIGNING_GENERATIONS_MAX)
            generation->unused_said = thread_tell_generation(signing, identity->name, generation->number, false) == 0;
    }
}
