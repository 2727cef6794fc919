/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Generations without an enrolment, for tests of what comes after one: a key in the TPM of the machine, a certificate
 * of its CA, in the store and current. */
#pragma once

#include "tests/unit/device/machine.h"

typedef struct Certified {
    const FakeCa *ca;    /* NULL: the machine's */
    FakeIssue issue;     /* zeroed: from an hour ago until in an hour */
    const char *subject; /* NULL: CN=NAME */
    const char *dns;     /* NULL: none */
    const char *beside;  /* PEM of intermediates; NULL: none */
} Certified;

/* A new key of the machine's TPM, ECDSA P-256. */
TpmKey *machine_key(Machine *machine);
/* A request for it: PKCS#10 DER; the caller clears. */
Bytes machine_request(Machine *machine, const TpmKey *key, const char *subject, const char *dns);
/* Certificates as they came from a CA; the caller clears. */
CertificateList machine_issue(Machine *machine, const TpmKey *key, const Certified *how);
/* A new key with its certificate becomes the current generation, as after a commit; its number. */
uint32_t machine_certify(Machine *machine, Identity *identity, const Certified *how);
