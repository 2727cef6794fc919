/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* identityd-proxy: mutual TLS for programs that have none, in either direction. */
#include "command/complain.h"
#include "proxy/program.h"

#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

/* Its memory has what the two sides say to each other and the keys of their sessions: no process of the same user reads
 * it, and no core dump has it, also where no unit says so. */
static ExitCode harden(void) {
    const struct rlimit no_core = { 0, 0 };

    if (prctl(PR_SET_DUMPABLE, 0) == 0 && setrlimit(RLIMIT_CORE, &no_core) == 0 &&
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0)
        return EXIT_OK;
    complain("cannot keep others from reading this process's memory: %s.", strerror(errno));
    return EXIT_FAILED;
}

int main(int argc, char **argv) {
    Command command;

    setlocale(LC_ALL, "");
    ExitCode code = harden();
    if (code == EXIT_OK)
        code = command_parse(&proxy_program, &proxy_verb, argc, argv, &command);
    if (code == _EXIT_CONTINUE)
        code = proxy_verb.run(&command);
    if (fflush(stdout) == EOF || ferror(stdout)) {
        complain("cannot write to standard output.");
        return code == EXIT_OK ? EXIT_FAILED : code;
    }
    return code;
}
