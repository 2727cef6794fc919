/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One certificate in DER: what is taken is the same when it is read again, and everything that asks it something copes.
 */
#include "fuzz.h"

#include "pki/chain.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    _cleanup_certificate_ Certificate *certificate = NULL, *copy = NULL;
    char text[CERTIFICATE_DESCRIPTION_MAX], **urls;
    Failure failure = FAILURE_INIT;

    if (certificate_from_der((BytesView) { data, size }, &certificate, &failure) < 0) {
        require(failure.kind == FAILURE_CERTIFICATE_REJECTED && failure.text[0] && !certificate);
        return 0;
    }
    require(certificate_from_der(bytes_view(&certificate->der), &copy, NULL) == 0);
    require(certificate_equal(certificate, copy) && strcmp(certificate->subject, copy->subject) == 0);
    require(certificate->der.size == size && certificate->spki.size > 0 && certificate->subject_raw.size >= 2);
    require(certificate_describe(certificate, text) == text);
    if (certificate_crl_urls(certificate, &urls) == 0)
        certificate_urls_free(urls);
    if (certificate_ocsp_urls(certificate, &urls) == 0)
        certificate_urls_free(urls);
    (void) certificate_extension(certificate, "2.5.29.17");
    (void) certificate_is_self_signed(certificate);

    CertificateList list = { &certificate, 1 };
    IssuedExpectation expectation = { .spki = certificate->spki, .previous = certificate };
    (void) chain_build(certificate, &list, &list, certificate->not_before, NULL, NULL, &failure);
    (void) issued_check(certificate, &expectation, &failure);
    return 0;
}
