/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The PKCS#11 module, loaded as a program loads it, beside the fixture's fake identityd. */
#pragma once

#include "fixture.h"

#include <p11-kit/pkcs11.h>

extern CK_FUNCTION_LIST *module;

/* Loads the module, once; the second also sets up the fixture. */
void load_module(void);
int setup_module(void **state);
/* As a program finds it: in the module, or else in what that brings along. */
void *module_symbol(const char *name);
/* C_Initialize, with "mqtt" (P-256, generation 1) and "rsa" there. */
int setup_initialized(void **state);
int teardown_initialized(void **state);

CK_SESSION_HANDLE open_session(void);
/* The one object of that class and label; 0 if there is none. */
CK_OBJECT_HANDLE find_object(CK_SESSION_HANDLE session, CK_OBJECT_CLASS class, const char *label);
/* Begins and makes a signature with `mechanism`; the first failure. */
CK_RV sign_with(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key, const void *data,
                CK_ULONG size, unsigned char *signature, CK_ULONG *signature_size);
/* Whether the signature, in the form of PKCS#11, is one of `data-raw` by the certificate's key. */
int verify_as(const char *chain, gnutls_sign_algorithm_t algorithm, const void *data, size_t size,
              const unsigned char *signature, CK_ULONG signature_size);
