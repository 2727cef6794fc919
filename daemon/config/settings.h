/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* From files to the keys of one table: reads main file and drop-ins, refuses what the table does not know, lets later
 * files replace earlier ones key by key, and hands each key's last value to its parser. An empty value takes a key back
 * to its default. */
#pragma once

#include "config/ini.h"

#include <stdbool.h>

typedef struct Setting Setting;

/* One key of a configuration file. `parse` is called with the winning value, never empty; it changes `target` or
 * complains with setting_refuse. 0 or -ENOMEM. */
typedef struct SettingKey {
    const char *section, *key;
    int (*parse)(const Setting *setting, void *target);
    const char *accepted; /* "must be yes or no": what a complaint says */
    size_t offset;        /* of the field in the target, for parsers that serve several keys */
} SettingKey;

#define SETTING_KEYS_MAX 48U

/* The winning assignment of a key; `value` NULL: not set. */
struct Setting {
    const SettingKey *key;
    const char *value, *file;
    unsigned line;
    Problems *problems;
};

typedef struct Settings {
    const SettingKey *keys;
    size_t key_count;
    Setting list[SETTING_KEYS_MAX]; /* one for each key, in the table's order */
    IniFile **files;                /* hold the values */
    size_t file_count;
    Problems *problems;
} Settings;

/* Reads the files and finds the winners. Faults are in `problems`, which `ret` refers to. -ENOMEM, or the error of the
 * first file that could not be read (`ret` is filled in then too). */
int settings_read(const SettingKey *keys, size_t key_count, char *const *paths, Problems *problems, Settings *ret);

/* Calls the parser of every key that is set. 0 or -ENOMEM. */
int settings_apply(const Settings *settings, void *target);

/* The setting of a key of the table, which must have it. */
const Setting *settings_find(const Settings *settings, const char *section, const char *key);
/* Whether any file has the section's header. */
bool settings_have_section(const Settings *settings, const char *section);

/* "[S] K=VALUE: " and the key's `accepted` with `setting_refuse`, or the text given. At the setting's file and line. */
int setting_refuse(const Setting *setting);
int setting_complain(const Setting *setting, bool warning, const char *format, ...) _printf_(3, 4);

void settings_clear(Settings *settings);
#define _cleanup_settings_ _cleanup_(settings_clear)
