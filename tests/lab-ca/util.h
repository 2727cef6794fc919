/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Small things that every file of the lab CA needs: files below its directory, GnuTLS objects that free
 * themselves, and complaints. */
#pragma once

#include "common/macros.h"

#include <gnutls/gnutls.h>
#include <gnutls/pkcs7.h>
#include <gnutls/x509.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#define FILE_MAX (64U * 1024U * 1024U) /* bytes of any file that the lab CA reads */

/* One line on standard error, with the program's name before it. */
void complain(const char *format, ...) _printf_(1, 2);

/* Says that `what` failed with a GnuTLS code, and returns -EIO, so that a caller can return it. */
int gnutls_complain(int code, const char *what);

/* DIRECTORY/NAME; NULL without memory. The caller frees. */
char *path_join(const char *directory, const char *name);

/* Replaces DIRECTORY/NAME by rename(2), so that who reads it sees the old or the new. 0 or -errno. */
int file_write(const char *directory, const char *name, const void *data, size_t size, mode_t mode);
int file_write_text(const char *directory, const char *name, const char *text);

/* Reads DIRECTORY/NAME, or NAME if it is absolute. The datum has a trailing NUL that its size does not count;
 * it belongs to the caller. 0, -EFBIG above FILE_MAX, or -errno. */
int file_read(const char *directory, const char *name, gnutls_datum_t *ret);

/* The first line of a file without its end, or NULL where there is none. The caller frees. */
char *file_read_line(const char *directory, const char *name);

bool file_exists(const char *directory, const char *name);

/* A decimal number from `minimum` to `maximum` and nothing else. 0, -EINVAL, -ERANGE. */
int parse_number(const char *text, int64_t minimum, int64_t maximum, int64_t *ret);

static inline void datum_clear(gnutls_datum_t *datum) {
    gnutls_free(datum->data);
    datum->data = NULL;
    datum->size = 0;
}
#define _cleanup_datum_ _cleanup_(datum_clear)
#define DATUM_NULL      ((gnutls_datum_t) { NULL, 0 })

static inline void crt_clear(gnutls_x509_crt_t *crt) {
    if (*crt)
        gnutls_x509_crt_deinit(*crt);
    *crt = NULL;
}
#define _cleanup_crt_ _cleanup_(crt_clear)

static inline void crq_clear(gnutls_x509_crq_t *crq) {
    if (*crq)
        gnutls_x509_crq_deinit(*crq);
    *crq = NULL;
}
#define _cleanup_crq_ _cleanup_(crq_clear)

static inline void key_clear(gnutls_x509_privkey_t *key) {
    if (*key)
        gnutls_x509_privkey_deinit(*key);
    *key = NULL;
}
#define _cleanup_key_ _cleanup_(key_clear)

static inline void crl_clear(gnutls_x509_crl_t *crl) {
    if (*crl)
        gnutls_x509_crl_deinit(*crl);
    *crl = NULL;
}
#define _cleanup_crl_ _cleanup_(crl_clear)

static inline void pkcs7_clear(gnutls_pkcs7_t *pkcs7) {
    if (*pkcs7)
        gnutls_pkcs7_deinit(*pkcs7);
    *pkcs7 = NULL;
}
#define _cleanup_pkcs7_ _cleanup_(pkcs7_clear)
