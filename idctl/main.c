/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* idctl: finds the verb and runs it. */
#include "command/command.h"
#include "idctl/output.h"
#include "idctl/verbs.h"

#include <locale.h>
#include <stdio.h>
#include <string.h>

/* In the order of the help: looking, getting, using, tending. */
static const Verb *const verbs[] = {
    &verb_list,    &verb_show,   &verb_monitor,     &verb_wait,    &verb_enroll,  &verb_renew,   &verb_request,
    &verb_install, &verb_retire, &verb_forget,      &verb_sign,    &verb_verify,  &verb_connect, &verb_proxy,
    &verb_check,   &verb_reload, &verb_reset_clock, &verb_metrics, &verb_version,
};

static void help(FILE *stream) {
    fprintf(stream, "idctl VERB [OPTIONS] [ARGUMENTS]\n\nAsk and use this device's identities.\n\n");
    for (size_t i = 0; i < ARRAY_LENGTH(verbs); i++) {
        char left[64];
        snprintf(left, sizeof left, "%s %s", verbs[i]->name, verbs[i]->synopsis);
        fprintf(stream, "  %-36s %s\n", left, verbs[i]->summary);
    }
    fprintf(stream, "\n  -h --help       Show this help\n     --version    Show the version\n\n"
                    "\"idctl VERB --help\" lists the options of a verb. See idctl(1).\n");
}

static ExitCode run(int argc, char **argv) {
    Command command;

    if (argc < 2) {
        help(stderr);
        return EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        help(stdout);
        return EXIT_OK;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("idctl %s\n", IDENTITYD_VERSION);
        return EXIT_OK;
    }
    for (size_t i = 0; i < ARRAY_LENGTH(verbs); i++)
        if (strcmp(argv[1], verbs[i]->name) == 0) {
            if (verbs[i]->pass_on)
                return verbs[i]->pass_on(argc - 1, argv + 1);
            ExitCode code = command_parse(&idctl_program, verbs[i], argc - 1, argv + 1, &command);
            return code == _EXIT_CONTINUE ? verbs[i]->run(&command) : code;
        }
    complain("there is no verb \"%s\". Try \"idctl --help\".", argv[1]);
    return EXIT_USAGE;
}

int main(int argc, char **argv) {
    setlocale(LC_ALL, "");
    ExitCode code = run(argc, argv);
    if (fflush(stdout) == EOF || ferror(stdout)) {
        complain("cannot write to standard output.");
        return code == EXIT_OK ? EXIT_FAILED : code;
    }
    return code;
}
