/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Terminal, colours, times, tables and JSON: see output.h. */
#include "idctl/output.h"

#include <string.h>
#include <time.h>

const char *colour_name(Colour colour) {
    static const char *const names[] = {
        [COLOUR_GOOD] = "green",     [COLOUR_BAD] = "red",     [COLOUR_ATTENTION] = "brown",
        [COLOUR_FAINT] = "darkgray", [COLOUR_STRONG] = "bold",
    };

    return names[colour];
}

Colour colour_of_state(const char *state) {
    if (strcmp(state, "ready") == 0)
        return COLOUR_GOOD;
    if (strcmp(state, "empty") == 0)
        return COLOUR_ATTENTION;
    if (strcmp(state, "retired") == 0)
        return COLOUR_FAINT;
    return COLOUR_BAD;
}

json_t *text_to_json(const char *text) {
    _cleanup_free_ char *printable = printable_copy(text);

    return printable ? json_string(printable) : NULL;
}

uint64_t time_now(void) {
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t) now.tv_sec * 1000000U + (uint64_t) now.tv_nsec / 1000U;
}

const char *duration_to_text(uint64_t microseconds, char ret[static 32]) {
    static const struct {
        uint64_t seconds;
        const char *name;
    } units[] = { { 31557600, "years" }, { 86400, "days" }, { 3600, "hours" }, { 60, "minutes" } };
    uint64_t seconds = microseconds / 1000000U;

    for (size_t i = 0; i < ARRAY_LENGTH(units); i++)
        if (seconds >= 2 * units[i].seconds) {
            snprintf(ret, 32, "%llu %s", (unsigned long long) (seconds / units[i].seconds), units[i].name);
            return ret;
        }
    snprintf(ret, 32, "%llu second%s", (unsigned long long) seconds, seconds == 1 ? "" : "s");
    return ret;
}

char *time_to_text(uint64_t time, uint64_t now) {
    char date[64], duration[32], *text = NULL;
    time_t seconds = (time_t) (time / 1000000U);
    struct tm parts;

    if (time == 0)
        return strdup("-");
    if (!localtime_r(&seconds, &parts) || strftime(date, sizeof date, "%Y-%m-%d %H:%M:%S %Z", &parts) == 0)
        return strdup("out of range");
    if (now == 0)
        return strdup(date);
    duration_to_text(time > now ? time - now : now - time, duration);
    return asprintf(&text, time > now ? "%s (in %s)" : "%s (%s ago)", date, duration) < 0 ? NULL : text;
}

json_t *time_to_json(uint64_t time) {
    char date[64];
    time_t seconds = (time_t) (time / 1000000U);
    struct tm parts;

    if (time == 0 || !gmtime_r(&seconds, &parts) || strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ", &parts) == 0)
        return json_null();
    return json_string(date);
}

int json_print(json_t *value, bool compact) {
    _cleanup_json_ json_t *owned = value;

    if (!owned)
        return -ENOMEM;
    if (json_dumpf(owned, stdout, (compact ? JSON_COMPACT : JSON_INDENT(2)) | JSON_ENCODE_ANY) < 0)
        return -EIO;
    return fputc('\n', stdout) == EOF || fflush(stdout) == EOF ? -EIO : 0;
}

struct libscols_table *table_new(const char *const *columns) {
    struct libscols_table *table = scols_new_table();

    if (!table)
        return NULL;
    scols_table_enable_colors(table, colour_is_shown(stdout));
    for (size_t i = 0; columns[i]; i++)
        if (!scols_table_new_column(table, columns[i], 0, 0)) {
            scols_unref_table(table);
            return NULL;
        }
    return table;
}

int table_add(struct libscols_table *table, const char *const *cells, const Colour *cell_colours, size_t count) {
    struct libscols_line *line = scols_table_new_line(table, NULL);

    if (!line)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        if (cells[i] && scols_line_set_data(line, i, cells[i]) != 0)
            return -ENOMEM;
        if (cell_colours && colour_name(cell_colours[i]))
            scols_cell_set_color(scols_line_get_cell(line, i), colour_name(cell_colours[i]));
    }
    return 0;
}

void print_field(const char *label, const char *value, Colour colour) {
    _cleanup_free_ char *printable = printable_copy(value ? value : "");

    printf("%14s  %s%s%s\n", label, colour == COLOUR_NONE ? "" : colour_of(stdout, colour), printable ? printable : "?",
           colour == COLOUR_NONE ? "" : colour_of(stdout, COLOUR_NONE));
}
