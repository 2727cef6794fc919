/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files of certificates as a person has them and idctl reads them: PEM with text between, PKCS#7, DER. What is read is
 * shown in both ways, in an order that a chain can have, and nothing that is not to be printed gets to a terminal. */
#include "scratch.h"

#include "idctl/certificates.h"
#include "idctl/file.h"
#include "idctl/signature.h"
#include "pki/revocation.h"
#include "pki/signed-data.h"

static void show(const CertificateList *list) {
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);

    require(stream);
    certificates_print(list, stream, "  ");
    require(fclose(stream) == 0 && size > 0);
    for (size_t i = 0; i < size; i++)
        require((unsigned char) text[i] >= ' ' ? text[i] != 0x7f : text[i] == '\n');
    free(text);
    json_t *json = certificates_to_json(list);
    require(json && json_array_size(json) == list->count);
    json_decref(json);
}

/* A signature of that, by each of the certificates: it is none, in each scheme that there is. */
static void check(const Certificate *certificate, BytesView data) {
    const SignatureScheme *schemes[SCHEMES_PER_KEY_MAX];
    size_t count = signature_schemes(certificate, schemes);

    require(count <= SCHEMES_PER_KEY_MAX);
    for (size_t i = 0; i < count; i++)
        require(signature_check(certificate, schemes[i], bytes_view_string("message"), data) < 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    _cleanup_certificates_ CertificateList list = { 0 }, read = { 0 };
    _cleanup_bytes_ Bytes content = BYTES_NULL;
    CrlSet crls = { 0 };
    Failure failure = FAILURE_INIT;
    LeftOut left_out = { 0 }, other = { 0 };
    BytesView all = { data, size };

    int r = certificates_parse(all, &list, &left_out, &failure);
    require(r >= 0 ? list.count > 0 : failure.text[0] && list.count == 0);
    size_t count = list.count;
    if (r >= 0) {
        certificates_leaf_first(&list);
        require(list.count == count);
        show(&list);
        check(list.list[0], all);
    }
    if (signed_data_is(all))
        require(r < 0 || list.count > 0);
    (void) crl_set_from_pem(all, &crls, &other, &failure);
    crl_set_clear(&crls);
    const char *path = scratch_write("file", all);
    require((certificates_read(path, &read) == EXIT_OK) == (r >= 0) && read.count == count);
    require(file_read(path, size + 1, &content) == EXIT_OK && content.size == size);
    return 0;
}
