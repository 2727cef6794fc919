/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Chains that the input makes: certificates with names, keys, constraints, policies and usages out of small sets,
 * signed for real, the first an anchor and the last the leaf. The verifier and OpenSSL must agree about them: what the
 * verifier takes OpenSSL takes along the very path that was found, and what OpenSSL takes the verifier takes. Where
 * they are known to differ, and are to, stands below with the reason. */
#include "fuzz.h"

#include "common/macros.h"
#include "pki/verify.h"

#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>
#include <string.h>

#define NOW              1750000000
#define CERTIFICATES_MAX 7U
#define KEYS             4U

typedef struct Input {
    const uint8_t *data;
    size_t size;
    unsigned settings; /* the first byte, for all certificates */
} Input;

static unsigned next(Input *input) {
    if (input->size == 0)
        return 0;
    input->size--;
    return *input->data++;
}

/* One of eight times as often as the other cases that are told apart. */
static unsigned seldom(Input *input, unsigned cases) {
    unsigned value = next(input) % 16;

    return value <= cases ? value : 0;
}

/* ---- DER ---- */

typedef struct Der {
    uint8_t data[8192];
    size_t size;
} Der;

static void put(Der *der, const void *data, size_t size) {
    require(size <= sizeof der->data - der->size);
    memcpy(der->data + der->size, data, size);
    der->size += size;
}

#define PUT(der, bytes) put((der), (bytes), sizeof(bytes) - 1)

static size_t begin(Der *der, uint8_t tag) {
    put(der, &tag, 1);
    return der->size;
}

static void end(Der *der, size_t at) {
    size_t size = der->size - at, more = size < 128 ? 1 : size < 256 ? 2 : 3;
    const uint8_t two[] = { 0x81, (uint8_t) size }, three[] = { 0x82, (uint8_t) (size >> 8), (uint8_t) size };

    require(more <= sizeof der->data - der->size);
    memmove(der->data + at + more, der->data + at, size);
    memcpy(der->data + at, more == 1 ? two + 1 : more == 2 ? two : three, more);
    der->size += more;
}

static void put_text(Der *der, uint8_t tag, const char *text) {
    size_t at = begin(der, tag);

    put(der, text, strlen(text));
    end(der, at);
}

static void put_number(Der *der, uint8_t tag, unsigned number) {
    const uint8_t bytes[] = { tag, 1, (uint8_t) (number & 0x7f) };

    put(der, bytes, sizeof bytes);
}

/* `oid` ends with its content; what follows is the value, until end_extension. */
typedef struct Place {
    size_t extension, value;
} Place;

static Place begin_extension(Der *der, const char *oid, size_t size, bool critical) {
    Place place = { .extension = begin(der, 0x30) };
    size_t at = begin(der, 0x06);

    put(der, oid, size);
    end(der, at);
    if (critical)
        PUT(der, "\x01\x01\xff");
    place.value = begin(der, 0x04);
    return place;
}

static void end_extension(Der *der, Place place) {
    end(der, place.value);
    end(der, place.extension);
}

#define CE(number) "\x55\x1d" number, 3

/* ---- keys ---- */

static EVP_PKEY *keys[KEYS];
static Bytes spki[KEYS];
static uint8_t identifiers[KEYS][20];

static void make_keys(void) {
    for (size_t i = 0; i < KEYS && !keys[i]; i++) {
        uint8_t *der = NULL;
        keys[i] = EVP_EC_gen("P-256");
        require(keys[i]);
        int size = i2d_PUBKEY(keys[i], &der);
        require(size > 26 && bytes_copy((BytesView) { der, (size_t) size }, &spki[i]) == 0);
        require(EVP_Digest(der + 26, (size_t) size - 26, identifiers[i], NULL, EVP_sha1(), NULL) == 1);
        OPENSSL_free(der);
    }
}

static void put_signature(Der *der, size_t signed_at, EVP_PKEY *key) {
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    uint8_t signature[80] = { 0 };
    size_t size = sizeof signature - 1;

    require(context && EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, key) == 1 &&
            EVP_DigestSign(context, signature + 1, &size, der->data + signed_at, der->size - signed_at) == 1);
    EVP_MD_CTX_free(context);
    PUT(der, "\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02");
    size_t at = begin(der, 0x03);
    put(der, signature, size + 1);
    end(der, at);
}

/* ---- a certificate ---- */

typedef struct Made {
    Der der;
    unsigned name, key;
} Made;

/* O=X or O=Y, and a letter, or (`dns`) a DNS name, as common name. */
static void put_name(Der *der, unsigned name, bool dns) {
    const char letter[] = { (char) ('a' + name % 26), 0 };
    size_t all = begin(der, 0x30);

    for (unsigned part = 0; part < 2; part++) {
        size_t rdn = begin(der, 0x31), attribute = begin(der, 0x30);
        if (part == 0)
            PUT(der, "\x06\x03\x55\x04\x0a");
        else
            PUT(der, "\x06\x03\x55\x04\x03");
        put_text(der, 0x0c, part == 0 ? (name & 1 ? "X" : "Y") : dns ? "a.example" : letter);
        end(der, attribute);
        end(der, rdn);
    }
    end(der, all);
}

/* A GeneralName of eight; as the base of a constraint, or as a name below some of these. */
static void put_general_name(Der *der, unsigned which, bool is_base) {
    static const struct {
        uint8_t tag;
        const char *base, *name;
    } texts[] = {
        { 0x82, "example", "a.example" }, { 0x82, "a.example", "*.a.example" },       { 0x82, "", "c.test" },
        { 0x81, "example", "u@example" }, { 0x86, ".example", "https://a.example/" },
    };

    which %= 8;
    if (which < ARRAY_LENGTH(texts)) {
        put_text(der, texts[which].tag, is_base ? texts[which].base : texts[which].name);
    } else if (which == 7) {
        size_t at = begin(der, 0xa4), name = begin(der, 0x30), rdn = begin(der, 0x31), attribute = begin(der, 0x30);
        PUT(der, "\x06\x03\x55\x04\x0a");
        put_text(der, 0x0c, "X");
        end(der, attribute);
        end(der, rdn);
        end(der, name);
        end(der, at);
    } else {
        const uint8_t bytes[] = { 10, which == 5, 0, 0, 255, which == 5 ? 255 : 0, 0, 0 };
        size_t at = begin(der, 0x87);
        put(der, bytes, is_base ? 8 : 4);
        end(der, at);
    }
}

static void put_names(Der *der, unsigned mask, bool is_base) {
    for (unsigned i = 0; i < 8; i++) {
        if (!(mask & 1U << i))
            continue;
        size_t at = is_base ? begin(der, 0x30) : 0;
        put_general_name(der, i, is_base);
        if (is_base)
            end(der, at);
    }
}

static void put_policy(Der *der, unsigned which) {
    const uint8_t own[] = { 0x06, 0x03, 0x2a, 0x03, (uint8_t) (which % 3 + 1) };

    if (which % 4 == 3)
        PUT(der, "\x06\x04\x55\x1d\x20\x00");
    else
        put(der, own, sizeof own);
}

static void put_policies(Der *der, Input *input) {
    unsigned mask = seldom(input, 15), mapping = seldom(input, 4), skip = seldom(input, 6), any = seldom(input, 3);
    Place place;

    if (mask) {
        place = begin_extension(der, CE("\x20"), false);
        size_t all = begin(der, 0x30);
        for (unsigned i = 0; i < 4; i++) {
            if (!(mask & 1U << i))
                continue;
            size_t one = begin(der, 0x30);
            put_policy(der, i);
            end(der, one);
        }
        end(der, all);
        end_extension(der, place);
    }
    if (mapping) {
        place = begin_extension(der, CE("\x21"), true);
        size_t all = begin(der, 0x30), pair = begin(der, 0x30);
        put_policy(der, mapping % 3);
        put_policy(der, mapping / 2 % 3);
        end(der, pair);
        end(der, all);
        end_extension(der, place);
    }
    if (skip) {
        place = begin_extension(der, CE("\x24"), true);
        size_t all = begin(der, 0x30);
        put_number(der, skip & 1 ? 0x80 : 0x81, skip / 2);
        end(der, all);
        end_extension(der, place);
    }
    if (any) {
        place = begin_extension(der, CE("\x36"), true);
        put_number(der, 0x02, any - 1);
        end_extension(der, place);
    }
}

/* What the certificate may do. */
static void put_rights(Der *der, Input *input, bool is_leaf, bool is_anchor) {
    unsigned basic = seldom(input, 5), usage = seldom(input, 3), eku = is_anchor ? 0 : seldom(input, 4);
    bool is_ca = is_leaf ? basic == 5 : basic < 4;
    Place place;

    if (basic != 4) {
        place = begin_extension(der, CE("\x13"), true);
        size_t at = begin(der, 0x30);
        if (is_ca)
            PUT(der, "\x01\x01\xff");
        if (is_ca && basic)
            put_number(der, 0x02, basic - 1);
        end(der, at);
        end_extension(der, place);
    }
    if (usage != 1) {
        place = begin_extension(der, CE("\x0f"), true);
        if (usage == 2 || (usage == 0 && !is_ca))
            PUT(der, "\x03\x02\x07\x80");
        else
            PUT(der, "\x03\x02\x01\x06");
        end_extension(der, place);
    }
    if (eku) {
        place = begin_extension(der, CE("\x25"), false);
        size_t at = begin(der, 0x30);
        if (eku & 1)
            PUT(der, "\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x01");
        if (eku & 2)
            PUT(der, "\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x02");
        if (eku & 4)
            PUT(der, "\x06\x04\x55\x1d\x25\x00");
        end(der, at);
        end_extension(der, place);
    }
}

static void put_constraints(Der *der, Input *input) {
    unsigned permitted = seldom(input, 1) ? next(input) : 0, excluded = seldom(input, 1) ? next(input) : 0;

    if (!permitted && !excluded)
        return;
    Place place = begin_extension(der, CE("\x1e"), true);
    size_t all = begin(der, 0x30);
    for (unsigned list = 0; list < 2; list++) {
        unsigned mask = list ? excluded : permitted;
        if (!mask)
            continue;
        size_t at = begin(der, list ? 0xa1 : 0xa0);
        put_names(der, mask, true);
        end(der, at);
    }
    end(der, all);
    end_extension(der, place);
}

static void put_identifiers(Der *der, const Made *made, const Made *issuer) {
    Place place = begin_extension(der, CE("\x0e"), false);
    size_t at = begin(der, 0x04);

    put(der, identifiers[made->key], 20);
    end(der, at);
    end_extension(der, place);
    place = begin_extension(der, CE("\x23"), false);
    size_t all = begin(der, 0x30);
    at = begin(der, 0x80);
    put(der, identifiers[issuer->key], 20);
    end(der, at);
    end(der, all);
    end_extension(der, place);
}

static void put_extensions(Der *der, Input *input, const Made *made, const Made *issuer, unsigned names, bool is_leaf) {
    size_t tagged = begin(der, 0xa3), all = begin(der, 0x30);

    put_rights(der, input, is_leaf, issuer == made);
    if (input->settings & 1)
        put_identifiers(der, made, issuer);
    if (names) {
        Place place = begin_extension(der, CE("\x11"), false);
        size_t at = begin(der, 0x30);
        put_names(der, names, false);
        end(der, at);
        end_extension(der, place);
    }
    if (!is_leaf)
        put_constraints(der, input);
    put_policies(der, input);
    if (seldom(input, 1) && seldom(input, 1)) {
        Place place = begin_extension(der, "\x2a\x03\x04", 3, true);
        PUT(der, "\x05\x00");
        end_extension(der, place);
    }
    if (der->size == all) { /* a list of none is not allowed */
        der->size = tagged - 1;
        return;
    }
    end(der, all);
    end(der, tagged);
}

/* Certificate `i`, by one of those before it; the first by itself. */
static void make(Input *input, Made *list, size_t i, bool is_leaf) {
    Made *made = &list[i];
    const Made *issuer = i > 0 ? &list[i - 1 - seldom(input, 3) % i] : made;
    unsigned self_issued = i > 0 && seldom(input, 1), names = is_leaf || seldom(input, 1) ? next(input) : 0,
             time = seldom(input, 2);
    Der *der = &made->der;

    made->name = self_issued ? issuer->name : (unsigned) (2 * i) + (next(input) & 1);
    made->key = next(input) % KEYS;
    bool dns = is_leaf && !names && !self_issued && next(input) & 1;
    size_t whole = begin(der, 0x30), signed_at = der->size, tbs = begin(der, 0x30);
    PUT(der, "\xa0\x03\x02\x01\x02");
    put_number(der, 0x02, (unsigned) i + 1);
    PUT(der, "\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02");
    put_name(der, issuer->name, false);
    size_t validity = begin(der, 0x30);
    put_text(der, 0x17, time == 1 ? "260101000000Z" : "200101000000Z");
    put_text(der, 0x17, time == 2 ? "250101000000Z" : "300101000000Z");
    end(der, validity);
    put_name(der, made->name, dns);
    put(der, spki[made->key].data, spki[made->key].size);
    put_extensions(der, input, made, issuer, names, is_leaf);
    end(der, tbs);
    put_signature(der, signed_at, keys[issuer->key]);
    end(der, whole);
}

/* ---- what OpenSSL says ---- */

static X509 *parse(const Certificate *certificate) {
    const uint8_t *data = certificate->der.data;
    X509 *x509 = d2i_X509(NULL, &data, (long) certificate->der.size);

    require(x509);
    return x509;
}

static X509_STORE_CTX *ask_openssl(const VerifyRequest *request, const CertificateList *untrusted, bool strict,
                                   bool *ret_verified) {
    STACK_OF(X509) *chain = sk_X509_new_null(), *anchors = sk_X509_new_null();
    X509_STORE_CTX *context = X509_STORE_CTX_new();
    X509_STORE *store = X509_STORE_new();
    X509 *leaf = parse(request->leaf);

    require(chain && anchors && context && store);
    for (size_t i = 0; i < untrusted->count; i++)
        require(sk_X509_push(chain, parse(untrusted->list[i])) > 0);
    require(X509_STORE_CTX_init(context, store, leaf, chain) == 1);
    for (size_t i = 0; i < request->anchors->count; i++)
        require(sk_X509_push(anchors, parse(request->anchors->list[i])) > 0);
    X509_STORE_CTX_set0_trusted_stack(context, anchors);
    X509_VERIFY_PARAM *parameters = X509_STORE_CTX_get0_param(context);
    X509_VERIFY_PARAM_set_time(parameters, request->now);
    X509_VERIFY_PARAM_set_depth(parameters, 20);
    unsigned long flags = X509_V_FLAG_POLICY_CHECK | X509_V_FLAG_PARTIAL_CHAIN | X509_V_FLAG_TRUSTED_FIRST;
    require(X509_VERIFY_PARAM_set_flags(parameters, flags | (strict ? X509_V_FLAG_X509_STRICT : 0)) == 1);
    require(X509_VERIFY_PARAM_add0_policy(parameters, OBJ_txt2obj("2.5.29.32.0", 1)) == 1); /* any will do */
    if (request->purposes)
        require(X509_STORE_CTX_set_purpose(context, X509_PURPOSE_SSL_SERVER) == 1);
    *ret_verified = X509_verify_cert(context) == 1;
    sk_X509_pop_free(chain, X509_free);
    sk_X509_pop_free(anchors, X509_free);
    X509_free(leaf);
    X509_STORE_free(store);
    return context;
}

/* ---- the two ---- */

/* Whether two certificates that may come in a path have one name and one key. */
static bool comes_twice(const CertificateList *candidates) {
    for (size_t i = 0; i < candidates->count; i++)
        for (size_t k = i + 1; k < candidates->count; k++) {
            const Certificate *one = candidates->list[i], *other = candidates->list[k];
            if (bytes_view_equal(one->spki, other->spki) &&
                bytes_view_equal(bytes_view(&one->subject_form), bytes_view(&other->subject_form)))
                return true;
        }
    return false;
}

/* Why the verifier refuses what OpenSSL takes: NULL if it should not. */
static const char *why_stricter(const VerifyRequest *request, const Verdict *verdict) {
    static const struct {
        const char *text, *reason;
    } known[] = {
        { "its key usage has it sign certificates, and it is no CA",
          "RFC 5280 §4.2.1.9; OpenSSL asks only with -x509_strict" },
        { "is not a CA certificate but signed another", "OpenSSL takes a version 3 CA without basic constraints whose "
                                                        "key usage signs certificates, but for -x509_strict" },
    };

    for (size_t i = 0; i < ARRAY_LENGTH(known); i++)
        if (strstr(verdict->failure.text, known[i].text))
            return known[i].reason;
    if (strstr(verdict->failure.text, "demands an explicit certificate policy") && request->leaf->self_issued)
        return "RFC 5280 §6.1.5 (a) counts the leaf whoever issued it; OpenSSL does as RFC 3280, if it is not "
               "self-issued";
    return verdict->kind == VERDICT_NO_PATH && comes_twice(request->candidates)
               ? "RFC 4158 §2.4.2: one name with one key comes once in a path"
               : NULL;
}

static bool names_repeat(const CertificateList *chain, const Certificate *anchor) {
    for (size_t i = 0; i < chain->count; i++)
        for (size_t k = i + 1; k <= chain->count; k++)
            if (bytes_view_equal(bytes_view(&chain->list[i]->subject_form),
                                 bytes_view(&(k < chain->count ? chain->list[k] : anchor)->subject_form)))
                return true;
    return false;
}

/* Why OpenSSL refuses the chain that the verifier takes, at the certificate `depth`. */
static const char *why_laxer(int error, const CertificateList *chain, const Certificate *anchor, size_t depth) {
    const Certificate *at = depth < chain->count ? chain->list[depth] : anchor;

    switch (error) {
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
        return names_repeat(chain, anchor) ? "OpenSSL chooses the issuer by its name, and tries no other if it did not "
                                             "sign; of a certificate that signed itself it looks for none"
                                           : NULL;
    case X509_V_ERR_INVALID_PURPOSE:
        if (certificate_names_purpose(at, GNUTLS_KP_ANY))
            return "OpenSSL takes no account of anyExtendedKeyUsage";
        return depth == 0 && !(at->key_usage & GNUTLS_KEY_DIGITAL_SIGNATURE)
                   ? "the key usage of the leaf is looked at by TLS, when the key is used"
                   : NULL;
    case X509_V_ERR_NO_EXPLICIT_POLICY:
        return certificate_extension(chain->list[0], "2.5.29.33")
                   ? "RFC 5280 §6.1.4 (b) is for issuers: OpenSSL takes policies from the leaf that it maps"
                   : NULL;
    case X509_V_ERR_MISSING_AUTHORITY_KEY_IDENTIFIER:
    case X509_V_ERR_MISSING_SUBJECT_KEY_IDENTIFIER:
    case X509_V_ERR_CA_CERT_MISSING_KEY_USAGE:
        return "many private CAs leave these out: pki/profile.c";
    case X509_V_ERR_PATHLEN_WITHOUT_KU_KEY_CERT_SIGN:
        return depth == 0 || !at->has_key_usage ? "the leaf issues nothing here; without a key usage all is allowed"
                                                : NULL;
    default:
        return NULL;
    }
}

static void compare(const VerifyRequest *request, bool strict) {
    _cleanup_certificates_ CertificateList chain = { 0 };
    const Certificate *anchor = NULL;
    Verdict verdict;
    bool theirs;

    bool ours = verify(request, &chain, &anchor, &verdict) == 0;
    require(ours == (verdict.kind == VERDICT_GOOD));
    require(ours || (verdict.rule[0] && verdict.failure.text[0]));
    Certificate *one = (Certificate *) (uintptr_t) anchor;
    const CertificateList anchors = { &one, 1 };
    VerifyRequest along = *request;
    if (ours)
        along.anchors = &anchors;
    X509_STORE_CTX *context = ask_openssl(&along, ours ? &chain : request->candidates, strict, &theirs);
    const char *known = ours == theirs ? ""
                        : theirs       ? why_stricter(request, &verdict)
                                       : why_laxer(X509_STORE_CTX_get_error(context), &chain, anchor,
                                                   (size_t) X509_STORE_CTX_get_error_depth(context));
    if (!known)
        (void) fprintf(stderr, "the verifier: %s; OpenSSL: %s at %d\n", ours ? "good" : verdict.failure.text,
                       X509_verify_cert_error_string(X509_STORE_CTX_get_error(context)),
                       X509_STORE_CTX_get_error_depth(context));
    require(known);
    X509_STORE_CTX_free(context);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const server[] = { GNUTLS_KP_TLS_WWW_SERVER, NULL };
    static Made made[CERTIFICATES_MAX];
    _cleanup_certificates_ CertificateList candidates = { 0 }, anchors = { 0 };
    Input input = { .data = data, .size = size };

    make_keys();
    memset(made, 0, sizeof made);
    input.settings = next(&input);
    size_t count = 2 + (input.settings >> 1) % (CERTIFICATES_MAX - 1);
    for (size_t i = 0; i < count; i++) {
        Failure failure = FAILURE_INIT;
        Certificate *certificate = NULL;
        make(&input, made, i, i + 1 == count);
        int r = certificate_from_der((BytesView) { made[i].der.data, made[i].der.size }, &certificate, &failure);
        if (r < 0)
            (void) fprintf(stderr, "%s\n", failure.text);
        require(r == 0);
        require(certificate_list_add(i == 0 ? &anchors : &candidates, certificate) == 0);
    }
    compare(
        &(VerifyRequest) {
            .leaf = candidates.list[candidates.count - 1],
            .candidates = &candidates,
            .anchors = &anchors,
            .now = NOW,
            .purposes = input.settings & 0x80 ? server : NULL,
            .leaf_purposes = true,
        },
        input.settings & 0x40);
    return 0;
}
