/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Bodies and headers: base64, Retry-After, excerpts. */
#include "fuzz.h"

#include "enroller/answer.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    _cleanup_bytes_ Bytes decoded = BYTES_NULL, text = BYTES_NULL;
    char excerpt[ANSWER_EXCERPT_MAX];
    uint32_t seconds;

    if (answer_decode_base64((BytesView) { data, size }, &decoded) >= 0) {
        _cleanup_bytes_ Bytes encoded = BYTES_NULL, again = BYTES_NULL;

        require(decoded.size > 0 && decoded.size <= size);
        require(answer_encode_base64(bytes_view(&decoded), &encoded) == 0);
        require(answer_decode_base64(bytes_view(&encoded), &again) == 0);
        require(bytes_view_equal(bytes_view(&decoded), bytes_view(&again)));
    }
    answer_excerpt((BytesView) { data, size }, excerpt);
    require(strlen(excerpt) < sizeof excerpt);
    for (const char *p = excerpt; *p; p++)
        require((unsigned char) *p >= ' ' && *p != 0x7f);
    require(bytes_copy((BytesView) { data, size }, &text) == 0);
    if (answer_parse_retry_after((const char *) text.data, 1784548800, &seconds) >= 0)
        require(seconds <= RETRY_AFTER_MAX);
    return 0;
}
