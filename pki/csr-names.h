/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Names of a request in DER: the subject, subject alternative names. Internal to pki/. */
#pragma once

#include "pki/csr.h"

/* The DER Name of an RFC 4514 text, as common/distinguished-name.h reads it. -EINVAL, INVALID_ARGUMENT with what and
 * why. */
int csr_subject_encode(const char *subject, Bytes *ret_der, Failure *ret_failure);
/* The value of a subjectAltName extension; at least one name. -EINVAL, INVALID_ARGUMENT. */
int csr_sans_encode(const CsrSan *sans, size_t count, Bytes *ret_der, Failure *ret_failure);
