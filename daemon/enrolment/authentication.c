/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What an attempt shows the CA that it is: another identity's certificate or its own, a user and a password, both, or
 * nothing. The key that signs for it is copied, so that a renewal of that identity in the meantime does not pull it
 * away. */
#include "enrolment/attempt.h"

#include "enrolment/request-names.h"

#include <string.h>

bool attempt_is_reenrolment(const Attempt *attempt) {
    return attempt->start.means == MEANS_ITSELF;
}

static const Authenticate *authenticate_of(const Attempt *attempt) {
    const IdentityConfig *config = identity_config(attempt->identity);

    return attempt->start.means == MEANS_ENROLMENT ? &config->authenticate : &config->renewal_authenticate;
}

static int by_identity(Attempt *attempt, Identity *authenticator, Failure *ret_failure) {
    int r = identity_require_ready(authenticator, ret_failure);

    if (r < 0) {
        attempt->waits_for_authenticator = authenticator != attempt->identity;
        return failure_prefix(ret_failure, r, "%s authenticates with %s", identity_name(attempt->identity),
                              identity_name(authenticator));
    }
    attempt->authenticator = identity_instance(authenticator);
    attempt->authenticator_generation = identity_generation(authenticator);
    attempt->authenticator_key = tpm_key_ref(identity_key(authenticator));
    r = certificate_list_to_pem(identity_chain(authenticator), &attempt->authenticator_chain);
    return r < 0 ? failure_errno(ret_failure, r, "Preparing the authentication") : 0;
}

int attempt_password(const Attempt *attempt, Secret **ret, Failure *ret_failure) {
    int r = attempt->credential ? secret_from_credential(attempt->credential, ret) : 0;

    if (r >= 0)
        return 0;
    return failure_set(ret_failure, r, FAILURE_ENROLLMENT_FAILED,
                       "%s authenticates with the systemd credential %s, which cannot be read (%s): add "
                       "LoadCredential=%s:… to identityd.service.",
                       identity_name(attempt->identity), attempt->credential, strerror(-r), attempt->credential);
}

static int by_credential(Attempt *attempt, const Authenticate *authenticate, Failure *ret_failure) {
    Identity *identity = attempt->identity;
    const DaemonConfig *config = device_config(identity_context(identity)->device);
    bool renewal = attempt->start.means != MEANS_ENROLMENT;
    _cleanup_secret_ Secret *password = NULL; /* read here only to fail before a key is made, if it must */

    if (daemon_config_credential_is_secret(config, authenticate->credential))
        return failure_set(ret_failure, -EPERM, FAILURE_ENROLLMENT_FAILED,
                           "The credential %s is an authorization of the TPM and is not sent to a CA: use another.",
                           authenticate->credential);
    attempt->credential = strdup(authenticate->credential);
    if (!attempt->credential)
        return failure_errno(ret_failure, -ENOMEM, "Preparing the authentication");
    int r = attempt_password(attempt, &password, ret_failure);
    return r < 0 ? r : request_user(identity, authenticate, renewal, &attempt->user, ret_failure);
}

/* Nothing is left that may. */
static int check_means(const Attempt *attempt, const Authenticate *authenticate, Failure *ret_failure) {
    Identity *identity = attempt->identity;

    if (authenticate_is_set(authenticate) || identity_state(identity) != STATE_EXPIRED)
        return 0;
    return failure_set(ret_failure, -EKEYEXPIRED, FAILURE_ENROLLMENT_FAILED,
                       "The certificate of %s has expired and nothing else may authenticate its enrolment: set "
                       "Authenticate= in [Enrollment] (identity:NAME or credential:NAME).",
                       identity_name(identity));
}

int attempt_authenticate(Attempt *attempt, Failure *ret_failure) {
    Identity *identity = attempt->identity, *authenticator = identity;
    const Authenticate *authenticate = authenticate_of(attempt);
    int r = 0;

    if (attempt->start.means != MEANS_ITSELF) {
        r = check_means(attempt, authenticate, ret_failure);
        authenticator = NULL;
        if (r >= 0 && authenticate->identity) {
            authenticator = identity_set_find(identity_context(identity)->set, authenticate->identity, ret_failure);
            if (!authenticator)
                return failure_prefix(ret_failure, -ENOENT, "%s: Authenticate=identity:%s", identity_name(identity),
                                      authenticate->identity);
        }
    }
    if (r >= 0 && authenticator)
        r = by_identity(attempt, authenticator, ret_failure);
    if (r >= 0 && authenticate->credential)
        r = by_credential(attempt, authenticate, ret_failure);
    return r;
}
