/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What an attempt shows the CA that it is: another identity's certificate or its own, a user and a password, or
 * nothing. The key that signs for it is copied, so that a renewal of that identity in the meantime does not pull it
 * away. */
#include "manager/enrolment.h"

#include <string.h>

static const Authenticate *enrolment_authenticate(const Identity *identity, bool renewal) {
    static const Authenticate none = { .kind = AUTHENTICATE_NONE };
    const IdentityConfig *config = identity->config;

    if (!renewal)
        return &config->authenticate;
    return config->renewal_authenticate.kind != AUTHENTICATE_NONE ? &config->renewal_authenticate : &none;
}

static int enrolment_prepare_identity(Enrolment *enrolment, Identity *authenticator, Failure *ret_failure) {
    int r = identity_require_ready(authenticator, ret_failure);

    if (r < 0) {
        if (authenticator != enrolment->identity)
            enrolment->identity->waits_for_authenticator = true;
        return failure_prefix(ret_failure, r, "%s authenticates with %s", enrolment->identity->name,
                              authenticator->name);
    }
    enrolment->authenticator = authenticator->instance;
    enrolment->authenticator_generation = authenticator->generation;
    r = tpm_key_copy(authenticator->key, &enrolment->authenticator_key);
    if (r >= 0)
        r = certificate_list_to_pem(&authenticator->chain, &enrolment->authenticator_chain);
    return r < 0 ? failure_errno(ret_failure, r, "Preparing the authentication") : 0;
}

int enrolment_password(const Enrolment *enrolment, Secret **ret, Failure *ret_failure) {
    int r = enrolment->credential ? secret_from_credential(enrolment->credential, ret) : 0;

    return r < 0 ? failure_set(ret_failure, r, FAILURE_ENROLLMENT_FAILED,
                               "%s authenticates with the systemd credential %s, which cannot be read (%s): add "
                               "LoadCredential=%s:… to identityd.service.",
                               enrolment->identity->name, enrolment->credential, strerror(-r), enrolment->credential)
                 : 0;
}

static int enrolment_prepare_credential(Enrolment *enrolment, const Authenticate *authenticate, Failure *ret_failure) {
    Identity *identity = enrolment->identity;
    _cleanup_secret_ Secret *password = NULL; /* read here only to fail before a key is made, if it must */

    if (daemon_config_credential_is_secret(identity->manager->config, authenticate->name))
        return failure_set(ret_failure, -EPERM, FAILURE_ENROLLMENT_FAILED,
                           "The credential %s is an authorization of the TPM and is not sent to a CA: use another.",
                           authenticate->name);
    enrolment->credential = strdup(authenticate->name);
    if (!enrolment->credential)
        return failure_errno(ret_failure, -ENOMEM, "Preparing the authentication");
    int r = enrolment_password(enrolment, &password, ret_failure);
    return r < 0 ? r : request_user(identity, authenticate, enrolment->renewal, &enrolment->user, ret_failure);
}

int enrolment_prepare(Enrolment *enrolment, Failure *ret_failure) {
    Identity *identity = enrolment->identity;
    const Authenticate *authenticate = enrolment_authenticate(identity, enrolment->renewal);

    identity->waits_for_authenticator = false;
    switch (authenticate->kind) {
    case AUTHENTICATE_IDENTITY: {
        Identity *authenticator = manager_find_identity(identity->manager, authenticate->name, ret_failure);
        if (!authenticator)
            return failure_prefix(ret_failure, -ENOENT, "%s: Authenticate=identity:%s", identity->name,
                                  authenticate->name);
        return enrolment_prepare_identity(enrolment, authenticator, ret_failure);
    }
    case AUTHENTICATE_CREDENTIAL:
        return enrolment_prepare_credential(enrolment, authenticate, ret_failure);
    case AUTHENTICATE_NONE:
        if (enrolment->renewal)
            return enrolment_prepare_identity(enrolment, identity, ret_failure);
        if (identity->state == STATE_EXPIRED)
            return failure_set(ret_failure, -EKEYEXPIRED, FAILURE_ENROLLMENT_FAILED,
                               "The certificate of %s has expired and nothing else may authenticate its enrolment: set "
                               "Authenticate= in "
                               "[Enrollment] (identity:NAME or credential:NAME).",
                               identity->name);
        return 0;
    }
    return -EINVAL;
}
