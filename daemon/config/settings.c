/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Merging of files by a table of keys. Only the value that wins is parsed, so a drop-in can put a faulty value right;
 * but what no table knows is an error wherever it stands. */
#include "config/settings.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define QUOTED_MAX 160 /* bytes of a value in a complaint */

static Setting *find(Settings *settings, const char *section, const char *key) {
    for (size_t i = 0; i < settings->key_count; i++)
        if (strcmp(settings->keys[i].section, section) == 0 && strcmp(settings->keys[i].key, key) == 0)
            return &settings->list[i];
    return NULL;
}

static bool section_is_known(const Settings *settings, const char *section) {
    for (size_t i = 0; i < settings->key_count; i++)
        if (strcmp(settings->keys[i].section, section) == 0)
            return true;
    return false;
}

/* "[A], [B]" of a table, or "K=, L=" of one section; the caller frees, NULL without memory. */
static char *list_known(const Settings *settings, const char *section) {
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);

    if (!stream)
        return NULL;
    const char *comma = "";
    for (size_t i = 0; i < settings->key_count; i++) {
        const SettingKey *key = &settings->keys[i];
        if (section ? strcmp(key->section, section) != 0
                    : i > 0 && strcmp(key->section, settings->keys[i - 1].section) == 0)
            continue;
        (void) (section ? fprintf(stream, "%s%s=", comma, key->key) : fprintf(stream, "%s[%s]", comma, key->section));
        comma = ", ";
    }
    if (fclose(stream) != 0) {
        free(text);
        return NULL;
    }
    return text;
}

static int refuse_unknown(const Settings *settings, const IniFile *file, const IniEntry *entry) {
    _cleanup_free_ char *known = list_known(settings, entry->key ? entry->section : NULL);

    if (!known)
        return -ENOMEM;
    if (!entry->key)
        return problems_add(settings->problems, false, file->path, entry->line, "[%s]: unknown section; known are %s",
                            entry->section, known);
    return problems_add(settings->problems, false, file->path, entry->line, "[%s] %s=: unknown key; known are %s",
                        entry->section, entry->key, known);
}

static int merge_file(Settings *settings, const IniFile *file) {
    for (size_t i = 0; i < file->count; i++) {
        const IniEntry *entry = &file->entries[i];
        bool known_section = section_is_known(settings, entry->section);
        if (known_section && !entry->key)
            continue;
        Setting *setting = known_section ? find(settings, entry->section, entry->key) : NULL;
        if (!setting && (known_section || !entry->key)) {
            int r = refuse_unknown(settings, file, entry);
            if (r < 0)
                return r;
        }
        if (!setting)
            continue;
        setting->value = entry->value[0] != '\0' ? entry->value : NULL;
        setting->file = file->path;
        setting->line = entry->line;
    }
    return 0;
}

int settings_read(const SettingKey *keys, size_t key_count, char *const *paths, Problems *problems, Settings *ret) {
    _cleanup_settings_ Settings settings = { .keys = keys, .key_count = key_count, .problems = problems };
    size_t path_count = 0;
    int failed = 0;

    assert(key_count <= SETTING_KEYS_MAX);
    for (size_t i = 0; i < key_count; i++)
        settings.list[i] = (Setting) { .key = &keys[i], .problems = problems };
    while (paths && paths[path_count])
        path_count++;
    settings.files = calloc(path_count + 1, sizeof(*settings.files));
    if (!settings.files)
        return -ENOMEM;
    for (size_t i = 0; i < path_count; i++) {
        IniFile *file = NULL;
        int r = ini_read(paths[i], problems, &file);
        if (r == -ENOMEM)
            return r;
        if (r < 0) {
            failed = failed ?: r;
            continue;
        }
        settings.files[settings.file_count++] = file;
        r = merge_file(&settings, file);
        if (r < 0)
            return r;
    }
    *ret = settings;
    settings = (Settings) { 0 };
    return failed;
}

int settings_apply(const Settings *settings, void *target) {
    for (size_t i = 0; i < settings->key_count; i++) {
        const Setting *setting = &settings->list[i];
        if (!setting->value)
            continue;
        int r = setting->key->parse(setting, target);
        if (r < 0)
            return r;
    }
    return 0;
}

const Setting *settings_find(const Settings *settings, const char *section, const char *key) {
    const Setting *setting = find((Settings *) settings, section, key);

    assert(setting);
    return setting;
}

bool settings_have_section(const Settings *settings, const char *section) {
    for (size_t i = 0; i < settings->file_count; i++)
        for (size_t k = 0; k < settings->files[i]->count; k++)
            if (!settings->files[i]->entries[k].key && strcmp(settings->files[i]->entries[k].section, section) == 0)
                return true;
    return false;
}

int setting_complain(const Setting *setting, bool warning, const char *format, ...) {
    _cleanup_free_ char *text = NULL;
    va_list arguments;

    va_start(arguments, format);
    int r = vasprintf(&text, format, arguments);
    va_end(arguments);
    if (r < 0) {
        text = NULL; /* undefined by vasprintf(3) */
        return -ENOMEM;
    }
    return problems_add(setting->problems, warning, setting->file, setting->line, "[%s] %s=%.*s%s: %s",
                        setting->key->section, setting->key->key, QUOTED_MAX, setting->value ?: "",
                        setting->value && strlen(setting->value) > QUOTED_MAX ? "..." : "", text);
}

int setting_refuse(const Setting *setting) {
    return setting_complain(setting, false, "%s", setting->key->accepted);
}

void settings_clear(Settings *settings) {
    for (size_t i = 0; i < settings->file_count; i++)
        (void) ini_file_free(settings->files[i]);
    free(settings->files);
    *settings = (Settings) { 0 };
}
