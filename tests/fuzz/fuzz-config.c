/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Configuration files, as an identity's and as identityd.conf: up to the first form feed the file, behind it a drop-in.
 * What is taken is within its bounds; what is refused is refused with file and reason; and an identity that has a
 * certificate is never refused more than one that has none. */
#include "scratch.h"

#include "config/daemon-config.h"
#include "config/identity-config.h"

static void check_problems(const Problems *problems) {
    require(problems->count <= PROBLEMS_MAX + 1U);
    for (size_t i = 0; i < problems->count; i++) {
        char *text = problem_to_string(&problems->list[i]);
        require(text && problems->list[i].text[0] && problems->list[i].file);
        free(text);
    }
}

static void check_identity(const IdentityConfig *config) {
    require(config->subject && config->file && strcmp(config->name, "x") == 0);
    require(config->san_count <= CONFIG_SANS_MAX && config->jitter_permille <= JITTER_PERMILLE_MAX);
    require(config->renew_before > 0 ||
            (config->renew_at_permille >= RENEW_AT_PERMILLE_MIN && config->renew_at_permille <= RENEW_AT_PERMILLE_MAX));
    size_t servers = 0;
    for (; config->servers && config->servers[servers]; servers++)
        require(strncmp(config->servers[servers], "https://", 8) == 0);
    require(servers <= CONFIG_SERVERS_MAX && (config->protocol != PROTOCOL_EST || servers > 0));
    require(!config->proxy_user == !config->proxy_credential);
    bool gives_tls = config->access[PURPOSE_TLS_CLIENT].count > 0 || config->access[PURPOSE_TLS_SERVER].count > 0;
    require(!gives_tls || config->access[PURPOSE_DATA].count == 0);
    require(identity_config_same_request(config, config));
}

static void try_identity(char *const *paths) {
    _cleanup_identity_config_ IdentityConfig *config = NULL, *certified = NULL;
    _cleanup_problems_ Problems problems = { NULL, 0 }, again = { NULL, 0 };

    int r = identity_config_load("x", paths, &problems, &config);
    require((r == 0) == (config != NULL) && (r == 0) == !problems_have_errors(&problems));
    check_problems(&problems);
    if (config)
        check_identity(config);
    r = identity_config_load_certified("x", paths, &again, &certified);
    require((r == 0) == (certified != NULL) && (certified || !config));
    check_problems(&again);
}

static void try_daemon(const ConfigDirectories *directories) {
    _cleanup_daemon_config_ DaemonConfig *config = NULL;
    _cleanup_problems_ Problems problems = { NULL, 0 };

    require(daemon_config_load(directories, &problems, &config) == 0);
    check_problems(&problems);
    require(config->handles_per_user >= 1 && config->handles_per_user <= HANDLES_PER_USER_MAX);
    require(config->handles >= 1 && config->handles <= HANDLES_MAX);
    require(config->identities >= 1 && config->identities <= IDENTITIES_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const uint8_t *feed = size > 0 ? memchr(data, '\f', size) : NULL;
    BytesView main_file = { data, feed ? (size_t) (feed - data) : size },
              drop_in = { feed ? feed + 1 : data, feed ? size - main_file.size - 1U : 0 };
    char *paths[] = { (char *) scratch_write("identities/x.conf", main_file),
                      (char *) scratch_write("identities/x.conf.d/a.conf", drop_in), NULL };
    char root[PATH_MAX];

    try_identity(paths);
    (void) scratch_write("identityd.conf", main_file);
    (void) scratch_write("identityd.conf.d/a.conf", drop_in);
    require(snprintf(root, sizeof root, "%s", scratch()) < (int) sizeof root);
    const ConfigDirectories directories = { .vendor = root,
                                            .runtime = (char *) "/nonexistent",
                                            .configuration = (char *) "/nonexistent" };
    try_daemon(&directories);
    return 0;
}
