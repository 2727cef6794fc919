/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Figures, measured on a swtpm of its own, and the ratios between them that identityd promises. Absolute times say
 * something about the machine; a ratio within one run says something about the code, and is what may fail. */
#include "bench.h"

#include <getopt.h>
#include <jansson.h>
#include <libsmartcols/libsmartcols.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define ROUNDS 10U /* measurements take turns, so that a disturbance of the machine meets all of them */

static const Measurement *const measurements[] = {
    &measure_raw_sign,     &measure_tpm_sign,       &measure_tpm_sign_after_pause, &measure_verify,
    &measure_tpm_new_load, &measure_raw_load_flush, &measure_tpm_create,
};
#define MEASUREMENT_COUNT ARRAY_LENGTH(measurements)

/* `of` divided by `by`; it fails above `limit`. */
static const struct {
    const char *name, *of, *by;
    double limit; /* 0: for information */
} ratios[] = {
    { "sign / raw sign", "tpm-sign", "raw-sign", 1.25 },
    { "sign after a pause / raw sign", "tpm-sign-after-pause", "raw-sign", 0 },
    { "load and sign / raw load, flush and sign", "tpm-new-load", "raw-load-flush", 0 },
};

/* ---- samples ---- */

static int compare_double(const void *a, const void *b) {
    double x = *(const double *) a, y = *(const double *) b;
    return x < y ? -1 : x > y;
}

static double median(const Samples *samples) {
    _cleanup_free_ double *sorted = NULL;

    if (samples->count == 0)
        return 0;
    sorted = calloc(samples->count, sizeof *sorted);
    if (!sorted)
        abort();
    memcpy(sorted, samples->values, samples->count * sizeof *sorted);
    qsort(sorted, samples->count, sizeof *sorted, compare_double);
    return sorted[samples->count / 2];
}

int samples_add(Samples *samples, double value) {
    double *grown = reallocarray(samples->values, samples->count + 1, sizeof *grown);

    if (!grown)
        return -ENOMEM;
    samples->values = grown;
    samples->values[samples->count++] = value;
    return 0;
}

double bench_now(void) {
    struct timespec now;

    (void) clock_gettime(CLOCK_MONOTONIC, &now);
    return (double) now.tv_sec * 1e6 + (double) now.tv_nsec / 1e3;
}

int bench_time(Bench *bench, size_t times, int (*once)(Bench *bench), Samples *samples) {
    for (size_t i = 0; i < times; i++) {
        double before = bench_now();
        int r = once(bench);

        if (r >= 0)
            r = samples_add(samples, bench_now() - before);
        if (r < 0)
            return r;
    }
    return 0;
}

/* ---- results ---- */

typedef struct Results {
    bool wanted[MEASUREMENT_COUNT];
    Samples samples[MEASUREMENT_COUNT];
} Results;

static int find_measurement(const char *name) {
    for (size_t i = 0; i < MEASUREMENT_COUNT; i++)
        if (strcmp(measurements[i]->name, name) == 0)
            return (int) i;
    return -1;
}

/* 0 where one of the two was not measured. */
static double ratio_value(const Results *results, size_t i) {
    int of = find_measurement(ratios[i].of), by = find_measurement(ratios[i].by);
    double divisor = by >= 0 ? median(&results->samples[by]) : 0;

    return of >= 0 && divisor > 0 ? median(&results->samples[of]) / divisor : 0;
}

static bool ratio_is_kept(const Results *results, size_t i) {
    return ratios[i].limit <= 0 || ratio_value(results, i) <= ratios[i].limit;
}

static void add_row(struct libscols_table *table, const char *name, double value, const char *unit, const char *note) {
    struct libscols_line *line = scols_table_new_line(table, NULL);
    char number[32];

    if (!line)
        abort();
    (void) snprintf(number, sizeof number, value < 10 ? "%.2f" : "%.0f", value);
    if (scols_line_set_data(line, 0, name) < 0 || scols_line_set_data(line, 1, number) < 0 ||
        scols_line_set_data(line, 2, unit) < 0 || scols_line_set_data(line, 3, note) < 0)
        abort();
}

static void print_table(const Results *results) {
    struct libscols_table *table;
    char note[64];

    scols_init_debug(0);
    table = scols_new_table();
    if (!table || !scols_table_new_column(table, "MEASUREMENT", 0, 0) ||
        !scols_table_new_column(table, "MEDIAN", 0, SCOLS_FL_RIGHT) || !scols_table_new_column(table, "UNIT", 0, 0) ||
        !scols_table_new_column(table, "WHAT", 0, 0))
        abort();
    for (size_t i = 0; i < MEASUREMENT_COUNT; i++)
        if (results->samples[i].count > 0)
            add_row(table, measurements[i]->name, median(&results->samples[i]), measurements[i]->unit,
                    measurements[i]->description);
    for (size_t i = 0; i < ARRAY_LENGTH(ratios); i++) {
        double value = ratio_value(results, i);

        if (value <= 0)
            continue;
        note[0] = '\0';
        if (ratios[i].limit > 0)
            (void) snprintf(note, sizeof note, "%s: at most %.2f", ratio_is_kept(results, i) ? "kept" : "TOO MUCH",
                            ratios[i].limit);
        add_row(table, ratios[i].name, value, "ratio", note);
    }
    (void) scols_print_table(table);
    scols_unref_table(table);
}

static int print_json(const Results *results) {
    json_t *figures = json_object(), *quotients = json_object(), *all = NULL;
    int r = 0;

    for (size_t i = 0; i < MEASUREMENT_COUNT; i++)
        if (results->samples[i].count > 0)
            r |= json_object_set_new(figures, measurements[i]->name,
                                     json_pack("{s:f, s:s, s:I}", "median", median(&results->samples[i]), "unit",
                                               measurements[i]->unit, "samples",
                                               (json_int_t) results->samples[i].count));
    for (size_t i = 0; i < ARRAY_LENGTH(ratios); i++)
        if (ratio_value(results, i) > 0)
            r |= json_object_set_new(quotients, ratios[i].name,
                                     json_pack("{s:f, s:f, s:b}", "value", ratio_value(results, i), "limit",
                                               ratios[i].limit, "kept", (int) ratio_is_kept(results, i)));
    all = json_pack("{s:o, s:o}", "measurements", figures, "ratios", quotients);
    if (r != 0 || !all || json_dumpf(all, stdout, JSON_INDENT(2)) < 0)
        r = -1;
    putchar('\n');
    json_decref(all);
    return r;
}

/* ---- the program ---- */

static void print_help(void) {
    printf("bench [OPTIONS…] [MEASUREMENT…]\n\n"
           "Measures identityd's parts on a swtpm of its own and prints medians and ratios.\n"
           "Exit status: 0, 1 if something failed, 2 on wrong usage, 3 if a ratio is above its limit.\n\n"
           "  --samples N   samples of each measurement (default 1000)\n"
           "  --json        print JSON\n"
           "  --help        print this\n\n"
           "Measurements (all, if none is named):\n");
    for (size_t i = 0; i < MEASUREMENT_COUNT; i++)
        printf("  %-24s %s\n", measurements[i]->name, measurements[i]->description);
}

static int measure_all(Bench *bench, size_t samples, Results *results) {
    for (size_t round = 0; round < ROUNDS; round++)
        for (size_t i = 0; i < MEASUREMENT_COUNT; i++) {
            size_t times = samples / ROUNDS / (measurements[i]->cost ? measurements[i]->cost : 1);
            int r;

            if (!results->wanted[i])
                continue;
            r = measurements[i]->measure(bench, times > 0 ? times : 1, &results->samples[i]);
            if (r < 0) {
                fprintf(stderr, "bench: %s: %s\n", measurements[i]->name, strerror(-r));
                return r;
            }
        }
    return 0;
}

static int parse_names(int count, char *names[], Results *results) {
    for (size_t i = 0; i < MEASUREMENT_COUNT; i++)
        results->wanted[i] = count == 0;
    for (int i = 0; i < count; i++) {
        int found = find_measurement(names[i]);
        if (found < 0) {
            fprintf(stderr, "bench: no measurement \"%s\"; --help lists them\n", names[i]);
            return -EINVAL;
        }
        results->wanted[found] = true;
    }
    return 0;
}

int main(int argc, char *argv[]) {
    enum { OPTION_SAMPLES = 256, OPTION_JSON, OPTION_HELP };
    static const struct option options[] = { { "samples", required_argument, NULL, OPTION_SAMPLES },
                                             { "json", no_argument, NULL, OPTION_JSON },
                                             { "help", no_argument, NULL, OPTION_HELP },
                                             { 0 } };
    Results results = { 0 };
    Bench *bench = NULL;
    size_t samples = 1000;
    bool json = false, kept = true;
    int option, r;

    while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0)
        switch (option) {
        case OPTION_SAMPLES:
            samples = strtoul(optarg, NULL, 10);
            if (samples < 1 || samples > 1000000) {
                fprintf(stderr, "bench: --samples takes 1 to 1000000\n");
                return 2;
            }
            break;
        case OPTION_JSON:
            json = true;
            break;
        case OPTION_HELP:
            print_help();
            return 0;
        default:
            return 2;
        }
    if (parse_names(argc - optind, argv + optind, &results) < 0)
        return 2;
    (void) setenv("TSS2_LOG", "all+NONE", 0);
#if defined(__SANITIZE_ADDRESS__) || !defined(__OPTIMIZE__)
    fprintf(stderr, "bench: built with sanitizers or without optimization: the figures mean little\n");
#endif
    r = bench_open(&bench);
    if (r >= 0)
        r = measure_all(bench, samples, &results);
    else
        fprintf(stderr, "bench: cannot start: %s\n", strerror(-r));
    bench_close(bench);
    if (r >= 0 && json)
        r = print_json(&results);
    else if (r >= 0)
        print_table(&results);
    for (size_t i = 0; i < ARRAY_LENGTH(ratios); i++)
        kept = kept && ratio_is_kept(&results, i);
    for (size_t i = 0; i < MEASUREMENT_COUNT; i++)
        free(results.samples[i].values);
    return r < 0 ? 1 : kept ? 0 : 3;
}
