/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Templates of names, up to the first line break, and behind it the serial number of the hardware: whatever that is, a
 * name has the parts that it has with the serial number "A", or there is none. */
#include "fuzz.h"

#include "common/distinguished-name.h"
#include "config/specifiers.h"

#include <gnutls/x509.h>
#include <stdbool.h>
#include <string.h>

/* The OIDs of a Name in DER; how many there are. */
static size_t parts(BytesView der, char ret_oids[static 4096]) {
    gnutls_datum_t datum = { (uint8_t *) (uintptr_t) der.data, (unsigned) der.size };
    gnutls_x509_ava_st value;
    gnutls_x509_dn_t dn;
    int count = 0;

    ret_oids[0] = '\0';
    require(gnutls_x509_dn_init(&dn) == 0 && gnutls_x509_dn_import(dn, &datum) == 0);
    for (; gnutls_x509_dn_get_rdn_ava(dn, count, 0, &value) >= 0; count++) {
        require(gnutls_x509_dn_get_rdn_ava(dn, count, 1, &value) < 0 || value.oid.size == 0);
        (void) gnutls_x509_dn_get_rdn_ava(dn, count, 0, &value);
        require(strlen(ret_oids) + value.oid.size + 2 < 4096);
        strncat(ret_oids, (const char *) value.oid.data, value.oid.size);
        strcat(ret_oids, " ");
    }
    gnutls_x509_dn_deinit(dn);
    return (size_t) count;
}

static char *expand(const char *template, const char *serial, SpecifierPlace place) {
    const Specifiers specifiers = { .device_id = "d", .host_name = "h", .machine_id = "m", .serial = serial };
    char *text = NULL, *problem = NULL;
    int r = specifiers_expand(template, &specifiers, place, &text, &problem);

    require((r < 0) == (problem != NULL) && (r < 0) == (text == NULL));
    free(problem);
    return text;
}

static bool encode(const char *text, Bytes *ret) {
    Failure failure = FAILURE_INIT;
    int r = text ? distinguished_name_encode(text, ret, &failure) : -EINVAL;

    require(r >= 0 || !text || (failure.kind == FAILURE_INVALID_ARGUMENT && failure.text[0]));
    return r >= 0;
}

static size_t count(const char *text, const char *characters) {
    size_t n = 0;

    for (; *text; text++)
        n += strchr(characters, *text) != NULL;
    return n;
}

static void try_subject(const char *template, const char *serial) {
    static char usual_oids[4096], oids[4096];
    _cleanup_free_ char *plain = expand(template, "A", PLACE_SUBJECT), *text = expand(template, serial, PLACE_SUBJECT);
    _cleanup_bytes_ Bytes usual = BYTES_NULL, der = BYTES_NULL;

    if (!encode(plain, &usual))
        return;
    size_t wanted = parts(bytes_view(&usual), usual_oids);
    if (encode(text, &der))
        require(parts(bytes_view(&der), oids) == wanted && strcmp(oids, usual_oids) == 0);
}

static void try_name(const char *template, const char *serial, SpecifierPlace place, SanKind kind,
                     const char *separators) {
    _cleanup_free_ char *plain = expand(template, "A", place), *text = expand(template, serial, place);

    if (plain && text && !san_fault(kind, plain) && !san_fault(kind, text))
        require(count(plain, separators) == count(text, separators));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    _cleanup_free_ char *template = strndup((const char *) data, size);
    char *serial = template ? strchr(template, '\n') : NULL;

    if (!serial)
        return 0;
    *serial++ = '\0';
    try_subject(template, serial);
    try_name(template, serial, PLACE_DNS, SAN_DNS, ".*");
    try_name(template, serial, PLACE_URI, SAN_URI, ":/?#[]@!$&'()*+,;=");
    try_name(template, serial, PLACE_IP, SAN_IP, ".:");
    return 0;
}
