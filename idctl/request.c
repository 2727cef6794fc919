/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* idctl request: a PKCS#10 request for a CA that is reached by other means. */
#include "idctl/certificates.h"
#include "idctl/file.h"
#include "idctl/operation.h"
#include "idctl/output.h"
#include "idctl/verbs.h"

static ExitCode request_run(const Command *command) {
    _cleanup_bus_ Bus bus = { 0 };
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
    _cleanup_bytes_ Bytes pem = BYTES_NULL;
    const char *path = command_value(command, "out") ? command_value(command, "out") : "-";
    Operation operation = {
        .member = "CreateRequest",
        .what = "create a request",
        .option = "new-key",
        .has_option = command_has(command, "new-key"),
        .option_value = true,
    };
    BytesView der;

    ExitCode code = bus_open(command, true, &bus);
    if (code == EXIT_OK)
        code = operation_call(&bus, &operation, command->arguments[0], &reply);
    if (code != EXIT_OK)
        return code;
    int r = sd_bus_message_read_array(reply, 'y', (const void **) &der.data, &der.size);
    if (r < 0)
        return bus_complain(NULL, r, "understand identityd's answer");
    if (command_has(command, "der"))
        return file_write(path, der, true);
    r = pem_encode("CERTIFICATE REQUEST", der, &pem);
    return r < 0 ? bus_complain(NULL, r, "encode the request") : file_write(path, bytes_view(&pem), false);
}

static const Option request_options[] = {
    { "new-key", 0, NULL, "With a new key; else the pending request again, if there is one" },
    { "out", 'o', "FILE", "Write it there instead of to standard output" },
    { "der", 0, NULL, "DER instead of PEM" },
    { NULL },
};

const Verb verb_request = {
    .name = "request",
    .synopsis = "IDENTITY",
    .summary = "Make a certificate request (PKCS#10)",
    .options = request_options,
    .minimum = 1,
    .maximum = 1,
    .run = request_run,
};
