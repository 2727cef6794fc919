/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* From what came to a generation: the key, the names, the chain, and whether it is better than what there is. */
#include "enrolment/commit.h"

#include "device/device.h"
#include "device/log.h"
#include "pki/csr.h"
#include "rules/successor.h"

#include <inttypes.h>
#include <stdio.h>

static const char *const usage_oids[] = { EKU_CLIENT_AUTH, EKU_SERVER_AUTH }; /* by the bits of successor.h */

/* ---- the key ---- */

/* A new key leads out of `revoked`, and one of this TPM (docs/design.md §5). An admin, or a request of before, could
 * bring in others. */
static int check_key(const Identity *identity, const TpmKey *key, Failure *ret_failure) {
    const TpmWatch *tpm = device_tpm(identity_context(identity)->device);
    IdentityRevocation revocation = identity_revocation(identity);

    if (tpm_watch_is_ready(tpm) && !bytes_view_equal(tpm_key_parent_name(key), tpm_watch_parent_name(tpm)))
        return failure_set(
            ret_failure, -ESTALE, FAILURE_CERTIFICATE_REJECTED,
            "The key of this certificate for %s was made in another TPM than this one: begin again with a "
            "new key.",
            identity_name(identity));
    if ((revocation.revoked || revocation.hold) && identity_key(identity) &&
        bytes_view_equal(tpm_key_spki(key), tpm_key_spki(identity_key(identity))))
        return failure_set(
            ret_failure, -EKEYREVOKED, FAILURE_CERTIFICATE_REJECTED,
            "The certificate is for the key of %s that was revoked: a new key is needed (`idctl enroll`, or "
            "`idctl request --new-key`).",
            identity_name(identity));
    return 0;
}

/* ---- usages ---- */

/* What the identity is lent for, or else what the CA itself wrote into the certificate. */
static unsigned lent_usages(const Identity *identity, const Certificate *leaf) {
    const AccessRules *access = identity_config(identity)->access;
    unsigned lent = 0;

    if (access[PURPOSE_TLS_CLIENT].count > 0)
        lent |= SUCCESSOR_CLIENT;
    if (access[PURPOSE_TLS_SERVER].count > 0)
        lent |= SUCCESSOR_SERVER;
    if (lent != 0 || identity_config_signs_data(identity_config(identity)))
        return lent;
    for (size_t i = 0; i < ARRAY_LENGTH(usage_oids); i++)
        if (certificate_names_purpose(leaf, usage_oids[i]))
            lent |= 1U << i;
    return lent;
}

typedef struct Candidate {
    const Certificate *leaf;
    const CertificateList *helpers;
    int64_t time;
} Candidate;

/* Those of `wanted` for which peers take the certificate: its own extended key usage allows them, and so do those of
 * its intermediates. */
static unsigned allowed_usages(const Identity *identity, const Candidate *candidate, unsigned wanted) {
    unsigned allowed = 0;

    for (size_t i = 0; i < ARRAY_LENGTH(usage_oids); i++) {
        const char *const purpose[] = { usage_oids[i], NULL };
        if ((wanted & (1U << i)) && certificate_allows_purpose(candidate->leaf, usage_oids[i]) &&
            chain_build_for(candidate->leaf, candidate->helpers, identity_anchors(identity), candidate->time, purpose,
                            NULL, NULL) >= 0)
            allowed |= 1U << i;
    }
    return allowed;
}

/* Builds the chain for as many usages as there are; what the leaf itself does not allow is not asked of those above it.
 * For a first certificate all those must hold: a CA that is set up wrongly is told at once. */
static int build_chain(const Identity *identity, const Candidate *candidate, unsigned usages, CertificateList *ret,
                       Failure *ret_failure) {
    const char *purposes[ARRAY_LENGTH(usage_oids) + 1U];
    size_t count = 0;

    for (size_t i = 0; i < ARRAY_LENGTH(usage_oids); i++)
        if ((usages & (1U << i)) && certificate_allows_purpose(candidate->leaf, usage_oids[i]))
            purposes[count++] = usage_oids[i];
    purposes[count] = NULL;
    return chain_build_for(candidate->leaf, candidate->helpers, identity_anchors(identity), candidate->time, purposes,
                           ret, ret_failure);
}

/* ---- the successor ---- */

static bool present_works(const Identity *identity) {
    return identity_leaf(identity) && identity_state(identity) == STATE_READY &&
           identity_chain_end(identity) >= identity_now(identity);
}

static SuccessorLife present_life(const Identity *identity, unsigned lent) {
    const Certificate *leaf = identity_leaf(identity);
    const Candidate present = { leaf, identity_chain(identity), identity_time_to_verify(identity, leaf) };

    return (SuccessorLife) { leaf->not_before, identity_chain_end(identity), allowed_usages(identity, &present, lent) };
}

static int refuse(const Identity *identity, SuccessorVerdict verdict, const CertificateList *chain,
                  Failure *ret_failure) {
    const Certificate *leaf = chain->list[0], *first = chain_first_to_end(chain);
    char who[CERTIFICATE_DESCRIPTION_MAX], end[CERTIFICATE_TIME_MAX], begin[CERTIFICATE_TIME_MAX],
        now[CERTIFICATE_TIME_MAX];

    certificate_describe(leaf, who);
    certificate_time(first->not_after, end);
    certificate_time(leaf->not_before, begin);
    certificate_time(identity_now(identity), now);
    if (verdict == SUCCESSOR_IS_THE_SAME)
        return failure_set(ret_failure, -EKEYREJECTED, FAILURE_CERTIFICATE_REJECTED,
                           "%s is the very certificate that is to be renewed", who);
    if (verdict == SUCCESSOR_ENDS_TOO_SOON)
        return failure_set(ret_failure, -EKEYREJECTED, FAILURE_CERTIFICATE_REJECTED,
                           "%s ends at %s and it is %s: less than %d seconds are left, too little to renew it in", who,
                           end, now, SUCCESSOR_LEFT_MIN);
    return failure_set(
        ret_failure, -EKEYREJECTED, FAILURE_CERTIFICATE_REJECTED,
        "%s begins at %s and it is %s: too late to wait for; are the clocks of the CA and of this device "
        "right?",
        who, begin, now);
}

/* The usage that the present certificate has, for which the identity is lent, and that peers would miss. */
static int refuse_usage(const Identity *identity, const Candidate *candidate, unsigned missing, Failure *ret_failure) {
    static const char *const names[] = { "TLS clients", "TLS servers" };
    size_t i = missing & SUCCESSOR_CLIENT ? 0 : 1;
    const char *const purpose[] = { usage_oids[i], NULL };
    char who[CERTIFICATE_DESCRIPTION_MAX];

    if (certificate_allows_purpose(candidate->leaf, usage_oids[i]))
        return chain_build_for(candidate->leaf, candidate->helpers, identity_anchors(identity), candidate->time,
                               purpose, NULL, ret_failure);
    return failure_set(
        ret_failure, -EKEYREJECTED, FAILURE_CERTIFICATE_REJECTED,
        "%s is not for %s (extended key usage), for which %s is lent and the present certificate is good",
        certificate_describe(candidate->leaf, who), names[i], identity_name(identity));
}

/* A certificate in use that some peers refuse has others that take it, or there would be no use: whoever took no new
 * one of the kind would lose those too when it ends. */
static void warn_of_usage(const Identity *identity, const Candidate *candidate, unsigned missing) {
    Failure failure = FAILURE_INIT;

    (void) refuse_usage(identity, candidate, missing, &failure);
    log_entry(LOG_WARNING, MESSAGE_INSTALLED, identity_name(identity),
              "The new certificate is taken, since the present one is no better; but have the CA mend it: %s",
              failure.text);
}

typedef struct Usages {
    unsigned lent, allowed, present; /* what the candidate allows, and what the one that is there does */
} Usages;

/* `works`: the present one does, so that there is something to compare with. */
static SuccessorVerdict judge(const Identity *identity, const CertificateList *chain, bool works, Usages *usages) {
    SuccessorLife present = { 0 };
    const Certificate *leaf = identity_leaf(identity);

    if (works)
        present = present_life(identity, usages->lent);
    const SuccessorFacts facts = {
        .now = identity_now(identity),
        .clock_is_behind = identity_clock_is_behind(identity),
        .is_the_present_one = leaf && certificate_equal(leaf, chain->list[0]),
        .present = works ? &present : NULL,
        .candidate = { chain->list[0]->not_before, chain_first_to_end(chain)->not_after, usages->allowed },
        .lent = usages->lent,
    };
    usages->present = present.usages;
    return successor_judge(&facts);
}

/* ---- all of it ---- */

static int collect_helpers(const CommitInput *input, const Certificate *leaf, CertificateList *ret) {
    int r = 0;

    for (size_t i = 0; r >= 0 && i < input->issued->count; i++)
        if (input->issued->list[i] != leaf)
            r = certificate_list_add_ref(ret, input->issued->list[i]);
    for (size_t i = 0; r >= 0 && input->helpers && i < input->helpers->count; i++)
        r = certificate_list_add_ref(ret, input->helpers->list[i]);
    return r;
}

static int check_leaf(const Identity *identity, const CommitInput *input, const TpmKey *key, const Certificate *leaf,
                      Failure *ret_failure) {
    const IssuedExpectation expectation = {
        .spki = tpm_key_spki(key),
        .previous = input->is_renewal ? identity_leaf(identity) : NULL,
        .request = bytes_view(&input->pending->request),
        .names_are_the_cas = identity_config(identity)->names_are_the_cas,
    };

    if (!leaf)
        return failure_set(ret_failure, -EKEYREJECTED, FAILURE_CERTIFICATE_REJECTED,
                           "none of the %zu certificates that came is for the key that was asked for",
                           input->issued->count);
    if (identity_anchors(identity)->count == 0)
        return failure_set(ret_failure, -EKEYREJECTED, FAILURE_CERTIFICATE_REJECTED,
                           "there are no anchors to verify a chain with: set Anchors= or AnchorsFingerprint= in "
                           "[Enrollment]");
    return issued_check(leaf, &expectation, ret_failure);
}

static int check_chain(const Identity *identity, const Candidate *candidate, CertificateList *ret_chain,
                       SuccessorVerdict *ret_verdict, Failure *ret_failure) {
    unsigned lent = lent_usages(identity, candidate->leaf);
    Usages usages = { .lent = lent, .allowed = allowed_usages(identity, candidate, lent) };
    bool works = present_works(identity);
    int r = build_chain(identity, candidate, works ? usages.allowed : lent, ret_chain, ret_failure);

    if (r < 0)
        return r;
    *ret_verdict = judge(identity, ret_chain, works, &usages);
    if (*ret_verdict == SUCCESSOR_LACKS_USAGE)
        return refuse_usage(identity, candidate, lent & usages.present & ~usages.allowed, ret_failure);
    if (!successor_is_refused(*ret_verdict) && (lent & ~usages.allowed) != 0)
        warn_of_usage(identity, candidate, lent & ~usages.allowed);
    return successor_is_refused(*ret_verdict) ? refuse(identity, *ret_verdict, ret_chain, ret_failure) : 0;
}

static int check(const Identity *identity, const CommitInput *input, const TpmKey *key, CertificateList *ret_chain,
                 SuccessorVerdict *ret_verdict, Failure *ret_failure) {
    _cleanup_certificates_ CertificateList helpers = { 0 };
    const Certificate *leaf = certificate_list_find_spki(input->issued, tpm_key_spki(key));
    int r = check_leaf(identity, input, key, leaf, ret_failure);

    if (r >= 0) {
        r = collect_helpers(input, leaf, &helpers);
        if (r < 0)
            return failure_errno(ret_failure, r, "Checking a certificate");
        /* One that begins later is looked at as of then. */
        int64_t time = identity_time_to_verify(identity, leaf);
        const Candidate candidate = { leaf, &helpers, time > leaf->not_before ? time : leaf->not_before };
        r = check_chain(identity, &candidate, ret_chain, ret_verdict, ret_failure);
    }
    return r < 0 ? failure_prefix(ret_failure, r, "The certificate for %s was refused", identity_name(identity)) : 0;
}

static void tell(const Identity *identity, uint32_t number, const CertificateList *chain, SuccessorVerdict verdict) {
    const Certificate *leaf = chain->list[0];
    char number_field[64], serial_field[160], end[CERTIFICATE_TIME_MAX], before[CERTIFICATE_TIME_MAX];
    const char *const fields[] = { number_field, serial_field, NULL };

    (void) snprintf(number_field, sizeof number_field, "IDENTITYD_GENERATION=%" PRIu32, number);
    (void) snprintf(serial_field, sizeof serial_field, "IDENTITYD_SERIAL_NUMBER=%s", leaf->serial);
    log_fields(LOG_NOTICE, MESSAGE_INSTALLED, identity_name(identity), fields,
               "Generation %" PRIu32 ": %s, serial number %s, from %s.", number, leaf->subject, leaf->serial,
               leaf->issuer);
    if (verdict == SUCCESSOR_ENDS_EARLIER)
        log_entry(
            LOG_WARNING, MESSAGE_INSTALLED, identity_name(identity),
            "The new certificate ends at %s, before the one that it replaces (%s): the CA seems to have shortened its "
            "lifetimes.",
            certificate_time(chain_first_to_end(chain)->not_after, end),
            certificate_time(identity_chain_end(identity), before));
}

int commit(Identity *identity, const CommitInput *input, int64_t *ret_begins, Failure *ret_failure) {
    _cleanup_certificates_ CertificateList chain = { 0 };
    _cleanup_tpm_key_ TpmKey *key = NULL;
    _cleanup_bytes_ Bytes pem = BYTES_NULL;
    SuccessorVerdict verdict = SUCCESSOR_GOOD;
    uint32_t number;

    int r = tpm_key_from_pem(bytes_view(&input->pending->key_pem), bytes_view(&input->pending->parent_name), &key,
                             ret_failure);
    if (r >= 0)
        r = check_key(identity, key, ret_failure);
    if (r >= 0)
        r = check(identity, input, key, &chain, &verdict, ret_failure);
    if (r < 0)
        return r;
    if (verdict == SUCCESSOR_WAITS) {
        *ret_begins = chain.list[0]->not_before;
        return COMMIT_EARLY;
    }
    r = certificate_list_to_pem(&chain, &pem);
    if (r < 0)
        return failure_errno(ret_failure, r, "Storing a certificate");
    r = store_commit(identity_store(identity), bytes_view(&pem), &number, ret_failure);
    if (r < 0)
        return r;
    tell(identity, number, &chain, verdict);
    (void) identity_adopt(identity, number, TAKE_PTR(key),
                          &chain); /* committed: a state file that cannot be written is logged, not fatal */
    return 0;
}
