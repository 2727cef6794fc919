/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* identities/NAME.conf as typed values (DESIGN §7). Pure: strings in, values out; who uses them resolves users,
 * device IDs and files. */
#pragma once

#include "common/access-rule.h"
#include "common/bytes.h"
#include "common/scheme.h"
#include "config/problem.h"

#include <stdbool.h>
#include <stdint.h>

typedef enum IdentityKind { IDENTITY_LDEVID, IDENTITY_IDEVID } IdentityKind;
typedef enum EnrollmentProtocol { PROTOCOL_EST, PROTOCOL_MANUAL } EnrollmentProtocol;
typedef enum AuthenticateKind { AUTHENTICATE_NONE, AUTHENTICATE_IDENTITY, AUTHENTICATE_CREDENTIAL } AuthenticateKind;
typedef enum AfterRevocation { AFTER_REVOCATION_WAIT, AFTER_REVOCATION_ENROLL } AfterRevocation;
typedef enum SanKind { SAN_DNS, SAN_IP, SAN_URI, SAN_HARDWARE_MODULE } SanKind;

typedef struct SanTemplate {
    SanKind kind;     /* dns:… ip:… uri:… hardware-module:OID/SERIAL */
    char *value;      /* with % specifiers unexpanded */
} SanTemplate;

typedef struct Authenticate {
    AuthenticateKind kind;
    char *name;       /* identity or credential */
    char *user;       /* credential:NAME: HTTP user, from `User=`; default "%d" */
} Authenticate;

typedef struct IdentityConfig {
    char *name;               /* from the file's name */
    /* [Identity] */
    char *subject;            /* RFC 4514 with specifiers */
    SanTemplate *sans;
    size_t san_count;
    IdentityKind kind;
    /* [Key] */
    KeyAlgorithm algorithm;   /* default ecdsa-p256 */
    /* [Enrollment] */
    EnrollmentProtocol protocol;
    char **servers;           /* NULL-terminated; base URLs, https only, no query, no trailing slash */
    char *anchors;            /* absolute path or NULL */
    uint8_t anchors_fingerprint[32];
    bool has_anchors_fingerprint;
    char *server_anchors;     /* absolute path or NULL: as anchors */
    char *proxy;              /* or NULL */
    Authenticate authenticate;
    bool allow_tls12;
    /* [Renewal] */
    uint32_t renew_at_permille;   /* of the lifetime; 0 when `renew_before` is used. Default 660 */
    uint64_t renew_before;        /* seconds before NotAfter */
    uint32_t jitter_permille;     /* default 100 */
    bool rotate_key;              /* default yes */
    Authenticate renewal_authenticate; /* kind NONE: the identity itself */
    uint64_t anchors_interval;    /* seconds between /cacerts fetches beside renewals; `AnchorsInterval=`, default 1 day */
    /* [Revocation] */
    bool check_crl, check_ocsp;   /* default both off when the section is absent, crl when the key is */
    char **crl_urls;              /* `CRL=`: beside the distribution points; http or https */
    uint64_t revocation_interval; /* seconds; `Interval=`, default 6 h */
    AfterRevocation after_revocation;
    /* [Peers] */
    char *peers_anchors;          /* absolute path or NULL: enrolment anchors */
    /* [Access] */
    AccessRules access[_PURPOSE_COUNT];
} IdentityConfig;

IdentityConfig *identity_config_free(IdentityConfig *config);
DEFINE_CLEANUP(IdentityConfig, identity_config_free)
#define _cleanup_identity_config_ _cleanup_(identity_config_free_p)

/* Loads one identity from its file and drop-ins (NAME.conf.d/ in every directory), `paths` in the order in which they
 * apply. All problems are collected in `problems`, warnings too; `ret` is NULL when there was an error. -ENOMEM
 * and I/O errors apart, what is wrong is in `problems` and the return value is -EINVAL. */
int identity_config_load(const char *name, char *const *paths, Problems *problems, IdentityConfig **ret);

/* Whether two configurations differ in what a certificate was made from (subject, SANs, algorithm, kind, protocol). */
bool identity_config_same_request(const IdentityConfig *a, const IdentityConfig *b);

/* Values that specifiers stand for; NULL: unknown, and its use is an error that says why (`…_problem`). */
typedef struct Specifiers {
    const char *device_id, *device_id_problem; /* %d */
    const char *host_name;                     /* %H */
    const char *machine_id;                    /* %m */
    const char *serial, *serial_problem;       /* %s */
} Specifiers;

/* Expands % specifiers; %% is a percent sign. `escape_dn`: values are escaped for RFC 4514. -EINVAL with
 * `ret_problem` (static or owned by `specifiers`) for an unknown or unavailable one; -E2BIG above 1024 bytes. */
int specifiers_expand(const char *template, const Specifiers *specifiers, bool escape_dn, char **ret,
                      const char **ret_problem);
