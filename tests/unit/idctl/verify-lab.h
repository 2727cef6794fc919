/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `idctl verify` on a command line, in the test's own directory, and what it says. Certificates are those of
 * ../pki/fixture.h, whose time stands still: `--at @NOW` belongs to each line. */
#pragma once

#include "../pki/fixture.h"

#include <jansson.h>

/* Makes a directory and goes there; leaves and removes it. */
void lab_enter(void);
void lab_leave(void);

/* A file with certificates in PEM; with one key. */
void lab_write(const char *name, size_t count, ...); /* const Entity * */
#define LAB_WRITE(name, ...) lab_write(name, sizeof((const void *[]) { __VA_ARGS__ }) / sizeof(void *), __VA_ARGS__)
void lab_write_key(const char *name, const Entity *entity);
/* A CRL of a day around NOW that lists one certificate, or none (NULL), in PEM. */
void lab_write_crl(const char *name, const Entity *issuer, const Entity *revoked);

/* What was said. */
typedef struct Answer {
    int status;
    char out[262144], err[4096];
} Answer;

/* Runs "verify" with the words of a line, which are parted by single spaces; "\t" in a word stands for a space. */
const Answer *lab_verify(const char *line);

typedef struct Line {
    const char *line;
    int status;
    const char *out, *err; /* what is said there; NULL: nothing is looked for */
} Line;

/* Each line, as it stands and with --json: the status is one, and "verified" fits it. */
void lab_check(const Line *lines, size_t count);
/* The object of --json; the caller releases it. */
json_t *lab_object(const char *line);
