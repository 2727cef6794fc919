/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* See fake-tpm.h. A session that is salted to the parent needs no more than hashes here: with the number one as private
 * key the shared secret is the other side's point. */
#include "fake-tpm.h"

#include <gnutls/abstract.h>
#include <gnutls/crypto.h>
#include <time.h>
#include <tss2/tss2_mu.h>

#define HEADER_SIZE 10U
#define ANSWER_MAX  TPM2_MAX_RESPONSE_SIZE
#define HASH_SIZE   32U

FakeTpm fake_tpm;

/* The generator of P-256: the public key of the number one. */
static const uint8_t generator_x[32] = { 0x6b, 0x17, 0xd1, 0xf2, 0xe1, 0x2c, 0x42, 0x47, 0xf8, 0xbc, 0xe6,
                                         0xe5, 0x63, 0xa4, 0x40, 0xf2, 0x77, 0x03, 0x7d, 0x81, 0x2d, 0xeb,
                                         0x33, 0xa0, 0xf4, 0xa1, 0x39, 0x45, 0xd8, 0x98, 0xc2, 0x96 };
static const uint8_t generator_y[32] = { 0x4f, 0xe3, 0x42, 0xe2, 0xfe, 0x1a, 0x7f, 0x9b, 0x8e, 0xe7, 0xeb,
                                         0x4a, 0x7c, 0x0f, 0x9e, 0x16, 0x2b, 0xce, 0x33, 0x57, 0x6b, 0x31,
                                         0x5e, 0xce, 0xcb, 0xb6, 0x40, 0x68, 0x37, 0xbf, 0x51, 0xf5 };

static void set_generator(TPMT_PUBLIC *public) {
    public->unique.ecc = (TPMS_ECC_POINT) { .x.size = 32, .y.size = 32 };
    memcpy(public->unique.ecc.x.buffer, generator_x, 32);
    memcpy(public->unique.ecc.y.buffer, generator_y, 32);
}

static TPM2B_PUBLIC make_public(TPMA_OBJECT more) {
    TPM2B_PUBLIC public = {
        .publicArea = {
            .type = TPM2_ALG_ECC,
            .nameAlg = TPM2_ALG_SHA256,
            .objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_SENSITIVEDATAORIGIN |
                                TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_NODA | more,
            .parameters.eccDetail = {
                .symmetric = { .algorithm = TPM2_ALG_NULL, .keyBits.aes = 128, .mode.aes = TPM2_ALG_CFB },
                .scheme.scheme = TPM2_ALG_NULL,
                .curveID = TPM2_ECC_NIST_P256,
                .kdf.scheme = TPM2_ALG_NULL,
            },
        },
    };

    set_generator(&public.publicArea);
    return public;
}

static TPM2B_PUBLIC parent(void) {
    TPM2B_PUBLIC public = make_public(TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_DECRYPT);

    public.publicArea.parameters.eccDetail.symmetric.algorithm = TPM2_ALG_AES;
    return public;
}

static TPM2B_PUBLIC signing_key(void) {
    return make_public(TPMA_OBJECT_SIGN_ENCRYPT);
}

static TPM2B_NAME name_of(const TPM2B_PUBLIC *public) {
    TPM2B_NAME name;

    require(tpm_name_of(public, &name) == 0);
    return name;
}

/* ---- commands ---- */

typedef struct Command {
    uint32_t tag, code, handles[2];
    bool has_session;
    uint32_t session;
    TPM2B_NONCE nonce;
    uint8_t attributes;
    BytesView parameters;
} Command;

typedef struct FakeTcti {
    TSS2_TCTI_CONTEXT_COMMON_V2 common;
    Command command;
    uint8_t answer[ANSWER_MAX];
    size_t size;
    /* Of the session that is open. */
    uint8_t session_key[HASH_SIZE];
    size_t session_key_size;
    uint8_t nonces;
} FakeTcti;

static unsigned handle_count(uint32_t code) {
    switch (code) {
    case TPM2_CC_Startup:
    case TPM2_CC_GetCapability:
    case TPM2_CC_FlushContext:
    case TPM2_CC_HashSequenceStart:
        return 0;
    case TPM2_CC_StartAuthSession:
    case TPM2_CC_EvictControl:
    case TPM2_CC_NV_Read:
        return 2;
    default:
        return 1;
    }
}

static uint32_t take(BytesView *rest, size_t size) {
    BytesView bytes = choose_bytes(rest, size);
    uint32_t value = 0;

    require(bytes.size == size);
    for (size_t i = 0; i < size; i++)
        value = value << 8 | bytes.data[i];
    return value;
}

static BytesView take_sized(BytesView *rest) {
    size_t size = take(rest, 2);

    return choose_bytes(rest, size);
}

static Command read_command(BytesView rest) {
    Command command = { .tag = take(&rest, 2) };

    (void) take(&rest, 4);
    command.code = take(&rest, 4);
    for (unsigned i = 0; i < handle_count(command.code); i++)
        command.handles[i] = take(&rest, 4);
    if (command.tag == TPM2_ST_SESSIONS) {
        BytesView sessions = choose_bytes(&rest, take(&rest, 4));
        command.has_session = true;
        command.session = take(&sessions, 4);
        BytesView nonce = take_sized(&sessions);
        require(nonce.size <= sizeof command.nonce.buffer);
        command.nonce.size = (uint16_t) nonce.size;
        memcpy(command.nonce.buffer, nonce.data, nonce.size);
        command.attributes = (uint8_t) take(&sessions, 1);
    }
    command.parameters = rest;
    return command;
}

/* ---- answers ---- */

typedef struct Out {
    uint8_t bytes[ANSWER_MAX];
    size_t size;
    bool has_handle;
    uint32_t handle;
} Out;

static void put(Out *out, uint32_t value, size_t size) {
    for (size_t i = 0; i < size; i++)
        out->bytes[out->size++] = (uint8_t) (value >> (8 * (size - 1 - i)));
}

#define PUT(out, type, value)                                                                                          \
    require(Tss2_MU_##type##_Marshal((value), (out)->bytes, ANSWER_MAX, &(out)->size) == TSS2_RC_SUCCESS)

static void put_handle(Out *out, uint32_t handle) {
    out->has_handle = true;
    out->handle = handle;
}

static void answer_properties(Out *out) {
    const uint32_t properties[][2] = {
        { TPM2_PT_MANUFACTURER, 0x49424d00 },
        { TPM2_PT_VENDOR_STRING_1, 0x46616b65 },
        { TPM2_PT_FIRMWARE_VERSION_1, 1 },
        { TPM2_PT_HR_TRANSIENT_MIN, 3 },
        { TPM2_PT_NV_BUFFER_MAX, fake_tpm.nv_buffer_max ?: 1024 },
    };

    put(out, ARRAY_LENGTH(properties), 4);
    for (size_t i = 0; i < ARRAY_LENGTH(properties); i++) {
        put(out, properties[i][0], 4);
        put(out, properties[i][1], 4);
    }
}

static const TPM2_HANDLE index_handles[FAKE_TPM_INDICES] = { 0x01C0000AU, 0x01C00002U, 0x01C00014U, 0x01C00012U,
                                                             0x01C00016U };

static void answer_handles(uint32_t first, Out *out) {
    size_t count_at = out->size;
    uint32_t count = 0;

    put(out, 0, 4);
    if (first >> 24 == TPM2_HT_NV_INDEX)
        for (size_t i = 0; i < FAKE_TPM_INDICES; i++)
            if (fake_tpm.indices[i].is_there) {
                put(out, index_handles[i], 4);
                count++;
            }
    if (first >> 24 == TPM2_HT_TRANSIENT && !fake_tpm.resource_manager) { /* somebody left one */
        put(out, 0x80000000U, 4);
        count++;
    }
    out->bytes[count_at + 3] = (uint8_t) count;
}

static void answer_capability(BytesView parameters, Out *out) {
    uint32_t capability = take(&parameters, 4), first = take(&parameters, 4);

    put(out, 0, 1);
    put(out, capability, 4);
    if (capability == TPM2_CAP_TPM_PROPERTIES)
        answer_properties(out);
    else
        answer_handles(first, out);
}

static void answer_read_public(Out *out) {
    const TPM2B_PUBLIC public = parent();
    const TPM2B_NAME name = name_of(&public);

    PUT(out, TPM2B_PUBLIC, &public);
    PUT(out, TPM2B_NAME, &name);
    PUT(out, TPM2B_NAME, &name);
}

/* The public area of a template, with the key that all have here. */
static TPM2B_PUBLIC public_of(BytesView parameters) {
    TPM2B_PUBLIC public = { .size = 0 };
    size_t offset = 0;

    (void) take_sized(&parameters); /* the sensitive part */
    require(Tss2_MU_TPM2B_PUBLIC_Unmarshal(parameters.data, parameters.size, &offset, &public) == TSS2_RC_SUCCESS);
    set_generator(&public.publicArea);
    return public;
}

static void put_creation(Out *out, bool is_primary, const TPM2B_PUBLIC *public) {
    const TPM2B_CREATION_DATA data = { .creationData = { .parentNameAlg = TPM2_ALG_SHA256 } };
    const TPMT_TK_CREATION ticket = { .tag = TPM2_ST_CREATION, .hierarchy = TPM2_RH_OWNER };
    const TPM2B_DIGEST digest = { .size = HASH_SIZE };
    const TPM2B_NAME name = name_of(public);

    PUT(out, TPM2B_CREATION_DATA, &data);
    PUT(out, TPM2B_DIGEST, &digest);
    PUT(out, TPMT_TK_CREATION, &ticket);
    if (is_primary)
        PUT(out, TPM2B_NAME, &name);
}

static void answer_create(const Command *command, Out *out) {
    const TPM2B_PUBLIC public = public_of(command->parameters);
    const TPM2B_PRIVATE private = { .size = 64 };

    if (command->code == TPM2_CC_CreatePrimary)
        put_handle(out, fake_tpm.resource_manager ? 0x80fffffeU : 0x80000001U);
    else
        PUT(out, TPM2B_PRIVATE, &private);
    PUT(out, TPM2B_PUBLIC, &public);
    put_creation(out, command->code == TPM2_CC_CreatePrimary, &public);
}

static void answer_load(BytesView parameters, Out *out) {
    TPM2B_PUBLIC public = { .size = 0 };
    size_t offset = 0;

    (void) take_sized(&parameters);
    require(Tss2_MU_TPM2B_PUBLIC_Unmarshal(parameters.data, parameters.size, &offset, &public) == TSS2_RC_SUCCESS);
    const TPM2B_NAME name = name_of(&public);
    put_handle(out, fake_tpm.resource_manager ? 0x80fffffdU : 0x80000002U);
    PUT(out, TPM2B_NAME, &name);
}

static void answer_sign(BytesView parameters, Out *out) {
    static const uint8_t one[32] = { [31] = 1 };
    const gnutls_datum_t x = { (uint8_t *) (uintptr_t) generator_x, 32 },
                         y = { (uint8_t *) (uintptr_t) generator_y, 32 }, k = { (uint8_t *) (uintptr_t) one, 32 };
    BytesView digest = take_sized(&parameters);
    gnutls_datum_t hash = { (uint8_t *) (uintptr_t) digest.data, (unsigned) digest.size }, signature, r, s;
    gnutls_privkey_t key;

    require(gnutls_privkey_init(&key) == 0 &&
            gnutls_privkey_import_ecc_raw(key, GNUTLS_ECC_CURVE_SECP256R1, &x, &y, &k) == 0);
    require(gnutls_privkey_sign_hash2(key, GNUTLS_SIGN_ECDSA_SHA256, 0, &hash, &signature) == 0);
    gnutls_privkey_deinit(key);
    require(gnutls_decode_rs_value(&signature, &r, &s) == 0);
    put(out, TPM2_ALG_ECDSA, 2);
    put(out, TPM2_ALG_SHA256, 2);
    for (unsigned i = 0; i < 2; i++) {
        const gnutls_datum_t *value = i ? &s : &r;
        size_t skip = value->size > 32 ? value->size - 32 : 0; /* the sign's zero */
        put(out, (uint32_t) (value->size - skip), 2);
        memcpy(out->bytes + out->size, value->data + skip, value->size - skip);
        out->size += value->size - skip;
    }
    gnutls_free(r.data);
    gnutls_free(s.data);
    gnutls_free(signature.data);
}

static const FakeIndex *index_of(uint32_t handle) {
    for (size_t i = 0; i < FAKE_TPM_INDICES; i++)
        if (index_handles[i] == handle)
            return &fake_tpm.indices[i];
    return NULL;
}

static TPM2_RC answer_index(const Command *command, Out *out) {
    uint32_t handle = command->handles[command->code == TPM2_CC_NV_Read];
    const FakeIndex *index = index_of(handle);
    BytesView parameters = command->parameters;
    TPM2B_NV_PUBLIC public = { .nvPublic = { .nvIndex = handle, .nameAlg = TPM2_ALG_SHA256 } };
    const TPM2B_NAME name = { .size = 34, .name = { 0x00, 0x0b } };

    if (!index || !index->is_there)
        return TPM2_RC_HANDLE + TPM2_RC_1;
    public.nvPublic.attributes = index->attributes;
    public.nvPublic.dataSize = (uint16_t) index->content.size;
    if (command->code == TPM2_CC_NV_ReadPublic) {
        PUT(out, TPM2B_NV_PUBLIC, &public);
        PUT(out, TPM2B_NAME, &name);
        return TPM2_RC_SUCCESS;
    }
    size_t size = take(&parameters, 2), offset = take(&parameters, 2);
    if (size > 1024 || offset > index->content.size || size > index->content.size - offset)
        return TPM2_RC_NV_RANGE;
    put(out, (uint32_t) size, 2);
    memcpy(out->bytes + out->size, index->content.data + offset, size);
    out->size += size;
    return TPM2_RC_SUCCESS;
}

/* ---- sessions ---- */

static void hmac(BytesView key, const BytesView *parts, size_t count, uint8_t ret[static HASH_SIZE]) {
    gnutls_hmac_hd_t handle;

    require(gnutls_hmac_init(&handle, GNUTLS_MAC_SHA256, key.data ?: (const uint8_t *) "", key.size) == 0);
    for (size_t i = 0; i < count; i++)
        require(gnutls_hmac(handle, parts[i].data, parts[i].size) == 0);
    gnutls_hmac_deinit(handle, ret);
}

static void hash(const BytesView *parts, size_t count, uint8_t ret[static HASH_SIZE]) {
    gnutls_hash_hd_t handle;

    require(gnutls_hash_init(&handle, GNUTLS_DIG_SHA256) == 0);
    for (size_t i = 0; i < count; i++)
        require(gnutls_hash(handle, parts[i].data, parts[i].size) == 0);
    gnutls_hash_deinit(handle, ret);
}

static void next_nonce(FakeTcti *tcti, uint8_t ret[static HASH_SIZE]) {
    memset(ret, ++tcti->nonces, HASH_SIZE);
}

/* TPM2_StartAuthSession: KDFe and KDFa of Part 1 §11.4.10. */
static void answer_session(FakeTcti *tcti, Out *out) {
    static const uint8_t counter[4] = { 0, 0, 0, 1 }, bits[4] = { 0, 0, 1, 0 };
    BytesView rest = tcti->command.parameters, ours = take_sized(&rest), secret = take_sized(&rest);
    uint8_t nonce[HASH_SIZE], salt[HASH_SIZE], x[32] = { 0 };

    next_nonce(tcti, nonce);
    tcti->session_key_size = 0;
    if (secret.size > 0) {
        BytesView point = take_sized(&secret);
        require(point.size <= sizeof x);
        memcpy(x + sizeof x - point.size, point.data, point.size);
        hash(
            (BytesView[]) {
                { counter, 4 }, { x, 32 }, { (const uint8_t *) "SECRET", 7 }, { x, 32 }, { generator_x, 32 } },
            5, salt);
        hmac((BytesView) { salt, HASH_SIZE },
             (BytesView[]) { { counter, 4 }, { (const uint8_t *) "ATH", 4 }, { nonce, HASH_SIZE }, ours, { bits, 4 } },
             5, tcti->session_key);
        tcti->session_key_size = HASH_SIZE;
    }
    put_handle(out, 0x02000000U);
    put(out, HASH_SIZE, 2);
    memcpy(out->bytes + out->size, nonce, HASH_SIZE);
    out->size += HASH_SIZE;
}

/* What stands behind the parameters: of a password nothing but its attributes, else a nonce and an HMAC (§19.6.5). */
static void put_session(FakeTcti *tcti, Out *answer, BytesView parameters) {
    const Command *command = &tcti->command;
    const uint8_t code[4] = { (uint8_t) (command->code >> 24), (uint8_t) (command->code >> 16),
                              (uint8_t) (command->code >> 8), (uint8_t) command->code };
    uint8_t nonce[HASH_SIZE], digest[HASH_SIZE], attributes = command->attributes & TPMA_SESSION_CONTINUESESSION;
    static const uint8_t success[4];

    if (command->session == TPM2_RH_PW) {
        put(answer, 0, 2);
        put(answer, command->attributes, 1);
        put(answer, 0, 2);
        return;
    }
    next_nonce(tcti, nonce);
    hash((BytesView[]) { { success, 4 }, { code, 4 }, parameters }, 3, digest);
    put(answer, HASH_SIZE, 2);
    memcpy(answer->bytes + answer->size, nonce, HASH_SIZE);
    answer->size += HASH_SIZE;
    put(answer, attributes, 1);
    put(answer, HASH_SIZE, 2);
    hmac((BytesView) { tcti->session_key, tcti->session_key_size },
         (BytesView[]) { { digest, HASH_SIZE },
                         { nonce, HASH_SIZE },
                         { command->nonce.buffer, command->nonce.size },
                         { &attributes, 1 } },
         4, answer->bytes + answer->size);
    answer->size += HASH_SIZE;
}

/* ---- one command ---- */

static TPM2_RC answer_parameters(FakeTcti *tcti, Out *out) {
    const Command *command = &tcti->command;

    if (fake_tpm.is_stopped && command->code != TPM2_CC_Startup)
        return TPM2_RC_INITIALIZE;
    switch (command->code) {
    case TPM2_CC_Startup:
        fake_tpm.is_stopped = false;
        return TPM2_RC_SUCCESS;
    case TPM2_CC_FlushContext:
        return TPM2_RC_SUCCESS;
    case TPM2_CC_EvictControl:
        fake_tpm.lacks_parent = false;
        return TPM2_RC_SUCCESS;
    case TPM2_CC_GetCapability:
        answer_capability(command->parameters, out);
        return TPM2_RC_SUCCESS;
    case TPM2_CC_ReadPublic:
        if (command->handles[0] != TPM_PARENT_HANDLE_DEFAULT || fake_tpm.lacks_parent)
            return TPM2_RC_HANDLE + TPM2_RC_1;
        answer_read_public(out);
        return TPM2_RC_SUCCESS;
    case TPM2_CC_HashSequenceStart:
        put_handle(out, fake_tpm.resource_manager ? 0x80ffffffU : 0x80000000U);
        return TPM2_RC_SUCCESS;
    case TPM2_CC_CreatePrimary:
    case TPM2_CC_Create:
        answer_create(command, out);
        return TPM2_RC_SUCCESS;
    case TPM2_CC_Load:
        answer_load(command->parameters, out);
        return TPM2_RC_SUCCESS;
    case TPM2_CC_Sign:
        answer_sign(command->parameters, out);
        return TPM2_RC_SUCCESS;
    case TPM2_CC_StartAuthSession:
        answer_session(tcti, out);
        return TPM2_RC_SUCCESS;
    default:
        return answer_index(command, out);
    }
}

static void set_size(FakeTcti *tcti) {
    Out header = { .size = 0 };

    put(&header, (uint32_t) tcti->size, 4);
    if (tcti->size >= HEADER_SIZE)
        memcpy(tcti->answer + 2, header.bytes, 4);
}

static void write_answer(FakeTcti *tcti, TPM2_RC code, const Out *parameters) {
    Out answer = { .size = 0 };
    bool has_session = tcti->command.has_session && code == TPM2_RC_SUCCESS;

    put(&answer, has_session ? TPM2_ST_SESSIONS : TPM2_ST_NO_SESSIONS, 2);
    put(&answer, 0, 4);
    put(&answer, code, 4);
    if (code == TPM2_RC_SUCCESS) {
        if (parameters->has_handle)
            put(&answer, parameters->handle, 4);
        if (has_session)
            put(&answer, (uint32_t) parameters->size, 4);
        memcpy(answer.bytes + answer.size, parameters->bytes, parameters->size);
        answer.size += parameters->size;
        if (has_session)
            put_session(tcti, &answer, (BytesView) { parameters->bytes, parameters->size });
    }
    memcpy(tcti->answer, answer.bytes, answer.size);
    tcti->size = answer.size;
    set_size(tcti);
}

/* ---- what is done to an answer ---- */

/* The next byte says what: most values leave the answer as it is. */
static void spoil(FakeTcti *tcti) {
    BytesView *rest = &fake_tpm.spoils, bytes;
    uint8_t how = choose(rest);
    size_t at;

    if (how < 0xc0)
        return;
    switch (how & 7) {
    case 0: /* an error */
        at = (size_t) choose(rest) << 8 | choose(rest);
        write_answer(tcti, (TPM2_RC) (at & 0xfffU) ?: TPM2_RC_FAILURE, NULL);
        break;
    case 1: /* shorter, and the header says so or not */
        at = choose(rest);
        tcti->size = how & 0x10 ? at % (tcti->size + 1) : tcti->size - at % tcti->size;
        break;
    case 2: /* longer, or … */
    case 3: /* another altogether */
        at = how & 1 ? 0 : tcti->size;
        bytes = choose_sized(rest);
        bytes.size = bytes.size < ANSWER_MAX - at ? bytes.size : ANSWER_MAX - at;
        memcpy(tcti->answer + at, bytes.data, bytes.size);
        tcti->size = at + bytes.size;
        break;
    default: /* a few bytes in it */
        at = choose(rest) | (how & 0x10 ? 0x100U : 0);
        bytes = choose_bytes(rest, 1 + (how & 3U));
        if (at + bytes.size <= tcti->size)
            memcpy(tcti->answer + at, bytes.data, bytes.size);
    }
    if (how & 0x20)
        set_size(tcti);
}

/* ---- the TCTI ---- */

static TSS2_RC transmit(TSS2_TCTI_CONTEXT *context, size_t size, const uint8_t *command) {
    FakeTcti *tcti = (FakeTcti *) context;
    Out parameters = { .size = 0 };

    tcti->command = read_command((BytesView) { command, size });
    TPM2_RC code = answer_parameters(tcti, &parameters);
    write_answer(tcti, code, &parameters);
    spoil(tcti);
    return TSS2_RC_SUCCESS;
}

static TSS2_RC receive(TSS2_TCTI_CONTEXT *context, size_t *size, uint8_t *answer, int32_t timeout) {
    FakeTcti *tcti = (FakeTcti *) context;

    require(answer && *size >= tcti->size);
    memcpy(answer, tcti->answer, tcti->size);
    *size = tcti->size;
    return TSS2_RC_SUCCESS;
}

TSS2_RC __wrap_Tss2_TctiLdr_Initialize(const char *name, TSS2_TCTI_CONTEXT **ret);
void __wrap_Tss2_TctiLdr_Finalize(TSS2_TCTI_CONTEXT **context);
int __wrap_nanosleep(const struct timespec *wait, struct timespec *rest);
uint64_t __wrap_tpm_command_now(void);

TSS2_RC __wrap_Tss2_TctiLdr_Initialize(const char *name, TSS2_TCTI_CONTEXT **ret) {
    FakeTcti *tcti = calloc(1, sizeof *tcti);

    require(tcti);
    tcti->common.v1.version = 2;
    tcti->common.v1.transmit = transmit;
    tcti->common.v1.receive = receive;
    *ret = (TSS2_TCTI_CONTEXT *) tcti;
    return TSS2_RC_SUCCESS;
}

void __wrap_Tss2_TctiLdr_Finalize(TSS2_TCTI_CONTEXT **context) {
    free(*context);
    *context = NULL;
}

/* A TPM that says that it is busy is asked again at once. */
int __wrap_nanosleep(const struct timespec *wait, struct timespec *rest) {
    return 0;
}

/* The last command is always long ago, so that each signature is watched. */
uint64_t __wrap_tpm_command_now(void) {
    return UINT64_MAX / 2;
}

Tpm *fake_tpm_open(void) {
    const TpmOptions options = { .tcti = "fake" };
    Tpm *tpm = NULL;

    require(tpm_new(&options, &tpm) == 0);
    return tpm;
}

TpmKey *fake_tpm_key(void) {
    const TPM2B_PUBLIC above = parent(), public = signing_key();
    const TPM2B_PRIVATE private = { .size = 64 };
    const TPM2B_NAME name = name_of(&above);
    TpmKey *key = NULL;

    require(tpm_key_new(&public, &private, &name, TPM_PARENT_HANDLE_DEFAULT, &key, NULL) == 0);
    return key;
}

BytesView fake_tpm_spki(void) {
    static Bytes spki = { NULL, 0 }; /* kept: made once */
    const TPM2B_PUBLIC public = signing_key();

    if (!spki.data)
        require(tpm_public_spki(&public.publicArea, &spki) == 0);
    return bytes_view(&spki);
}
