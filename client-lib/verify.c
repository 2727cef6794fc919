/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Peers are verified here, in the program, never in identityd (docs/design.md §10): a parser that a peer can feed runs
 * with the rights of the program that talks to it. The verdict is pki's, the same as identityd's own. The CRLs that
 * came with the State were verified by identityd; listed entries count also when a CRL is past its nextUpdate, and what
 * no current CRL covers is refused only if the caller asks for that. */
#include "client-lib/verify.h"

#include "client-lib/credential.h"
#include "client-lib/entry.h"
#include "client-lib/error.h"
#include "pki/verify.h"

#include <arpa/inet.h>
#include <string.h>
#include <time.h>

static int import_chain(CertificateList *chain, const gnutls_datum_t *der, size_t count) {
    Failure failure = FAILURE_INIT;

    if (count == 0)
        return client_error(-EKEYREJECTED, "the peer sent no certificate");
    if (count > SNAPSHOT_CHAIN_MAX)
        return client_error(-EKEYREJECTED, "the peer sent %zu certificates, more than %u", count, SNAPSHOT_CHAIN_MAX);
    int r = certificate_list_from_peer(der, count, chain, &failure);
    if (r == -ENOMEM)
        return client_errno(r, "verifying the peer");
    return r < 0 ? client_error(-EKEYREJECTED, "the peer's certificate does not parse: %s", failure.text) : 0;
}

/* ---- what verified before ---- */

/* A certificate is good in the second in which it ends, and not in the next: this very second is a moment, too. */
static time_t earlier_moment(time_t next, time_t moment, time_t now) {
    return moment >= now && moment < next ? moment : next;
}

/* The next moment at which this chain, or what it is verified with, begins or ends. */
static time_t next_moment(const SnapshotTrust *trust, const CertificateList *chain, time_t now) {
    time_t next = now + VERIFIED_SECONDS_MAX;

    for (unsigned i = 0; i < trust->moment_count; i++)
        next = earlier_moment(next, trust->moments[i], now);
    for (size_t i = 0; i < chain->count; i++) {
        next = earlier_moment(next, (time_t) chain->list[i]->not_before, now);
        next = earlier_moment(next, (time_t) chain->list[i]->not_after, now);
    }
    return next;
}

/* False: nothing is to be remembered. What a stapled response says is looked at each time. */
static bool make_question(const gnutls_datum_t *der, size_t count, const VerifyWanted *wanted, VerifiedQuestion *ret) {
    const unsigned char options[] = { wanted->is_server, wanted->any_usage, wanted->in_handshake, wanted->host != NULL,
                                      (unsigned char) wanted->flags };
    gnutls_datum_t parts[SNAPSHOT_CHAIN_MAX + 2U];

    if (count == 0 || count > SNAPSHOT_CHAIN_MAX || (wanted->ocsp && wanted->ocsp->size > 0))
        return false;
    parts[0] = (gnutls_datum_t) { (unsigned char *) (uintptr_t) options, sizeof(options) };
    parts[1] = (gnutls_datum_t) { (unsigned char *) (uintptr_t) wanted->host,
                                  wanted->host ? (unsigned) strlen(wanted->host) : 0 };
    memcpy(&parts[2], der, count * sizeof(*der));
    return verified_question(parts, count + 2U, ret);
}

/* ---- all of it ---- */

/* Neither DNS names nor IPv4 addresses have colons. */
bool verify_name_is_uri(const char *name) {
    uint8_t address[sizeof(struct in6_addr)];

    return name && strchr(name, ':') && inet_pton(AF_INET6, name, address) != 1;
}

static int verify_parsed(const SnapshotTrust *trust, const CertificateList *chain, const VerifyWanted *wanted,
                         time_t now) {
    const char *const purposes[] = { wanted->is_server ? GNUTLS_KP_TLS_WWW_SERVER : GNUTLS_KP_TLS_WWW_CLIENT, NULL };
    const CrlList crls = { trust->crls.list, trust->crls.count };
    bool is_uri = verify_name_is_uri(wanted->host);
    const VerifyRequest request = {
        .leaf = chain->list[0],
        .candidates = chain,
        .anchors = &trust->anchors,
        .now = now,
        .purposes = wanted->any_usage ? NULL : purposes,
        .leaf_purposes = true,
        .host = is_uri ? NULL : wanted->host,
        .uri = is_uri ? wanted->host : NULL,
        .crls = &crls,
        .staple = wanted->ocsp ? (BytesView) { wanted->ocsp->data, wanted->ocsp->size } : (BytesView) { 0 },
        .flags = (wanted->flags & IDENTITYD_VERIFY_CRL_HARD ? VERIFY_CRL_REQUIRED : 0) |
                 (wanted->in_handshake && wanted->is_server ? VERIFY_STAPLE : 0),
        .depth_limit = wanted->depth_limit,
    };
    Verdict verdict;
    int r = verify(&request, NULL, NULL, &verdict);

    if (r == -ENOMEM)
        return client_errno(r, "verifying the peer");
    return r < 0 ? client_error(r, "the peer does not verify: %s (%s)", verdict.failure.text, verdict.rule) : 0;
}

int verify_chain(identityd_snapshot *snapshot, const gnutls_datum_t *der, size_t count, const VerifyWanted *wanted) {
    _cleanup_certificates_ CertificateList chain = { 0 };
    const SnapshotTrust *trust = NULL;
    VerifiedQuestion question;
    time_t now = time(NULL);

    int r = snapshot_trust(snapshot, &trust);
    if (r < 0)
        return r;
    bool may_be_known = make_question(der, count, wanted, &question);
    if (may_be_known && verified_before(trust->verified, &question, now))
        return 0;
    r = import_chain(&chain, der, count);
    if (r >= 0)
        r = verify_parsed(trust, &chain, wanted, now);
    if (r >= 0 && may_be_known)
        verified_note(trust->verified, &question, now, next_moment(trust, &chain, now));
    return r;
}

static int parse_usage(const char *usage, bool *ret) {
    if (usage && (strcmp(usage, "server") == 0 || strcmp(usage, "client") == 0)) {
        *ret = usage[0] == 's';
        return 0;
    }
    return client_error(-EINVAL, "'%s' is no usage of a peer: server or client", usage ? usage : "(null)");
}

_public_ int identityd_verify_peer(identityd_credential *credential, const identityd_datum *chain, size_t count,
                                   const char *host, const char *usage, unsigned flags) {
    PRESERVE_ERRNO;

    return identityd_peer_verify(credential, chain, count, host, usage, flags, NULL);
}

_public_ int identityd_peer_verify(identityd_credential *credential, const identityd_datum *chain, size_t count,
                                   const char *host, const char *usage, unsigned flags, identityd_peer **ret) {
    PRESERVE_ERRNO;
    _cleanup_snapshot_ identityd_snapshot *snapshot = NULL;
    VerifyWanted wanted = { .host = host, .flags = flags };
    gnutls_datum_t der[SNAPSHOT_CHAIN_MAX];

    int r = parse_usage(usage, &wanted.is_server);
    if (r < 0)
        return r;
    if ((count > 0 && !chain) || flags & ~IDENTITYD_VERIFY_CRL_HARD || (host && !host[0]))
        return client_error(-EINVAL, "verifying a peer: no chain, an empty name, or unknown flags 0x%x", flags);
    if (count > SNAPSHOT_CHAIN_MAX)
        return client_error(-EKEYREJECTED, "the peer sent %zu certificates, more than %u", count, SNAPSHOT_CHAIN_MAX);
    for (size_t i = 0; i < count; i++) {
        if (chain[i].size > CERTIFICATE_MAX)
            return client_error(-EKEYREJECTED, "the peer's certificate %zu has %zu bytes, more than %u", i,
                                chain[i].size, CERTIFICATE_MAX);
        der[i] = (gnutls_datum_t) { (unsigned char *) (uintptr_t) chain[i].data, (unsigned) chain[i].size };
    }
    snapshot = credential_latest(credential); /* on a closed handle the last known anchors hold */
    r = verify_chain(snapshot, der, count, &wanted);
    return r < 0 || !ret ? r : peer_new(&der[0], ret);
}
