/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Objects and their attributes: all are computed when a generation is first seen, so that a search and a template need
 * only compare and copy. */
#include "client-lib/pkcs11/module.h"

#include <gnutls/abstract.h>
#include <gnutls/crypto.h>
#include <libtasn1.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* ---- entries ---- */

Entry *entry_ref(Entry *entry) {
    atomic_fetch_add(&entry->references, 1);
    return entry;
}

Entry *entry_unref(Entry *entry) {
    if (!entry || atomic_fetch_sub(&entry->references, 1) > 1)
        return NULL;
    identityd_credential_free(entry->credential);
    free(entry->name);
    free(entry);
    return NULL;
}

/* ---- attributes ---- */

static int add(Object *object, CK_ATTRIBUTE_TYPE type, const void *value, size_t size) {
    if (object->count >= ATTRIBUTES_MAX)
        return -ENOBUFS;
    int r = bytes_copy((BytesView) { value, size }, &object->attributes[object->count].value);
    if (r < 0)
        return r;
    object->attributes[object->count++].type = type;
    return 0;
}

static int add_bool(Object *object, CK_ATTRIBUTE_TYPE type, bool value) {
    CK_BBOOL as_byte = value ? CK_TRUE : CK_FALSE;

    return add(object, type, &as_byte, sizeof(as_byte));
}

static int add_number(Object *object, CK_ATTRIBUTE_TYPE type, CK_ULONG value) {
    return add(object, type, &value, sizeof(value));
}

static int add_text(Object *object, CK_ATTRIBUTE_TYPE type, const char *value) {
    return add(object, type, value, strlen(value));
}

/* Takes over `datum`. */
static int add_datum(Object *object, CK_ATTRIBUTE_TYPE type, gnutls_datum_t datum) {
    int r = add(object, type, datum.data, datum.size);

    gnutls_free(datum.data);
    return r;
}

/* Runs each step until one fails. */
#define TRY(step)                                                                                                      \
    do {                                                                                                               \
        int try_result = (step);                                                                                       \
        if (try_result < 0)                                                                                            \
            return try_result;                                                                                         \
    } while (0)

static int from_gnutls(int code) {
    return code >= 0 ? 0 : code == GNUTLS_E_MEMORY_ERROR ? -ENOMEM : -EBADMSG;
}

static int add_common(Object *object, CK_OBJECT_CLASS class, const char *label) {
    object->class = class;
    TRY(add_number(object, CKA_CLASS, class));
    TRY(add_bool(object, CKA_TOKEN, true));
    TRY(add_bool(object, CKA_PRIVATE, false)); /* nobody has to log in */
    TRY(add_bool(object, CKA_MODIFIABLE, false));
    TRY(add_bool(object, CKA_COPYABLE, false));
    TRY(add_bool(object, CKA_DESTROYABLE, false));
    return add_text(object, CKA_LABEL, label);
}

/* ---- keys ---- */

static int add_public_parts(Object *object, const View *view, gnutls_pubkey_t pubkey) {
    gnutls_datum_t first = { NULL, 0 }, second = { NULL, 0 };

    if (view->key_type == CKK_EC) {
        TRY(from_gnutls(gnutls_pubkey_export_ecc_x962(pubkey, &first, &second)));
        int r = add_datum(object, CKA_EC_PARAMS, first), s = add_datum(object, CKA_EC_POINT, second);
        return r < 0 ? r : s;
    }
    TRY(from_gnutls(gnutls_pubkey_export_rsa_raw2(pubkey, &first, &second, GNUTLS_EXPORT_FLAG_NO_LZ)));
    int r = add_datum(object, CKA_MODULUS, first), s = add_datum(object, CKA_PUBLIC_EXPONENT, second);
    return r < 0 ? r : s;
}

static int add_key(Object *object, const View *view, gnutls_x509_crt_t leaf, gnutls_pubkey_t pubkey) {
    gnutls_datum_t subject;

    TRY(add_number(object, CKA_KEY_TYPE, view->key_type));
    TRY(add_text(object, CKA_ID, view->entry->name));
    TRY(add(object, CKA_START_DATE, NULL, 0));
    TRY(add(object, CKA_END_DATE, NULL, 0));
    TRY(add_bool(object, CKA_DERIVE, false));
    TRY(add_bool(object, CKA_LOCAL, true));
    TRY(add_number(object, CKA_KEY_GEN_MECHANISM,
                   view->key_type == CKK_EC ? CKM_EC_KEY_PAIR_GEN : CKM_RSA_PKCS_KEY_PAIR_GEN));
    TRY(from_gnutls(gnutls_x509_crt_get_raw_dn(leaf, &subject)));
    TRY(add_datum(object, CKA_SUBJECT, subject));
    TRY(add(object, CKA_PUBLIC_KEY_INFO, view->public_key.data, view->public_key.size));
    return add_public_parts(object, view, pubkey);
}

static int make_private_key(Object *object, const View *view, gnutls_x509_crt_t leaf, gnutls_pubkey_t pubkey) {
    static const struct {
        CK_ATTRIBUTE_TYPE type;
        bool value;
    } flags[] = {
        { CKA_SENSITIVE, true },
        { CKA_ALWAYS_SENSITIVE, true },
        { CKA_EXTRACTABLE, false },
        { CKA_NEVER_EXTRACTABLE, true },
        { CKA_SIGN, true },
        { CKA_SIGN_RECOVER, false },
        { CKA_DECRYPT, false },
        { CKA_UNWRAP, false },
        { CKA_WRAP_WITH_TRUSTED, false },
        { CKA_ALWAYS_AUTHENTICATE, false },
    };
    CK_MECHANISM_TYPE allowed[16];
    size_t count = 0;

    TRY(add_common(object, CKO_PRIVATE_KEY, view->entry->name));
    TRY(add_key(object, view, leaf, pubkey));
    for (size_t i = 0; i < ARRAY_LENGTH(flags); i++)
        TRY(add_bool(object, flags[i].type, flags[i].value));
    for (size_t i = 0; i < mechanism_count && count < ARRAY_LENGTH(allowed); i++)
        if (mechanisms[i].key_type == view->key_type)
            allowed[count++] = mechanisms[i].type;
    return add(object, CKA_ALLOWED_MECHANISMS, allowed, count * sizeof(allowed[0]));
}

static int make_public_key(Object *object, const View *view, gnutls_x509_crt_t leaf, gnutls_pubkey_t pubkey) {
    TRY(add_common(object, CKO_PUBLIC_KEY, view->entry->name));
    TRY(add_key(object, view, leaf, pubkey));
    TRY(add_bool(object, CKA_VERIFY, true));
    TRY(add_bool(object, CKA_VERIFY_RECOVER, false));
    TRY(add_bool(object, CKA_ENCRYPT, false));
    TRY(add_bool(object, CKA_WRAP, false));
    TRY(add_bool(object, CKA_TRUSTED, false));
    return view->key_type == CKK_RSA ? add_number(object, CKA_MODULUS_BITS, view->bits) : 0;
}

/* ---- certificates ---- */

static int add_date(Object *object, CK_ATTRIBUTE_TYPE type, time_t time) {
    struct tm parts;
    char text[16];

    if (time == (time_t) -1 || !gmtime_r(&time, &parts) || strftime(text, sizeof(text), "%Y%m%d", &parts) != 8)
        return add(object, type, NULL, 0);
    return add(object, type, text, 8);
}

/* The serial number as PKCS#11 wants it: a DER INTEGER. */
static int add_serial(Object *object, gnutls_x509_crt_t certificate) {
    unsigned char raw[64], der[80];
    size_t size = sizeof(raw);
    unsigned prefix = sizeof(der);

    TRY(from_gnutls(gnutls_x509_crt_get_serial(certificate, raw, &size)));
    if (asn1_encode_simple_der(ASN1_ETYPE_INTEGER, raw, (unsigned) size, der, &prefix) != ASN1_SUCCESS ||
        prefix + size > sizeof(der))
        return -EBADMSG;
    memcpy(der + prefix, raw, size);
    return add(object, CKA_SERIAL_NUMBER, der, prefix + size);
}

static int make_certificate(Object *object, const View *view, size_t place, const gnutls_datum_t *der) {
    char label[IDENTITY_NAME_MAX + 16];
    uint8_t digest[20];
    gnutls_x509_crt_t certificate;
    gnutls_datum_t name;

    /* The leaf is found by the same ID and label as its key; issuers by their subject, or by NAME/1, NAME/2, … */
    (void) snprintf(label, sizeof(label), place ? "%s/%zu" : "%s", view->entry->name, place);
    TRY(add_common(object, CKO_CERTIFICATE, label));
    TRY(add_text(object, CKA_ID, label));
    TRY(add_number(object, CKA_CERTIFICATE_TYPE, CKC_X_509));
    TRY(add_number(object, CKA_CERTIFICATE_CATEGORY, place ? 2 : 1)); /* authority, or token user */
    /* Not as anchors: the module's file says trust-policy: no. But GnuTLS sends an issuer along only if it is marked
     * so. */
    TRY(add_bool(object, CKA_TRUSTED, place > 0));
    TRY(add(object, CKA_VALUE, der->data, der->size));
    TRY(from_gnutls(gnutls_hash_fast(GNUTLS_DIG_SHA1, der->data, der->size, digest)));
    TRY(add(object, CKA_CHECK_VALUE, digest, 3));
    TRY(from_gnutls(gnutls_x509_crt_init(&certificate)));
    int r = from_gnutls(gnutls_x509_crt_import(certificate, der, GNUTLS_X509_FMT_DER));
    if (r >= 0)
        r = from_gnutls(gnutls_x509_crt_get_raw_dn(certificate, &name));
    if (r >= 0)
        r = add_datum(object, CKA_SUBJECT, name);
    if (r >= 0)
        r = from_gnutls(gnutls_x509_crt_get_raw_issuer_dn(certificate, &name));
    if (r >= 0)
        r = add_datum(object, CKA_ISSUER, name);
    if (r >= 0)
        r = add_serial(object, certificate);
    if (r >= 0)
        r = add_date(object, CKA_START_DATE, gnutls_x509_crt_get_activation_time(certificate));
    if (r >= 0)
        r = add_date(object, CKA_END_DATE, gnutls_x509_crt_get_expiration_time(certificate));
    gnutls_x509_crt_deinit(certificate);
    return r;
}

/* ---- views ---- */

static int make_objects(View *view, gnutls_x509_crt_t leaf, gnutls_pubkey_t pubkey, const SnapshotChain *chain) {
    gnutls_datum_t spki;

    switch (gnutls_pubkey_get_pk_algorithm(pubkey, &view->bits)) {
    case GNUTLS_PK_ECDSA:
        view->key_type = CKK_EC;
        break;
    case GNUTLS_PK_RSA:
        view->key_type = CKK_RSA;
        break;
    default:
        return -EBADMSG;
    }
    TRY(from_gnutls(gnutls_pubkey_export2(pubkey, GNUTLS_X509_FMT_DER, &spki)));
    int r = bytes_copy((BytesView) { spki.data, spki.size }, &view->public_key);
    gnutls_free(spki.data);
    TRY(r);
    view->objects = calloc(chain->count + 2, sizeof(*view->objects));
    if (!view->objects)
        return -ENOMEM;
    view->object_count = chain->count + 2;
    TRY(make_private_key(&view->objects[0], view, leaf, pubkey));
    TRY(make_public_key(&view->objects[1], view, leaf, pubkey));
    for (unsigned i = 0; i < chain->count; i++)
        TRY(make_certificate(&view->objects[2 + i], view, i, &chain->der[i]));
    return 0;
}

static int fill(View *view, const SnapshotChain *chain) {
    gnutls_x509_crt_t leaf = NULL;
    gnutls_pubkey_t pubkey = NULL;

    int r = from_gnutls(gnutls_x509_crt_init(&leaf));
    if (r >= 0)
        r = from_gnutls(gnutls_x509_crt_import(leaf, &chain->der[0], GNUTLS_X509_FMT_DER));
    if (r >= 0)
        r = from_gnutls(gnutls_pubkey_init(&pubkey));
    if (r >= 0)
        r = from_gnutls(gnutls_pubkey_import_x509(pubkey, leaf, 0));
    if (r >= 0)
        r = make_objects(view, leaf, pubkey, chain);
    if (pubkey)
        gnutls_pubkey_deinit(pubkey);
    if (leaf)
        gnutls_x509_crt_deinit(leaf);
    return r;
}

int view_new(Entry *entry, identityd_snapshot *snapshot, unsigned number, View **ret) {
    _cleanup_(view_unref_p) View *view = NULL;
    const SnapshotChain *chain;

    TRY(snapshot_chain_der(snapshot, &chain));
    view = calloc(1, sizeof(*view));
    if (!view)
        return -ENOMEM;
    view->references = 1;
    view->entry = entry_ref(entry);
    view->snapshot = snapshot_ref(snapshot);
    view->number = number;
    TRY(fill(view, chain));
    *ret = TAKE_PTR(view);
    return 0;
}

View *view_ref(View *view) {
    atomic_fetch_add(&view->references, 1);
    return view;
}

View *view_unref(View *view) {
    if (!view || atomic_fetch_sub(&view->references, 1) > 1)
        return NULL;
    for (size_t i = 0; i < view->object_count; i++)
        for (size_t a = 0; a < view->objects[i].count; a++)
            bytes_clear(&view->objects[i].attributes[a].value);
    free(view->objects);
    bytes_clear(&view->public_key);
    identityd_snapshot_free(view->snapshot);
    entry_unref(view->entry);
    free(view);
    return NULL;
}

const Attribute *object_attribute(const Object *object, CK_ATTRIBUTE_TYPE type) {
    for (size_t i = 0; i < object->count; i++)
        if (object->attributes[i].type == type)
            return &object->attributes[i];
    return NULL;
}

bool object_matches(const Object *object, const CK_ATTRIBUTE *template, CK_ULONG count) {
    for (CK_ULONG i = 0; i < count; i++) {
        const Attribute *attribute = object_attribute(object, template[i].type);
        BytesView wanted = { template[i].pValue, template[i].pValue ? template[i].ulValueLen : 0 };
        if (!attribute || !bytes_view_equal(bytes_view(&attribute->value), wanted))
            return false;
    }
    return true;
}
