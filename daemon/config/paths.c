/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where configuration files are found: the search order of systemd.unit(5) and its *.conf.d/ drop-ins, which are sorted
 * by file name over all directories, a later directory's file replacing an earlier one's of the same name. */
#include "common/names.h"
#include "config/daemon-config.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#define FILES_MAX 1024U /* configuration files that are looked at in one directory */

/* A file found under a name, in the last directory that has the name. */
typedef struct Found {
    char *name, *path; /* owned */
    bool masked;
} Found;

typedef struct FoundList {
    Found *list;
    size_t count;
} FoundList;

static void found_list_clear(FoundList *found) {
    for (size_t i = 0; i < found->count; i++) {
        free(found->list[i].name);
        free(found->list[i].path);
    }
    free(found->list);
    *found = (FoundList) { NULL, 0 };
}

/* Puts NAME at PATH into the list, or replaces the path of an earlier directory. Takes nothing. */
static int found_list_put(FoundList *found, const char *name, const char *path, bool masked) {
    _cleanup_free_ char *new_name = strdup(name), *new_path = strdup(path);

    if (!new_name || !new_path)
        return -ENOMEM;
    for (size_t i = 0; i < found->count; i++)
        if (strcmp(found->list[i].name, name) == 0) {
            free(found->list[i].path);
            found->list[i].path = TAKE_PTR(new_path);
            found->list[i].masked = masked;
            return 0;
        }
    Found *grown = reallocarray(found->list, found->count + 1, sizeof(*grown));
    if (!grown)
        return -ENOMEM;
    found->list = grown;
    grown[found->count++] = (Found) { TAKE_PTR(new_name), TAKE_PTR(new_path), masked };
    return 0;
}

static int compare_found(const void *a, const void *b) {
    return strcmp(((const Found *) a)->name, ((const Found *) b)->name);
}

/* Whether `path` is masked: empty, or a link to /dev/null. -ENOENT, or another -errno. */
static int is_masked(const char *path, bool *ret) {
    struct stat status;

    if (stat(path, &status) < 0)
        return -errno;
    *ret = (S_ISREG(status.st_mode) && status.st_size == 0) ||
           (S_ISCHR(status.st_mode) && status.st_rdev == makedev(1, 3));
    return 0;
}

static bool has_suffix(const char *name, const char *suffix) {
    size_t length = strlen(name), end = strlen(suffix);

    return length > end && strcmp(name + length - end, suffix) == 0;
}

/* Puts every visible file of `directory` with `suffix` into `found`. No such directory is fine. */
static int scan_directory(const char *directory, const char *suffix, FoundList *found) {
    DIR *stream = opendir(directory);
    size_t count = 0;
    int r = 0;

    if (!stream)
        return errno == ENOENT ? 0 : -errno;
    for (;;) {
        errno = 0;
        struct dirent *entry = readdir(stream);
        if (!entry) {
            r = -errno;
            break;
        }
        if (entry->d_name[0] == '.' || !has_suffix(entry->d_name, suffix))
            continue;
        if (++count > FILES_MAX) {
            r = -E2BIG;
            break;
        }
        _cleanup_free_ char *path = NULL;
        if (asprintf(&path, "%s/%s", directory, entry->d_name) < 0) {
            path = NULL;
            r = -ENOMEM;
            break;
        }
        /* What vanishes meanwhile, or a link into nowhere, is left for the reader to complain about. */
        bool masked = false;
        (void) is_masked(path, &masked);
        r = found_list_put(found, entry->d_name, path, masked);
        if (r < 0)
            break;
    }
    (void) closedir(stream);
    return r;
}

static const char *directory_at(const ConfigDirectories *directories, size_t i) {
    return i == 0 ? directories->vendor : i == 1 ? directories->runtime : directories->configuration;
}
#define DIRECTORY_COUNT 3U

/* The first path of the variable, or the default. */
static int from_variable(const char *variable, const char *otherwise, const char *below, char **ret) {
    const char *value = getenv(variable);
    char *path = NULL;

    if (!value || value[0] == '\0')
        value = otherwise;
    size_t length = strcspn(value, ":");
    if (value[0] != '/')
        return -EINVAL;
    if (asprintf(&path, "%.*s%s", (int) length, value, below) < 0)
        return -ENOMEM;
    *ret = path;
    return 0;
}

int config_directories_from_environment(ConfigDirectories *ret) {
    _cleanup_config_directories_ ConfigDirectories directories = { 0 };

    directories.vendor = strdup(IDENTITYD_VENDOR_DIRECTORY);
    if (!directories.vendor)
        return -ENOMEM;
    int r = from_variable("RUNTIME_DIRECTORY", IDENTITYD_RUNTIME_DIRECTORY, "/conf", &directories.runtime);
    if (r < 0)
        return r;
    r = from_variable("CONFIGURATION_DIRECTORY", IDENTITYD_CONFIGURATION_DIRECTORY, "", &directories.configuration);
    if (r < 0)
        return r;
    *ret = directories;
    directories = (ConfigDirectories) { 0 };
    return 0;
}

void config_directories_clear(ConfigDirectories *directories) {
    free(directories->vendor);
    free(directories->runtime);
    free(directories->configuration);
    *directories = (ConfigDirectories) { 0 };
}

/* Appends a copy to a NULL-terminated list. */
static int append(char ***strings, const char *string) {
    size_t count = strings_count(*strings);
    char **grown = reallocarray(*strings, count + 2, sizeof(*grown));

    if (!grown)
        return -ENOMEM;
    *strings = grown;
    grown[count + 1] = NULL;
    grown[count] = strdup(string);
    return grown[count] ? 0 : -ENOMEM;
}

/* The main file in the last directory that has it: 1 and its path, 0 if there is none or it is masked. */
static int find_main_file(const ConfigDirectories *directories, const char *file, char **ret) {
    for (size_t i = DIRECTORY_COUNT; i-- > 0;) {
        _cleanup_free_ char *path = NULL;
        bool masked = false;
        if (asprintf(&path, "%s/%s", directory_at(directories, i), file) < 0) {
            path = NULL;
            return -ENOMEM;
        }
        int r = is_masked(path, &masked);
        if (r == -ENOENT || r == -ENOTDIR) {
            struct stat status;
            if (lstat(path, &status) < 0)
                continue;
        }
        if (r == 0 && masked)
            return 0;
        *ret = TAKE_PTR(path);
        return 1;
    }
    return 0;
}

static int append_drop_ins(const ConfigDirectories *directories, const char *file, char ***paths) {
    _cleanup_(found_list_clear) FoundList found = { NULL, 0 };

    for (size_t i = 0; i < DIRECTORY_COUNT; i++) {
        _cleanup_free_ char *directory = NULL;
        if (asprintf(&directory, "%s/%s.d", directory_at(directories, i), file) < 0) {
            directory = NULL;
            return -ENOMEM;
        }
        int r = scan_directory(directory, ".conf", &found);
        if (r < 0)
            return r;
    }
    if (found.count > 0)
        qsort(found.list, found.count, sizeof(*found.list), compare_found);
    for (size_t i = 0; i < found.count; i++) {
        if (found.list[i].masked)
            continue;
        int r = append(paths, found.list[i].path);
        if (r < 0)
            return r;
    }
    return 0;
}

int config_file_paths(const ConfigDirectories *directories, const char *file, char ***ret) {
    _cleanup_strings_ char **paths = calloc(1, sizeof(*paths));
    _cleanup_free_ char *main_file = NULL;

    if (!paths)
        return -ENOMEM;
    int r = find_main_file(directories, file, &main_file);
    if (r > 0)
        r = append(&paths, main_file);
    if (r < 0)
        return r;
    r = append_drop_ins(directories, file, &paths);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(paths);
    return 0;
}

/* Published files live in a directory of the identity's name beside these (docs/design.md §6). */
static bool name_is_reserved(const char *name) {
    return strcmp(name, "conf") == 0 || has_suffix(name, ".socket");
}

int config_identity_paths(const ConfigDirectories *directories, const char *name, char ***ret) {
    _cleanup_free_ char *file = NULL, *main_file = NULL;

    if (!identity_name_is_valid(name) || name_is_reserved(name))
        return -ENOENT;
    if (asprintf(&file, "identities/%s.conf", name) < 0) {
        file = NULL;
        return -ENOMEM;
    }
    int r = find_main_file(directories, file, &main_file);
    if (r <= 0)
        return r < 0 ? r : -ENOENT;
    return config_file_paths(directories, file, ret);
}

int config_list_identities(const ConfigDirectories *directories, Problems *problems, char ***ret) {
    _cleanup_(found_list_clear) FoundList found = { NULL, 0 };
    _cleanup_strings_ char **names = calloc(1, sizeof(*names));
    bool incomplete = false;

    if (!names)
        return -ENOMEM;
    for (size_t i = 0; i < DIRECTORY_COUNT; i++) {
        _cleanup_free_ char *directory = NULL;
        if (asprintf(&directory, "%s/identities", directory_at(directories, i)) < 0) {
            directory = NULL;
            return -ENOMEM;
        }
        int r = scan_directory(directory, ".conf", &found);
        incomplete = incomplete || r < 0;
        if (r == -E2BIG)
            r = problems_add(problems, false, directory, 0, "holds more than %u configuration files", FILES_MAX);
        else if (r < 0 && r != -ENOMEM)
            r = problems_add(problems, false, directory, 0, "cannot be read: %s", strerror(-r));
        if (r < 0)
            return r;
    }
    if (found.count > 0)
        qsort(found.list, found.count, sizeof(*found.list), compare_found);
    for (size_t i = 0; i < found.count; i++) {
        if (found.list[i].masked)
            continue;
        char *name = found.list[i].name;
        name[strlen(name) - strlen(".conf")] = '\0';
        int r =
            identity_name_is_valid(name) && !name_is_reserved(name)
                ? append(&names, name)
                : problems_add(problems, false, found.list[i].path, 0,
                               "\"%s\" cannot name an identity: 1 to %u characters, a-z, 0-9, '.', '_' and '-', the "
                               "first a letter or digit; not conf and not *.socket",
                               name, IDENTITY_NAME_MAX);
        if (r < 0)
            return r;
    }
    *ret = TAKE_PTR(names);
    return incomplete ? 1 : 0;
}
