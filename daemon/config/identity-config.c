/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* identities/NAME.conf: the table of its keys and their parsers. What keys demand of each other is in
 * identity-rules.c. */
#include "config/identity-config.h"

#include "common/names.h"
#include "common/text.h"
#include "config/identity-rules.h"
#include "config/settings.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

static char **string_at(const Setting *setting, void *target) {
    return (char **) ((char *) target + setting->key->offset);
}

static int set_string(const Setting *setting, void *target, const char *value) {
    char *copy = strdup(value);

    if (!copy)
        return -ENOMEM;
    free(*string_at(setting, target));
    *string_at(setting, target) = copy;
    return 0;
}

static int set_origin(const Setting *setting, ConfigOrigin *origin) {
    char *file = strdup(setting->file);

    if (!file)
        return -ENOMEM;
    free(origin->file);
    *origin = (ConfigOrigin) { file, setting->line };
    return 0;
}

/* ---- words of a fixed set ---- */

static int parse_boolean(const Setting *setting, void *target) {
    return value_boolean(setting->value, (bool *) (void *) ((char *) target + setting->key->offset)) < 0
               ? setting_refuse(setting)
               : 0;
}

static int parse_kind(const Setting *setting, void *target) {
    IdentityConfig *config = target;

    if (strcmp(setting->value, "ldevid") == 0)
        config->kind = IDENTITY_LDEVID;
    else if (strcmp(setting->value, "idevid") == 0)
        config->kind = IDENTITY_IDEVID;
    else
        return setting_refuse(setting);
    return 0;
}

static int parse_protocol(const Setting *setting, void *target) {
    IdentityConfig *config = target;

    if (strcmp(setting->value, "est") == 0)
        config->protocol = PROTOCOL_EST;
    else if (strcmp(setting->value, "manual") == 0)
        config->protocol = PROTOCOL_MANUAL;
    else
        return setting_refuse(setting);
    return 0;
}

static int parse_names(const Setting *setting, void *target) {
    bool is_ca = strcmp(setting->value, "ca") == 0;

    if (!is_ca && strcmp(setting->value, "exact") != 0)
        return setting_refuse(setting);
    ((IdentityConfig *) target)->names_are_the_cas = is_ca;
    return 0;
}

static int parse_after_revocation(const Setting *setting, void *target) {
    IdentityConfig *config = target;

    if (strcmp(setting->value, "wait") == 0)
        config->after_revocation = AFTER_REVOCATION_WAIT;
    else if (strcmp(setting->value, "enroll") == 0)
        config->after_revocation = AFTER_REVOCATION_ENROLL;
    else
        return setting_refuse(setting);
    return 0;
}

static int parse_algorithm(const Setting *setting, void *target) {
    KeyAlgorithm algorithm = key_algorithm_from_string(setting->value);

    if (algorithm == _KEY_ALGORITHM_INVALID)
        return setting_refuse(setting);
    ((IdentityConfig *) target)->algorithm = algorithm;
    return 0;
}

/* "crl", "ocsp", "crl,ocsp" in any order, or "none". */
static int parse_check(const Setting *setting, void *target) {
    IdentityConfig *config = target;
    const char *word = setting->value;
    bool crl = false, ocsp = false;

    if (strcmp(word, "none") != 0)
        for (;;) {
            size_t length = strcspn(word, ",");
            bool *flag = length == 3 && strncmp(word, "crl", 3) == 0    ? &crl
                         : length == 4 && strncmp(word, "ocsp", 4) == 0 ? &ocsp
                                                                        : NULL;
            if (!flag || *flag)
                return setting_refuse(setting);
            *flag = true;
            if (word[length] == '\0')
                break;
            word += length + 1;
            word += strspn(word, " \t");
        }
    config->check_crl = crl;
    config->check_ocsp = ocsp;
    return 0;
}

/* Of peers: what they staple, programs see for themselves. */
static int parse_peers_check(const Setting *setting, void *target) {
    bool is_crl = strcmp(setting->value, "crl") == 0;

    if (!is_crl && strcmp(setting->value, "none") != 0)
        return setting_refuse(setting);
    ((IdentityConfig *) target)->peers_check_crl = is_crl;
    return 0;
}

/* ---- names and templates ---- */

/* A name that nothing may be asked for with. What is certified already has names of its own. */
static int refuse_name(const Setting *setting, IdentityConfig *config, const char *fault) {
    if (!config->is_certified)
        return setting_complain(setting, false, "%s", fault);
    if (!config->names_fault && asprintf(&config->names_fault, "%s:%u: [%s] %s=: %s", setting->file, setting->line,
                                         setting->key->section, setting->key->key, fault) < 0) {
        config->names_fault = NULL; /* undefined by asprintf(3) */
        return -ENOMEM;
    }
    return setting_complain(setting, true,
                            "%s; the certificate that is there is used and renewed under its own names, but no other "
                            "is asked for",
                            fault);
}

static int parse_subject(const Setting *setting, void *target) {
    _cleanup_free_ char *fault = NULL;

    int r = subject_fault(setting->value, &fault);
    if (r >= 0 && fault)
        r = refuse_name(setting, target, fault);
    if (r < 0 || (fault && !((IdentityConfig *) target)->is_certified))
        return r;
    r = set_origin(setting, &((IdentityConfig *) target)->subject_origin);
    return r < 0 ? r : set_string(setting, target, setting->value);
}

static int refuse_san(const Setting *setting, IdentityConfig *config, const char *word, const char *fault) {
    _cleanup_free_ char *text = NULL;

    if (asprintf(&text, "\"%s\": %s", word, fault) < 0) {
        text = NULL; /* undefined by asprintf(3) */
        return -ENOMEM;
    }
    return refuse_name(setting, config, text);
}

static int add_san(const Setting *setting, IdentityConfig *config, const char *word) {
    _cleanup_free_ char *fault = NULL;
    SanTemplate san = { 0 };

    int r = san_parse(word, &san, &fault);
    if (r < 0)
        return r;
    if (fault)
        return refuse_san(setting, config, word, fault);
    for (size_t i = 0; i < config->san_count; i++)
        if (config->sans[i].kind == san.kind && strcmp(config->sans[i].value, san.value) == 0) {
            free(san.value);
            return setting_complain(setting, false, "\"%s\" stands there twice", word);
        }
    SanTemplate *grown = reallocarray(config->sans, config->san_count + 1, sizeof(*grown));
    if (!grown) {
        free(san.value);
        return -ENOMEM;
    }
    config->sans = grown;
    grown[config->san_count++] = san;
    return 0;
}

static int parse_sans(const Setting *setting, void *target) {
    _cleanup_strings_ char **words = NULL;

    int r = value_words(setting->value, CONFIG_SANS_MAX, &words);
    if (r == -E2BIG)
        return setting_complain(setting, false, "must be at most %u names", CONFIG_SANS_MAX);
    if (r >= 0)
        r = set_origin(setting, &((IdentityConfig *) target)->sans_origin);
    for (size_t i = 0; r >= 0 && words[i]; i++)
        r = add_san(setting, target, words[i]);
    return r;
}

static int parse_path(const Setting *setting, void *target) {
    return value_is_path(setting->value) ? set_string(setting, target, setting->value) : setting_refuse(setting);
}

static int parse_fingerprint(const Setting *setting, void *target) {
    IdentityConfig *config = target;

    int r = value_fingerprint(setting->value, config->anchors_fingerprint);
    if (r == -EINVAL)
        return setting_refuse(setting);
    config->has_anchors_fingerprint = r == 0;
    return r;
}

/* ---- URLs ---- */

static int parse_urls(const Setting *setting, void *target, UrlShape shape, size_t maximum) {
    char ***list = (char ***) (void *) ((char *) target + setting->key->offset);
    _cleanup_strings_ char **words = NULL;

    int r = value_words(setting->value, maximum, &words);
    if (r == -E2BIG)
        return setting_complain(setting, false, "must be at most %zu URLs", maximum);
    if (r < 0)
        return r;
    for (size_t i = 0; words[i]; i++) {
        char *url = NULL;
        r = value_url(words[i], shape, &url);
        if (r == -EINVAL)
            return setting_refuse(setting);
        if (r < 0)
            return r;
        free(words[i]);
        words[i] = url;
    }
    (void) strings_free(*list);
    *list = TAKE_PTR(words);
    return 0;
}

static int parse_servers(const Setting *setting, void *target) {
    return parse_urls(setting, target, URL_SERVER, CONFIG_SERVERS_MAX);
}

static int parse_crls(const Setting *setting, void *target) {
    return parse_urls(setting, target, URL_FETCH, CONFIG_CRLS_MAX);
}

static int parse_proxy(const Setting *setting, void *target) {
    char *url = NULL;

    int r = value_url(setting->value, URL_PROXY, &url);
    if (r < 0)
        return r == -EINVAL ? setting_refuse(setting) : r;
    free(*string_at(setting, target));
    *string_at(setting, target) = url;
    return 0;
}

static int parse_proxy_user(const Setting *setting, void *target) {
    size_t length = strlen(setting->value);

    if (length == 0 || length > CONFIG_USER_MAX || strchr(setting->value, ':') ||
        !text_is_clean(setting->value, length))
        return setting_refuse(setting);
    free(*string_at(setting, target));
    *string_at(setting, target) = strdup(setting->value);
    return *string_at(setting, target) ? 0 : -ENOMEM;
}

static int parse_credential(const Setting *setting, void *target) {
    if (!value_is_credential_name(setting->value))
        return setting_refuse(setting);
    free(*string_at(setting, target));
    *string_at(setting, target) = strdup(setting->value);
    return *string_at(setting, target) ? 0 : -ENOMEM;
}

/* ---- authentication ---- */

/* 0: not of this kind, or said twice; 1: taken. */
static int take_means(const char *word, const char *prefix, bool (*is_valid)(const char *name), char **means) {
    size_t length = strlen(prefix);

    if (strncmp(word, prefix, length) != 0 || !is_valid(word + length) || *means)
        return 0;
    *means = strdup(word + length);
    return *means ? 1 : -ENOMEM;
}

static int parse_authenticate(const Setting *setting, void *target) {
    Authenticate *authenticate = (void *) ((char *) target + setting->key->offset);
    _cleanup_strings_ char **words = NULL;
    int r = value_words(setting->value, 2, &words);

    if (r < 0)
        return r == -E2BIG ? setting_refuse(setting) : r;
    free(TAKE_PTR(authenticate->identity));
    free(TAKE_PTR(authenticate->credential));
    for (char **word = words; word && *word; word++) {
        r = take_means(*word, "identity:", identity_name_is_valid, &authenticate->identity);
        if (r == 0)
            r = take_means(*word, "credential:", value_is_credential_name, &authenticate->credential);
        if (r <= 0)
            return r < 0 ? r : setting_refuse(setting);
    }
    if (!authenticate_is_set(authenticate))
        return setting_refuse(setting);
    free(authenticate->file);
    authenticate->file = strdup(setting->file);
    authenticate->line = setting->line;
    return authenticate->file ? 0 : -ENOMEM;
}

static int parse_user(const Setting *setting, void *target) {
    Authenticate *authenticate = (void *) ((char *) target + setting->key->offset);
    _cleanup_free_ char *fault = NULL;

    int r = user_fault(setting->value, &fault);
    if (r < 0)
        return r;
    if (fault)
        return setting_complain(setting, false, "%s", fault);
    free(authenticate->user);
    authenticate->user = strdup(setting->value);
    return authenticate->user ? set_origin(setting, &authenticate->user_origin) : -ENOMEM;
}

/* ---- times ---- */

static int parse_at(const Setting *setting, void *target) {
    IdentityConfig *config = target;
    uint64_t before;
    uint32_t permille;

    if (setting->value[0] == '-') {
        if (value_duration(setting->value + 1, &before) < 0 || before == 0)
            return setting_refuse(setting);
        config->renew_before = before;
        config->renew_at_permille = 0;
        return 0;
    }
    if (value_percent(setting->value, &permille) < 0 || permille < RENEW_AT_PERMILLE_MIN ||
        permille > RENEW_AT_PERMILLE_MAX)
        return setting_refuse(setting);
    config->renew_at_permille = permille;
    config->renew_before = 0;
    return 0;
}

static int parse_jitter(const Setting *setting, void *target) {
    uint32_t permille;

    if (value_percent(setting->value, &permille) < 0 || permille > JITTER_PERMILLE_MAX)
        return setting_refuse(setting);
    ((IdentityConfig *) target)->jitter_permille = permille;
    return 0;
}

static int parse_interval(const Setting *setting, void *target) {
    uint64_t seconds;

    if (value_duration(setting->value, &seconds) < 0 || seconds == 0 || seconds > INTERVAL_MAX)
        return setting_refuse(setting);
    *(uint64_t *) (void *) ((char *) target + setting->key->offset) = seconds;
    return 0;
}

/* ---- [Access] ---- */

static int parse_access(const Setting *setting, void *target) {
    AccessRules *rules = (void *) ((char *) target + setting->key->offset);
    _cleanup_strings_ char **words = NULL;

    int r = value_words(setting->value, ACCESS_RULES_MAX, &words);
    if (r == -E2BIG)
        return setting_complain(setting, false, "must be at most %u rules", ACCESS_RULES_MAX);
    for (size_t i = 0; r >= 0 && words[i]; i++) {
        AccessRule rule = { 0 };
        r = access_rule_parse(words[i], &rule);
        if (r == -EINVAL)
            r = setting_complain(setting, false, "\"%s\": %s", words[i], setting->key->accepted);
        else if (r >= 0)
            r = access_rules_add(rules, rule);
    }
    return r;
}

#define BOOLEAN_ACCEPTED "must be yes or no"
#define PATH_ACCEPTED    "must be an absolute path without \"..\", \".\" and \"//\""
#define CRLS_ACCEPTED                                                                                                  \
    "must be one or several http or https URLs with a path, without user and fragment, each at most 2000 bytes"
#define INTERVAL_ACCEPTED "must be a number with a unit (s, min, h, d, w) from 1s to 52w, such as 6h"
#define AUTHENTICATE_ACCEPTED                                                                                          \
    "must be identity:NAME, or credential:NAME for a user's password in a systemd credential, or one of each"
#define ACCESS_ACCEPTED                                                                                                \
    "must be user:NAME, group:NAME (or their numbers) or unit:NAME, where NAME of a unit ends in .service or the like"

static const SettingKey keys[] = {
    { "Identity", "Subject", parse_subject, NULL, offsetof(IdentityConfig, subject) },
    { "Identity", "SubjectAltName", parse_sans, NULL, 0 },
    { "Identity", "Kind", parse_kind, "must be ldevid or idevid", 0 },
    { "Key", "Algorithm", parse_algorithm, "must be ecdsa-p256, ecdsa-p384, rsa-2048 or rsa-3072", 0 },
    { "Enrollment", "Protocol", parse_protocol, "must be est or manual", 0 },
    { "Enrollment", "Server", parse_servers,
      "must be one or several https://HOST[:PORT][/PATH] without user, query and fragment, each at most 2000 bytes",
      offsetof(IdentityConfig, servers) },
    { "Enrollment", "Anchors", parse_path, PATH_ACCEPTED, offsetof(IdentityConfig, anchors) },
    { "Enrollment", "AnchorsFingerprint", parse_fingerprint,
      "must be sha256: and the 64 hexadecimal digits of one root certificate's SHA-256", 0 },
    { "Enrollment", "ServerAnchors", parse_path, PATH_ACCEPTED, offsetof(IdentityConfig, server_anchors) },
    { "Enrollment", "Proxy", parse_proxy, "must be http://HOST:PORT", offsetof(IdentityConfig, proxy) },
    { "Enrollment", "ProxyUser", parse_proxy_user, "must be text of 1 to 255 bytes without a colon",
      offsetof(IdentityConfig, proxy_user) },
    { "Enrollment", "ProxyCredential", parse_credential, "must be the name of a systemd credential",
      offsetof(IdentityConfig, proxy_credential) },
    { "Enrollment", "Authenticate", parse_authenticate, AUTHENTICATE_ACCEPTED, offsetof(IdentityConfig, authenticate) },
    { "Enrollment", "User", parse_user, NULL, offsetof(IdentityConfig, authenticate) },
    { "Enrollment", "AllowTLS12", parse_boolean, BOOLEAN_ACCEPTED, offsetof(IdentityConfig, allow_tls12) },
    { "Enrollment", "Names", parse_names, "must be exact or ca", 0 },
    { "Renewal", "At", parse_at,
      "must be 10% to 95% of the lifetime, or a time before its end with a unit (s, min, h, d, w), such as -14d", 0 },
    { "Renewal", "Jitter", parse_jitter, "must be 0% to 30% of the lifetime", 0 },
    { "Renewal", "RotateKey", parse_boolean, BOOLEAN_ACCEPTED, offsetof(IdentityConfig, rotate_key) },
    { "Renewal", "Authenticate", parse_authenticate, AUTHENTICATE_ACCEPTED,
      offsetof(IdentityConfig, renewal_authenticate) },
    { "Renewal", "User", parse_user, NULL, offsetof(IdentityConfig, renewal_authenticate) },
    { "Renewal", "AnchorsInterval", parse_interval, INTERVAL_ACCEPTED, offsetof(IdentityConfig, anchors_interval) },
    { "Revocation", "Check", parse_check, "must be crl, ocsp, crl,ocsp or none", 0 },
    { "Revocation", "CRL", parse_crls, CRLS_ACCEPTED, offsetof(IdentityConfig, crl_urls) },
    { "Revocation", "Interval", parse_interval, INTERVAL_ACCEPTED, offsetof(IdentityConfig, revocation_interval) },
    { "Revocation", "AfterRevocation", parse_after_revocation, "must be wait or enroll", 0 },
    { "Peers", "Anchors", parse_path, PATH_ACCEPTED, offsetof(IdentityConfig, peers_anchors) },
    { "Peers", "Check", parse_peers_check, "must be crl or none", 0 },
    { "Peers", "CRL", parse_crls, CRLS_ACCEPTED, offsetof(IdentityConfig, peers_crl_urls) },
    { "Peers", "Intermediates", parse_path, PATH_ACCEPTED, offsetof(IdentityConfig, peers_intermediates) },
    { "Peers", "Interval", parse_interval, INTERVAL_ACCEPTED, offsetof(IdentityConfig, peers_interval) },
    { "Access", "tls-client", parse_access, ACCESS_ACCEPTED, offsetof(IdentityConfig, access[PURPOSE_TLS_CLIENT]) },
    { "Access", "TLS12", parse_boolean, BOOLEAN_ACCEPTED, offsetof(IdentityConfig, tls12) },
    { "Access", "tls-server", parse_access, ACCESS_ACCEPTED, offsetof(IdentityConfig, access[PURPOSE_TLS_SERVER]) },
    { "Access", "data", parse_access, ACCESS_ACCEPTED, offsetof(IdentityConfig, access[PURPOSE_DATA]) },
    { "Access", "data-raw", parse_access, ACCESS_ACCEPTED, offsetof(IdentityConfig, access[PURPOSE_DATA_RAW]) },
    { "Access", "digest", parse_access, ACCESS_ACCEPTED, offsetof(IdentityConfig, access[PURPOSE_DIGEST]) },
};

static void set_defaults(IdentityConfig *config) {
    config->kind = IDENTITY_LDEVID;
    config->algorithm = KEY_ECDSA_P256;
    config->protocol = PROTOCOL_EST;
    config->renew_at_permille = RENEW_AT_PERMILLE_DEFAULT;
    config->jitter_permille = JITTER_PERMILLE_DEFAULT;
    config->rotate_key = true;
    config->anchors_interval = ANCHORS_INTERVAL_DEFAULT;
    config->revocation_interval = REVOCATION_INTERVAL_DEFAULT;
    config->peers_interval = REVOCATION_INTERVAL_DEFAULT;
    config->after_revocation = AFTER_REVOCATION_WAIT;
}

/* Defaults that depend on what else is said. */
static int complete(IdentityConfig *config, const Settings *settings) {
    Authenticate *both[] = { &config->authenticate, &config->renewal_authenticate };

    if (settings_have_section(settings, "Revocation") && !settings_find(settings, "Revocation", "Check")->value)
        config->check_crl = true;
    for (size_t i = 0; i < ARRAY_LENGTH(both); i++)
        if (both[i]->credential && !both[i]->user) {
            both[i]->user = strdup("%d");
            if (!both[i]->user)
                return -ENOMEM;
        }
    return 0;
}

/* Reads, parses and judges into `config`; every fault is in `problems`. */
static int load(char *const *paths, Problems *problems, IdentityConfig *config) {
    _cleanup_settings_ Settings settings = { 0 };

    int r = settings_read(keys, ARRAY_LENGTH(keys), paths, problems, &settings);
    if (r == -ENOMEM)
        return r;
    int failed = r;
    r = settings_apply(&settings, config);
    if (r < 0)
        return r;
    r = complete(config, &settings);
    if (r < 0)
        return r;
    /* With a faulty line gone, a rule would complain about what is not there. */
    if (!problems_have_errors(problems))
        r = identity_rules_check(config, &settings);
    if (r < 0)
        return r;
    if (failed < 0)
        return failed;
    return problems_have_errors(problems) ? -EINVAL : 0;
}

static int load_identity(const char *name, char *const *paths, bool is_certified, Problems *problems,
                         IdentityConfig **ret) {
    _cleanup_identity_config_ IdentityConfig *config = calloc(1, sizeof(*config));
    _cleanup_problems_ Problems found = { NULL, 0 }; /* its own, so that its bound is its own too */

    if (!config)
        return -ENOMEM;
    set_defaults(config);
    config->is_certified = is_certified;
    config->name = strdup(name);
    config->file = strdup(paths && paths[0] ? paths[0] : name);
    if (!config->name || !config->file)
        return -ENOMEM;
    int r = load(paths, &found, config), q = problems_move(problems, &found);
    if (q < 0)
        return q;
    if (r < 0)
        return r;
    *ret = TAKE_PTR(config);
    return 0;
}

int identity_config_load(const char *name, char *const *paths, Problems *problems, IdentityConfig **ret) {
    return load_identity(name, paths, false, problems, ret);
}

int identity_config_load_certified(const char *name, char *const *paths, Problems *problems, IdentityConfig **ret) {
    return load_identity(name, paths, true, problems, ret);
}

static bool sans_are_equal(const IdentityConfig *a, const IdentityConfig *b) {
    if (a->san_count != b->san_count)
        return false;
    for (size_t i = 0; i < a->san_count; i++)
        if (a->sans[i].kind != b->sans[i].kind || strcmp(a->sans[i].value, b->sans[i].value) != 0)
            return false;
    return true;
}

bool identity_config_same_request(const IdentityConfig *a, const IdentityConfig *b) {
    return strcmp(a->subject, b->subject) == 0 && sans_are_equal(a, b) && a->algorithm == b->algorithm &&
           a->kind == b->kind && a->protocol == b->protocol;
}

static void authenticate_clear(Authenticate *authenticate) {
    free(authenticate->identity);
    free(authenticate->credential);
    free(authenticate->user);
    free(authenticate->user_origin.file);
    free(authenticate->file);
}

IdentityConfig *identity_config_free(IdentityConfig *config) {
    if (!config)
        return NULL;
    for (size_t i = 0; i < config->san_count; i++)
        free(config->sans[i].value);
    for (size_t i = 0; i < ARRAY_LENGTH(config->access); i++)
        access_rules_clear(&config->access[i]);
    authenticate_clear(&config->authenticate);
    authenticate_clear(&config->renewal_authenticate);
    free(config->sans);
    free(config->name);
    free(config->file);
    free(config->subject);
    free(config->names_fault);
    free(config->subject_origin.file);
    free(config->sans_origin.file);
    (void) strings_free(config->servers);
    free(config->anchors);
    free(config->server_anchors);
    free(config->proxy);
    free(config->proxy_user);
    free(config->proxy_credential);
    (void) strings_free(config->crl_urls);
    free(config->peers_anchors);
    free(config->peers_intermediates);
    (void) strings_free(config->peers_crl_urls);
    free(config);
    return NULL;
}
