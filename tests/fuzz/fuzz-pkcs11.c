/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a program may call of the PKCS#11 module, in any order and with any arguments that a program can have: sessions,
 * searches, attributes, signatures, with buffers of each size. identityd is a fake one that signs with keys of
 * software. Nothing is written beyond a buffer, which the sanitizers see since each is as long as was said, and every
 * answer is one that the function may give. */
#include "scratch.h"

#include "fakes/fake-identityd.h"
#include "fakes/fake-pki.h"

#include <p11-kit/pkcs11.h>

#define CALLS_MAX    64U
#define TEMPLATE_MAX 4U
#define BUFFER_MAX   600U

static FakeIdentityd *fake;
static FakeCa *ca;
static gnutls_privkey_t keys[2];
static CK_FUNCTION_LIST *module;

CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR list);

static void end(void) {
    fake_identityd_free(fake);
    fake_ca_free(ca);
    gnutls_privkey_deinit(keys[0]);
    gnutls_privkey_deinit(keys[1]);
}

static void begin(void) {
    static const char *const names[] = { "mqtt", "rsa" };

    fake = fake_identityd_new();
    ca = fake_ca_new("root", NULL);
    require(C_GetFunctionList(&module) == CKR_OK);
    for (unsigned i = 0; i < 2; i++) {
        const FakeRequest request = { .common_name = names[i] };
        keys[i] = fake_key_new(i ? FAKE_KEY_RSA : FAKE_KEY_P256);
        char *chain = fake_ca_issue(ca, keys[i], &request);
        fake_identityd_set(fake, &(FakeIdentity) { .name = names[i], .generation = 1, .key = keys[i], .chain = chain });
        free(chain);
    }
    require(atexit(end) == 0);
}

typedef struct Run {
    CK_SESSION_HANDLE session; /* the last one that was opened */
    CK_OBJECT_HANDLE object;   /* the last one that was found */
} Run;

/* A buffer of exactly so many bytes, and what was in it. */
static unsigned char *make_buffer(CK_ULONG size, BytesView content) {
    unsigned char *buffer = calloc(1, size ? size : 1);

    require(buffer);
    if (content.size > 0)
        memcpy(buffer, content.data, content.size < size ? content.size : size);
    return buffer;
}

static CK_ULONG choose_number(BytesView *rest) {
    uint8_t first = choose(rest);

    return first < 0xf0 ? first : (CK_ULONG) choose(rest) << (first & 0xf) * 4;
}

static CK_SESSION_HANDLE choose_session(const Run *run, BytesView *rest) {
    uint8_t first = choose(rest);

    return first < 0xe0 ? run->session : choose_number(rest);
}

static CK_OBJECT_HANDLE choose_object(const Run *run, BytesView *rest) {
    uint8_t first = choose(rest);

    return first < 0xc0 ? run->object : first < 0xf0 ? first & 0xfU : choose_number(rest);
}

static CK_ULONG make_template(BytesView *rest, CK_ATTRIBUTE ret[static TEMPLATE_MAX]) {
    static const CK_ATTRIBUTE_TYPE types[] = {
        CKA_CLASS,
        CKA_TOKEN,
        CKA_PRIVATE,
        CKA_LABEL,
        CKA_ID,
        CKA_VALUE,
        CKA_KEY_TYPE,
        CKA_EC_POINT,
        CKA_EC_PARAMS,
        CKA_MODULUS,
        CKA_PUBLIC_EXPONENT,
        CKA_SIGN,
        CKA_SUBJECT,
        CKA_ISSUER,
        CKA_SERIAL_NUMBER,
        CKA_ALWAYS_AUTHENTICATE,
        CKA_CERTIFICATE_TYPE,
        CKA_MODULUS_BITS,
        CKA_PRIVATE_EXPONENT,
        CKA_ALLOWED_MECHANISMS,
    };
    CK_ULONG count = choose(rest) % (TEMPLATE_MAX + 1U);

    for (CK_ULONG i = 0; i < count; i++) {
        uint8_t type = choose(rest), how = choose(rest);
        CK_ULONG class = how & 7U, size = how & 0x40 ? choose_number(rest) % BUFFER_MAX : sizeof class;
        BytesView value =
            how & 0x40 ? choose_bytes(rest, size) : (BytesView) { (const uint8_t *) &class, sizeof class };
        ret[i].type = type < ARRAY_LENGTH(types) ? types[type] : choose_number(rest);
        ret[i].pValue = how & 0x80 ? NULL : make_buffer(size, value);
        ret[i].ulValueLen = size;
    }
    return count;
}

static void clear_template(CK_ATTRIBUTE *template, void *const *values, CK_ULONG count) {
    for (CK_ULONG i = 0; i < count; i++)
        free(values[i] ?: template[i].pValue);
}

static void remember(const CK_ATTRIBUTE *template, CK_ULONG count, void *ret[static TEMPLATE_MAX]) {
    for (CK_ULONG i = 0; i < count; i++)
        ret[i] = template[i].pValue;
}

/* ---- what is called ---- */

static CK_RV call_open(Run *run, BytesView *rest) {
    uint8_t how = choose(rest);
    CK_SESSION_HANDLE session = 0;
    CK_RV r = module->C_OpenSession(how & 1    ? choose_number(rest)
                                    : how >> 7 ? 2
                                               : 1,
                                    how & 2 ? choose_number(rest) : CKF_SERIAL_SESSION, NULL, NULL,
                                    how & 4 ? NULL : &session);

    if (r == CKR_OK)
        run->session = session;
    return r;
}

static CK_RV call_close(Run *run, BytesView *rest) {
    uint8_t how = choose(rest);

    return how & 1 ? module->C_CloseAllSessions(how >> 4) : module->C_CloseSession(choose_session(run, rest));
}

static CK_RV call_information(Run *run, BytesView *rest) {
    uint8_t how = choose(rest);
    CK_SLOT_ID slot = how & 0x10 ? choose_number(rest) : how >> 7 ? 2 : 1;
    CK_SESSION_INFO session;
    CK_MECHANISM_INFO mechanism;
    CK_SLOT_INFO slot_info;
    CK_TOKEN_INFO token;
    CK_INFO info;

    switch (how & 7) {
    case 0:
        return module->C_GetInfo(&info);
    case 1:
        return module->C_GetSlotInfo(slot, &slot_info);
    case 2:
        return module->C_GetTokenInfo(slot, &token);
    case 3:
        return module->C_GetMechanismInfo(slot, choose_number(rest), &mechanism);
    case 4:
        return module->C_GetSessionInfo(choose_session(run, rest), &session);
    case 5:
        return module->C_Login(choose_session(run, rest), choose_number(rest) % 4, NULL, 0);
    case 6:
        return module->C_Logout(choose_session(run, rest));
    default:
        return module->C_WaitForSlotEvent(CKF_DONT_BLOCK, &slot, NULL);
    }
}

static CK_RV call_lists(Run *run, BytesView *rest) {
    uint8_t how = choose(rest);
    CK_ULONG count = choose(rest) % 40, room = count;
    CK_ULONG *list =
        how & 0x80 ? NULL : (CK_ULONG *) (void *) make_buffer(room * sizeof(CK_ULONG), (BytesView) { NULL, 0 });
    CK_RV r = how & 1 ? module->C_GetSlotList((CK_BBOOL) (how >> 1 & 1), list, &count)
                      : module->C_GetMechanismList(how >> 1 & 3, list, &count);

    require(r != CKR_OK || !list || count <= room);
    free(list);
    return r;
}

static CK_RV call_search(Run *run, BytesView *rest) {
    CK_ATTRIBUTE template[TEMPLATE_MAX];
    CK_SESSION_HANDLE session = choose_session(run, rest);
    CK_ULONG count = make_template(rest, template), maximum = choose(rest) % 8, found = 0;
    void *values[TEMPLATE_MAX];
    CK_OBJECT_HANDLE *objects =
        (CK_OBJECT_HANDLE *) (void *) make_buffer(maximum * sizeof *objects, (BytesView) { NULL, 0 });
    uint8_t how = choose(rest);

    remember(template, count, values);
    CK_RV r = how & 1 ? CKR_OK : module->C_FindObjectsInit(session, count > 0 ? template : NULL, count);
    if (!(how & 2))
        r = module->C_FindObjects(session, objects, maximum, &found);
    if (r == CKR_OK && !(how & 2)) {
        require(found <= maximum);
        if (found > 0)
            run->object = objects[how % found];
    }
    if (!(how & 4))
        (void) module->C_FindObjectsFinal(session);
    free(objects);
    clear_template(template, values, count);
    return r;
}

static CK_RV call_attributes(Run *run, BytesView *rest) {
    CK_ATTRIBUTE template[TEMPLATE_MAX];
    CK_SESSION_HANDLE session = choose_session(run, rest);
    CK_OBJECT_HANDLE object = choose_object(run, rest);
    CK_ULONG count = make_template(rest, template), size = 0;
    void *values[TEMPLATE_MAX];

    remember(template, count, values);
    CK_RV r = module->C_GetAttributeValue(session, object, count > 0 ? template : NULL, count);
    clear_template(template, values, count);
    (void) module->C_GetObjectSize(session, object, &size);
    return r;
}

static CK_RV call_sign_init(Run *run, BytesView *rest) {
    static const CK_MECHANISM_TYPE types[] = { CKM_ECDSA,        CKM_RSA_PKCS,        CKM_RSA_PKCS_PSS,
                                               CKM_ECDSA_SHA256, CKM_SHA256_RSA_PKCS, CKM_SHA256_RSA_PKCS_PSS,
                                               CKM_ECDSA_SHA384, CKM_SHA512_RSA_PKCS };
    uint8_t type = choose(rest), how = choose(rest);
    CK_RSA_PKCS_PSS_PARAMS pss = { CKM_SHA256, CKG_MGF1_SHA256, how & 4 ? choose_number(rest) : 32 };
    CK_ULONG size = how & 1 ? choose(rest) : sizeof pss;
    unsigned char *parameter =
        make_buffer(size, how & 1 ? choose_bytes(rest, size) : (BytesView) { (const uint8_t *) &pss, sizeof pss });
    CK_MECHANISM mechanism = { type < ARRAY_LENGTH(types) ? types[type] : choose_number(rest),
                               how & 2 ? NULL : parameter, how & 2 ? 0 : size };
    CK_RV r = module->C_SignInit(choose_session(run, rest), how & 0x80 ? NULL : &mechanism, choose_object(run, rest));

    free(parameter);
    return r;
}

static CK_RV call_sign(Run *run, BytesView *rest) {
    uint8_t how = choose(rest);
    CK_SESSION_HANDLE session = choose_session(run, rest);
    CK_ULONG room = how & 8 ? choose(rest) : BUFFER_MAX, size = room, length = how & 16 ? 32 : choose(rest);
    unsigned char *data = make_buffer(length, choose_bytes(rest, length)),
                  *signature = make_buffer(room, (BytesView) { NULL, 0 });
    CK_RV r;

    if (how & 1)
        r = module->C_SignUpdate(session, data, length);
    else if (how & 2)
        r = module->C_SignFinal(session, how & 4 ? NULL : signature, &size);
    else
        r = module->C_Sign(session, data, length, how & 4 ? NULL : signature, &size);
    require(r != CKR_OK || how & 5 || size <= room);
    require(r != CKR_BUFFER_TOO_SMALL || size > room);
    free(data);
    free(signature);
    return r;
}

static CK_RV call_random(Run *run, BytesView *rest) {
    CK_ULONG size = choose(rest);
    unsigned char *data = make_buffer(size, (BytesView) { NULL, 0 });
    CK_SESSION_HANDLE session = choose_session(run, rest);
    CK_RV r = size & 1 ? module->C_SeedRandom(session, data, size) : module->C_GenerateRandom(session, data, size);

    free(data);
    return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static CK_RV (*const calls[])(Run *, BytesView *) = {
        call_open,        call_sign_init, call_sign,  call_search, call_attributes,
        call_information, call_lists,     call_close, call_random,
    };
    BytesView rest = { data, size };
    Run run = { 0, 0 };

    if (!module)
        begin();
    if (choose(&rest) & 0x80) /* before C_Initialize: refused, and no more */
        require(call_open(&run, &rest) == CKR_CRYPTOKI_NOT_INITIALIZED);
    require(module->C_Initialize(NULL) == CKR_OK && module->C_Initialize(NULL) == CKR_CRYPTOKI_ALREADY_INITIALIZED);
    for (unsigned i = 0; i < CALLS_MAX && rest.size > 0; i++)
        require(calls[choose(&rest) % ARRAY_LENGTH(calls)](&run, &rest) <= CKR_FUNCTION_REJECTED);
    require(module->C_Finalize(NULL) == CKR_OK);
    return 0;
}
