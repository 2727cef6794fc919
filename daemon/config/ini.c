/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The strict reader. It cuts its own copy of the text into strings in place; nothing else is allocated per line but the
 * table of entries. */
#include "config/ini.h"

#include <stdint.h>
#include <string.h>

#define NAME_CHARACTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-"

typedef struct Parser {
    IniFile *file;
    Problems *problems;
    const char *section;    /* NULL before the first header */
    bool section_is_faulty; /* its header was refused: its keys are not looked at */
    unsigned line;
} Parser;

static int complain(Parser *parser, const char *text) {
    return problems_add(parser->problems, false, parser->file->path, parser->line, "%s", text);
}

static bool is_blank(char c) {
    return c == ' ' || c == '\t';
}

/* Length of the UTF-8 character at `p`, 0 if there is none (RFC 3629 §4). */
static size_t utf8_length(const uint8_t *p, size_t size) {
    static const struct {
        uint8_t first_low, first_high, second_low, second_high;
        size_t length;
    } forms[] = {
        { 0x01, 0x7f, 0, 0, 1 },       { 0xc2, 0xdf, 0x80, 0xbf, 2 }, { 0xe0, 0xe0, 0xa0, 0xbf, 3 },
        { 0xe1, 0xec, 0x80, 0xbf, 3 }, { 0xed, 0xed, 0x80, 0x9f, 3 }, { 0xee, 0xef, 0x80, 0xbf, 3 },
        { 0xf0, 0xf0, 0x90, 0xbf, 4 }, { 0xf1, 0xf3, 0x80, 0xbf, 4 }, { 0xf4, 0xf4, 0x80, 0x8f, 4 },
    };

    for (size_t i = 0; i < ARRAY_LENGTH(forms); i++) {
        if (p[0] < forms[i].first_low || p[0] > forms[i].first_high)
            continue;
        if (forms[i].length > size)
            return 0;
        if (forms[i].length > 1 && (p[1] < forms[i].second_low || p[1] > forms[i].second_high))
            return 0;
        for (size_t k = 2; k < forms[i].length; k++)
            if (p[k] < 0x80 || p[k] > 0xbf)
                return 0;
        return forms[i].length;
    }
    return 0;
}

/* What is not text in a line, NULL if it is text. */
static const char *not_text(const char *line, size_t size) {
    for (size_t i = 0; i < size;) {
        uint8_t c = (uint8_t) line[i];
        if (c == 0)
            return "contains a NUL byte: configuration files are text";
        if (c == '\r')
            return "contains a carriage return: lines must end in a line feed alone";
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return "contains a control character: configuration files are text";
        size_t length = utf8_length((const uint8_t *) line + i, size - i);
        if (length == 0)
            return "is not valid UTF-8";
        i += length;
    }
    return NULL;
}

/* Cuts comment and white space off both ends, in place. */
static char *trim(char *line) {
    for (char *p = line; *p; p++)
        if (*p == '#' && (p == line || is_blank(p[-1]))) {
            *p = '\0';
            break;
        }
    while (is_blank(*line))
        line++;
    size_t length = strlen(line);
    while (length > 0 && is_blank(line[length - 1]))
        line[--length] = '\0';
    return line;
}

static bool name_is_valid(const char *name) {
    size_t length = strlen(name);

    return length > 0 && length <= INI_NAME_MAX && strspn(name, NAME_CHARACTERS) == length;
}

static int add_entry(Parser *parser, const char *key, const char *value) {
    IniFile *file = parser->file;
    IniEntry *grown = reallocarray(file->entries, file->count + 1, sizeof(*grown));

    if (!grown)
        return -ENOMEM;
    grown[file->count++] = (IniEntry) { parser->section, key, value, parser->line };
    file->entries = grown;
    return 0;
}

/* The earlier entry of the same section and key, or of the same header when `key` is NULL. */
static const IniEntry *find_entry(const IniFile *file, const char *section, const char *key) {
    for (size_t i = 0; i < file->count; i++) {
        const IniEntry *entry = &file->entries[i];
        if (strcmp(entry->section, section) != 0 || !entry->key != !key)
            continue;
        if (!key || strcmp(entry->key, key) == 0)
            return entry;
    }
    return NULL;
}

static int parse_header(Parser *parser, char *line) {
    size_t length = strlen(line);

    parser->section_is_faulty = true;
    if (line[length - 1] != ']')
        return complain(parser, "a section header must be [NAME] and nothing else");
    line[length - 1] = '\0';
    char *name = line + 1;
    if (!name_is_valid(name))
        return complain(parser, "a section's name must be 1 to 64 letters, digits and '-'");
    const IniEntry *earlier = find_entry(parser->file, name, NULL);
    if (earlier)
        return problems_add(parser->problems, false, parser->file->path, parser->line,
                            "[%s]: the section is already at line %u; put its keys there", name, earlier->line);
    parser->section_is_faulty = false;
    parser->section = name;
    return add_entry(parser, NULL, NULL);
}

static int parse_assignment(Parser *parser, char *line) {
    char *equals = strchr(line, '=');

    if (!equals)
        return complain(parser, "the line is neither [SECTION] nor KEY=VALUE (lines cannot be continued)");
    char *value = equals + 1, *end = equals;
    while (end > line && is_blank(end[-1]))
        end--;
    *end = '\0';
    while (is_blank(*value))
        value++;
    if (!name_is_valid(line))
        return complain(parser, "a key must be 1 to 64 letters, digits and '-', followed by '='");
    if (parser->section_is_faulty)
        return 0;
    if (!parser->section)
        return problems_add(parser->problems, false, parser->file->path, parser->line,
                            "%s=: a key must stand below a [SECTION]", line);
    size_t length = strlen(value);
    if (length > 0 && value[length - 1] == '\\')
        return problems_add(parser->problems, false, parser->file->path, parser->line,
                            "[%s] %s=: the value ends in '\\', but lines cannot be continued: write it as one line",
                            parser->section, line);
    const IniEntry *earlier = find_entry(parser->file, parser->section, line);
    if (earlier)
        return problems_add(parser->problems, false, parser->file->path, parser->line,
                            "[%s] %s=: already set at line %u; a key may be set once in a file", parser->section, line,
                            earlier->line);
    return add_entry(parser, line, value);
}

static int parse_line(Parser *parser, char *line, size_t size) {
    if (size > INI_LINE_MAX)
        return complain(parser, "the line is longer than 8192 bytes");
    const char *fault = not_text(line, size);
    if (fault)
        return problems_add(parser->problems, false, parser->file->path, parser->line, "the line %s", fault);
    line = trim(line);
    if (line[0] == '\0')
        return 0;
    return line[0] == '[' ? parse_header(parser, line) : parse_assignment(parser, line);
}

int ini_parse(const char *path, BytesView text, Problems *problems, IniFile **ret) {
    _cleanup_ini_file_ IniFile *file = calloc(1, sizeof(*file));

    if (!file)
        return -ENOMEM;
    file->path = strdup(path);
    if (!file->path)
        return -ENOMEM;
    if (text.size > INI_FILE_MAX) {
        int r = problems_add(problems, false, path, 0, "the file is larger than %u bytes", INI_FILE_MAX);
        if (r < 0)
            return r;
        text.size = 0;
    }
    int r = bytes_copy(text, &file->text);
    if (r < 0)
        return r;

    Parser parser = { .file = file, .problems = problems };
    char *start = (char *) file->text.data, *end = start + file->text.size;
    while (start < end) {
        char *newline = memchr(start, '\n', (size_t) (end - start));
        char *stop = newline ? newline : end;
        *stop = '\0'; /* at `end` this is the uncounted NUL of Bytes */
        if (++parser.line > INI_LINES_MAX) {
            r = complain(&parser, "the file has more than 4096 lines");
            if (r < 0)
                return r;
            break;
        }
        r = parse_line(&parser, start, (size_t) (stop - start));
        if (r < 0)
            return r;
        start = stop + 1;
    }
    *ret = TAKE_PTR(file);
    return 0;
}

int ini_read(const char *path, Problems *problems, IniFile **ret) {
    _cleanup_bytes_ Bytes text = BYTES_NULL;

    int r = bytes_read_file(path, INI_FILE_MAX, &text);
    if (r == -ENOMEM)
        return r;
    if (r < 0) {
        int q;
        if (r == -EFBIG)
            q = problems_add(problems, false, path, 0, "the file is larger than %u bytes", INI_FILE_MAX);
        else if (r == -EBADFD)
            q = problems_add(problems, false, path, 0, "is not a regular file");
        else
            q = problems_add(problems, false, path, 0, "cannot be read: %s", strerror(-r));
        return q < 0 ? q : r;
    }
    return ini_parse(path, bytes_view(&text), problems, ret);
}

IniFile *ini_file_free(IniFile *file) {
    if (!file)
        return NULL;
    free(file->path);
    free(file->entries);
    bytes_clear(&file->text);
    free(file);
    return NULL;
}
