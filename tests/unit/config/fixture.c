/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* See fixture.h. */
#include "fixture.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

const char *fixture_path(const Fixture *fixture, const char *path) {
    static char buffers[4][512];
    static unsigned turn;
    char *buffer = buffers[turn++ % 4];

    (void) snprintf(buffer, sizeof(buffers[0]), "%s/%s", fixture->root, path);
    return buffer;
}

int fixture_setup(void **state) {
    Fixture *fixture = calloc(1, sizeof(*fixture));

    assert_non_null(fixture);
    (void) snprintf(fixture->root, sizeof(fixture->root), "/tmp/identityd-test-config-XXXXXX");
    assert_non_null(mkdtemp(fixture->root));
    fixture->directories = (ConfigDirectories) {
        .vendor = strdup(fixture_path(fixture, "vendor")),
        .runtime = strdup(fixture_path(fixture, "runtime")),
        .configuration = strdup(fixture_path(fixture, "etc")),
    };
    *state = fixture;
    return 0;
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *ftw) {
    return remove(path);
}

int fixture_teardown(void **state) {
    Fixture *fixture = *state;

    assert_int_equal(nftw(fixture->root, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
    config_directories_clear(&fixture->directories);
    free(fixture);
    return 0;
}

void fixture_write(const Fixture *fixture, const char *path, const char *content) {
    char full[512];

    (void) snprintf(full, sizeof(full), "%s", fixture_path(fixture, path));
    for (char *slash = full + strlen(fixture->root) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        assert_true(mkdir(full, 0755) == 0 || errno == EEXIST);
        *slash = '/';
    }
    FILE *file = fopen(full, "we");
    assert_non_null(file);
    assert_true(fputs(content, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

const Problem *find_problem(const Problems *problems, const char *text) {
    for (size_t i = 0; i < problems->count; i++)
        if (strstr(problems->list[i].text, text))
            return &problems->list[i];
    return NULL;
}

void expect_problem(const Fixture *fixture, Problems *problems, bool warning, const char *path, unsigned line,
                    const char *text) {
    if (problems->count != 1) {
        for (size_t i = 0; i < problems->count; i++)
            print_error("%s:%u: %s\n", problems->list[i].file, problems->list[i].line, problems->list[i].text);
        fail_msg("%zu problems instead of one with \"%s\"", problems->count, text);
    }
    const Problem *problem = &problems->list[0];
    if (!strstr(problem->text, text))
        fail_msg("\"%s\" is not in \"%s\"", text, problem->text);
    assert_int_equal(problem->warning, warning);
    if (path)
        assert_string_equal(problem->file, fixture_path(fixture, path));
    if (problem->line != line)
        fail_msg("line %u instead of %u: %s", problem->line, line, problem->text);
    problems_clear(problems);
}
