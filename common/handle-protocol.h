/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is said on a credential handle; installed as <identityd/handle-protocol.h> and written up in
 * identityd-handle(7). A handle is one end of a SOCK_SEQPACKET socket pair; every packet has the 16-byte
 * header of common/packet.h. Answers have the type of the question with HANDLE_ANSWER set and its serial.
 * A connection answers in order; while an answer is unsent nothing more is read from it. A malformed packet,
 * an unknown type or a descriptor from the holder closes the handle. */
#pragma once

#define HANDLE_GET_STATE       0x01 /* empty payload. Answer: State */
#define HANDLE_SIGN_TRANSCRIPT 0x02 /* generation, scheme; payload: TLS 1.3 transcript hash, 32 or 48 bytes */
#define HANDLE_SIGN_MESSAGE    0x03 /* generation, scheme; payload: the whole message */
#define HANDLE_SIGN_DIGEST     0x04 /* generation, scheme; payload: a digest of exactly the scheme's length */
#define HANDLE_ANSWER          0x80 /* status 0: the signature, as TLS and X.509 encode it */
#define HANDLE_STATE                                                                                                   \
    0x81 /* the answer to GetState; with serial 0, unasked, at opening and after each                                  \
          * change: the whole state as TLVs, and files as sealed memfds */

/* Tags of a State. The header's generation is the current one (0: none; nothing can be signed). Unknown
 * tags are skipped. */
#define HANDLE_STATE_IDENTITY  1 /* name of the identity, UTF-8 */
#define HANDLE_STATE_PURPOSE   2 /* "tls-client", "tls-server", "data", "data-raw" or "digest" */
#define HANDLE_STATE_STATE     3 /* "ready", "expired", "unavailable", … as on the bus */
#define HANDLE_STATE_SCHEMES   4 /* usable schemes, best first: 2 bytes each */
#define HANDLE_STATE_NOT_AFTER 5 /* end of the certificate's life: microseconds since the epoch, 8 bytes */
#define HANDLE_STATE_FILES     6 /* one byte for each descriptor that came along: its HANDLE_FILE_… */
#define HANDLE_STATE_OLDEST    7 /* oldest generation that can still sign, 4 bytes */
#define HANDLE_STATE_EARLIER                                                                                           \
    8 /* generations before the current one that can still sign, newest first: 4 bytes generation, 2 bytes length and  \
       * that many of the public key (DER SubjectPublicKeyInfo), one after the other */
#define HANDLE_STATE_UNPROVED 9  /* empty; comes while the process that opened it by a unit: rule has yet to speak */
#define HANDLE_STATE_TLS12    10 /* 1 byte, 1: signs transcripts of TLS 1.2, too; else it does not come */

#define HANDLE_FILE_CHAIN   1 /* PEM certificates, leaf first, without the anchor */
#define HANDLE_FILE_ANCHORS 2 /* PEM certificates to verify peers with */
#define HANDLE_FILE_CRLS    3 /* PEM CRLs, verified, possibly none */
#define HANDLE_FILE_OCSP    4 /* DER OCSPResponse for the leaf, for stapling; only when there is one */

#define HANDLE_FILE_MAX (1024U * 1024U) /* bytes of any of them, CRLs: HANDLE_CRLS_MAX */
#define HANDLE_CRLS_MAX (16U * 1024U * 1024U)
