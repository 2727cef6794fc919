/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A TPM 2.0 behind any TCTI, as one object of one thread. It opens itself when it is first needed, survives
 * resets of the chip and of its transport (docs/design.md §10), compares the parent's Name before it loads anything,
 * and never signs with another key than the one it was asked for. Files, each calling only those
 * before it: error.c (classes), answer.c and answer-tcti.c (the shape of answers), command.c (sending), public-key.c,
 * loaded.c (loaded keys), properties.c, orphans.c, session.c, guard.c, storage-key.c, parent.c (SRK), endorsement.c and
 * certificate-spki.c (device ID), epoch.c (context, recovery), key.c (data, creation), key-file.c, sign.c, tpm.c
 * (options, probing).
 *
 * A TPM without a resource manager (swtpm, /dev/tpm0) must be this process's alone: what others leave loaded there is
 * flushed when the context is opened. A hung TPM blocks the calling thread: TCTIs know no timeout (docs/facts.md,
 * "TPM"). */
#pragma once

#include "common/bytes.h"
#include "common/failure.h"
#include "common/scheme.h"
#include "common/secret.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct Tpm Tpm;
typedef struct TpmKey TpmKey;

#define TPM_AUTHORIZATION_MAX 64U /* bytes; a TPM2B_AUTH is as long as the largest digest */

typedef struct TpmOptions {
    const char *tcti;                  /* tss2-tctildr string; NULL: the default of tctildr */
    uint32_t parent_handle;            /* the first of sixteen at which the parent may be; 0: 0x81000001 */
    const Secret *owner_authorization; /* may be NULL (empty) */
    const Secret *endorsement_authorization;
    /* What an earlier life found (TpmInformation): this parent is preferred to others, and the endorsement not looked
     * for again in the TPM that has it. */
    BytesView known_parent_name, known_endorsement;
    size_t loaded_keys_max; /* 0: what the TPM has room for (TPM2_PT_HR_TRANSIENT_MIN), at most 8 */
} TpmOptions;

typedef enum TpmState {
    TPM_STATE_READY,
    TPM_STATE_UNAVAILABLE,
    TPM_STATE_LOCKOUT,
} TpmState; /* "replaced" is a judgement about an identity's parent: manager's */

/* What is known of the chip, for the bus. Plain values. */
typedef struct TpmInformation {
    TpmState state;
    char vendor[32];    /* e.g. "IBM SW TPM" trimmed, "" if unknown */
    char firmware[32];  /* "20240125.123456" */
    char device_id[65]; /* SHA-256 hex as docs/design.md §4 defines it, or "" with device_id_problem set */
    char device_id_problem[160];
    uint8_t endorsement[1024]; /* DER SubjectPublicKeyInfo that the device ID is the hash of */
    size_t endorsement_size;   /* 0: unknown */
    uint8_t parent_name[68];
    size_t parent_name_size; /* TPM Name: nameAlg, digest */
    bool parent_is_persistent;
    char parent_note[256]; /* why the parent is one of our own and not the key at parent_handle, and where; or "" */
    uint64_t epoch;        /* grows whenever every transient object was dropped */
    bool resource_manager;
} TpmInformation;

/* Only allocates and copies the options; may be used by another thread afterwards. 0; -ENOMEM; -E2BIG: an authorization
 * value of more than 64 bytes or a TCTI string of more than 1024; -EINVAL: known_parent_name is no TPM Name. No TPM is
 * needed. */
int tpm_new(const TpmOptions *options, Tpm **ret);
Tpm *tpm_free(Tpm *tpm);
DEFINE_CLEANUP(Tpm, tpm_free)
#define _cleanup_tpm_ _cleanup_(tpm_free_p)

/* Opens if need be, finds or creates the parent, reads properties. `ret` is filled in also on failure (state
 * unavailable or lockout). `device_id_salt` (may be NULL): DeviceIdSalt= of identityd.conf; the device ID then is the
 * HMAC-SHA-256 of the SubjectPublicKeyInfo keyed with it instead of the plain hash.
 * -ENXIO and friends: kind TPM_UNAVAILABLE with the decoded response code. Cheap when nothing changed: one
 * command that shows that the TPM lives. */
int tpm_probe(Tpm *tpm, const char *device_id_salt, TpmInformation *ret, Failure *ret_failure);

/* Creates a key under the parent of this Name and no other, which is what makes an earlier acquaintance with the TPM
 * count; an empty `parent_name` takes any. In an HMAC session salted to the parent, so that nothing between here and
 * the TPM can answer with a key of its own. Attributes as in docs/facts.md, "TPM". The TpmKey needs no TPM to exist.
 * kinds: TPM_UNAVAILABLE, TPM_REPLACED (the parent is another one), INVALID_ARGUMENT (the TPM does not know the
 * algorithm; not a Name). */
int tpm_key_create_under(Tpm *tpm, KeyAlgorithm algorithm, BytesView parent_name, TpmKey **ret, Failure *ret_failure);

/* Signs a digest of exactly the scheme's length. The signature is encoded as X.509 and TLS want it (ECDSA: DER
 * SEQUENCE). The key is loaded when it is not; the least recently used one makes room.
 * That it was made with this key follows from the rules of the epoch; as a second wall it is verified with the public
 * key before it is returned: always for RSA, for ECDSA (whose verification takes a third of the time of a fast TPM's
 * signature) the first time after each load. Where the last command was more than 1 ms ago, which is shorter than any
 * way in which a TPM can be reset and filled by somebody else, the TPM itself is made to refuse another key (guard.c),
 * or the signature is verified again.
 * kinds: TPM_UNAVAILABLE, TPM_REPLACED (the key's parent is not this TPM's), INVALID_ARGUMENT (scheme does not
 * fit, length, a key file that was altered, a hash that the TPM does not know), INTERNAL. */
int tpm_key_sign(Tpm *tpm, const TpmKey *key, const SignatureScheme *scheme, BytesView digest,
                 uint8_t ret_signature[static SIGNATURE_MAX], size_t *ret_size, Failure *ret_failure);

/* Whether a signature by it needs no load, as far as is known without asking the TPM. */
bool tpm_key_is_loaded(Tpm *tpm, const TpmKey *key);

/* Flushes a key if it is loaded: nobody will need it again. */
void tpm_key_unload(Tpm *tpm, const TpmKey *key);

/* Whether PSS of this TPM has the salt length that TLS 1.3 wants; probed once per TPM with a key of this
 * algorithm. ECDSA: always true. Signs once at the first call. */
int tpm_key_pss_is_usable(Tpm *tpm, const TpmKey *key, bool *ret, Failure *ret_failure);

/* ---- keys as data (no TPM, any thread; immutable) ---- */

/* Gives a reference back; takes NULL, returns NULL. */
TpmKey *tpm_key_free(TpmKey *key);
DEFINE_CLEANUP(TpmKey, tpm_key_free)
#define _cleanup_tpm_key_ _cleanup_(tpm_key_free_p)
/* One more reference, for whoever needs it longer. */
TpmKey *tpm_key_ref(const TpmKey *key);

KeyAlgorithm tpm_key_algorithm(const TpmKey *key);
BytesView tpm_key_spki(const TpmKey *key);        /* DER SubjectPublicKeyInfo; borrowed */
BytesView tpm_key_name(const TpmKey *key);        /* TPM Name; borrowed */
BytesView tpm_key_parent_name(const TpmKey *key); /* Name of the parent it was made under; borrowed */

/* TSS2 PRIVATE KEY, PEM (docs/facts.md, "Key files"), as tpm2-openssl uses it. `parent_name` travels beside it: in the
 * file `parent` of the generation, hex. Decoding checks everything that can be checked without a TPM: ASN.1, no
 * trailing bytes, TPM2B sizes, type loadable, attributes, a known algorithm, and that writing it again gives the same
 * DER. -EINVAL with kind INVALID_ARGUMENT and the reason. */
#define TPM_KEY_PEM_MAX (16U * 1024U)
int tpm_key_to_pem(const TpmKey *key, Bytes *ret_pem);
int tpm_key_from_pem(BytesView pem, BytesView parent_name, TpmKey **ret, Failure *ret_failure);
