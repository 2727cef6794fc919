/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* idctl proxy: what people call identityd-proxy by. The service's units start that itself. */
#include "command/complain.h"
#include "idctl/verbs.h"

#include <string.h>

/* Arguments, help and complaints are the program's: there is one table of options. */
static ExitCode pass_on(int argc, char **argv) {
    argv[0] = (char[]) { "identityd-proxy" };
    (void) execv(IDENTITYD_PROXY, argv);
    complain("cannot run %s: %s.", IDENTITYD_PROXY, strerror(errno));
    return EXIT_FAILED;
}

const Verb verb_proxy = {
    .name = "proxy",
    .synopsis = "IDENTITY",
    .summary = "Give programs without TLS mutual TLS as this identity",
    .pass_on = pass_on,
};
