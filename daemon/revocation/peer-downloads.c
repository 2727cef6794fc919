/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A queue of downloads, each with those who wait for it. A download is made for the first of them; where he leaves, for
 * the next. */
#include "revocation/peer-downloads.h"

#include "identity/identity-job.h"
#include "work/work.h"

#include <assert.h>
#include <gnutls/crypto.h>
#include <string.h>
#include <strings.h>

typedef struct Download Download;
struct Download {
    PeerDownloads *owner;
    uint8_t key[32]; /* what is fetched, and how */
    PeerWait *first; /* who waits for it, in the order in which they came */
    Job *job;        /* NULL: it is not its turn yet */
    Download *next;
};

struct PeerWait {
    Download *download;
    PeerWaitStart start;
    PeerWait *next;
};

struct PeerDownloads {
    sd_event_source *turn; /* begins those whose turn it is */
    Download *first;
    unsigned running;
};

/* ---- one download ---- */

static void leave_list(Download *download) {
    Download **link = &download->owner->first;

    while (*link != download)
        link = &(*link)->next;
    *link = download->next;
}

static void end_job(Download *download) {
    if (!download->job)
        return;
    download->job = job_free(download->job);
    download->owner->running--;
    (void) sd_event_source_set_enabled(download->owner->turn, SD_EVENT_ONESHOT);
}

/* Each of those who wait is told, and is out of the list by then. */
static PeerWait *next_to_tell(Download *download) {
    PeerWait *wait = download->first;

    if (wait)
        download->first = wait->next;
    return wait;
}

/* Nobody may join it from here on: what comes is of before. */
static void begin_telling(Download *download) {
    end_job(download);
    leave_list(download);
}

static void fail(Download *download, const Failure *failure) {
    begin_telling(download);
    for (PeerWait *wait; (wait = next_to_tell(download));) {
        wait->start.callbacks->failed(failure, wait->start.userdata);
        free(wait);
    }
    free(download);
}

static void succeed(Download *download, const Crl *crl) {
    PeerFetched fetched = { .crl = crl };
    Failure failure = FAILURE_INIT;

    if (gnutls_hash_fast(GNUTLS_DIG_SHA256, crl->der.data, crl->der.size, fetched.digest) < 0) {
        (void) failure_errno(&failure, -EIO, "reading a CRL");
        fail(download, &failure);
        return;
    }
    begin_telling(download);
    for (PeerWait *wait; (wait = next_to_tell(download));) {
        wait->start.callbacks->fetched(&fetched, wait->start.userdata);
        free(wait);
    }
    free(download);
}

static void on_result(JobResult *result, void *userdata) {
    Download *download = userdata;
    _cleanup_(crl_free_p) Crl *crl = NULL;
    Failure failure = FAILURE_INIT;
    int r = 0;

    if (!result->has_fetched)
        r = failure_set(&failure, -EPROTO, FAILURE_ENROLLMENT_FAILED, "nothing came");
    else
        r = crl_parse_any(bytes_view(&result->fetched), &crl, &failure);
    if (r < 0)
        fail(download, &failure);
    else
        succeed(download, crl);
}

static void on_failed(const Failure *failure, bool permanent, uint32_t retry_after, void *userdata) {
    const Failure copy = *failure; /* which the job's end takes with it */

    fail(userdata, &copy);
}

/* An HTTPS server of a peers' CA may have its certificate from that CA. That costs no safety: a CRL is signed. */
static int add_peer_anchors(const Identity *identity, JobOrder *order) {
    _cleanup_bytes_ Bytes pem = BYTES_NULL;
    int r = certificate_list_to_pem(identity_peer_anchors(identity), &pem);

    if (r < 0 || order->server_anchors.size + pem.size > BUNDLE_BYTES_MAX)
        return r < 0 ? r : 0;
    r = bytes_append(&order->server_anchors, bytes_view(&pem));
    order->request.server_anchors = bytes_view(&order->server_anchors);
    return r;
}

static bool has_https(char *const *urls) {
    for (char *const *url = urls; *url; url++)
        if (strncasecmp(*url, "https:", 6) == 0)
            return true;
    return false;
}

static int on_job_turn(JobOrder *order, void *userdata, Failure *ret_failure) {
    const Download *download = userdata;
    const PeerWaitStart *first = &download->first->start;

    order->request.kind = JOB_KIND_FETCH;
    order->request.servers = (const char *const *) first->urls;
    int r = identity_job_prepare(first->identity, order, ret_failure);
    if (r < 0 || !has_https(first->urls) || identity_peer_anchors(first->identity)->count == 0)
        return r;
    r = add_peer_anchors(first->identity, order);
    return r < 0 ? failure_errno(ret_failure, r, "Preparing a fetch") : 0;
}

/* ---- the queue ---- */

static Download *next_in_line(const PeerDownloads *downloads) {
    for (Download *download = downloads->first; download; download = download->next)
        if (!download->job)
            return download;
    return NULL;
}

static int on_turn(sd_event_source *source, void *userdata) {
    static const JobCallbacks callbacks = { .prepare = on_job_turn, .result = on_result, .failed = on_failed };
    PeerDownloads *downloads = userdata;
    Download *download;

    while (downloads->running < PEER_DOWNLOADS_MAX && (download = next_in_line(downloads))) {
        Failure failure = FAILURE_INIT;
        const IdentityJob start = { JOB_LINE_FETCH, &callbacks, download };
        if (identity_job_start(download->first->start.identity, &start, &download->job, &failure) >= 0)
            downloads->running++;
        else
            fail(download, &failure);
    }
    return 0;
}

int peer_downloads_new(sd_event *loop, PeerDownloads **ret) {
    PeerDownloads *downloads = calloc(1, sizeof *downloads);
    int r = downloads ? 0 : -ENOMEM;

    if (r >= 0)
        r = sd_event_add_defer(loop, &downloads->turn, on_turn, downloads);
    if (r >= 0)
        r = sd_event_source_set_enabled(downloads->turn, SD_EVENT_OFF);
    if (r < 0) {
        peer_downloads_free(downloads);
        return r;
    }
    *ret = downloads;
    return 0;
}

PeerDownloads *peer_downloads_free(PeerDownloads *downloads) {
    if (!downloads)
        return NULL;
    assert(!downloads->first);
    sd_event_source_disable_unref(downloads->turn);
    free(downloads);
    return NULL;
}

/* ---- who waits ---- */

static void hash_text(gnutls_hash_hd_t hash, const char *text) {
    if (text)
        (void) gnutls_hash(hash, text, strlen(text));
    (void) gnutls_hash(hash, "", 1); /* the NUL between two */
}

static int key_of(const PeerWaitStart *start, uint8_t ret[static 32]) {
    const IdentityConfig *config = identity_config(start->identity);
    _cleanup_bytes_ Bytes anchors = BYTES_NULL, peers = BYTES_NULL;
    gnutls_hash_hd_t hash;
    int r = 0;

    if (has_https(start->urls)) {
        r = identity_server_anchors(start->identity, &anchors, NULL);
        if (r >= 0)
            r = certificate_list_to_pem(identity_peer_anchors(start->identity), &peers);
    }
    if (r < 0)
        return r;
    if (gnutls_hash_init(&hash, GNUTLS_DIG_SHA256) < 0)
        return -EIO;
    for (char *const *url = start->urls; *url; url++)
        hash_text(hash, *url);
    hash_text(hash, ""); /* ends the URLs */
    hash_text(hash, config->proxy);
    hash_text(hash, config->proxy_user);
    hash_text(hash, config->proxy_credential);
    (void) gnutls_hash(hash, anchors.data, anchors.size);
    (void) gnutls_hash(hash, peers.data, peers.size);
    gnutls_hash_deinit(hash, ret);
    return 0;
}

/* The last of the list, where there is none that is made already: they are begun in the order in which they came. */
static Download *find_or_add(PeerDownloads *downloads, const uint8_t key[static 32]) {
    Download **link = &downloads->first;

    for (; *link; link = &(*link)->next)
        if (memcmp((*link)->key, key, 32) == 0)
            return *link;
    Download *download = calloc(1, sizeof *download);
    if (!download)
        return NULL;
    download->owner = downloads;
    memcpy(download->key, key, 32);
    *link = download;
    (void) sd_event_source_set_enabled(downloads->turn, SD_EVENT_ONESHOT);
    return download;
}

int peer_wait_start(PeerDownloads *downloads, const PeerWaitStart *start, PeerWait **ret) {
    uint8_t key[32];
    int r = key_of(start, key);

    if (r < 0)
        return r;
    _cleanup_free_ PeerWait *wait = calloc(1, sizeof *wait);
    Download *download = wait ? find_or_add(downloads, key) : NULL;
    if (!download)
        return -ENOMEM;
    PeerWait **link = &download->first;
    while (*link)
        link = &(*link)->next;
    *wait = (PeerWait) { download, *start, NULL };
    *ret = *link = wait;
    wait = NULL;
    return 0;
}

PeerWait *peer_wait_free(PeerWait *wait) {
    if (!wait)
        return NULL;
    Download *download = wait->download;
    PeerWait **link = &download->first;
    while (*link && *link != wait)
        link = &(*link)->next;
    if (*link)
        *link = wait->next;
    free(wait);
    if (!download->first) {
        end_job(download);
        leave_list(download);
        free(download);
    }
    return NULL;
}
