/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The reader of TLS 1.2 transcripts. What it takes has the certificate in it, is whole, and is nobody else's. */
#include "fuzz.h"

#include "rules/key-exchange.h"
#include "rules/tls12.h"

#include <string.h>

#define LEAF "the certificate of this identity"

static bool takes(const uint8_t *data, size_t size, const char *leaf, uint16_t scheme) {
    return tls12_refusal((BytesView) { data, size }, bytes_view_string(leaf), scheme) == NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const uint16_t schemes[] = { 0x0403, 0x0503, 0x0401, 0x0501, 0x0601, 0x0804, 0x0805, 0x0806 };

    for (size_t i = 0; i < ARRAY_LENGTH(schemes); i++) {
        if (!takes(data, size, LEAF, schemes[i]))
            continue;
        require(data[0] == TLS12_FIRST_BYTE && memcmp(data + 4, "\3\3", 2) == 0);
        require(memmem(data, size, LEAF, strlen(LEAF)) != NULL);
        require(!key_exchange_refusal((BytesView) { data, size }));
        require(!takes(data, size, "the certificate of other devices", schemes[i]));
        require(!takes(data, size - 1, LEAF, schemes[i]));
        _cleanup_free_ uint8_t *longer = malloc(size + 1);
        memcpy(longer, data, size);
        longer[size] = 0;
        require(!takes(longer, size + 1, LEAF, schemes[i]));
    }
    return 0;
}
