/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* CMS signatures: read, and judged with the certificates inside for anchors, so that signed attributes are looked at.
 */
#include "fuzz.h"

#include "pki/signed-data.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    _cleanup_signed_data_ SignedData *signed_data = NULL;
    Failure failure = FAILURE_INIT;
    SignedDataVerdict verdict;

    if (signed_data_parse((BytesView) { data, size }, &signed_data, &failure) < 0) {
        require(failure.kind == FAILURE_CERTIFICATE_REJECTED && failure.text[0]);
        return 0;
    }
    require(signed_data->signer_count >= 1 && signed_data->signer_count <= SIGNED_DATA_SIGNERS_MAX);
    const SignedDataRequest request = {
        .content = signed_data->content.data ? signed_data->content : bytes_view_string("content\n"),
        .chain = { .anchors = &signed_data->certificates, .now = 1800000000 },
    };
    int r = signed_data_verify(signed_data, &request, &verdict);
    require((r == 0) == (verdict.verdict.kind == VERDICT_GOOD));
    require(r == 0 ? verdict.count == signed_data->signer_count : verdict.verdict.failure.text[0]);
    signed_data_verdict_clear(&verdict);
    return 0;
}
