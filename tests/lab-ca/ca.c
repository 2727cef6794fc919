/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Roots, intermediates and the change of root; what is on disk is enough to go on after a restart. */
#include "ca.h"

#include "index.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define ROOT_SUBJECT "CN=identityd lab root,O=identityd lab" /* the same for every root: RFC 4210 §4.4 */
#define WEB_SUBJECT  "CN=identityd lab web root,O=identityd lab"

static const char *const phases[] = { "stable", "begun", "switched" };

const char *ca_phase_to_string(CaPhase phase) {
    return phases[phase];
}

char *ca_crl_url(const Ca *ca, const char *authority) {
    char *url = NULL;

    if (!ca->crl_base || asprintf(&url, "%s/%s.crl", ca->crl_base, authority) < 0)
        return NULL;
    return url;
}

const Authority *ca_issuer(const Ca *ca) {
    return ca->intermediates[ca->current + (ca->phase == CA_SWITCHED ? 1 : 0)];
}

const Authority *ca_server_issuer(const Ca *ca) {
    return ca->web ? ca->web : ca->roots[ca->current];
}

const Authority *ca_find(const Ca *ca, const char *name) {
    for (size_t i = 0; i < ca->count; i++) {
        if (strcmp(ca->roots[i]->name, name) == 0)
            return ca->roots[i];
        if (strcmp(ca->intermediates[i]->name, name) == 0)
            return ca->intermediates[i];
    }
    return NULL;
}

size_t ca_cacerts(const Ca *ca, gnutls_x509_crt_t ret[static CA_CACERTS_MAX]) {
    size_t n = 0;

    ret[n++] = ca->intermediates[ca->current]->certificate;
    ret[n++] = ca->roots[ca->current]->certificate;
    if (ca->phase == CA_STABLE)
        return n;
    ret[n++] = ca->old_with_new;
    ret[n++] = ca->new_with_old;
    ret[n++] = ca->roots[ca->current + 1]->certificate;
    if (ca->phase == CA_SWITCHED)
        ret[n++] = ca->intermediates[ca->current + 1]->certificate;
    return n;
}

static int publish(const Ca *ca) {
    gnutls_x509_crt_t root = ca->roots[ca->current]->certificate, issuer = ca_issuer(ca)->certificate;
    gnutls_x509_crt_t server = ca_server_issuer(ca)->certificate;
    char state[64];
    int r;

    r = certificates_write(ca->directory, "root.pem", &root, 1);
    if (r == 0)
        r = certificates_write(ca->directory, "intermediate.pem", &issuer, 1);
    if (r == 0)
        r = certificates_write(ca->directory, "server.pem", &server, 1);
    if (r == 0 && ca->phase != CA_STABLE)
        r = certificates_write(ca->directory, "new-root.pem", &ca->roots[ca->current + 1]->certificate, 1);
    if (r == 0) {
        (void) snprintf(state, sizeof(state), "%zu %s\n", ca->current, phases[ca->phase]);
        r = file_write_text(ca->directory, "phase", state);
    }
    return r;
}

/* Adds root N and intermediate N. */
static int add_pair(Ca *ca) {
    char root_name[AUTHORITY_NAME_MAX], name[AUTHORITY_NAME_MAX], subject[128];
    _cleanup_authority_ Authority *root = NULL, *intermediate = NULL;
    _cleanup_free_ char *crl_url = NULL;
    AuthorityTemplate template = { .algorithm = ca->algorithm, .path_length = -1 };
    int r;

    if (ca->count >= CA_ROOTS_MAX) {
        complain("a CA here has at most %u roots in its life", CA_ROOTS_MAX);
        return -E2BIG;
    }
    (void) snprintf(root_name, sizeof(root_name), "root-%zu", ca->count + 1);
    (void) snprintf(name, sizeof(name), "intermediate-%zu", ca->count + 1);
    template.name = root_name;
    template.subject = ROOT_SUBJECT;
    r = authority_create(ca->directory, &template, &root);
    if (r < 0)
        return r;
    (void) snprintf(subject, sizeof(subject), "CN=identityd lab intermediate %zu,O=identityd lab", ca->count + 1);
    crl_url = ca_crl_url(ca, root_name);
    template.name = name;
    template.subject = subject;
    template.path_length = 0;
    template.crl_url = crl_url;
    template.issuer = root;
    r = authority_create(ca->directory, &template, &intermediate);
    if (r == 0)
        r = index_record(ca->directory, intermediate->certificate, root_name); /* so that it can be revoked */
    if (r < 0)
        return r;
    ca->roots[ca->count] = TAKE_PTR(root);
    ca->intermediates[ca->count] = TAKE_PTR(intermediate);
    ca->count++;
    return 0;
}

static int cross_certify(Ca *ca) {
    const Authority *old_root = ca->roots[ca->current], *new_root = ca->roots[ca->current + 1];
    int r;

    r = authority_cross_certify(old_root, new_root, &ca->old_with_new);
    if (r == 0)
        r = authority_cross_certify(new_root, old_root, &ca->new_with_old);
    if (r == 0)
        r = certificates_write(ca->directory, "authorities/old-with-new.pem", &ca->old_with_new, 1);
    if (r == 0)
        r = certificates_write(ca->directory, "authorities/new-with-old.pem", &ca->new_with_old, 1);
    return r;
}

int ca_rollover_begin(Ca *ca) {
    int r;

    if (ca->phase != CA_STABLE)
        return -EINVAL;
    r = ca->count > ca->current + 1 ? 0 : add_pair(ca); /* a pair may be left from a begin that was cut short */
    if (r == 0)
        r = cross_certify(ca);
    if (r < 0)
        return r;
    ca->phase = CA_BEGUN;
    return publish(ca);
}

int ca_rollover_switch(Ca *ca) {
    if (ca->phase != CA_BEGUN)
        return -EINVAL;
    ca->phase = CA_SWITCHED;
    return publish(ca);
}

int ca_rollover_finish(Ca *ca) {
    if (ca->phase == CA_STABLE)
        return -EINVAL;
    ca->phase = CA_STABLE;
    ca->current++;
    crt_clear(&ca->old_with_new);
    crt_clear(&ca->new_with_old);
    return publish(ca);
}

int ca_renew_intermediate(Ca *ca, int64_t lifetime) {
    size_t i = ca->current + (ca->phase == CA_SWITCHED ? 1 : 0);
    int r;

    r = authority_renew(ca->directory, ca->intermediates[i], ca->roots[i], lifetime);
    if (r == 0)
        r = index_record(ca->directory, ca->intermediates[i]->certificate, ca->roots[i]->name);
    return r < 0 ? r : publish(ca);
}

static int load_certificate(const char *directory, const char *name, gnutls_x509_crt_t *ret) {
    _cleanup_datum_ gnutls_datum_t pem = DATUM_NULL;
    _cleanup_crt_ gnutls_x509_crt_t certificate = NULL;
    int r;

    r = file_read(directory, name, &pem);
    if (r < 0)
        return r;
    r = gnutls_x509_crt_init(&certificate);
    if (r >= 0)
        r = gnutls_x509_crt_import(certificate, &pem, GNUTLS_X509_FMT_PEM);
    if (r < 0)
        return gnutls_complain(r, name);
    *ret = TAKE_PTR(certificate);
    return 0;
}

/* Reads the authorities and the phase. -ENOENT: there is no CA here yet. */
static int load(Ca *ca) {
    _cleanup_free_ char *state = file_read_line(ca->directory, "phase");
    char word[16] = "";
    int r;

    if (!state)
        return -ENOENT;
    if (sscanf(state, "%zu %15s", &ca->current, word) != 2)
        return -EBADMSG;
    while (ca->phase < ARRAY_LENGTH(phases) && strcmp(phases[ca->phase], word) != 0)
        ca->phase++;
    while (ca->count < CA_ROOTS_MAX) {
        char name[AUTHORITY_NAME_MAX];

        (void) snprintf(name, sizeof(name), "root-%zu", ca->count + 1);
        r = authority_load(ca->directory, name, &ca->roots[ca->count]);
        if (r == -ENOENT)
            break;
        if (r < 0)
            return r;
        (void) snprintf(name, sizeof(name), "intermediate-%zu", ca->count + 1);
        r = authority_load(ca->directory, name, &ca->intermediates[ca->count]);
        if (r < 0) {
            ca->roots[ca->count] = authority_free(ca->roots[ca->count]);
            return -EBADMSG;
        }
        ca->count++;
    }
    if (ca->phase >= ARRAY_LENGTH(phases) || ca->current + (ca->phase == CA_STABLE ? 0 : 1) >= ca->count)
        return -EBADMSG;
    if (ca->phase == CA_STABLE)
        return 0;
    r = load_certificate(ca->directory, "authorities/old-with-new.pem", &ca->old_with_new);
    return r < 0 ? r : load_certificate(ca->directory, "authorities/new-with-old.pem", &ca->new_with_old);
}

static int make_directories(const char *directory) {
    static const char *const names[] = { "", "authorities", "private", "issued" };

    for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
        _cleanup_free_ char *path = path_join(directory, names[i]);

        if (!path)
            return -ENOMEM;
        if (mkdir(path, 0755) < 0 && errno != EEXIST) {
            complain("cannot make the directory %s: %m", path);
            return -errno;
        }
    }
    return 0;
}

/* The root of the HTTPS server's certificate: once a CA has one it keeps it. */
static int open_web_root(Ca *ca, bool wanted) {
    AuthorityTemplate template = {
        .name = "web", .subject = WEB_SUBJECT, .algorithm = ca->algorithm, .path_length = -1
    };
    int r;

    r = authority_load(ca->directory, "web", &ca->web);
    if (r == -ENOENT)
        return wanted ? authority_create(ca->directory, &template, &ca->web) : 0;
    return r;
}

int ca_open(const char *directory, const CaOptions *options, Ca **ret) {
    _cleanup_ca_ Ca *ca = calloc(1, sizeof(Ca));
    int r;

    if (!ca)
        return -ENOMEM;
    ca->algorithm = options->algorithm;
    ca->directory = strdup(directory);
    ca->crl_base = options->crl_base ? strdup(options->crl_base) : file_read_line(directory, "crl-base");
    ca->ocsp_url = options->ocsp_url ? strdup(options->ocsp_url) : file_read_line(directory, "ocsp-url");
    if (!ca->directory || (options->crl_base && !ca->crl_base) || (options->ocsp_url && !ca->ocsp_url))
        return -ENOMEM;
    r = make_directories(directory);
    if (r < 0)
        return r;
    if (options->crl_base)
        r = file_write_text(directory, "crl-base", options->crl_base);
    if (r == 0 && options->ocsp_url)
        r = file_write_text(directory, "ocsp-url", options->ocsp_url);
    if (r == 0) /* renewals keep their subject; `openssl ocsp` reads the index only if it is told so */
        r = file_write_text(directory, "index.txt.attr", "unique_subject = no");
    if (r < 0)
        return r;
    r = load(ca);
    if (r == -ENOENT)
        r = add_pair(ca);
    if (r < 0) {
        complain("the CA in %s cannot be opened: %s", directory, strerror(-r));
        return r;
    }
    r = open_web_root(ca, options->separate_server_root);
    if (r == 0)
        r = publish(ca);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(ca);
    return 0;
}

Ca *ca_free(Ca *ca) {
    if (!ca)
        return NULL;
    for (size_t i = 0; i < ca->count; i++) {
        (void) authority_free(ca->roots[i]);
        (void) authority_free(ca->intermediates[i]);
    }
    (void) authority_free(ca->web);
    crt_clear(&ca->old_with_new);
    crt_clear(&ca->new_with_old);
    free(ca->directory);
    free(ca->crl_base);
    free(ca->ocsp_url);
    free(ca);
    return NULL;
}
