/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* idctl show: one identity in full. */
#include "common/names.h"
#include "idctl/certificates.h"
#include "idctl/identity.h"
#include "idctl/output.h"
#include "idctl/verbs.h"

#include <arpa/inet.h>
#include <gnutls/crypto.h>
#include <stdio.h>
#include <string.h>

#define NAMES_MAX     64U   /* that are shown */
#define NAME_SIZE_MAX 1024U /* bytes */

static void print_time(const char *label, uint64_t time) {
    _cleanup_free_ char *text = time_to_text(time, time_now());

    if (time > 0)
        print_field(label, text, COLOUR_NONE);
}

static void print_fingerprint(const Bytes *der) {
    unsigned char digest[32];
    _cleanup_free_ char *hex = NULL;

    if (gnutls_hash_fast(GNUTLS_DIG_SHA256, der->data, der->size, digest) >= 0)
        hex = bytes_to_hex((BytesView) { digest, sizeof digest });
    if (hex)
        print_field("SHA-256", hex, COLOUR_NONE);
}

static void print_alternative_name(unsigned type, const char *value, size_t size) {
    char address[INET6_ADDRSTRLEN] = "", text[NAME_SIZE_MAX + 16U];

    if (type == GNUTLS_SAN_DNSNAME || type == GNUTLS_SAN_URI || type == GNUTLS_SAN_RFC822NAME)
        (void) snprintf(text, sizeof text, "%s:%.*s",
                        type == GNUTLS_SAN_DNSNAME ? "dns"
                        : type == GNUTLS_SAN_URI   ? "uri"
                                                   : "mail",
                        (int) size, value);
    else if (type == GNUTLS_SAN_IPADDRESS && (size == 4 || size == 16) &&
             inet_ntop(size == 4 ? AF_INET : AF_INET6, value, address, sizeof address))
        (void) snprintf(text, sizeof text, "ip:%s", address);
    else
        (void) snprintf(text, sizeof text, "another kind of name");
    print_field("Alternative", text, COLOUR_NONE);
}

static void crt_p(gnutls_x509_crt_t *crt) {
    if (*crt)
        gnutls_x509_crt_deinit(*crt);
}

/* What the CA made of SubjectAltName=: with Names=ca that may be something else. */
static void print_alternative_names(const Bytes *der) {
    _cleanup_certificates_ CertificateList certificates = { 0 };
    _cleanup_(crt_p) gnutls_x509_crt_t crt = NULL;
    gnutls_datum_t datum = { der->data, (unsigned) der->size };
    char value[NAME_SIZE_MAX];

    if (certificates_from_der(der, 1, &certificates) < 0 || gnutls_x509_crt_init(&crt) < 0 ||
        gnutls_x509_crt_import(crt, &datum, GNUTLS_X509_FMT_DER) < 0)
        return;
    for (unsigned i = 0; i < NAMES_MAX; i++) {
        size_t size = sizeof value;
        int type = gnutls_x509_crt_get_subject_alt_name(crt, i, value, &size, NULL);
        if (type == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE)
            return;
        if (type >= 0)
            print_alternative_name((unsigned) type, value, size);
        else
            print_field("Alternative", "a name that cannot be read", COLOUR_NONE);
    }
}

static void print_peer_crl(const PeerCrl *crl) {
    uint64_t now = time_now();
    _cleanup_free_ char *end = crl->next_update > 0 ? time_to_text(crl->next_update, now) : NULL,
                        *next = crl->next_fetch > 0 ? time_to_text(crl->next_fetch, now) : NULL, *text = NULL;

    print_field("Peers' CRL", crl->url, COLOUR_NONE);
    if (asprintf(&text, "%s%s%s%s%s", crl->issuer[0] ? "of " : "none yet", crl->issuer, end ? ", until " : "",
                 end ? end : "", next ? "" : "; it is fetched now") < 0) {
        text = NULL; /* undefined by asprintf(3) */
        return;
    }
    print_field("", text, crl->issuer[0] && (!end || crl->next_update > now) ? COLOUR_NONE : COLOUR_BAD);
    if (next)
        print_field("next fetch", next, COLOUR_NONE);
    if (crl->error[0])
        print_field("", crl->error, COLOUR_BAD);
}

static void print_identity(const IdentityProperties *properties, const char *tpm_problem) {
    char number[32];

    print_field("Name", properties->name, COLOUR_STRONG);
    print_field("State", properties->state, colour_of_state(properties->state));
    print_field("Activity", properties->activity, COLOUR_NONE);
    if (properties->last_error[0])
        print_field("Last error", properties->last_error, COLOUR_BAD);
    /* Mostly the same; not where what was tried last failed for another reason. */
    if (tpm_problem && tpm_problem[0] && !strstr(properties->last_error, tpm_problem))
        print_field("TPM problem", tpm_problem, COLOUR_BAD);
    print_time("Next attempt", properties->next_attempt);
    if (properties->generation > 0) {
        snprintf(number, sizeof number, "%u", properties->generation);
        print_field("Generation", number, COLOUR_NONE);
        print_field("Subject", properties->subject, COLOUR_NONE);
        if (properties->certificates.count > 0)
            print_alternative_names(&properties->certificates.list[0]);
        print_field("Issuer", properties->issuer, COLOUR_NONE);
        print_field("Serial number", properties->serial_number, COLOUR_NONE);
    }
    print_time("Not before", properties->not_before);
    print_time("Not after", properties->not_after);
    print_time("Next renewal", properties->next_renewal);
    print_time("It is past", properties->clock_floor);
    if (properties->clock_source[0])
        print_field("as is known by", properties->clock_source, COLOUR_NONE);
    for (size_t i = 0; i < properties->peer_crls.count; i++)
        print_peer_crl(&properties->peer_crls.list[i]);
    print_field("Key", properties->key_algorithm, COLOUR_NONE);
    if (properties->certificates.count > 0)
        print_fingerprint(&properties->certificates.list[0]);
}

static ExitCode print_chain(const char *title, const BytesArray *array) {
    _cleanup_certificates_ CertificateList certificates = { 0 };

    int r = certificates_from_der(array->list, array->count, &certificates);
    if (r < 0) {
        complain("identityd sent certificates that cannot be read: %s.", strerror(-r));
        return EXIT_FAILED;
    }
    printf("%14s\n", title);
    certificates_print(&certificates, stdout, "                ");
    return EXIT_OK;
}

static ExitCode print_pem(const BytesArray *array) {
    for (size_t i = 0; i < array->count; i++) {
        _cleanup_bytes_ Bytes pem = BYTES_NULL;
        if (pem_encode("CERTIFICATE", bytes_view(&array->list[i]), &pem) < 0)
            return EXIT_FAILED;
        fwrite(pem.data, 1, pem.size, stdout);
    }
    return EXIT_OK;
}

static ExitCode show_run(const Command *command) {
    _cleanup_bus_ Bus bus = { 0 };
    _cleanup_properties_ IdentityProperties properties = { 0 };
    _cleanup_free_ char *tpm_problem = NULL;

    ExitCode code = bus_open(command, false, &bus);
    if (code == EXIT_OK)
        code = identity_properties_get(&bus, command->arguments[0], &properties, NULL);
    if (code != EXIT_OK)
        return code;
    if (command_has(command, "chain") || command_has(command, "anchors")) {
        const BytesArray *array = command_has(command, "chain") ? &properties.certificates : &properties.anchors;
        if (array->count == 0) {
            complain("%s has no %s.", properties.name, array == &properties.anchors ? "anchors" : "certificate yet");
            return EXIT_FAILED;
        }
        return print_pem(array);
    }
    if (command_has(command, "json"))
        return json_print(identity_properties_to_json(&properties), false) < 0 ? EXIT_FAILED : EXIT_OK;
    if (strcmp(properties.state, "unavailable") == 0)
        code = bus_manager_property(&bus, "TpmProblem", &tpm_problem);
    if (code != EXIT_OK)
        return code;
    print_identity(&properties, tpm_problem);
    if (properties.certificates.count > 0)
        code = print_chain("Chain", &properties.certificates);
    if (code == EXIT_OK && properties.anchors.count > 0)
        code = print_chain("Anchors", &properties.anchors);
    return code;
}

static const Option show_options[] = {
    { "json", 'j', NULL, "An object instead of text" },
    { "chain", 0, NULL, "Only the certificate chain, as PEM, leaf first" },
    { "anchors", 0, NULL, "Only the anchors that peers are verified with, as PEM" },
    { NULL },
};

const Verb verb_show = {
    .name = "show",
    .synopsis = "IDENTITY",
    .summary = "Show an identity, its chain and its anchors",
    .options = show_options,
    .minimum = 1,
    .maximum = 1,
    .run = show_run,
};
