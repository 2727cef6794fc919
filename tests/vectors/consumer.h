/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A consumer of the verifier that is asked by tests/vectors/run: one question a line on its standard input, one answer
 * a line on its output, both JSON. */
#pragma once

#include "common/bytes.h"

#include <jansson.h>
#include <stdbool.h>

typedef struct Question {
    Bytes *certificates; /* DER, leaf first */
    size_t certificate_count;
    Bytes anchors_pem, crls_pem;
    Bytes staple;                   /* DER; empty: none */
    const char *host, *uri, *usage; /* usage: "server", "client" or NULL; the others may be NULL */
    int64_t now;
    bool require_crl, must_staple;
    int depth; /* -1: not bounded */
} Question;

/* Fills in the verdict: whether it verified, and the reason if it did not. */
typedef void (*Consumer)(const Question *question, bool *ret_verified, char ret_reason[static 1024]);

int consumer_main(Consumer consume);
