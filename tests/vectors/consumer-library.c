/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The verifier as a program meets it in a handshake through libidentityd-gnutls: anchors and CRLs out of a State, the
 * peer's certificates as they came, and the clock of the process, which stands where the question wants it. */
#include "tests/vectors/consumer.h"

#include "client-lib/error.h"
#include "client-lib/verify.h"
#include "tests/unit/device/clock.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static void consume(const Question *question, bool *ret_verified, char ret_reason[static 1024]) {
    identityd_snapshot snapshot = { .identity = (char[]) { "x" }, .state = (char[]) { "ready" } };
    gnutls_datum_t *chain = calloc(question->certificate_count + 1, sizeof *chain);
    gnutls_datum_t staple = { question->staple.data, (unsigned) question->staple.size };
    VerifyWanted wanted = {
        .host = question->uri ?: question->host,
        .is_server = question->usage && question->usage[0] == 's',
        .any_usage = !question->usage,
        .in_handshake = question->must_staple,
        .ocsp = question->staple.size > 0 ? &staple : NULL,
        .flags = question->require_crl ? IDENTITYD_VERIFY_CRL_HARD : 0,
        .depth_limit = (unsigned) (question->depth + 1),
    };

    snapshot.references = 1;
    snapshot.anchors = question->anchors_pem;
    snapshot.crls = question->crls_pem;
    for (size_t i = 0; chain && i < question->certificate_count; i++)
        chain[i] = (gnutls_datum_t) { question->certificates[i].data, (unsigned) question->certificates[i].size };
    clock_restore();
    clock_set(question->now - (int64_t) time(NULL));
    *ret_verified = verify_chain(&snapshot, chain, question->certificate_count, &wanted) == 0;
    if (!*ret_verified)
        (void) snprintf(ret_reason, 1024, "%s", identityd_last_error());
    if (snapshot.clear_trust)
        snapshot.clear_trust(&snapshot);
    free(chain);
}

int main(void) {
    return consumer_main(consume);
}
