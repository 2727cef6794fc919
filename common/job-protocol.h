/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What identityd and one enroller process say to each other: packets of common/packet.h with TLV bodies.
 * identityd connects, sends one Job, and answers questions; the enroller sends Progress, questions and at last
 * one Result or Failure, and exits. Either side closes at the first thing that is not as written here.
 * Whatever may pass 64 KiB travels as a sealed memfd: a tag ending in _FD holds, in one byte, the index of the
 * descriptor in the packet.
 *
 * Everything from the enroller is as untrusted as the network behind it. */
#pragma once

#define JOB_PACKET_JOB             0x10 /* identityd → enroller, once, first */
#define JOB_PACKET_PROGRESS        0x11 /* enroller →, any number: JOB_STEP */
#define JOB_PACKET_CREATE_REQUEST  0x12 /* enroller →: JOB_KEY_TYPE, JOB_EXTENSION_*, JOB_BINDING; how often: below */
#define JOB_PACKET_SIGN_TRANSCRIPT 0x13 /* enroller →, at most JOB_SIGNATURES_MAX: header scheme, payload: hash */
#define JOB_PACKET_SIGN_TLS12      0x14 /* the same with a client's messages; only where the job says JOB_ALLOW_TLS12 */
#define JOB_PACKET_RESULT          0x15 /* enroller →, once, last: JOB_RESULT_* */
#define JOB_PACKET_FAILURE         0x16 /* enroller →, once, last: JOB_FAILURE_* */
#define JOB_PACKET_ANSWER          0x80 /* | type, serial repeated: status and text, or PKCS#10 DER, or a signature */

#define JOB_REQUESTS_MAX 1U
/* Those with a JOB_BINDING, each for a session that the server closed the one before with (after a 401, say). */
#define JOB_LINKED_REQUESTS_MAX 4U
#define JOB_SIGNATURES_MAX      4U
#define JOB_PROGRESS_MAX        256U
#define JOB_SECONDS_MAX         300U /* identityd ends a job that takes longer */

/* Tags. Strings are UTF-8 without NUL. */
#define JOB_KIND     1 /* u8, a JOB_KIND_… */
#define JOB_IDENTITY 2 /* string: for messages only */
#define JOB_SERVER                                                                                                     \
    3                            /* string, repeatable up to JOB_SERVERS_MAX: EST base URLs, or for                    \
                                  * JOB_KIND_FETCH the URLs of CRLs or the OCSP responder, tried in order */
#define JOB_SERVER_ANCHORS_FD 4  /* u8: PEM that the HTTPS server must chain to. Absent in a FETCH: only http */
#define JOB_FINGERPRINT       5  /* 32 bytes: bootstrap by SHA-256 of a self-signed certificate in /cacerts */
#define JOB_PROXY             6  /* string: http://HOST:PORT */
#define JOB_TIME              7  /* u64: seconds since the epoch to verify certificates with */
#define JOB_CLIENT_CHAIN_FD   8  /* u8: PEM chain for TLS client authentication */
#define JOB_CLIENT_SCHEME     9  /* u16, repeatable: schemes the client key can sign with */
#define JOB_USER              10 /* string: HTTP authentication, Basic or Digest as the server asks */
#define JOB_PASSWORD          11 /* bytes. Only for the job that needs it */
#define JOB_REQUEST           12 /* bytes: PKCS#10 DER that was made earlier: post this, ask for none */
#define JOB_ALLOW_TLS12       13 /* u8 1 */
#define JOB_OCSP_REQUEST      14 /* bytes: DER OCSPRequest to post to the URLs; without it, GET */
#define JOB_TIME_IS_FLOOR                                                                                              \
    15 /* u8 1: the clock is known to be behind; JOB_TIME is the latest instant that is certainly                      \
        * past, so that "not yet valid" proves nothing */

#define JOB_PROXY_USER     16 /* string: what the proxy is told who we are; with a proxy alone */
#define JOB_PROXY_PASSWORD 17 /* bytes */

#define JOB_KIND_ENROLL   1 /* cacerts, csrattrs, simpleenroll */
#define JOB_KIND_REENROLL 2 /* cacerts, csrattrs, simplereenroll */
#define JOB_KIND_CACERTS  3 /* cacerts only */
#define JOB_KIND_FETCH    4 /* behind the second socket: CRL or OCSP by HTTP; no credential */
#define JOB_KIND_PROBE                                                                                                 \
    5 /* is the server there, does it verify: TLS and /cacerts, which are kept by nobody (idctl check) */

#define JOB_SERVERS_MAX 8U
#define JOB_URL_MAX     2048U

#define JOB_STEP 32 /* string: "cacerts", "csrattrs", "simpleenroll", … */

#define JOB_KEY_TYPE      40 /* u8, KeyAlgorithm: what /csrattrs asks for; absent: as configured */
#define JOB_EXTENSION_EKU 41 /* string, repeatable: extended key usage OID that /csrattrs asks for */
#define JOB_BINDING                                                                                                    \
    42 /* bytes: the channel binding of the TLS session that is to carry the request, JOB_TLS_UNIQUE_SIZE (tls-unique, \
        * RFC 5929) or JOB_TLS_EXPORTER_SIZE of them (tls-exporter, RFC 9266). In base64 it is the challengePassword   \
        * (RFC 7030 §3.5) */
#define JOB_TLS_UNIQUE_SIZE   12U
#define JOB_TLS_EXPORTER_SIZE 32U

#define JOB_RESULT_ISSUED_FD  48 /* u8: DER PKCS#7 certs-only as decoded from base64 (simple(re)enroll) */
#define JOB_RESULT_CACERTS_FD 49 /* u8: DER PKCS#7 certs-only of /cacerts */
#define JOB_RESULT_LATER      50 /* u32: 202; seconds from now. No JOB_RESULT_ISSUED_FD then */
#define JOB_RESULT_FETCHED_FD 51 /* u8: what was fetched, as it came */
#define JOB_RESULT_SERVER     52 /* string: the URL that answered */
#define JOB_RESULT_TLS        53 /* string: e.g. "TLS1.3 ECDHE-SECP256R1 AES-256-GCM", for idctl check */
#define JOB_RESULT_CHAIN_FD                                                                                            \
    54 /* u8: PEM, leaf first: what the server showed in the session that brought /cacerts.                            \
        * A claim like all else here: whoever once saw the chain can show it again */

#define JOB_RESULT_CLOCK_AHEAD                                                                                         \
    55 /* u64, two's complement: by how many seconds our system's clock was ahead of the Date that came with           \
        * /cacerts; absent where none came. A claim too: nothing is decided by it */

#define JOB_FAILURE_TEXT     56 /* string: one sentence: step, expected, came */
#define JOB_FAILURE_RETRY    57 /* u8 1: the same may work later; 0: somebody must change something */
#define JOB_FAILURE_AFTER    58 /* u32: Retry-After in seconds, where the server gave one with 429 or 503 */
#define JOB_FAILURE_REJECTED 59 /* u8 1: a certificate came and was refused: CertificateRejected on the bus */

#define JOB_ISSUED_MAX  (256U * 1024U)
#define JOB_CACERTS_MAX (1024U * 1024U)
#define JOB_CHAIN_MAX   (256U * 1024U) /* of a server */
#define JOB_FETCH_MAX   (8U * 1024U * 1024U)
#define JOB_ANCHORS_MAX (2U * 1024U * 1024U)
#define JOB_REQUEST_MAX (16U * 1024U)
