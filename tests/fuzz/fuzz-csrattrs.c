/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The answer to /csrattrs, and its comparison with a request. */
#include "fuzz.h"

#include "enroller/csrattrs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static Bytes request = { NULL, 0 }; /* kept: read once */
    _cleanup_(csr_attributes_free_p) CsrAttributes *attributes = NULL;
    Failure failure = FAILURE_INIT;

    if (!request.data)
        require(bytes_read_file(SEEDS "/rich.csr", 1U << 16, &request) == 0);
    if (csr_attributes_parse((BytesView) { data, size }, &attributes, &failure) < 0) {
        require(failure.kind == FAILURE_ENROLLMENT_FAILED && failure.text[0] && !attributes);
        return 0;
    }
    require(attributes->key_type >= -1 && attributes->key_type < _KEY_ALGORITHM_COUNT);
    require(attributes->eku_count <= CSRATTRS_EKU_MAX && attributes->subject_count <= CSRATTRS_ITEMS_MAX);
    if (csr_attributes_check_request(attributes, bytes_view(&request), &failure) < 0)
        require(failure.text[0]);
    return 0;
}
