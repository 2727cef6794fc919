/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* idctl list: every identity in one line. */
#include "common/names.h"
#include "idctl/bus.h"
#include "idctl/output.h"
#include "idctl/verbs.h"

#include <stdio.h>

typedef struct Row {
    const char *name, *path, *state, *activity;
    uint64_t not_after, next_renewal;
} Row;

static int print_name(const Row *row, void *userdata) {
    (void) printf("%s\n", row->name); /* main looks whether all was written */
    return 0;
}

static int add_json(const Row *row, void *userdata) {
    return json_array_append_new(userdata, json_pack("{s:s, s:s, s:s, s:s, s:o, s:o}", "name", row->name, "path",
                                                     row->path, "state", row->state, "activity", row->activity,
                                                     "not_after", time_to_json(row->not_after), "next_renewal",
                                                     time_to_json(row->next_renewal))) < 0
               ? -ENOMEM
               : 0;
}

static int add_line(const Row *row, void *userdata) {
    uint64_t now = time_now();
    _cleanup_free_ char *not_after = time_to_text(row->not_after, now), *renewal = time_to_text(row->next_renewal, now);
    const char *cells[] = { row->name, row->state, row->activity, not_after, renewal };
    Colour cell_colours[] = { COLOUR_STRONG, colour_of_state(row->state), COLOUR_NONE, COLOUR_NONE, COLOUR_NONE };

    return table_add(userdata, cells, cell_colours, ARRAY_LENGTH(cells));
}

static int for_each_row(sd_bus_message *reply, int (*callback)(const Row *, void *), void *userdata) {
    Row row;

    int r = sd_bus_message_enter_container(reply, 'a', "(sosstt)");
    if (r < 0)
        return r;
    while ((r = sd_bus_message_read(reply, "(sosstt)", &row.name, &row.path, &row.state, &row.activity, &row.not_after,
                                    &row.next_renewal)) > 0)
        if ((r = callback(&row, userdata)) < 0)
            return r;
    return r;
}

/* Those that have state but no configuration, as rows. */
static int for_each_forgotten(sd_bus_message *forgotten, int (*callback)(const Row *, void *), void *userdata) {
    Row row = { .path = "", .state = "forgotten", .activity = "idle" };
    int r = forgotten ? sd_bus_message_enter_container(forgotten, 'a', "s") : 0;

    if (!forgotten || r < 0)
        return r;
    while ((r = sd_bus_message_read(forgotten, "s", &row.name)) > 0)
        if ((r = callback(&row, userdata)) < 0)
            return r;
    return r;
}

/* `forgotten`: NULL without --all. */
typedef struct Replies {
    sd_bus_message *identities, *forgotten;
} Replies;

static int for_each(const Replies *replies, int (*callback)(const Row *, void *), void *userdata) {
    int r = for_each_row(replies->identities, callback, userdata);

    return r < 0 ? r : for_each_forgotten(replies->forgotten, callback, userdata);
}

static int print_table(const Replies *replies) {
    static const char *const columns[] = { "NAME", "STATE", "ACTIVITY", "NOT AFTER", "NEXT RENEWAL", NULL };
    _cleanup_table_ struct libscols_table *table = table_new(columns);

    if (!table)
        return -ENOMEM;
    int r = for_each(replies, add_line, table);
    if (r < 0)
        return r;
    if (scols_table_get_nlines(table) == 0) {
        printf("No identities are configured. See identity.conf(5).\n");
        return 0;
    }
    return scols_print_table(table);
}

static int print_json(const Replies *replies) {
    _cleanup_json_ json_t *array = json_array();

    int r = array ? for_each(replies, add_json, array) : -ENOMEM;
    return r < 0 ? r : json_print(TAKE_PTR(array), false);
}

/* Why there are some that cannot sign, below the table. Without an answer there is nothing to say. */
static void tell_tpm_problem(Bus *bus) {
    _cleanup_free_ char *problem = NULL;

    if (bus_manager_property(bus, "TpmProblem", &problem) == EXIT_OK && problem[0])
        complain("the TPM: %s", problem);
}

static ExitCode list_run(const Command *command) {
    _cleanup_bus_ Bus bus = { 0 };
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL, *forgotten = NULL;

    ExitCode code = bus_open(command, false, &bus);
    if (code == EXIT_OK)
        code = bus_call_manager(&bus, "ListIdentities", "list the identities", &reply);
    if (code == EXIT_OK && command_has(command, "all"))
        code = bus_call_manager(&bus, "ListForgotten", "list what was forgotten", &forgotten);
    if (code != EXIT_OK)
        return code;
    const Replies replies = { reply, forgotten };
    int r = command_has(command, "json")    ? print_json(&replies)
            : command_has(command, "quiet") ? for_each(&replies, print_name, NULL)
                                            : print_table(&replies);
    if (r < 0)
        return bus_complain(NULL, r, "show the identities");
    if (!command_has(command, "quiet"))
        tell_tpm_problem(&bus);
    return EXIT_OK;
}

static const Option list_options[] = {
    { "all", 'a', NULL, "Also those that have state but no configuration any more" },
    { "json", 'j', NULL, "An array of objects instead of a table" },
    { NULL },
};

const Verb verb_list = {
    .name = "list",
    .synopsis = "",
    .summary = "List the identities; with --quiet, their names alone",
    .options = list_options,
    .run = list_run,
};
