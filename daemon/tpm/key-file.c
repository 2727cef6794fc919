/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Key files: "TSS2 PRIVATE KEY" in PEM (docs/facts.md, "Key files"). What is read is checked by writing it again: a
 * file that is not byte for byte the canonical encoding of what was understood is refused. */
#include "tpm/internal.h"

#include "tpm/asn1.h"

#include <gnutls/x509.h>
#include <string.h>
#include <tss2/tss2_mu.h>

#define PEM_LABEL   "TSS2 PRIVATE KEY"
#define PEM_BEGIN   "-----BEGIN " PEM_LABEL "-----"
#define PEM_END     "-----END " PEM_LABEL "-----"
#define KEY_TYPE    "IdentitydTpm.TSSPrivateKey"
#define LOADABLE    "2.23.133.10.1.3"
#define TPM2B_MAX   (sizeof(TPM2B_PUBLIC) + sizeof(TPM2B_PRIVATE))
#define PARENT_SIZE 5 /* a DER INTEGER above 0x7fffffff has a leading zero byte */

static int refuse(Failure *ret_failure, const char *reason) {
    return failure_set(ret_failure, -EINVAL, FAILURE_INVALID_ARGUMENT, "key file: %s", reason);
}

/* ---- writing ---- */

static int write_fields(asn1_node element, const TpmKey *key) {
    uint8_t parent[PARENT_SIZE] = { 0 };

    for (size_t i = 0; i < 4; i++)
        parent[1 + i] = (uint8_t) (key->parent_handle >> (24U - 8U * i));
    if (asn1_write_value(element, "type", LOADABLE, 1) != ASN1_SUCCESS ||
        asn1_write_value(element, "emptyAuth", "TRUE", 1) != ASN1_SUCCESS ||
        asn1_write_value(element, "parent", parent, sizeof parent) != ASN1_SUCCESS ||
        asn1_write_value(element, "pubkey", key->public.data, (int) key->public.size) != ASN1_SUCCESS ||
        asn1_write_value(element, "privkey", key->private.data, (int) key->private.size) != ASN1_SUCCESS)
        return -ENOMEM;
    return 0;
}

static int key_to_der(const TpmKey *key, Bytes *ret) {
    _cleanup_asn1_ asn1_node element = NULL;
    uint8_t der[TPM2B_MAX + 64U];
    int size = (int) sizeof der, r;

    r = asn1_tree_new(tpm_asn1_table, KEY_TYPE, &element);
    if (r >= 0)
        r = write_fields(element, key);
    if (r < 0)
        return r;
    if (asn1_der_coding(element, "", der, &size, NULL) != ASN1_SUCCESS)
        return -EINVAL;
    return bytes_copy((BytesView) { der, (size_t) size }, ret);
}

int tpm_key_to_pem(const TpmKey *key, Bytes *ret_pem) {
    _cleanup_bytes_ Bytes der = BYTES_NULL;
    gnutls_datum_t datum, pem = { NULL, 0 };
    int r = key_to_der(key, &der);

    if (r < 0)
        return r;
    datum = (gnutls_datum_t) { der.data, (unsigned int) der.size };
    if (gnutls_pem_base64_encode2(PEM_LABEL, &datum, &pem) < 0)
        return -ENOMEM;
    r = bytes_copy((BytesView) { pem.data, pem.size }, ret_pem);
    gnutls_free(pem.data);
    return r;
}

/* ---- reading ---- */

static bool is_space(uint8_t c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* GnuTLS looks for its label anywhere: here nothing but space may stand around one PEM block. */
static int pem_to_der(BytesView pem, Bytes *ret, Failure *ret_failure) {
    gnutls_datum_t text, der = { NULL, 0 };
    const uint8_t *end;
    int r;

    while (pem.size > 0 && is_space(pem.data[0])) {
        pem.data++;
        pem.size--;
    }
    while (pem.size > 0 && is_space(pem.data[pem.size - 1]))
        pem.size--;
    if (pem.size == 0)
        return refuse(ret_failure, "it is empty");
    if (pem.size < strlen(PEM_BEGIN) || memcmp(pem.data, PEM_BEGIN, strlen(PEM_BEGIN)) != 0)
        return refuse(ret_failure, "it does not begin with \"" PEM_BEGIN "\"");
    end = memmem(pem.data, pem.size, PEM_END, strlen(PEM_END));
    if (!end || (size_t) (end - pem.data) + strlen(PEM_END) != pem.size)
        return refuse(ret_failure, "it does not end with \"" PEM_END "\"");
    text = (gnutls_datum_t) { (uint8_t *) pem.data, (unsigned int) pem.size };
    r = gnutls_pem_base64_decode2(PEM_LABEL, &text, &der);
    if (r == GNUTLS_E_MEMORY_ERROR)
        return failure_errno(ret_failure, -ENOMEM, "key file");
    if (r < 0)
        return refuse(ret_failure, "it is not valid PEM");
    r = bytes_copy((BytesView) { der.data, der.size }, ret);
    gnutls_free(der.data);
    return r < 0 ? failure_errno(ret_failure, r, "key file") : 0;
}

static int read_parent_handle(asn1_node element, uint32_t *ret) {
    uint8_t value[PARENT_SIZE];
    int size = (int) sizeof value;
    uint64_t handle = 0;

    if (asn1_read_value(element, "parent", value, &size) != ASN1_SUCCESS || size < 1 || value[0] & 0x80U)
        return -EINVAL;
    for (int i = 0; i < size; i++)
        handle = handle << 8 | value[i];
    if (handle > UINT32_MAX)
        return -EINVAL;
    *ret = (uint32_t) handle;
    return 0;
}

typedef struct Parts {
    TPM2B_PUBLIC public;
    TPM2B_PRIVATE private;
    uint32_t parent;
} Parts;

static int read_blobs(asn1_node element, Parts *ret, Failure *ret_failure) {
    uint8_t blob[TPM2B_MAX];
    int size = (int) sizeof blob;
    size_t offset = 0;

    if (asn1_read_value(element, "pubkey", blob, &size) != ASN1_SUCCESS ||
        Tss2_MU_TPM2B_PUBLIC_Unmarshal(blob, (size_t) size, &offset, &ret->public) != TSS2_RC_SUCCESS ||
        offset != (size_t) size)
        return refuse(ret_failure, "its public part is not a TPM2B_PUBLIC");
    size = (int) sizeof blob;
    offset = 0;
    if (asn1_read_value(element, "privkey", blob, &size) != ASN1_SUCCESS ||
        Tss2_MU_TPM2B_PRIVATE_Unmarshal(blob, (size_t) size, &offset, &ret->private) != TSS2_RC_SUCCESS ||
        offset != (size_t) size)
        return refuse(ret_failure, "its private part is not a TPM2B_PRIVATE");
    return 0;
}

static int read_fields(BytesView der, Parts *ret, Failure *ret_failure) {
    _cleanup_asn1_ asn1_node element = NULL;
    char type[64], empty_authorization[8];
    int r = asn1_tree_decode(tpm_asn1_table, KEY_TYPE, der, &element), size;

    if (r == -ENOMEM)
        return failure_errno(ret_failure, r, "key file");
    if (r < 0)
        return refuse(ret_failure, "it is not a TSS2 key without policy, secret, description or trailing bytes");
    size = (int) sizeof type;
    if (asn1_read_value(element, "type", type, &size) != ASN1_SUCCESS || strcmp(type, LOADABLE) != 0)
        return refuse(ret_failure, "its type is not \"loadable\" (" LOADABLE ")");
    size = (int) sizeof empty_authorization;
    if (asn1_read_value(element, "emptyAuth", empty_authorization, &size) != ASN1_SUCCESS ||
        strcmp(empty_authorization, "TRUE") != 0)
        return refuse(ret_failure, "the key needs a password (emptyAuth is not true)");
    if (read_parent_handle(element, &ret->parent) < 0)
        return refuse(ret_failure, "its parent is not a TPM handle");
    return read_blobs(element, ret, ret_failure);
}

int tpm_key_from_pem(BytesView pem, BytesView parent_name, TpmKey **ret, Failure *ret_failure) {
    _cleanup_tpm_key_ TpmKey *key = NULL;
    _cleanup_bytes_ Bytes der = BYTES_NULL, again = BYTES_NULL;
    TPM2B_NAME parent;
    Parts parts = { 0 };
    int r;

    if (pem.size > TPM_KEY_PEM_MAX)
        return refuse(ret_failure, "it is longer than 16 KiB");
    if (tpm_name_from_bytes(parent_name, &parent) < 0)
        return refuse(ret_failure, "the Name of its parent, recorded beside it, is not a TPM Name");
    r = pem_to_der(pem, &der, ret_failure);
    if (r >= 0)
        r = read_fields(bytes_view(&der), &parts, ret_failure);
    if (r >= 0)
        r = tpm_key_new(&parts.public, &parts.private, &parent, parts.parent, &key, ret_failure);
    if (r < 0)
        return r;
    r = key_to_der(key, &again);
    if (r == -ENOMEM)
        return failure_errno(ret_failure, r, "key file");
    if (r < 0 || !bytes_view_equal(bytes_view(&der), bytes_view(&again)))
        return refuse(ret_failure, "its encoding is not canonical");
    *ret = TAKE_PTR(key);
    return 0;
}
