/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SHA-256 over what the store keeps, so that a medium that decays is noticed: as the last line of a text file, and as a
 * list of files beside them. */
#include "store/store-internal.h"

#include <gnutls/crypto.h>
#include <stdio.h>
#include <string.h>

#define TRAILER_KEY  "checksum="
#define TRAILER_SIZE (sizeof TRAILER_KEY - 1U + CHECKSUM_HEX + 1U) /* with its newline */

int checksum_hex(BytesView content, char ret[static CHECKSUM_HEX + 1U]) {
    uint8_t digest[CHECKSUM_HEX / 2];

    if (gnutls_hash_fast(GNUTLS_DIG_SHA256, content.data, content.size, digest) < 0)
        return -EIO;
    _cleanup_free_ char *hex = bytes_to_hex((BytesView) { digest, sizeof digest });
    if (!hex)
        return -ENOMEM;
    memcpy(ret, hex, CHECKSUM_HEX + 1U);
    return 0;
}

int checksum_append(Bytes *content) {
    char hex[CHECKSUM_HEX + 1U], line[TRAILER_SIZE + 1U];
    int r = checksum_hex(bytes_view(content), hex);

    if (r < 0)
        return r;
    (void) snprintf(line, sizeof line, TRAILER_KEY "%s\n", hex);
    return bytes_append(content, bytes_view_string(line));
}

int checksum_strip(BytesView content, BytesView *ret_lines) {
    const BytesView lines = { content.data, content.size > TRAILER_SIZE ? content.size - TRAILER_SIZE : 0 };
    const char *trailer = (const char *) content.data + lines.size;
    char hex[CHECKSUM_HEX + 1U];

    if (lines.size == 0 || memcmp(trailer, TRAILER_KEY, sizeof TRAILER_KEY - 1U) != 0 ||
        trailer[TRAILER_SIZE - 1U] != '\n')
        return 0;
    int r = checksum_hex(lines, hex);
    if (r < 0)
        return r;
    if (memcmp(trailer + sizeof TRAILER_KEY - 1U, hex, CHECKSUM_HEX) != 0)
        return -EBADMSG;
    *ret_lines = lines;
    return 1;
}

/* ---- a list of files, as sha256sum(1) writes and checks it ---- */

int checksum_list_add(Bytes *lines, const char *name, BytesView content) {
    _cleanup_free_ char *line = NULL;
    char hex[CHECKSUM_HEX + 1U];
    int r = checksum_hex(content, hex);

    if (r < 0)
        return r;
    return asprintf(&line, "%s  %s\n", hex, name) < 0 ? -ENOMEM : bytes_append(lines, bytes_view_string(line));
}

int checksum_list_verify(Place place, const Bytes *lines, const char *name, BytesView content, Failure *ret_failure) {
    _cleanup_bytes_ Bytes wanted = BYTES_NULL;
    int r = checksum_list_add(&wanted, name, content);

    if (r < 0)
        return failure_errno(ret_failure, r, place.path);
    if (lines->size > 0 && memmem(lines->data, lines->size, wanted.data, wanted.size))
        return 0;
    return place_malformed(place, name, 0, "is damaged: it is not what the checksum beside it says", ret_failure);
}
