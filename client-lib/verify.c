/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Peers are verified here, in the program, never in identityd (docs/design.md §10): a parser that a peer can feed runs
 * with the rights of the program that talks to it. The CRLs that came with the State were verified by identityd; listed
 * entries count also when a CRL is past its nextUpdate, and what no current CRL covers is refused only if the caller
 * asks for that. */
#include "client-lib/verify.h"

#include "client-lib/credential.h"
#include "client-lib/error.h"

#include <gnutls/ocsp.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define CERTIFICATE_MAX 65536U /* bytes of one certificate */
#define NAME_MAX_SHOWN  160U

typedef struct PeerChain {
    gnutls_x509_crt_t certificates[SNAPSHOT_CHAIN_MAX];
    unsigned count;
} PeerChain;

static void peer_chain_clear(PeerChain *chain) {
    for (unsigned i = 0; i < chain->count; i++)
        gnutls_x509_crt_deinit(chain->certificates[i]);
    chain->count = 0;
}

static int peer_chain_import(PeerChain *chain, const gnutls_datum_t *der, size_t count) {
    if (count == 0)
        return client_error(-EKEYREJECTED, "the peer sent no certificate");
    if (count > SNAPSHOT_CHAIN_MAX)
        return client_error(-EKEYREJECTED, "the peer sent %zu certificates, more than %u", count, SNAPSHOT_CHAIN_MAX);
    for (size_t i = 0; i < count; i++) {
        if (der[i].size > CERTIFICATE_MAX)
            return client_error(-EKEYREJECTED, "the peer's certificate %zu has %u bytes, more than %u", i, der[i].size,
                                CERTIFICATE_MAX);
        if (gnutls_x509_crt_init(&chain->certificates[i]) < 0)
            return client_errno(-ENOMEM, "verifying the peer");
        chain->count++;
        int code = gnutls_x509_crt_import(chain->certificates[i], &der[i], GNUTLS_X509_FMT_DER);
        if (code < 0)
            return client_error(-EKEYREJECTED, "the peer's certificate %zu does not parse: %s", i,
                                gnutls_strerror(code));
    }
    return 0;
}

static void leaf_name(const PeerChain *chain, char ret[static NAME_MAX_SHOWN]) {
    gnutls_datum_t name;

    (void) snprintf(ret, NAME_MAX_SHOWN, "(no name)");
    if (gnutls_x509_crt_get_dn3(chain->certificates[0], &name, 0) >= 0) {
        if (name.size > 0)
            (void) snprintf(ret, NAME_MAX_SHOWN, "%s", (const char *) name.data);
        gnutls_free(name.data);
    }
}

static int rejected(const PeerChain *chain, unsigned status, const VerifyWanted *wanted) {
    char name[NAME_MAX_SHOWN];
    gnutls_datum_t text = { NULL, 0 };

    leaf_name(chain, name);
    if (status & GNUTLS_CERT_REVOKED)
        return client_error(-EKEYREVOKED, "the peer's certificate %s is revoked", name);
    if (status & GNUTLS_CERT_UNEXPECTED_OWNER)
        return client_error(-EKEYREJECTED, "the peer's certificate %s is not for the name %s", name, wanted->host);
    (void) gnutls_certificate_verification_status_print(status, GNUTLS_CRT_X509, &text, 0);
    (void) client_error(-EKEYREJECTED, "the peer's certificate %s does not verify: %s", name,
                        text.data ? (const char *) text.data : "unknown reason");
    gnutls_free(text.data);
    return -EKEYREJECTED;
}

/* ---- every certificate covered by a current CRL ---- */

static bool is_covered(const SnapshotTrust *trust, gnutls_x509_crt_t certificate, time_t now) {
    gnutls_datum_t issuer, of_crl;
    bool covered = false;

    if (gnutls_x509_crt_get_raw_issuer_dn(certificate, &issuer) < 0)
        return false;
    for (unsigned i = 0; i < trust->crl_count && !covered; i++) {
        gnutls_x509_crl_t crl = trust->crls[i];
        if (gnutls_x509_crl_get_raw_issuer_dn(crl, &of_crl) < 0)
            continue;
        covered = of_crl.size == issuer.size && memcmp(of_crl.data, issuer.data, issuer.size) == 0 &&
                  gnutls_x509_crl_get_this_update(crl) <= now && gnutls_x509_crl_get_next_update(crl) > now;
        gnutls_free(of_crl.data);
    }
    gnutls_free(issuer.data);
    return covered;
}

static gnutls_x509_crt_t find_issuer(const PeerChain *chain, gnutls_x509_crt_t certificate) {
    for (unsigned i = 0; i < chain->count; i++)
        if (chain->certificates[i] != certificate && gnutls_x509_crt_check_issuer(certificate, chain->certificates[i]))
            return chain->certificates[i];
    return NULL;
}

/* Up from the leaf until an anchor has issued. The chain has verified already, so that this ends there. */
static int check_all_covered(const SnapshotTrust *trust, const PeerChain *chain) {
    gnutls_x509_crt_t certificate = chain->certificates[0], anchor;
    char name[NAME_MAX_SHOWN];
    time_t now = time(NULL);

    for (unsigned depth = 0; certificate && depth < chain->count; depth++) {
        if (gnutls_x509_crt_check_issuer(certificate, certificate))
            return 0; /* an anchor itself */
        if (!is_covered(trust, certificate, now)) {
            leaf_name(chain, name);
            return client_error(
                -EKEYREJECTED,
                "the peer's certificate %s: no current CRL covers certificate %u of its chain, and one is "
                "demanded",
                name, depth);
        }
        if (gnutls_x509_trust_list_get_issuer(trust->list, certificate, &anchor, 0) >= 0)
            return 0;
        certificate = find_issuer(chain, certificate);
    }
    return 0;
}

/* ---- a stapled OCSP response ---- */

/* Whether the response is about `leaf`, signed by its issuer or by a responder that the issuer named, and current: then
 * what it says counts. Anything else is as if there were none: a peer could leave it out, too. */
static bool ocsp_says_revoked(gnutls_ocsp_resp_t response, gnutls_x509_crt_t leaf, gnutls_x509_trust_list_t issuer) {
    unsigned flags = 0, status = 0;
    time_t this_update = 0, next_update = 0, now = time(NULL);

    if (gnutls_ocsp_resp_check_crt(response, 0, leaf) < 0)
        return false;
    if (gnutls_ocsp_resp_verify(response, issuer, &flags, 0) < 0 || flags != 0)
        return false;
    if (gnutls_ocsp_resp_get_single(response, 0, NULL, NULL, NULL, NULL, &status, &this_update, &next_update, NULL,
                                    NULL) < 0)
        return false;
    (void) next_update; /* revocation does not end */
    return status == GNUTLS_OCSP_CERT_REVOKED && this_update != (time_t) -1 && this_update <= now;
}

/* The issuer's certificate alone is what may vouch for a response (docs/facts.md, "Revocation"): from the chain, or an
 * anchor. */
static int trust_only_issuer(const SnapshotTrust *trust, const PeerChain *chain, gnutls_x509_trust_list_t *ret) {
    gnutls_x509_crt_t issuer = find_issuer(chain, chain->certificates[0]), copy = NULL;
    gnutls_datum_t der = { NULL, 0 };

    if (!issuer && gnutls_x509_trust_list_get_issuer(trust->list, chain->certificates[0], &issuer, 0) < 0)
        return -ENOENT;
    int code = gnutls_x509_crt_export2(issuer, GNUTLS_X509_FMT_DER, &der);
    if (code >= 0)
        code = gnutls_x509_crt_init(&copy);
    if (code >= 0)
        code = gnutls_x509_crt_import(copy, &der, GNUTLS_X509_FMT_DER);
    gnutls_free(der.data);
    if (code >= 0)
        code = gnutls_x509_trust_list_init(ret, 1);
    if (code < 0) {
        if (copy)
            gnutls_x509_crt_deinit(copy);
        return -ENOMEM;
    }
    if (gnutls_x509_trust_list_add_cas(*ret, &copy, 1, 0) != 1)
        gnutls_x509_crt_deinit(copy);
    return 0;
}

static int check_ocsp(const SnapshotTrust *trust, const PeerChain *chain, const VerifyWanted *wanted) {
    gnutls_x509_trust_list_t issuer = NULL;
    gnutls_ocsp_resp_t response = NULL;
    bool revoked = false;

    if (!wanted->ocsp || wanted->ocsp->size == 0)
        return 0;
    if (gnutls_ocsp_resp_init(&response) < 0)
        return client_errno(-ENOMEM, "verifying the peer");
    if (gnutls_ocsp_resp_import(response, wanted->ocsp) >= 0 && trust_only_issuer(trust, chain, &issuer) >= 0) {
        revoked = ocsp_says_revoked(response, chain->certificates[0], issuer);
        gnutls_x509_trust_list_deinit(issuer, 1);
    }
    gnutls_ocsp_resp_deinit(response);
    return revoked ? rejected(chain, GNUTLS_CERT_REVOKED, wanted) : 0;
}

/* ---- what verified before ---- */

/* A certificate is good in the second in which it ends, and not in the next: this very second is a moment, too. */
static time_t earlier_moment(time_t next, time_t moment, time_t now) {
    return moment >= now && moment < next ? moment : next;
}

/* The next moment at which this chain, or what it is verified with, begins or ends. */
static time_t next_moment(const SnapshotTrust *trust, const PeerChain *chain, time_t now) {
    time_t next = now + VERIFIED_SECONDS_MAX;

    for (unsigned i = 0; i < trust->moment_count; i++)
        next = earlier_moment(next, trust->moments[i], now);
    for (unsigned i = 0; i < chain->count; i++) {
        time_t begin = gnutls_x509_crt_get_activation_time(chain->certificates[i]),
               end = gnutls_x509_crt_get_expiration_time(chain->certificates[i]);
        if (begin > now || end < now)
            return now; /* the clock was set while it was verified */
        next = earlier_moment(next, end, now);
    }
    return next;
}

/* False: nothing is to be remembered. What a stapled response says is looked at each time. */
static bool make_question(const gnutls_datum_t *der, size_t count, const VerifyWanted *wanted, VerifiedQuestion *ret) {
    const unsigned char options[] = { wanted->is_server, wanted->host != NULL, (unsigned char) wanted->flags };
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

static int verify_parsed(const SnapshotTrust *trust, PeerChain *chain, const VerifyWanted *wanted) {
    gnutls_typed_vdata_st data[2];
    unsigned status = 0, elements = 0;

    data[elements++] = (gnutls_typed_vdata_st) {
        .type = GNUTLS_DT_KEY_PURPOSE_OID,
        .data = (unsigned char *) (wanted->is_server ? GNUTLS_KP_TLS_WWW_SERVER : GNUTLS_KP_TLS_WWW_CLIENT),
    };
    if (wanted->host)
        data[elements++] = (gnutls_typed_vdata_st) {
            .type = GNUTLS_DT_DNS_HOSTNAME,
            .data = (unsigned char *) (uintptr_t) wanted->host,
            .size = (unsigned) strlen(wanted->host),
        };
    int code = gnutls_x509_trust_list_verify_crt2(trust->list, chain->certificates, chain->count, data, elements,
                                                  GNUTLS_PROFILE_TO_VFLAGS(GNUTLS_PROFILE_MEDIUM), &status, NULL);
    if (code < 0)
        return client_error(code == GNUTLS_E_MEMORY_ERROR ? -ENOMEM : -EKEYREJECTED, "verifying the peer: %s",
                            gnutls_strerror(code));
    if (status != 0)
        return rejected(chain, status, wanted);
    int r = check_ocsp(trust, chain, wanted);
    return r >= 0 && wanted->flags & IDENTITYD_VERIFY_CRL_HARD ? check_all_covered(trust, chain) : r;
}

int verify_chain(identityd_snapshot *snapshot, const gnutls_datum_t *der, size_t count, const VerifyWanted *wanted) {
    _cleanup_(peer_chain_clear) PeerChain chain = { .count = 0 };
    const SnapshotTrust *trust = NULL;
    VerifiedQuestion question;
    time_t now = time(NULL);

    int r = snapshot_trust(snapshot, &trust);
    if (r < 0)
        return r;
    bool may_be_known = make_question(der, count, wanted, &question);
    if (may_be_known && verified_before(trust->verified, &question, now))
        return 0;
    r = peer_chain_import(&chain, der, count);
    if (r >= 0)
        r = verify_parsed(trust, &chain, wanted);
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
    return verify_chain(snapshot, der, count, &wanted);
}
