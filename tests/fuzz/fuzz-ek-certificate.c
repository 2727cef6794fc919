/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a TPM holds as its EK certificates: which of the five indices are there, with which attributes, and what is in
 * each. The device ID is of the first that is a certificate, and where our own reader of certificates takes it, of the
 * very key that this one reads; with none, it is of the key of the TCG's template. */
#include "fake-tpm.h"

#include "pki/certificate.h"
#include "tpm/certificate-spki.h"

/* What the index at that place stands for: its key, or nothing. */
static bool key_of(const FakeIndex *index, Bytes *ret) {
    _cleanup_certificate_ Certificate *certificate = NULL;

    if (!index->is_there || !(index->attributes & TPMA_NV_WRITTEN) || certificate_spki(index->content, ret) < 0)
        return false;
    require(ret->size > 0 && memmem(index->content.data, index->content.size, ret->data, ret->size));
    if (certificate_from_der(index->content, &certificate, NULL) >= 0)
        require(bytes_view_equal(certificate->spki, bytes_view(ret)));
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    BytesView rest = { data, size };
    uint8_t which = choose(&rest);
    _cleanup_bytes_ Bytes wanted = BYTES_NULL;
    _cleanup_tpm_ Tpm *tpm = fake_tpm_open();
    TpmInformation information;
    Failure failure = FAILURE_INIT;

    fake_tpm = (FakeTpm) { .resource_manager = which & 0x80, .nv_buffer_max = which & 0x40 ? 64 : 1024 };
    for (unsigned i = 0; i < FAKE_TPM_INDICES; i++) {
        if (!(which & 1U << i))
            continue;
        uint8_t attributes = choose(&rest);
        fake_tpm.indices[i] = (FakeIndex) {
            .is_there = true,
            .attributes =
                TPMA_NV_OWNERREAD | (attributes & 1 ? 0 : TPMA_NV_WRITTEN) | (attributes & 2 ? 0 : TPMA_NV_AUTHREAD),
            .content = choose_sized(&rest),
        };
    }
    require(tpm_probe(tpm, NULL, &information, &failure) == 0 && information.device_id[0]);
    for (unsigned i = 0; i < FAKE_TPM_INDICES && wanted.size == 0; i++)
        if (fake_tpm.indices[i].content.size <= 4096)
            (void) key_of(&fake_tpm.indices[i], &wanted);
    BytesView shown = { information.endorsement, information.endorsement_size };
    require(bytes_view_equal(shown, wanted.size > 0 ? bytes_view(&wanted) : fake_tpm_spki()));
    return 0;
}
