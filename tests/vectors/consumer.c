/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reads questions and writes answers. */
#include "tests/vectors/consumer.h"

#include <gnutls/gnutls.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static Bytes read_base64(const json_t *value) {
    gnutls_datum_t text = { (unsigned char *) (uintptr_t) json_string_value(value),
                            (unsigned) json_string_length(value) },
                   data = { 0 };
    Bytes bytes = BYTES_NULL;

    if (gnutls_base64_decode2(&text, &data) < 0 || bytes_copy((BytesView) { data.data, data.size }, &bytes) < 0)
        abort();
    gnutls_free(data.data);
    return bytes;
}

static void read_pem(const json_t *value, Bytes *ret) {
    const char *text = json_string_value(value);

    if (bytes_copy(bytes_view_string(text ? text : ""), ret) < 0)
        abort();
}

static void answer(Consumer consume, const json_t *object) {
    const json_t *certificates = json_object_get(object, "certificates"), *depth = json_object_get(object, "depth"),
                 *staple = json_object_get(object, "staple");
    char reason[1024] = "";
    bool verified = false;
    Question question = {
        .certificate_count = json_array_size(certificates),
        .host = json_string_value(json_object_get(object, "host")),
        .uri = json_string_value(json_object_get(object, "uri")),
        .usage = json_string_value(json_object_get(object, "usage")),
        .now = json_integer_value(json_object_get(object, "now")),
        .require_crl = json_is_true(json_object_get(object, "require_crl")),
        .must_staple = json_is_true(json_object_get(object, "must_staple")),
        .depth = depth ? (int) json_integer_value(depth) : -1,
    };

    question.certificates = calloc(question.certificate_count + 1, sizeof question.certificates[0]);
    for (size_t i = 0; i < question.certificate_count; i++)
        question.certificates[i] = read_base64(json_array_get(certificates, i));
    read_pem(json_object_get(object, "anchors"), &question.anchors_pem);
    read_pem(json_object_get(object, "crls"), &question.crls_pem);
    if (staple)
        question.staple = read_base64(staple);
    consume(&question, &verified, reason);
    json_t *result = json_pack("{s:b, s:s}", "verified", verified, "reason", reason);
    char *line = result ? json_dumps(result, JSON_COMPACT) : NULL;
    puts(line ? line : "{\"verified\":false,\"reason\":\"the reason is no text\"}");
    (void) fflush(stdout);
    free(line);
    json_decref(result);
    for (size_t i = 0; i < question.certificate_count; i++)
        bytes_clear(&question.certificates[i]);
    free(question.certificates);
    bytes_clear(&question.anchors_pem);
    bytes_clear(&question.crls_pem);
    bytes_clear(&question.staple);
}

int consumer_main(Consumer consume) {
    char *line = NULL;
    size_t size = 0;
    ssize_t length;

    while ((length = getline(&line, &size, stdin)) > 0) {
        json_t *object = json_loadb(line, (size_t) length, 0, NULL);
        if (!object) {
            (void) fprintf(stderr, "this is no question: %.100s\n", line);
            free(line);
            return 1;
        }
        answer(consume, object);
        json_decref(object);
    }
    free(line);
    return 0;
}
