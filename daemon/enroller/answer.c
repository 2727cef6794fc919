/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Decoders for what EST servers put into bodies and headers. Everything is bounded by its caller's answer limits, and
 * refused rather than guessed. */
#include "enroller/answer.h"

#include "common/text.h"

#include <curl/curl.h>
#include <gnutls/gnutls.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define BASE64_LINE 64U

static bool is_white(uint8_t c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool is_base64(uint8_t c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' || c == '/';
}

/* Checked by ourselves, since what decoders skip or forgive differs between versions. */
static bool base64_is_well_formed(BytesView text) {
    size_t padding = 0;

    if (text.size == 0 || text.size % 4 != 0)
        return false;
    while (padding < 2 && text.data[text.size - 1 - padding] == '=')
        padding++;
    for (size_t i = 0; i < text.size - padding; i++)
        if (!is_base64(text.data[i]))
            return false;
    return true;
}

int answer_decode_base64(BytesView text, Bytes *ret) {
    _cleanup_bytes_ Bytes compact = BYTES_NULL;
    gnutls_datum_t decoded = { NULL, 0 };

    int r = bytes_copy(text, &compact);
    if (r < 0)
        return r;
    compact.size = 0;
    for (size_t i = 0; i < text.size; i++)
        if (!is_white(text.data[i]))
            compact.data[compact.size++] = text.data[i];
    if (!base64_is_well_formed(bytes_view(&compact)))
        return -EBADMSG;

    r = gnutls_base64_decode2(&(gnutls_datum_t) { compact.data, (unsigned) compact.size }, &decoded);
    if (r == GNUTLS_E_MEMORY_ERROR)
        return -ENOMEM;
    if (r < 0)
        return -EBADMSG;
    r = bytes_copy((BytesView) { decoded.data, decoded.size }, ret);
    gnutls_free(decoded.data);
    return r;
}

int answer_decode_base64_start(BytesView text, Bytes *ret) {
    size_t end = 0, digits = 0;
    bool padded = false;

    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.data[i];

        if (is_white(c))
            continue;
        if (c != '=' && (padded || !is_base64(c)))
            break;
        padded = padded || c == '=';
        if (++digits % 4 == 0) {
            end = i + 1;
            if (padded)
                break;
        }
    }
    return answer_decode_base64((BytesView) { text.data, end }, ret);
}

int answer_encode_base64(BytesView data, Bytes *ret) {
    _cleanup_bytes_ Bytes lines = BYTES_NULL;
    gnutls_datum_t encoded = { NULL, 0 };
    int r = 0;

    if (gnutls_base64_encode2(&(gnutls_datum_t) { (uint8_t *) data.data, (unsigned) data.size }, &encoded) < 0)
        return -ENOMEM;
    for (size_t at = 0; r >= 0 && at < encoded.size; at += BASE64_LINE) {
        size_t length = encoded.size - at < BASE64_LINE ? encoded.size - at : BASE64_LINE;

        r = bytes_append(&lines, (BytesView) { encoded.data + at, length });
        if (r >= 0)
            r = bytes_append(&lines, bytes_view_string("\n"));
    }
    gnutls_free(encoded.data);
    if (r < 0)
        return r;
    *ret = lines;
    lines = BYTES_NULL;
    return 0;
}

int answer_parse_date(const char *value, int64_t *ret) {
    if (strlen(value) > RETRY_AFTER_TEXT_MAX || strspn(value, "0123456789 ") == strlen(value))
        return -EBADMSG;
    time_t seconds = curl_getdate(value, NULL);
    if (seconds == (time_t) -1)
        return -EBADMSG;
    *ret = seconds;
    return 0;
}

int answer_parse_retry_after(const char *value, int64_t now, uint32_t *ret) {
    size_t digits = strspn(value, "0123456789");
    uint64_t seconds = 0;
    int64_t date;

    if (digits > 0 && value[digits] == '\0') {
        for (size_t i = 0; i < digits && seconds <= RETRY_AFTER_MAX; i++)
            seconds = seconds * 10 + (uint64_t) (value[i] - '0');
    } else {
        int r = answer_parse_date(value, &date);
        if (r < 0)
            return r;
        seconds = date > now ? (uint64_t) (date - now) : 0;
    }
    *ret = seconds > RETRY_AFTER_MAX ? RETRY_AFTER_MAX : (uint32_t) seconds;
    return 0;
}

void answer_excerpt(BytesView body, char ret[static ANSWER_EXCERPT_MAX]) {
    size_t out = 0, at = 0;

    for (; at < body.size && out + 1 < ANSWER_EXCERPT_MAX; at++)
        if (!is_white(body.data[at]))
            ret[out++] = (char) body.data[at];
        else if (out > 0 && ret[out - 1] != ' ')
            ret[out++] = ' ';
    ret[out] = '\0';
    text_sanitize(ret, out, at < body.size);
    for (out = strlen(ret); out > 0 && ret[out - 1] == ' '; out--)
        ret[out - 1] = '\0';
}
