/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An intermediate is trusted for nothing because it stands in a file: only what verifies to the peers' anchors counts.
 */
#include "revocation/peer-cas.h"

#include "revocation/tasks.h"

#include <string.h>

/* ---- CAs ---- */

static bool has(const PeerCas *cas, const Certificate *certificate) {
    for (size_t i = 0; i < cas->count; i++)
        if (certificate_equal(cas->list[i], certificate))
            return true;
    return false;
}

static bool verifies(const Identity *identity, const CertificateList *candidates, const Certificate *ca) {
    _cleanup_certificates_ CertificateList chain = { 0 };

    return chain_build(ca, candidates, identity_peer_anchors(identity), identity_time_to_verify(identity, ca), &chain,
                       NULL, NULL) >= 0;
}

int peer_cas_collect(const Identity *identity, PeerCas *ret) {
    const CertificateList *anchors = identity_peer_anchors(identity), *named = identity_peer_intermediates(identity),
                          *chain = identity_chain(identity);
    size_t most = anchors->count + named->count + chain->count;
    PeerCas cas = { calloc(most + 1U, sizeof(Certificate *)), 0 };
    CertificateList candidates = { calloc(named->count + chain->count + 1U, sizeof(Certificate *)), 0 }; /* borrows */

    if (!cas.list || !candidates.list) {
        free(cas.list);
        free(candidates.list);
        return -ENOMEM;
    }
    for (size_t i = 0; i < named->count; i++)
        candidates.list[candidates.count++] = named->list[i];
    for (size_t i = 1; i < chain->count; i++)
        candidates.list[candidates.count++] = chain->list[i];
    for (size_t i = 0; i < anchors->count; i++)
        cas.list[cas.count++] = anchors->list[i];
    for (size_t i = 0; i < candidates.count; i++)
        if (candidates.list[i]->is_ca && !has(&cas, candidates.list[i]) &&
            verifies(identity, &candidates, candidates.list[i]))
            cas.list[cas.count++] = candidates.list[i];
    free(candidates.list);
    *ret = cas;
    return 0;
}

void peer_cas_clear(PeerCas *cas) {
    free(cas->list);
    *cas = (PeerCas) { NULL, 0 };
}

/* ---- URLs ---- */

void peer_urls_clear(PeerUrls *urls) {
    for (size_t i = 0; i < urls->count; i++)
        strings_free(urls->list[i]);
    *urls = (PeerUrls) { .count = 0 };
}

static bool is_listed(const PeerUrls *urls, const char *url) {
    for (size_t i = 0; i < urls->count; i++)
        if (strings_contain(urls->list[i], url))
            return true;
    return false;
}

/* One that a certificate of our own chain names; a configured one may bring what says nothing of that chain. */
static bool is_our_own(const CheckTasks *own, const char *url) {
    for (size_t i = 0; i < own->count; i++)
        if (!own->list[i].ocsp && !own->list[i].any && strings_contain(own->list[i].urls, url))
            return true;
    return false;
}

/* Takes the URLs. */
static void add(PeerUrls *urls, const CheckTasks *own, char **list) {
    if (!list || !list[0] || is_listed(urls, list[0]) || is_our_own(own, list[0])) {
        strings_free(list);
        return;
    }
    if (urls->count == PEER_SOURCES_MAX) {
        urls->is_cut = true;
        strings_free(list);
        return;
    }
    urls->list[urls->count++] = list;
}

static int add_configured(PeerUrls *urls, const CheckTasks *own, const char *url) {
    char **list = calloc(2, sizeof *list);

    if (list)
        list[0] = strdup(url);
    if (!list || !list[0]) {
        free(list);
        return -ENOMEM;
    }
    add(urls, own, list);
    return 0;
}

static int add_of_certificate(PeerUrls *urls, const CheckTasks *own, const Certificate *certificate) {
    char **list = NULL;
    int r = certificate_crl_urls(certificate, &list);

    if (r >= 0)
        add(urls, own, list);
    return r;
}

/* The leaf of our own chain says where its CA tells of others, too; if peers may have a certificate of that CA. */
static bool peers_may_have(const Identity *identity, const PeerCas *cas) {
    const Certificate *leaf = identity_leaf(identity);

    for (size_t i = 0; leaf && i < cas->count; i++)
        if (certificate_names_issuer(leaf, cas->list[i]))
            return true;
    return false;
}

static int collect(const Identity *identity, const PeerCas *cas, const CheckTasks *own, PeerUrls *urls) {
    int r = 0;

    for (char **url = identity_config(identity)->peers_crl_urls; r >= 0 && url && *url; url++)
        r = add_configured(urls, own, *url);
    if (r >= 0 && peers_may_have(identity, cas))
        r = add_of_certificate(urls, own, identity_leaf(identity));
    for (size_t i = cas->count; r >= 0 && i > 0; i--) /* intermediates before anchors, which rarely name any */
        r = add_of_certificate(urls, own, cas->list[i - 1U]);
    return r;
}

int peer_urls_collect(const Identity *identity, const PeerCas *cas, PeerUrls *ret) {
    CheckTasks own = { .count = 0 };
    PeerUrls urls = { .count = 0 };
    int r = identity_config(identity)->check_crl ? tasks_collect(identity, &own) : 0;

    if (r >= 0)
        r = collect(identity, cas, &own, &urls);
    tasks_clear(&own);
    if (r < 0) {
        peer_urls_clear(&urls);
        return r;
    }
    *ret = urls;
    return 0;
}
