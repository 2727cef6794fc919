/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Checks over all files. Each complaint stands at the line that would have to change. */
#include "config/check.h"

#include <inttypes.h>
#include <string.h>

typedef struct All {
    const DaemonConfig *daemon;
    IdentityConfig *const *configs;
    size_t count;
    char *const *faulty;
    Problems *problems;
} All;

static const IdentityConfig *find(const All *all, const char *name) {
    for (size_t i = 0; i < all->count; i++)
        if (strcmp(all->configs[i]->name, name) == 0)
            return all->configs[i];
    return NULL;
}

/* A handle of these purposes opens a TLS session with the CA as well as with anybody else. */
static bool is_lent(const IdentityConfig *config) {
    return config->access[PURPOSE_TLS_CLIENT].count > 0 || config->access[PURPOSE_DIGEST].count > 0;
}

static int check_authenticator(const All *all, const char *section, const Authenticate *authenticate) {
    if (!authenticate->identity)
        return 0;
    const IdentityConfig *other = find(all, authenticate->identity);
    if (!other && strings_contain(all->faulty, authenticate->identity))
        return 0; /* its own fault is told already */
    if (!other)
        return problems_add(all->problems, false, authenticate->file, authenticate->line,
                            "[%s] Authenticate=identity:%s: there is no such identity; add identities/%s.conf", section,
                            authenticate->identity, authenticate->identity);
    if (is_lent(other))
        return problems_add(all->problems, true, authenticate->file, authenticate->line,
                            "[%s] Authenticate=identity:%s: that identity is lent to programs, which could then have "
                            "the CA certify their own keys; name one without tls-client= and digest=",
                            section, authenticate->identity);
    return 0;
}

/* Who renews with its own certificate, and lends it. */
static int check_self(const All *all, const IdentityConfig *config) {
    if (config->protocol != PROTOCOL_EST || identity_config_is_renewed_by_others(config) || !is_lent(config))
        return 0;
    return problems_add(all->problems, true, config->file, 0,
                        "programs that use it could have the CA certify their own keys; let another identity, without "
                        "tls-client= and digest=, renew it: [Renewal] Authenticate=identity:NAME");
}

static const Authenticate *first_authenticate(const IdentityConfig *config) {
    return config->protocol == PROTOCOL_EST && config->authenticate.identity ? &config->authenticate : NULL;
}

/* An identity that needs, over others, itself for its first enrolment can never begin. */
static int check_loop(const All *all, const IdentityConfig *start) {
    const IdentityConfig *config = start;

    for (size_t steps = 0; steps < all->count; steps++) {
        const Authenticate *next = first_authenticate(config);
        config = next ? find(all, next->identity) : NULL;
        if (!config)
            return 0;
        if (config == start)
            return problems_add(
                all->problems, false, start->authenticate.file, start->authenticate.line,
                "[Enrollment] Authenticate=identity:%s: in a circle: that identity's enrolment needs \"%s\" in "
                "turn, so neither can begin",
                start->authenticate.identity, start->name);
    }
    return 0;
}

/* The password of an enrolment goes to the CA; the TPM's authorizations must never. */
static int check_credential(const All *all, const char *section, const Authenticate *authenticate) {
    if (!all->daemon || !authenticate->credential ||
        !daemon_config_credential_is_secret(all->daemon, authenticate->credential))
        return 0;
    return problems_add(all->problems, false, authenticate->file, authenticate->line,
                        "[%s] Authenticate=credential:%s: that credential is an authorization of the TPM in "
                        "identityd.conf and must not be sent to a CA; use another",
                        section, authenticate->credential);
}

static int check_identity(const All *all, const IdentityConfig *config) {
    const struct {
        const char *section;
        const Authenticate *authenticate;
    } both[] = { { "Enrollment", &config->authenticate }, { "Renewal", &config->renewal_authenticate } };

    for (size_t i = 0; i < ARRAY_LENGTH(both) && config->protocol == PROTOCOL_EST; i++) {
        int r = check_authenticator(all, both[i].section, both[i].authenticate);
        if (r < 0)
            return r;
        r = check_credential(all, both[i].section, both[i].authenticate);
        if (r < 0)
            return r;
    }
    int r = check_self(all, config);
    if (r < 0)
        return r;
    return check_loop(all, config);
}

int config_check_all(const DaemonConfig *daemon, IdentityConfig *const *configs, size_t count, char *const *faulty,
                     Problems *problems) {
    const All all = { daemon, configs, count, faulty, problems };

    for (size_t i = 0; i < count; i++) {
        int r = check_identity(&all, configs[i]);
        if (r < 0)
            return r;
    }
    if (daemon && count + strings_count(faulty) > daemon->identities)
        return problems_add(problems, false, "identityd.conf", 0,
                            "%zu identities are configured, but [Limits] Identities= allows %" PRIu32 ": raise it",
                            count + strings_count(faulty), daemon->identities);
    return 0;
}
