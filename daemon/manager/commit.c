/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The gate before a certificate is used: whatever brought it (EST, an admin), it is checked here again in full, in the
 * process that has no network, and only then becomes the current generation. */
#include "manager/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static int commit_candidates(const CommitInput *input, const Certificate *leaf, CertificateList *ret) {
    int r = 0;

    for (size_t i = 0; r >= 0 && i < input->issued->count; i++)
        if (input->issued->list[i] != leaf)
            r = certificate_list_add_copy(ret, input->issued->list[i]);
    for (size_t i = 0; r >= 0 && input->helpers && i < input->helpers->count; i++)
        r = certificate_list_add_copy(ret, input->helpers->list[i]);
    return r;
}

/* What peers will verify the chain for: what the identity is lent out for, or else what the CA itself wrote into it.
 * What the certificate does not allow anyway is not asked of those above it. */
static void commit_purposes(const Identity *identity, const Certificate *leaf, const char *ret[static 3]) {
    const AccessRules *access = identity->config->access;
    const bool lent[] = { access[PURPOSE_TLS_CLIENT].count > 0, access[PURPOSE_TLS_SERVER].count > 0 };
    static const char *const oids[] = { EKU_CLIENT_AUTH, EKU_SERVER_AUTH };
    bool by_certificate = !lent[0] && !lent[1] && access[PURPOSE_DATA].count == 0;
    size_t count = 0;

    for (size_t i = 0; i < ARRAY_LENGTH(oids); i++)
        if (by_certificate ? certificate_names_purpose(leaf, oids[i])
                           : lent[i] && certificate_allows_purpose(leaf, oids[i]))
            ret[count++] = oids[i];
    ret[count] = NULL;
}

/* Judged at a time at which it was valid, since it may have ended. */
static bool present_chain_is_no_better(const Identity *identity, const char *const *purposes) {
    const Certificate *leaf = identity_leaf(identity);

    if (!leaf || (identity->state != STATE_READY && identity->state != STATE_EXPIRED))
        return false;
    int64_t now = manager_verification_time(identity->manager, leaf), end = identity_chain_end(identity);
    if (now > end)
        now = end;
    return chain_build_for(leaf, &identity->chain, &identity->anchors, now, purposes, NULL, NULL) < 0 &&
           chain_build_for(leaf, &identity->chain, &identity->anchors, now, NULL, NULL, NULL) >= 0;
}

/* A chain in use that some peers refuse has others that take it, or there would be no use: whoever took no new one of
 * the kind would lose those too when it ends. */
static int commit_chain(Identity *identity, const Certificate *leaf, const CertificateList *candidates,
                        CertificateList *ret_chain, Failure *ret_failure) {
    int64_t now = manager_verification_time(identity->manager, leaf);
    const char *purposes[3];
    Failure fault = FAILURE_INIT;

    commit_purposes(identity, leaf, purposes);
    int r = chain_build_for(leaf, candidates, &identity->anchors, now, purposes, ret_chain, &fault);
    if (r >= 0)
        return r;
    if (!present_chain_is_no_better(identity, purposes)) {
        *ret_failure = fault;
        return r;
    }
    r = chain_build_for(leaf, candidates, &identity->anchors, now, NULL, ret_chain, ret_failure);
    if (r >= 0)
        log_entry(LOG_WARNING, NULL, identity->name,
                  "The new chain is taken, since the present one is no better; but have the CA mend it: %s",
                  fault.text);
    return r;
}

static int commit_check(Identity *identity, const CommitInput *input, const TpmKey *key, CertificateList *ret_chain,
                        Failure *ret_failure) {
    _cleanup_certificates_ CertificateList candidates = { 0 };
    const Certificate *leaf = certificate_list_find_spki(input->issued, tpm_key_spki(key));

    if (!leaf)
        return failure_set(ret_failure, -EKEYREJECTED, FAILURE_CERTIFICATE_REJECTED,
                           "None of the %zu certificates that came for %s is for the key that was asked for.",
                           input->issued->count, identity->name);
    if (identity->anchors.count == 0)
        return failure_set(
            ret_failure, -EKEYREJECTED, FAILURE_CERTIFICATE_REJECTED,
            "%s has no anchors to verify a chain with: set Anchors= or AnchorsFingerprint= in [Enrollment].",
            identity->name);
    int r = commit_candidates(input, leaf, &candidates);
    if (r < 0)
        return failure_errno(ret_failure, r, "Checking a certificate");
    IssuedExpectation expectation = {
        .spki = tpm_key_spki(key),
        .previous = input->renewal ? identity_leaf(identity) : NULL,
        .request = bytes_view(&input->pending->request),
    };
    r = issued_check(leaf, &expectation, ret_failure);
    if (r >= 0)
        r = commit_chain(identity, leaf, &candidates, ret_chain, ret_failure);
    return r < 0 ? failure_prefix(ret_failure, r, "The certificate for %s was refused", identity->name) : 0;
}

/* DESIGN §8: a new key leads out of `revoked`, and one of this TPM. An admin, or a request of before, could bring in
 * others. */
static int check_key(const Identity *identity, const TpmKey *key, Failure *ret_failure) {
    const TpmInformation *tpm = &identity->manager->tpm;
    BytesView parent = { tpm->parent_name, tpm->parent_name_size };

    if (tpm->state == TPM_STATE_READY && !bytes_view_equal(tpm_key_parent_name(key), parent))
        return failure_set(
            ret_failure, -ESTALE, FAILURE_CERTIFICATE_REJECTED,
            "The key of this certificate for %s was made in another TPM than this one: begin again with a "
            "new key.",
            identity->name);
    if ((identity->stored.revoked || identity->stored.hold) && identity->key &&
        bytes_view_equal(tpm_key_spki(key), tpm_key_spki(identity->key)))
        return failure_set(
            ret_failure, -EKEYREVOKED, FAILURE_CERTIFICATE_REJECTED,
            "The certificate is for the key of %s that was revoked: a new key is needed (`idctl enroll`, or "
            "`idctl request --new-key`).",
            identity->name);
    return 0;
}

int identity_commit(Identity *identity, const CommitInput *input, Failure *ret_failure) {
    _cleanup_certificates_ CertificateList chain = { 0 };
    _cleanup_tpm_key_ TpmKey *key = NULL;
    _cleanup_bytes_ Bytes pem = BYTES_NULL;
    uint32_t number;

    int r = tpm_key_from_pem(bytes_view(&input->pending->key_pem), bytes_view(&input->pending->parent_name), &key,
                             ret_failure);
    if (r >= 0)
        r = check_key(identity, key, ret_failure);
    if (r >= 0)
        r = commit_check(identity, input, key, &chain, ret_failure);
    if (r < 0)
        return r;
    r = certificate_list_to_pem(&chain, &pem);
    if (r < 0)
        return failure_errno(ret_failure, r, "Storing a certificate");
    r = store_commit(identity->store, bytes_view(&pem), &number, ret_failure);
    if (r < 0)
        return r;

    const Certificate *leaf = chain.list[0];
    char number_field[64], serial_field[160];
    snprintf(number_field, sizeof number_field, "IDENTITYD_GENERATION=%" PRIu32, number);
    snprintf(serial_field, sizeof serial_field, "IDENTITYD_SERIAL_NUMBER=%s", leaf->serial);
    const char *const fields[] = { number_field, serial_field, NULL };
    log_fields(LOG_NOTICE, MESSAGE_INSTALLED, identity->name, fields,
               "Generation %" PRIu32 ": %s, serial number %s, from %s.", number, leaf->subject, leaf->serial,
               leaf->issuer);
    (void) identity_adopt(identity, number, TAKE_PTR(key),
                          &chain); /* committed: a state file that cannot be written is logged, not fatal */
    return 0;
}
