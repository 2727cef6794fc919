/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* identityd-proxy: mutual TLS for programs that have none, in either direction. */
#include "command/complain.h"
#include "proxy/program.h"

#include <locale.h>
#include <stdio.h>

int main(int argc, char **argv) {
    Command command;

    setlocale(LC_ALL, "");
    ExitCode code = command_parse(&proxy_program, &proxy_verb, argc, argv, &command);
    if (code == _EXIT_CONTINUE)
        code = proxy_verb.run(&command);
    if (fflush(stdout) == EOF || ferror(stdout)) {
        complain("cannot write to standard output.");
        return code == EXIT_OK ? EXIT_FAILED : code;
    }
    return code;
}
