/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* idctl install: puts in place what a CA issued for a request. Files come in every order; the method wants the leaf
 * first. */
#include "common/names.h"
#include "idctl/certificates.h"
#include "idctl/operation.h"
#include "idctl/output.h"
#include "idctl/verbs.h"

static int append_chain(sd_bus_message *call, const CertificateList *certificates) {
    int r = sd_bus_message_open_container(call, 'a', "ay");

    for (size_t i = 0; r >= 0 && i < certificates->count; i++) {
        const Bytes *der = &certificates->list[i]->der;
        r = sd_bus_message_append_array(call, 'y', der->data, der->size);
    }
    return r < 0 ? r : sd_bus_message_close_container(call);
}

static ExitCode install_chain(Bus *bus, const char *identity, const CertificateList *certificates) {
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *call = NULL;
    _cleanup_free_ char *path = NULL;

    ExitCode code = bus_identity_path(bus, identity, &path);
    if (code == EXIT_OK)
        code = bus_new_call(bus, path, IDENTITYD_IDENTITY_INTERFACE, "InstallCertificate", &call);
    if (code != EXIT_OK)
        return code;
    int r = append_chain(call, certificates);
    if (r < 0)
        return bus_complain(NULL, r, "make a message");
    return bus_call_long(bus, call, identity, "install the certificate", NULL);
}

static ExitCode install_run(const Command *command) {
    _cleanup_bus_ Bus bus = { 0 };
    _cleanup_certificates_ CertificateList certificates = { 0 };

    ExitCode code = certificates_read_chain(command->arguments[1], &certificates);
    if (code == EXIT_OK)
        code = bus_open(command, true, &bus);
    if (code == EXIT_OK)
        code = install_chain(&bus, command->arguments[0], &certificates);
    return code == EXIT_OK ? operation_report(&bus, command, command->arguments[0]) : code;
}

static const Option install_options[] = {
    { "json", 'j', NULL, "The identity afterwards, as an object" },
    { NULL },
};

const Verb verb_install = {
    .name = "install",
    .synopsis = "IDENTITY FILE",
    .summary = "Install an issued certificate and its chain (PEM, PKCS#7 or DER)",
    .options = install_options,
    .minimum = 2,
    .maximum = 2,
    .run = install_run,
};
