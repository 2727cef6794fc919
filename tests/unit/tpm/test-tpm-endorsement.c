/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The device ID: from which public key it comes, computed a second time by tpm2-tools and openssl. */
#include "support.h"

#include "tpm/certificate-spki.h"

#include <gnutls/crypto.h>
#include <stdio.h>
#include <string.h>

static int start_with_certificates(void **state) {
    Swtpm *swtpm = NULL;

    if (swtpm_new_with_certificates(&swtpm) < 0)
        return -1;
    *state = swtpm;
    return 0;
}

/* A fresh object each time: what is cached belongs to one. */
static TpmInformation look(const Swtpm *swtpm, const char *salt) {
    _cleanup_tpm_ Tpm *tpm = open_tpm(swtpm);
    TpmInformation information;

    assert_success(tpm_probe(tpm, salt, &information, failure));
    assert_int_equal(information.state, TPM_STATE_READY);
    return information;
}

static void assert_device_id(const Swtpm *swtpm, const char *wanted) {
    TpmInformation information = look(swtpm, NULL);

    assert_string_equal(information.device_id_problem, "");
    assert_int_equal(strlen(information.device_id), 64);
    assert_memory_equal(information.device_id, wanted, 64);
}

static void from_template(void **state) {
    Swtpm *swtpm = *state;
    char wanted[256];

    run_command(wanted, sizeof wanted,
                "export TPM2TOOLS_TCTI=%s; cd %s && tpm2_createek -Q -G ecc -c ek.ctx -u ek.pem -f pem && "
                "tpm2_flushcontext -t && openssl pkey -pubin -in ek.pem -outform DER | sha256sum",
                swtpm_tcti(swtpm), swtpm_directory(swtpm));
    assert_device_id(swtpm, wanted);
    assert_int_equal(swtpm_kill(swtpm), 0);
    assert_int_equal(swtpm_start(swtpm), 0);
    assert_device_id(swtpm, wanted);
}

static void from_makers_certificates(void **state) {
    Swtpm *swtpm = *state;
    char wanted[256];

    run_command(wanted, sizeof wanted,
                "export TPM2TOOLS_TCTI=%s; cd %s && tpm2_nvread -Q -C o -o ek.der 0x1c00002 2>log && "
                "openssl x509 -inform DER -in ek.der -noout -pubkey | openssl pkey -pubin -outform DER | sha256sum",
                swtpm_tcti(swtpm), swtpm_directory(swtpm));
    assert_device_id(swtpm, wanted);
}

/* Writes a file to an NV index as a TPM's maker does. */
static void write_index(const Swtpm *swtpm, unsigned int index, const char *file, const char *attributes) {
    run_command(NULL, 0,
                "export TPM2TOOLS_TCTI=%s; cd %s && tpm2_nvdefine -Q -C p -s $(stat -c %%s %s) -a '%s' 0x%x && "
                "tpm2_nvwrite -Q -C p -i %s 0x%x",
                swtpm_tcti(swtpm), swtpm_directory(swtpm), file, attributes, index, file, index);
}

#define MAKERS "ppwrite|ppread|ownerread|authread|no_da|platformcreate"

static void make_certificate(const Swtpm *swtpm, const char *name, const char *algorithm, char *ret_hash, size_t size) {
    run_command(ret_hash, size,
                "cd %s && openssl req -x509 -newkey %s -nodes -keyout %s.key -subj /CN=%s -outform DER -out %s.der "
                "2>/dev/null && openssl pkey -in %s.key -pubout -outform DER | sha256sum",
                swtpm_directory(swtpm), algorithm, name, name, name, name);
}

static void order_of_preference(void **state) {
    Swtpm *swtpm = *state;
    static const struct {
        unsigned int index;
        const char *name, *algorithm;
    } certificates[] = {
        /* from the least preferred on */
        { 0x01C00016U, "high384", "ec -pkeyopt ec_paramgen_curve:P-384" }, { 0x01C00012U, "highrsa", "rsa:2048" },
        { 0x01C00014U, "high256", "ec -pkeyopt ec_paramgen_curve:P-256" }, { 0x01C00002U, "lowrsa", "rsa:3072" },
        { 0x01C0000AU, "low256", "ec -pkeyopt ec_paramgen_curve:P-256" },
    };

    for (size_t i = 0; i < ARRAY_LENGTH(certificates); i++) {
        char wanted[256];
        make_certificate(swtpm, certificates[i].name, certificates[i].algorithm, wanted, sizeof wanted);
        (void) snprintf(wanted + 200, 40, "%s.der", certificates[i].name);
        write_index(swtpm, certificates[i].index, wanted + 200, MAKERS);
        assert_device_id(swtpm, wanted);
    }
}

/* Indices with something else in them, padded, or empty. */
static void odd_indices(void **state) {
    Swtpm *swtpm = *state;
    char wanted[256], template[65];

    memcpy(template, look(swtpm, NULL).device_id, sizeof template);
    run_command(NULL, 0, "cd %s && head -c 600 /dev/zero | tr '\\0' '\\377' >blank && echo hello >text",
                swtpm_directory(swtpm));
    write_index(swtpm, 0x01C0000AU, "blank", MAKERS);
    write_index(swtpm, 0x01C00002U, "text", MAKERS);
    run_command(NULL, 0, "tpm2_nvdefine -Q -T %s -C p -s 64 -a '" MAKERS "' 0x01C00014", swtpm_tcti(swtpm));
    assert_device_id(swtpm, template);

    make_certificate(swtpm, "padded", "rsa:2048", wanted, sizeof wanted);
    run_command(NULL, 0, "cd %s && cat padded.der blank >padded", swtpm_directory(swtpm));
    write_index(swtpm, 0x01C00012U, "padded", MAKERS);
    assert_device_id(swtpm, wanted);
}

/* A certificate that is there but cannot be read gives no device ID, rather than another one; keys work on. */
static void unreadable_index(void **state) {
    Swtpm *swtpm = *state;
    _cleanup_tpm_ Tpm *tpm = open_tpm(swtpm);
    _cleanup_tpm_key_ TpmKey *key = NULL;
    TpmInformation information;
    char wanted[256];

    make_certificate(swtpm, "owner", "rsa:2048", wanted, sizeof wanted);
    write_index(swtpm, 0x01C00002U, "owner.der", "ppwrite|ppread|ownerread|no_da|platformcreate");
    assert_device_id(swtpm, wanted);
    run_command(NULL, 0, "tpm2_changeauth -T %s -c o secret", swtpm_tcti(swtpm));
    information = look(swtpm, NULL);
    assert_string_equal(information.device_id, "");
    assert_non_null(strstr(information.device_id_problem, "EK certificate"));
    key = create_key(tpm, KEY_ECDSA_P256);
    sign_and_verify(tpm, key, "ecdsa_secp256r1_sha256");
}

static void endorsement_authorization(void **state) {
    Swtpm *swtpm = *state;
    _cleanup_secret_ Secret *secret = NULL;
    _cleanup_tpm_ Tpm *tpm = NULL;
    TpmOptions options = { .tcti = swtpm_tcti(swtpm) };
    TpmInformation before = look(swtpm, NULL), information = look(swtpm, NULL);

    run_command(NULL, 0, "tpm2_changeauth -T %s -c e endorse", swtpm_tcti(swtpm));
    information = look(swtpm, NULL);
    assert_string_equal(information.device_id, "");
    assert_non_null(strstr(information.device_id_problem, "endorsement"));
    assert_int_equal(secret_new(bytes_view_string("endorse"), &secret), 0);
    options.endorsement_authorization = secret;
    assert_int_equal(tpm_new(&options, &tpm), 0);
    assert_success(tpm_probe(tpm, NULL, &information, failure));
    assert_string_equal(information.device_id, before.device_id);
}

static void salted(void **state) {
    Swtpm *swtpm = *state;
    TpmInformation plain = look(swtpm, NULL), empty = look(swtpm, ""), one = look(swtpm, "one"),
                   two = look(swtpm, "two");
    char wanted[256];

    run_command(
        wanted, sizeof wanted,
        "export TPM2TOOLS_TCTI=%s; cd %s && tpm2_createek -Q -G ecc -c ek.ctx -u ek.pem -f pem && "
        "tpm2_flushcontext -t && openssl pkey -pubin -in ek.pem -outform DER | openssl dgst -sha256 -hmac one -r",
        swtpm_tcti(swtpm), swtpm_directory(swtpm));
    assert_string_equal(plain.device_id, empty.device_id);
    assert_memory_equal(one.device_id, wanted, 64);
    assert_string_not_equal(one.device_id, two.device_id);
    assert_string_not_equal(one.device_id, plain.device_id);
}

/* Cut at each byte, each byte changed: an error or some SubjectPublicKeyInfo, never more. */
static void hostile_certificates(void **state) {
    Swtpm *swtpm = *state;
    _cleanup_bytes_ Bytes certificate = BYTES_NULL, spki = BYTES_NULL;
    char wanted[256], path[256];

    make_certificate(swtpm, "whole", "ec -pkeyopt ec_paramgen_curve:P-256", wanted, sizeof wanted);
    (void) snprintf(path, sizeof path, "%s/whole.der", swtpm_directory(swtpm));
    assert_int_equal(bytes_read_file(path, 4096, &certificate), 0);
    assert_int_equal(certificate_spki(bytes_view(&certificate), &spki), 0);
    for (size_t i = 0; i < certificate.size; i++) {
        _cleanup_bytes_ Bytes part = BYTES_NULL, ignored = BYTES_NULL;

        assert_int_equal(bytes_copy((BytesView) { certificate.data, i }, &part), 0);
        assert_int_equal(certificate_spki(bytes_view(&part), &ignored), -EINVAL);
    }
    for (size_t i = 0; i < certificate.size; i++)
        for (int bit = 0; bit < 8; bit++) {
            _cleanup_bytes_ Bytes ignored = BYTES_NULL;

            certificate.data[i] ^= (uint8_t) (1U << bit);
            (void) certificate_spki(bytes_view(&certificate), &ignored);
            assert_true(ignored.size <= certificate.size);
            certificate.data[i] ^= (uint8_t) (1U << bit);
        }
}

/* A probe by a Tpm that knows this from an earlier life. */
static TpmInformation look_knowing(const Swtpm *swtpm, BytesView parent_name, BytesView endorsement) {
    const TpmOptions options = { .tcti = swtpm_tcti(swtpm),
                                 .known_parent_name = parent_name,
                                 .known_endorsement = endorsement };
    _cleanup_tpm_ Tpm *tpm = NULL;
    TpmInformation information;

    assert_int_equal(tpm_new(&options, &tpm), 0);
    assert_success(tpm_probe(tpm, NULL, &information, failure));
    return information;
}

/* What an earlier life found counts in the same TPM, without looking again, and in no other. */
static void known_from_earlier(void **state) {
    Swtpm *swtpm = *state;
    const TpmInformation first = look(swtpm, NULL);
    BytesView parent_name = { first.parent_name, first.parent_name_size },
              found = { first.endorsement, first.endorsement_size }, other = bytes_view_string("something else");
    uint8_t digest[32], another[sizeof first.parent_name];
    char wanted[65];

    assert_true(found.size > 64);
    TpmInformation again = look_knowing(swtpm, parent_name, found);
    assert_string_equal(again.device_id, first.device_id);
    assert_int_equal(again.endorsement_size, found.size);
    /* That this is taken at its word shows that the TPM was not asked. */
    again = look_knowing(swtpm, parent_name, other);
    assert_int_equal(gnutls_hash_fast(GNUTLS_DIG_SHA256, other.data, other.size, digest), 0);
    for (size_t i = 0; i < sizeof digest; i++)
        (void) snprintf(wanted + 2 * i, 3, "%02x", digest[i]);
    assert_string_equal(again.device_id, wanted);
    /* The image was cloned: its parent is another one. */
    memcpy(another, first.parent_name, sizeof another);
    another[10] ^= 1;
    again = look_knowing(swtpm, (BytesView) { another, parent_name.size }, other);
    assert_string_equal(again.device_id, first.device_id);
    assert_memory_equal(again.endorsement, found.data, found.size);

    const TpmOptions bad = { .known_parent_name = other, .known_endorsement = found };
    Tpm *none = NULL;
    assert_int_equal(tpm_new(&bad, &none), -EINVAL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(from_template, start_swtpm, stop_swtpm),
        cmocka_unit_test_setup_teardown(from_makers_certificates, start_with_certificates, stop_swtpm),
        cmocka_unit_test_setup_teardown(order_of_preference, start_swtpm, stop_swtpm),
        cmocka_unit_test_setup_teardown(odd_indices, start_swtpm, stop_swtpm),
        cmocka_unit_test_setup_teardown(unreadable_index, start_swtpm, stop_swtpm),
        cmocka_unit_test_setup_teardown(endorsement_authorization, start_swtpm, stop_swtpm),
        cmocka_unit_test_setup_teardown(salted, start_swtpm, stop_swtpm),
        cmocka_unit_test_setup_teardown(known_from_earlier, start_swtpm, stop_swtpm),
        cmocka_unit_test_setup_teardown(hostile_certificates, start_swtpm, stop_swtpm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
