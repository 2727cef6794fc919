/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* libidentityd: use this device's identities. See libidentityd(3).
 *
 * A credential is opened by identity and purpose; it signs inside the TPM, follows renewals by itself and ends when the
 * identity is revoked or retired. Functions return 0 or a negative errno unless said otherwise; the text for a person
 * is in identityd_last_error() of the calling thread.
 *
 * Threads: a credential may be used by any thread, one at a time inside the library (it locks). Processes: after fork()
 * the child's calls fail with -ECHILD; it opens a credential of its own, or calls identityd_credential_reopen(). */
#ifndef IDENTITYD_H
#define IDENTITYD_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct identityd_credential identityd_credential;

/* One line, without a newline, about the last failure in this thread; "" if there was none. Valid until the next call.
 */
const char *identityd_last_error(void);

/* Opens a credential: asks identityd over the system bus (DBUS_SYSTEM_BUS_ADDRESS is honoured) and waits for the first
 * State. `purpose`: "tls-client", "tls-server", "data", "data-raw" or "digest". `*ret` is freed with
 * identityd_credential_free(). -EACCES: [Access] does not admit the caller. -ENOENT: no such identity. -EAGAIN: no
 * certificate yet. -EKEYEXPIRED, -EKEYREVOKED: as they say. -EHOSTDOWN: identityd is not running. -ENODEV: the TPM is
 * unavailable. -EDQUOT: too many handles. -EINVAL. -ETIMEDOUT. */
int identityd_credential_open(const char *identity, const char *purpose, identityd_credential **ret);

/* The same for a handle that came from elsewhere (a parent process, a D-Bus call of one's own). Takes the descriptor,
 * also on failure. */
int identityd_credential_from_fd(int fd, identityd_credential **ret);

/* Opens anew what this credential was opened with: in a forked child, or after -EPIPE. The old connection is dropped.
 */
int identityd_credential_reopen(identityd_credential *credential);

identityd_credential *identityd_credential_free(identityd_credential *credential); /* takes NULL, returns NULL */

/* Becomes readable when the state changed: then call identityd_credential_process(). Borrowed. */
int identityd_credential_fd(identityd_credential *credential);

/* Reads what has arrived without waiting. 1: something changed, 0: nothing, -EPIPE: identityd closed the handle
 * (revoked, retired, restarted or no longer admitted): nothing signs until identityd_credential_reopen() succeeds. */
int identityd_credential_process(identityd_credential *credential);

/* Called from inside any function here that learns of a change; must not call back into the credential except for
 * getters. `generation` 0: the handle was closed. */
typedef void (*identityd_changed_callback)(identityd_credential *credential, uint32_t generation, void *userdata);
void identityd_credential_set_callback(identityd_credential *credential, identityd_changed_callback callback,
                                       void *userdata);

/* A consistent view of one generation; immutable, reference counted, usable from any thread without a lock. */
typedef struct identityd_snapshot identityd_snapshot;
int identityd_credential_snapshot(identityd_credential *credential, identityd_snapshot **ret); /* processes first */
identityd_snapshot *identityd_snapshot_free(identityd_snapshot *snapshot);
const char *identityd_snapshot_identity(const identityd_snapshot *snapshot);
const char *identityd_snapshot_purpose(const identityd_snapshot *snapshot);
const char *identityd_snapshot_state(const identityd_snapshot *snapshot);
uint32_t identityd_snapshot_generation(const identityd_snapshot *snapshot);
uint64_t identityd_snapshot_not_after(const identityd_snapshot *snapshot); /* µs since the epoch */
/* PEM, NUL-terminated, borrowed; `size` (may be NULL) without the NUL. Never NULL; "" where there is none. */
const char *identityd_snapshot_chain(const identityd_snapshot *snapshot, size_t *size);
const char *identityd_snapshot_anchors(const identityd_snapshot *snapshot, size_t *size);
const char *identityd_snapshot_crls(const identityd_snapshot *snapshot, size_t *size);
/* DER OCSP response for stapling, or NULL. */
const void *identityd_snapshot_ocsp(const identityd_snapshot *snapshot, size_t *size);
/* IANA TLS SignatureScheme numbers, best first, 0-terminated. */
const uint16_t *identityd_snapshot_schemes(const identityd_snapshot *snapshot);

#define IDENTITYD_SIGNATURE_MAX 384 /* bytes */
#define IDENTITYD_MESSAGE_MAX   65536

/* Sign with the key of `generation` (0: the current one). `signature` has room for IDENTITYD_SIGNATURE_MAX bytes. ECDSA
 * signatures are DER. -EPERM: the purpose does not allow this. -EINVAL: scheme or length. -ESTALE: that generation is
 * gone. -EKEYREVOKED, -EKEYEXPIRED, -ENODEV, -EPIPE, -EHOSTDOWN, -ECHILD, -EMSGSIZE, -ETIMEDOUT (60 s without an
 * answer). */
int identityd_sign_transcript(identityd_credential *credential, uint32_t generation, uint16_t scheme, const void *hash,
                              size_t size, void *signature, size_t *signature_size);
int identityd_sign_message(identityd_credential *credential, uint32_t generation, uint16_t scheme, const void *message,
                           size_t size, void *signature, size_t *signature_size);
int identityd_sign_digest(identityd_credential *credential, uint32_t generation, uint16_t scheme, const void *digest,
                          size_t size, void *signature, size_t *signature_size);

/* What the purpose data signs (identityd-handle(7)), made here and signed. Errors as above.
 *
 * A message in identityd's own frame, which says who signs; at most 65453 bytes less the length of the identity's name,
 * else -EMSGSIZE. `signature` as above. */
int identityd_sign_data(identityd_credential *credential, uint32_t generation, uint16_t scheme, const void *message,
                        size_t size, void *signature, size_t *signature_size);

/* A whole COSE_Sign1 (RFC 9052, tagged) over a payload, with the algorithm in its protected header and the chain of the
 * snapshot, whose generation signs, in its unprotected one (x5chain, RFC 9360). With IDENTITYD_COSE_DETACHED the
 * payload is left out. `*ret` is freed with free(). -EMSGSIZE: a longer payload. */
#define IDENTITYD_COSE_DETACHED    1U
#define IDENTITYD_COSE_PAYLOAD_MAX 65500U
int identityd_sign_cose(identityd_credential *credential, const identityd_snapshot *snapshot, uint16_t scheme,
                        unsigned flags, const void *payload, size_t size, void **ret, size_t *ret_size);

/* The name of a scheme ("ecdsa_secp256r1_sha256"), NULL if unknown; and back, 0 if unknown. */
const char *identityd_scheme_name(uint16_t scheme);
uint16_t identityd_scheme_number(const char *name);

#ifdef __cplusplus
}
#endif
#endif
