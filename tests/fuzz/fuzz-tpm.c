/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Answers of a TPM, and of whoever stands between it and us, to all that the TPM room sends: the input says what is
 * asked and what becomes of each answer. Whatever that is: a signature that is given out verifies, a key that was made
 * is the one that the TPM made, a device ID is the hash of what is shown beside it, and each failure has its reason.
 * Behind the check of answers ESYS reads nothing that it was not given, which the sanitizers would see. */
#include "fake-tpm.h"

#include <gnutls/abstract.h>
#include <gnutls/crypto.h>

#define STEPS_MAX 6U

static void check_failure(int r, const Failure *failure) {
    require(r >= 0 ? failure->kind == FAILURE_NONE : failure->kind != FAILURE_NONE && failure->text[0]);
}

static void probe(Tpm *tpm) {
    TpmInformation information;
    Failure failure = FAILURE_INIT;
    uint8_t digest[32];

    int r = tpm_probe(tpm, NULL, &information, &failure);
    check_failure(r, &failure);
    require((r >= 0) == (information.state == TPM_STATE_READY));
    if (information.device_id[0] == '\0')
        return;
    require(gnutls_hash_fast(GNUTLS_DIG_SHA256, information.endorsement, information.endorsement_size, digest) == 0);
    char *hex = bytes_to_hex((BytesView) { digest, sizeof digest });
    require(hex && strcmp(hex, information.device_id) == 0);
    free(hex);
}

static bool verifies(BytesView digest, const uint8_t *signature, size_t size) {
    BytesView spki = fake_tpm_spki();
    gnutls_datum_t der = { (uint8_t *) (uintptr_t) spki.data, (unsigned) spki.size },
                   hash = { (uint8_t *) (uintptr_t) digest.data, (unsigned) digest.size },
                   value = { (uint8_t *) (uintptr_t) signature, (unsigned) size };
    gnutls_pubkey_t key;

    require(gnutls_pubkey_init(&key) == 0 && gnutls_pubkey_import(key, &der, GNUTLS_X509_FMT_DER) == 0);
    int r = gnutls_pubkey_verify_hash2(key, GNUTLS_SIGN_ECDSA_SHA256, 0, &hash, &value);
    gnutls_pubkey_deinit(key);
    return r >= 0;
}

static void sign(Tpm *tpm, const TpmKey *key) {
    static const uint8_t digest[32] = { 1, 2, 3 };
    uint8_t signature[SIGNATURE_MAX];
    size_t size = 0;
    Failure failure = FAILURE_INIT;

    int r = tpm_key_sign(tpm, key, scheme_by_name("ecdsa_secp256r1_sha256"), (BytesView) { digest, sizeof digest },
                         signature, &size, &failure);
    check_failure(r, &failure);
    require(r < 0 ? size == 0 : verifies((BytesView) { digest, sizeof digest }, signature, size));
}

static void create(Tpm *tpm) {
    _cleanup_tpm_key_ TpmKey *key = NULL;
    Failure failure = FAILURE_INIT;

    int r = tpm_key_create_under(tpm, KEY_ECDSA_P256, (BytesView) { NULL, 0 }, &key, &failure);
    check_failure(r, &failure);
    require((r >= 0) == (key != NULL));
    require(!key || bytes_view_equal(tpm_key_spki(key), fake_tpm_spki()));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    BytesView rest = { data, size };
    uint8_t how = choose(&rest);
    BytesView steps = choose_bytes(&rest, how % (STEPS_MAX + 1U));
    _cleanup_tpm_ Tpm *tpm = fake_tpm_open();
    _cleanup_tpm_key_ TpmKey *key = fake_tpm_key();

    fake_tpm = (FakeTpm) {
        .resource_manager = how & 0x80, .is_stopped = how & 0x40, .lacks_parent = how & 0x20, .spoils = rest
    };
    for (size_t i = 0; i < steps.size; i++)
        switch (steps.data[i] % 5) {
        case 0:
            probe(tpm);
            break;
        case 1:
            create(tpm);
            break;
        case 2:
            tpm_key_unload(tpm, key);
            break;
        default:
            sign(tpm, key);
        }
    return 0;
}
