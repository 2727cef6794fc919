/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* See verify-lab.h. */
#include "verify-lab.h"

#include "idctl/verbs.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define WORDS_MAX 32U

static char *directory;

void lab_enter(void) {
    directory = make_directory();
    assert_int_equal(chdir(directory), 0);
}

void lab_leave(void) {
    assert_int_equal(chdir("/"), 0);
    remove_directory(&directory);
}

void lab_write(const char *name, size_t count, ...) {
    CertificateList list = { 0 };
    va_list entities;

    va_start(entities, count);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(certificate_list_add_ref(&list, va_arg(entities, const Entity *)->certificate), 0);
    va_end(entities);
    write_pem(".", name, &list);
    certificate_list_clear(&list);
}

void lab_write_key(const char *name, const Entity *entity) {
    write_key(".", name, entity->key);
}

void lab_write_crl(const char *name, const Entity *issuer, const Entity *revoked) {
    gnutls_x509_crl_t crl;
    gnutls_datum_t pem;
    unsigned char key_id[64];
    size_t size = sizeof key_id;

    assert_true(gnutls_x509_crl_init(&crl) >= 0 && gnutls_x509_crl_set_version(crl, 2) >= 0);
    assert_true(gnutls_x509_crl_set_this_update(crl, (time_t) (NOW - DAY)) >= 0);
    assert_true(gnutls_x509_crl_set_next_update(crl, (time_t) (NOW + DAY)) >= 0);
    assert_true(gnutls_x509_crl_set_number(crl, "\x07", 1) >= 0);
    assert_true(gnutls_x509_crt_get_subject_key_id(issuer->crt, key_id, &size, NULL) >= 0);
    assert_true(gnutls_x509_crl_set_authority_key_id(crl, key_id, size) >= 0);
    if (revoked) {
        BytesView serial = revoked->certificate->serial_bytes;
        assert_true(gnutls_x509_crl_set_crt_serial(crl, serial.data, serial.size, (time_t) (NOW - DAY)) >= 0);
    }
    assert_true(gnutls_x509_crl_sign2(crl, issuer->crt, issuer->key, GNUTLS_DIG_SHA256, 0) >= 0);
    assert_true(gnutls_x509_crl_export2(crl, GNUTLS_X509_FMT_PEM, &pem) >= 0);
    write_file(".", name, (BytesView) { pem.data, pem.size });
    gnutls_free(pem.data);
    gnutls_x509_crl_deinit(crl);
}

/* ---- runs ---- */

static int redirect(FILE *stream, int fd, const char *path) {
    fflush(stream);
    int kept = fcntl(fd, F_DUPFD_CLOEXEC, 10), file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(kept >= 0 && file >= 0 && dup2(file, fd) >= 0);
    (void) close(file);
    return kept;
}

static void restore(FILE *stream, int fd, int kept) {
    fflush(stream);
    assert_true(dup2(kept, fd) >= 0);
    (void) close(kept);
}

static void read_text(const char *path, char *ret, size_t size) {
    Bytes bytes = read_test_file(".", path);

    assert_true(bytes.size < size);
    memcpy(ret, bytes.data, bytes.size);
    ret[bytes.size] = '\0';
    bytes_clear(&bytes);
}

static size_t split(char *line, char *words[static WORDS_MAX]) {
    size_t count = 0;
    char *rest = NULL;

    words[count++] = (char *) "verify";
    for (char *word = strtok_r(line, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
        assert_true(count + 1 < WORDS_MAX);
        for (char *tab = word; (tab = strchr(tab, '\t')); tab++)
            *tab = ' ';
        words[count++] = word;
    }
    words[count] = NULL;
    return count;
}

const Answer *lab_verify(const char *line) {
    static Answer answer;
    char *words[WORDS_MAX], *copy = strdup(line);
    Command command;

    size_t count = split(copy, words);
    int out = redirect(stdout, STDOUT_FILENO, "out"), err = redirect(stderr, STDERR_FILENO, "err");
    ExitCode code = command_parse(&idctl_program, &verb_verify, (int) count, words, &command);
    answer.status = code == _EXIT_CONTINUE ? verb_verify.run(&command) : code;
    restore(stdout, STDOUT_FILENO, out);
    restore(stderr, STDERR_FILENO, err);
    free(copy);
    read_text("out", answer.out, sizeof answer.out);
    read_text("err", answer.err, sizeof answer.err);
    return &answer;
}

json_t *lab_object(const char *line) {
    char text[1024];

    snprintf(text, sizeof text, "--json %s", line);
    const Answer *answer = lab_verify(text);
    json_t *object = json_loads(answer->out, 0, NULL);
    if (!object)
        fail_msg("%s: no object in \"%s\" (%s)", line, answer->out, answer->err);
    return object;
}

static void check_json(const Line *line) {
    json_t *object = lab_object(line->line);
    const char *reason = json_string_value(json_object_get(object, "reason"));

    assert_int_equal(json_is_true(json_object_get(object, "verified")), line->status == 0);
    assert_non_null(reason);
    assert_true(reason[0]);
    json_decref(object);
}

void lab_check(const Line *lines, size_t count) {
    for (size_t i = 0; i < count; i++) {
        const Line *line = &lines[i];
        const Answer *answer = lab_verify(line->line);
        if (answer->status != line->status || (line->out && !strstr(answer->out, line->out)) ||
            (line->err && !strstr(answer->err, line->err)))
            fail_msg("%s: status %d instead of %d, \"%s\" in:\n%s\n\"%s\" in:\n%s", line->line, answer->status,
                     line->status, line->out ? line->out : "", answer->out, line->err ? line->err : "", answer->err);
        if (answer->out[0])
            check_json(line);
        else if (answer->status > 0)
            assert_true(answer->err[0]); /* who is refused is told why */
    }
}
