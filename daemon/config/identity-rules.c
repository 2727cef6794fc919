/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the keys of one identity demand of each other. A rule that protects the key's holder or the CA is an error, what
 * is only unwise or without effect is a warning. */
#include "config/identity-rules.h"

#include <string.h>

typedef struct Judge {
    const IdentityConfig *config;
    const Settings *settings;
} Judge;

static const Setting *setting(const Judge *judge, const char *section, const char *key) {
    return settings_find(judge->settings, section, key);
}

static bool is_set(const Judge *judge, const char *section, const char *key) {
    return setting(judge, section, key)->value;
}

static int missing(const Judge *judge, const char *text) {
    return problems_add(judge->settings->problems, false, judge->config->file, 0, "%s", text);
}

static int check_names(const Judge *judge) {
    return judge->config->subject ? 0 : missing(judge, "[Identity] Subject= is missing, such as Subject=CN=%d");
}

static int check_anchors(const Judge *judge) {
    const IdentityConfig *config = judge->config;

    if (config->anchors && config->has_anchors_fingerprint)
        return setting_complain(setting(judge, "Enrollment", "AnchorsFingerprint"), false,
                                "must not be set beside Anchors=: take one of them out");
    if (config->protocol == PROTOCOL_MANUAL && !config->anchors)
        return missing(judge, "[Enrollment] Anchors= is missing: the CA certificates that our own chain must end in");
    if (config->protocol == PROTOCOL_EST && !config->anchors && !config->has_anchors_fingerprint)
        return missing(judge,
                       "[Enrollment] Anchors= is missing: the CA certificates that our own chain must end in (or "
                       "AnchorsFingerprint= of one root, which is then fetched from the server)");
    return 0;
}

static int check_est(const Judge *judge) {
    const IdentityConfig *config = judge->config;

    if (strings_count(config->servers) == 0)
        return missing(judge, "[Enrollment] Server= is missing, such as Server=https://ca.example/.well-known/est (or "
                              "Protocol=manual)");
    if (!authenticate_is_set(&config->authenticate))
        return problems_add(
            judge->settings->problems, true, config->file, 0,
            "[Enrollment] Authenticate= is not set: the first enrolment, and any after expiry, comes without "
            "authentication, and the CA must accept that");
    return 0;
}

/* Keys that say something about EST where there is none. */
static int check_manual(const Judge *judge) {
    static const struct {
        const char *section, *key;
    } without_effect[] = {
        { "Enrollment", "Server" },       { "Enrollment", "ServerAnchors" }, { "Enrollment", "Proxy" },
        { "Enrollment", "Authenticate" }, { "Enrollment", "AllowTLS12" },    { "Enrollment", "AnchorsFingerprint" },
        { "Renewal", "Authenticate" },    { "Renewal", "AnchorsInterval" },  { "Renewal", "At" },
        { "Renewal", "Jitter" },          { "Renewal", "RotateKey" },
    };

    for (size_t i = 0; i < ARRAY_LENGTH(without_effect); i++) {
        const Setting *key = setting(judge, without_effect[i].section, without_effect[i].key);
        if (!key->value)
            continue;
        int r = setting_complain(key, true, "has no effect with Protocol=manual");
        if (r < 0)
            return r;
    }
    if (judge->config->after_revocation == AFTER_REVOCATION_ENROLL)
        return setting_complain(setting(judge, "Revocation", "AfterRevocation"), false,
                                "must be wait with Protocol=manual: nobody is there to enrol with");
    return 0;
}

static int check_authenticate(const Judge *judge, const char *section, const Authenticate *authenticate) {
    const Setting *user = setting(judge, section, "User");

    if (user->value && !authenticate->credential)
        return setting_complain(user, false, "needs Authenticate=credential:NAME in the same section");
    if (!authenticate->identity || strcmp(authenticate->identity, judge->config->name) != 0)
        return 0;
    if (strcmp(section, "Renewal") != 0)
        return setting_complain(setting(judge, section, "Authenticate"), false,
                                "must name another identity: this one has no certificate before its enrolment");
    if (!authenticate->credential)
        return setting_complain(setting(judge, section, "Authenticate"), false,
                                "must name another identity, or a credential beside this one; without the key, the "
                                "identity renews itself");
    return 0;
}

static int check_proxy(const Judge *judge) {
    const IdentityConfig *config = judge->config;

    if (config->proxy_user && !config->proxy_credential)
        return setting_complain(setting(judge, "Enrollment", "ProxyUser"), false, "needs ProxyCredential=");
    if (config->proxy_credential && !config->proxy_user)
        return setting_complain(setting(judge, "Enrollment", "ProxyCredential"), false, "needs ProxyUser=");
    if (config->proxy_credential && !config->proxy)
        return setting_complain(setting(judge, "Enrollment", "ProxyCredential"), false, "needs Proxy=");
    return 0;
}

static int check_renewal(const Judge *judge) {
    const IdentityConfig *config = judge->config;

    if (config->renew_at_permille + config->jitter_permille <= RENEW_AT_PERMILLE_MAX || !is_set(judge, "Renewal", "At"))
        return 0;
    return setting_complain(
        setting(judge, "Renewal", "At"), true,
        "with Jitter= it reaches behind 95%% of the lifetime, where it is cut off: a fleet renews closer "
        "together");
}

static int check_revocation(const Judge *judge) {
    const IdentityConfig *config = judge->config;
    bool off = !config->check_crl && !config->check_ocsp;

    if (off && config->after_revocation == AFTER_REVOCATION_ENROLL)
        return setting_complain(setting(judge, "Revocation", "AfterRevocation"), true,
                                "has no effect with Check=none: a revocation is never noticed");
    if (!config->check_crl && is_set(judge, "Revocation", "CRL"))
        return setting_complain(setting(judge, "Revocation", "CRL"), true, "has no effect without crl in Check=");
    return 0;
}

static int check_peers(const Judge *judge) {
    static const char *const keys[] = { "Intermediates", "CRL", "Interval" };

    for (size_t i = 0; !judge->config->peers_check_crl && i < ARRAY_LENGTH(keys); i++) {
        if (!is_set(judge, "Peers", keys[i]))
            continue;
        int r = setting_complain(setting(judge, "Peers", keys[i]), true,
                                 "has no effect without Check=crl in the same section: no CRLs of peers' CAs are kept");
        if (r < 0)
            return r;
    }
    return 0;
}

/* docs/design.md §8: what may sign data must not sign handshakes. */
static int check_data(const Judge *judge) {
    static const Purpose tls[] = { PURPOSE_TLS_CLIENT, PURPOSE_TLS_SERVER },
                         data[] = { PURPOSE_DATA, PURPOSE_DATA_RAW };
    const AccessRules *access = judge->config->access;

    for (size_t i = 0; i < ARRAY_LENGTH(tls); i++)
        for (size_t j = 0; j < ARRAY_LENGTH(data); j++)
            if (access[tls[i]].count > 0 && access[data[j]].count > 0)
                return setting_complain(
                    setting(judge, "Access", purpose_to_string(data[j])), false,
                    "must not stand beside %s=: whoever signs data with a key must not be able to use it in "
                    "TLS; make a second identity",
                    purpose_to_string(tls[i]));
    return 0;
}

/* TLS 1.2 has no context string: a server's key would sign what a client signs. */
static int check_access_tls12(const Judge *judge) {
    const AccessRules *access = judge->config->access;

    if (!judge->config->tls12)
        return 0;
    if (access[PURPOSE_TLS_SERVER].count > 0)
        return setting_complain(setting(judge, "Access", "TLS12"), false,
                                "must not be yes beside tls-server=: what TLS 1.2 signs does not tell the sides apart; "
                                "make a second identity");
    if (access[PURPOSE_TLS_CLIENT].count == 0)
        return setting_complain(setting(judge, "Access", "TLS12"), true, "has no effect without tls-client=");
    return 0;
}

/* The two purposes of which nobody can say what a signature is good for. */
static int check_access(const Judge *judge) {
    const AccessRules *access = judge->config->access;
    bool beside_raw = access[PURPOSE_DATA].count > 0,
         beside_digest = beside_raw || access[PURPOSE_DATA_RAW].count > 0 || access[PURPOSE_TLS_CLIENT].count > 0 ||
                         access[PURPOSE_TLS_SERVER].count > 0;

    int r = check_data(judge);
    if (r >= 0 && access[PURPOSE_DATA_RAW].count > 0 && beside_raw)
        r = setting_complain(setting(judge, "Access", "data-raw"), true,
                             "its holders can sign any bytes but those that a list refuses, also what those of data= "
                             "sign; better make a second identity");
    if (r >= 0 && access[PURPOSE_DIGEST].count > 0 && beside_digest)
        r = setting_complain(setting(judge, "Access", "digest"), true,
                             "its holders can sign anything with this key, also what the other purposes forbid; better "
                             "make a second identity");
    return r;
}

int identity_rules_check(const IdentityConfig *config, const Settings *settings) {
    const Judge judge = { config, settings };
    static int (*const rules[])(const Judge *judge) = {
        check_names,      check_anchors, check_proxy,  check_renewal,
        check_revocation, check_peers,   check_access, check_access_tls12,
    };

    for (size_t i = 0; i < ARRAY_LENGTH(rules); i++) {
        int r = rules[i](&judge);
        if (r < 0)
            return r;
    }
    int r = config->protocol == PROTOCOL_MANUAL ? check_manual(&judge) : check_est(&judge);
    if (r < 0)
        return r;
    r = check_authenticate(&judge, "Enrollment", &config->authenticate);
    if (r < 0)
        return r;
    return check_authenticate(&judge, "Renewal", &config->renewal_authenticate);
}
