/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reads identities/NAME.conf and says what is wrong with it. */
#include "identity/definition.h"

#include "common/text.h"
#include "config/daemon-config.h"
#include "device/device.h"
#include "device/log.h"
#include "identity/parts.h"

#include <gnutls/crypto.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct Definition {
    IdentityConfig *config;
    IdentityConfig *before; /* the last one without a fault, while there is a fault */
    char *fault;
};

#define OUT_OF_MEMORY "out of memory"

int definition_new(Identity *identity) {
    identity->definition = calloc(1, sizeof *identity->definition);
    return identity->definition ? 0 : -ENOMEM;
}

static void set_fault(Definition *definition, const char *why) {
    char *copy = why ? strdup(why) : NULL;

    if (definition->fault && strcmp(definition->fault, OUT_OF_MEMORY) != 0)
        free(definition->fault);
    /* A fault that cannot be kept is a fault still. */
    definition->fault = why && !copy ? (char *) OUT_OF_MEMORY : copy;
}

void definition_free(Identity *identity) {
    if (!identity->definition)
        return;
    identity_config_free(identity->definition->config);
    identity_config_free(identity->definition->before);
    set_fault(identity->definition, NULL);
    free(identity->definition);
    identity->definition = NULL;
}

const IdentityConfig *identity_config(const Identity *identity) {
    return identity->definition->config;
}

const char *identity_fault(const Identity *identity) {
    return identity->definition->fault;
}

bool identity_is_misconfigured(const Identity *identity, Failure *ret_failure) {
    const Definition *definition = identity->definition;

    if (!definition->fault && definition->config)
        return false;
    const char *why = definition->fault ? definition->fault : "its configuration was not read yet";
    (void) failure_set(ret_failure, -EBADMSG, FAILURE_NOT_READY,
                       "%s is out of use: %s%s Mend that, then run `idctl reload`.", identity->name, why,
                       text_full_stop(why));
    return true;
}

void definition_refuse(Identity *identity, const char *why) {
    Definition *definition = identity->definition;

    set_fault(definition, why);
    if (definition->config) {
        identity_config_free(definition->before);
        definition->before = TAKE_PTR(definition->config);
    }
    identity_note(identity, CHANGED_CONFIGURATION);
    log_entry(LOG_ERR, MESSAGE_CONFIGURATION, identity->name,
              "%s%s This identity is out of use until that is mended; the others go on.", why, text_full_stop(why));
}

/* ---- what is another ---- */

/* How often is no part of it: that is looked at with each question of when. */
static bool checks_are_equal(const IdentityConfig *a, const IdentityConfig *b) {
    size_t count = strings_count(a->crl_urls);

    if (a->check_crl != b->check_crl || a->check_ocsp != b->check_ocsp || count != strings_count(b->crl_urls))
        return false;
    for (size_t i = 0; i < count; i++)
        if (strcmp(a->crl_urls[i], b->crl_urls[i]) != 0)
            return false;
    return true;
}

/* A fault in between hides nothing: a request that a CA has taken under other names is none to go on with. */
static void note_differences(Identity *identity, const IdentityConfig *new) {
    const Definition *definition = identity->definition;
    const IdentityConfig *old = definition->config ? definition->config : definition->before;
    unsigned changes = CHANGED_CONFIGURATION;

    if (!definition->config || !checks_are_equal(old, new))
        changes |= CHANGED_CHECKS;
    if (old && !identity_config_same_request(old, new))
        changes |= CHANGED_REQUEST;
    identity_note(identity, changes);
}

static void hash_text(gnutls_hash_hd_t hash, const char *text) {
    if (text)
        (void) gnutls_hash(hash, text, strlen(text));
    (void) gnutls_hash(hash, "", 1); /* the NUL between two */
}

static void hash_number(gnutls_hash_hd_t hash, uint64_t number) {
    char text[24];

    (void) snprintf(text, sizeof text, "%" PRIu64, number);
    hash_text(hash, text);
}

static void hash_authenticate(gnutls_hash_hd_t hash, const Authenticate *authenticate) {
    hash_text(hash, authenticate->identity);
    hash_text(hash, authenticate->credential);
    hash_text(hash, authenticate->user);
}

static void hash_settings(gnutls_hash_hd_t hash, const IdentityConfig *config) {
    hash_number(hash, config->protocol);
    for (char **server = config->servers; server && *server; server++)
        hash_text(hash, *server);
    hash_text(hash, config->anchors);
    (void) gnutls_hash(hash, config->anchors_fingerprint, sizeof config->anchors_fingerprint);
    hash_text(hash, config->server_anchors);
    hash_text(hash, config->proxy);
    hash_text(hash, config->proxy_user);
    hash_text(hash, config->proxy_credential);
    hash_authenticate(hash, &config->authenticate);
    hash_number(hash, config->allow_tls12);
    hash_number(hash, config->names_are_the_cas);
    hash_number(hash, config->renew_at_permille);
    hash_number(hash, config->renew_before);
    hash_number(hash, config->jitter_permille);
    hash_number(hash, config->rotate_key);
    hash_authenticate(hash, &config->renewal_authenticate);
}

void identity_settings_digest(const Identity *identity, char ret[static SETTINGS_DIGEST_SIZE]) {
    uint8_t digest[32];
    gnutls_hash_hd_t hash;

    ret[0] = '\0';
    if (!identity->definition->config || gnutls_hash_init(&hash, GNUTLS_DIG_SHA256) < 0)
        return;
    hash_settings(hash, identity->definition->config);
    gnutls_hash_deinit(hash, digest);
    _cleanup_free_ char *hex = bytes_to_hex((BytesView) { digest, sizeof digest });
    if (hex)
        (void) snprintf(ret, SETTINGS_DIGEST_SIZE, "%s", hex);
}

/* ---- reading ---- */

static void tell_problems(Identity *identity, const Problems *problems, bool failed) {
    for (size_t i = 0; i < problems->count; i++) {
        _cleanup_free_ char *text = problem_to_string(&problems->list[i]);
        if (problems->list[i].warning)
            log_entry(LOG_WARNING, MESSAGE_CONFIGURATION, identity->name, "%s", text ? text : OUT_OF_MEMORY);
        else if (failed)
            definition_refuse(identity, text ? text : OUT_OF_MEMORY);
    }
}

/* Which of the places it is, the log says where all identities are looked for. */
static void refuse_unread(Identity *identity, int r) {
    char text[256];

    (void) snprintf(text, sizeof text,
                    "identities/%s.conf, its drop-ins, or a directory that may have either, cannot be read: %s.",
                    identity->name, strerror(-r));
    definition_refuse(identity, text);
}

int definition_load(Identity *identity, bool is_certified) {
    Definition *definition = identity->definition;
    _cleanup_(strings_free_p) char **paths = NULL;
    _cleanup_(problems_clear) Problems problems = { 0 };
    _cleanup_identity_config_ IdentityConfig *config = NULL;
    int r =
        config_identity_paths(&device_directories(identity->context->device)->configuration, identity->name, &paths);

    if (r >= 0)
        r = is_certified ? identity_config_load_certified(identity->name, paths, &problems, &config)
                         : identity_config_load(identity->name, paths, &problems, &config);
    set_fault(definition, NULL);
    tell_problems(identity, &problems, r < 0);
    if (r < 0) {
        if (!definition->fault)
            refuse_unread(identity, r);
        return r;
    }
    note_differences(identity, config);
    identity_config_free(definition->config);
    definition->before = identity_config_free(definition->before);
    definition->config = TAKE_PTR(config);
    return 0;
}
