/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The signing thread: its life, and the calls from main. Every call posts a letter and returns; the letters of a caller
 * take effect in their order. Letters, and news of connections, go before turns of the TPM (queue.c), which so are
 * given knowing all who want one; each costs next to nothing, and no connection has more news than requests served. */
#include "signing/signing-internal.h"

#include <signal.h>
#include <string.h>
#include <time.h>

#define MEMORY_PAUSE_MS 10

/* ---- life ---- */

static void remove_identity(Signing *signing, ServedIdentity *identity) {
    handle_close_all(identity);
    served_remove(&signing->served, identity);
}

/* The loop also ends where memory for its own lists is not to be had. Nothing is lost by that, and it is gone on with.
 * Else it fails only where the kernel refuses epoll itself: there is nobody left who could sign or say so. */
static void run_loop(const Signing *signing) {
    const struct timespec pause = { .tv_nsec = MEMORY_PAUSE_MS * 1000000L };
    int r;

    while ((r = sd_event_loop(signing->loop)) == -ENOMEM)
        (void) nanosleep(&pause, NULL);
    if (r < 0)
        abort();
}

static void *run_thread(void *userdata) {
    Signing *signing = userdata;

    (void) pthread_setname_np(pthread_self(), "signing");
    run_loop(signing);
    mailbox_free(signing->to_thread);
    jobs_cancel(signing);
    while (signing->served.first)
        remove_identity(signing, signing->served.first);
    while (signing->lingering)
        handle_end_lingering(signing->lingering);
    queue_end(signing);
    closer_free(signing->closer);
    sd_event_source_disable_unref(signing->review_timer);
    sd_event_unref(signing->loop);
    tpm_free(signing->tpm);
    return NULL;
}

static void stop(void *data) {
    Signing *signing = data;

    (void) sd_event_exit(signing->loop, 0);
}

static int start_thread(Signing *signing) {
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int r = pthread_create(&signing->thread, NULL, run_thread, signing);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return -r;
}

/* Of what never had a thread. */
static Signing *discard(Signing *signing) {
    mailbox_free(signing->to_thread);
    mailbox_free(signing->to_main);
    closer_free(signing->closer);
    queue_end(signing);
    sd_event_unref(signing->loop);
    free(signing);
    return NULL;
}
DEFINE_CLEANUP(Signing, discard)

int signing_new(Tpm *tpm, sd_event *main_loop, const SigningCallbacks *callbacks, Signing **ret) {
    _cleanup_(discard_p) Signing *signing = calloc(1, sizeof(*signing));

    if (!signing)
        return -ENOMEM;
    signing->callbacks = *callbacks;
    signing->review_at = UINT64_MAX;
    signing->grace = callbacks->grace > 0 ? callbacks->grace : SIGNING_GRACE_DEFAULT;
    int r = sd_event_new(&signing->loop);
    if (r >= 0)
        r = mailbox_new(signing->loop, SD_EVENT_PRIORITY_NORMAL, &signing->to_thread);
    if (r >= 0)
        r = mailbox_new(main_loop, SD_EVENT_PRIORITY_NORMAL, &signing->to_main);
    if (r >= 0)
        r = queue_begin(signing);
    if (r >= 0)
        r = closer_new(&signing->closer);
    if (r < 0)
        return r;
    signing->tpm = signing->served.tpm = tpm;
    r = start_thread(signing);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(signing);
    return 0;
}

Signing *signing_free(Signing *signing) {
    if (!signing)
        return NULL;
    atomic_store(&signing->stopping, true);
    mailbox_post_mail(signing->to_thread, &signing->stop_mail, stop, signing);
    (void) pthread_join(signing->thread, NULL);
    mailbox_free(signing->to_main); /* delivers what the thread had still to say */
    while (signing->shown.first)
        served_remove(&signing->shown, signing->shown.first);
    free(signing);
    return NULL;
}

/* ---- signs of life ---- */

uint64_t signing_busy_since(Signing *signing) {
    return atomic_load_explicit(&signing->busy_since, memory_order_relaxed);
}

bool signing_is_busy_longer(Signing *signing, uint64_t microseconds) {
    uint64_t since = signing_busy_since(signing);

    return since != 0 && thread_now() > since + microseconds;
}

static void pong(void *data) {
    Signing *signing = data;

    atomic_fetch_add(&signing->heartbeat, 1);
    atomic_store(&signing->ping_is_out, false);
}

void signing_ping(Signing *signing) {
    if (!atomic_exchange(&signing->ping_is_out, true))
        mailbox_post_mail(signing->to_thread, &signing->ping_mail, pong, signing);
}

uint64_t signing_heartbeat(Signing *signing) {
    return atomic_load(&signing->heartbeat);
}

void signing_counters(Signing *signing, SigningCounters *ret) {
    *ret = (SigningCounters) {
        .signatures = atomic_load_explicit(&signing->signatures, memory_order_relaxed),
        .refused = atomic_load_explicit(&signing->refused, memory_order_relaxed),
        .tpm_errors = atomic_load_explicit(&signing->tpm_errors, memory_order_relaxed),
        .handles_open = atomic_load_explicit(&signing->handles_open, memory_order_relaxed),
        .latency_sum = atomic_load_explicit(&signing->latency_sum, memory_order_relaxed),
    };
    for (size_t i = 0; i < ARRAY_LENGTH(ret->latency_bucket); i++)
        ret->latency_bucket[i] = atomic_load_explicit(&signing->latency_bucket[i], memory_order_relaxed);
}

/* ---- identities and handles ---- */

/* What PSS this TPM makes with keys like that one, asked of it at most once in its life. While the identity cannot sign
 * it is not asked: a chip that is gone or hangs must not be waited for here. Until something is known, States offer
 * PSS: nearly every TPM makes it as TLS 1.3 wants it, and an RSA identity has nothing else to offer there. The
 * bits of `pss_unusable` that have changed. */
static unsigned learn_pss(Signing *signing, const ServedIdentity *identity) {
    const ServedGeneration *current = served_generation(identity, 0);
    Failure failure = FAILURE_INIT;
    bool usable;

    if (!current || identity->blocked != FAILURE_NONE || atomic_load(&signing->stopping))
        return 0;
    thread_busy_begin(signing);
    int r = tpm_key_pss_is_usable(signing->tpm, current->key, &usable, &failure);
    thread_busy_end(signing);
    if (r < 0) {
        thread_tell_trouble(signing, &failure);
        return 0;
    }
    unsigned bit = 1U << tpm_key_algorithm(current->key), before = atomic_load(&signing->pss_unusable),
             now = usable ? before & ~bit : before | bit;
    atomic_store(&signing->pss_unusable, now); /* nobody else writes it */
    return now ^ before;
}

static void do_set_identity(void *data) {
    ServedIdentity *fresh = data, *identity;
    Signing *signing = fresh->signing;

    if (served_merge(&signing->served, fresh, &identity))
        handle_push_all(identity);
    served_review(signing, identity);
    unsigned changed = learn_pss(signing, identity);
    for (identity = changed ? signing->served.first : NULL; identity; identity = identity->next)
        if (served_pss_matters(identity, changed))
            handle_push_all(identity);
}

int signing_set_identity(Signing *signing, const SigningIdentity *identity) {
    _cleanup_(served_identity_free_p) ServedIdentity *fresh = NULL;
    ServedIdentity *shown;

    int r = served_identity_new(signing, identity, &fresh);
    if (r >= 0)
        r = served_identity_new(signing, identity, &shown);
    if (r < 0)
        return r;
    (void) served_merge(&signing->shown, shown, &shown);
    mailbox_post_mail(signing->to_thread, &fresh->mail, do_set_identity, fresh);
    (void) TAKE_PTR(fresh);
    return 0;
}

/* What the smaller calls carry over. */
typedef struct Order {
    Signing *signing;
    uint64_t handle_id;
    uint32_t generation;
    Mail mail;
    char name[];
} Order;

static int post_order(Signing *signing, MailFunction function, const char *name, uint32_t generation,
                      uint64_t handle_id) {
    size_t size = strlen(name) + 1;
    Order *order = malloc(sizeof(*order) + size);

    if (!order)
        return -ENOMEM;
    *order = (Order) { .signing = signing, .handle_id = handle_id, .generation = generation };
    memcpy(order->name, name, size);
    mailbox_post_mail(signing->to_thread, &order->mail, function, order);
    return 0;
}

static void do_forget_generation(void *data) {
    _cleanup_free_ Order *order = data;
    ServedIdentity *identity = served_find(&order->signing->served, order->name);

    if (identity)
        served_forget(&order->signing->served, identity, order->generation);
}

int signing_forget_generation(Signing *signing, const char *name, uint32_t generation) {
    ServedIdentity *shown = served_find(&signing->shown, name);
    int r = post_order(signing, do_forget_generation, name, generation, 0);

    if (r >= 0 && shown)
        served_forget(&signing->shown, shown, generation);
    return r;
}

static void do_remove_identity(void *data) {
    _cleanup_free_ Order *order = data;
    ServedIdentity *identity = served_find(&order->signing->served, order->name);

    if (identity)
        remove_identity(order->signing, identity);
}

int signing_remove_identity(Signing *signing, const char *name) {
    ServedIdentity *shown = served_find(&signing->shown, name);
    int r = post_order(signing, do_remove_identity, name, 0, 0);

    if (r >= 0 && shown)
        served_remove(&signing->shown, shown);
    return r;
}

static void do_open_handle(void *data) {
    handle_open(data);
}

int signing_open_handle(Signing *signing, const SigningHandle *description) {
    _cleanup_(handle_free_p) Handle *handle = NULL;
    const ServedIdentity *shown = served_find(&signing->shown, description->identity);

    int r = handle_new(signing, description, &handle);
    if (r >= 0 && shown)
        r = handle_show(handle, shown);
    if (r < 0)
        return r;
    mailbox_post_mail(signing->to_thread, &handle->mail, do_open_handle, handle);
    (void) TAKE_PTR(handle);
    return 0;
}

static void do_close_handle(void *data) {
    _cleanup_free_ Order *order = data;

    for (ServedIdentity *identity = order->signing->served.first; identity; identity = identity->next)
        for (Handle *handle = identity->handles; handle; handle = handle->next)
            if (handle->id == order->handle_id) {
                handle_close(handle);
                return;
            }
}

int signing_close_handle(Signing *signing, uint64_t id) {
    return post_order(signing, do_close_handle, "", 0, id);
}

static void do_close_identity(void *data) {
    _cleanup_free_ Order *order = data;
    ServedIdentity *identity = served_find(&order->signing->served, order->name);

    if (identity)
        handle_close_all(identity);
}

int signing_close_identity(Signing *signing, const char *name) {
    return post_order(signing, do_close_identity, name, 0, 0);
}
