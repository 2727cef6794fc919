/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What everything on the signing thread stands on: the clock, the mark that it waits for the TPM, its counters, and its
 * news for main. */
#include "signing/signing-internal.h"

#include <string.h>
#include <time.h>

uint64_t thread_now(void) {
    struct timespec now;

    (void) clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t) now.tv_sec * 1000000U + (uint64_t) now.tv_nsec / 1000U;
}

uint64_t thread_busy_begin(Signing *signing) {
    uint64_t now = thread_now();

    atomic_store_explicit(&signing->busy_since, now, memory_order_relaxed);
    return now;
}

uint64_t thread_busy_end(Signing *signing) {
    atomic_store_explicit(&signing->busy_since, 0, memory_order_relaxed);
    return thread_now();
}

void thread_count_latency(Signing *signing, uint64_t microseconds) {
    static const uint64_t bounds[] = { 1000, 3000, 10000, 30000, 100000, 300000, 1000000 };
    size_t i = 0;

    while (i < ARRAY_LENGTH(bounds) && microseconds > bounds[i])
        i++;
    atomic_fetch_add_explicit(&signing->latency_bucket[i], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&signing->latency_sum, microseconds, memory_order_relaxed);
}

/* ---- from the thread to main ---- */

static void say_trouble(void *data) {
    Signing *signing = data;
    Failure failure = signing->trouble;

    atomic_store(&signing->trouble_is_out, false);
    if (signing->callbacks.tpm_trouble)
        signing->callbacks.tpm_trouble(&failure, signing->callbacks.userdata);
}

void thread_tell_trouble(Signing *signing, const Failure *failure) {
    if (atomic_load(&signing->trouble_is_out))
        return; /* main has yet to hear of the one before, and looks at the TPM then */
    signing->trouble = *failure;
    atomic_store(&signing->trouble_is_out, true);
    mailbox_post_mail(signing->to_main, &signing->trouble_mail, say_trouble, signing);
}

typedef struct GenerationNews {
    Signing *signing;
    uint32_t generation;
    bool used;
    char identity[];
} GenerationNews;

static void say_generation(void *data) {
    _cleanup_free_ GenerationNews *news = data;
    const SigningCallbacks *callbacks = &news->signing->callbacks;
    void (*callback)(const char *, uint32_t, void *) =
        news->used ? callbacks->generation_used : callbacks->generation_unused;

    if (callback)
        callback(news->identity, news->generation, callbacks->userdata);
}

int thread_tell_generation(Signing *signing, const char *identity, uint32_t generation, bool used) {
    size_t size = strlen(identity) + 1;
    _cleanup_free_ GenerationNews *news = malloc(sizeof(*news) + size);

    if (!news)
        return -ENOMEM;
    *news = (GenerationNews) { .signing = signing, .generation = generation, .used = used };
    memcpy(news->identity, identity, size);
    int r = mailbox_post(signing->to_main, say_generation, news);
    if (r >= 0)
        (void) TAKE_PTR(news);
    return r;
}
