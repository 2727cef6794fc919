/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The life of the daemon's one big object: directories, configuration, the signing thread, and the set of identities.
 */
#include "manager/internal.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <systemd/sd-id128.h>

/* Makes %m: machine-id hashed with this, so that the system's own id stays private (machine-id(5)). */
#define MACHINE_ID_APPLICATION SD_ID128_MAKE(2f, 1b, 7c, 86, 51, 9a, 4d, 6e, a3, 2b, 0f, 94, c0, 5d, 8e, 17)

/* ---- callbacks of the signing thread (on main's loop) ---- */

static void on_generation_used(const char *name, uint32_t generation, void *userdata) {
    Identity *identity = manager_find_identity(userdata, name, NULL);

    if (identity)
        identity_generation_used(identity, generation);
}

static void on_generation_unused(const char *name, uint32_t generation, void *userdata) {
    Identity *identity = manager_find_identity(userdata, name, NULL);

    if (identity)
        identity_generation_unused(identity, generation);
}

static void on_tpm_trouble(const Failure *failure, void *userdata) {
    if (tpm_note_failure(userdata, failure))
        log_entry(LOG_WARNING, MESSAGE_TPM_CHANGED, NULL, "A signature failed: %s The TPM is looked at.",
                  failure->text);
}

/* ---- starting ---- */

static int open_directory(const char *variable, const char *fallback, mode_t mode, char **ret_path) {
    const char *path = getenv(variable);
    _cleanup_free_ char *copy = strdup(path && path[0] ? path : fallback);

    if (!copy)
        return -ENOMEM;
    char *colon = strchr(copy, ':'); /* systemd lists several with colons; ours is the first */
    if (colon)
        *colon = '\0';
    if ((mkdir(copy, mode) < 0 || chmod(copy, mode) < 0) && errno != EEXIST) {
        int r = -errno;
        log_entry(LOG_ERR, MESSAGE_STORAGE, NULL,
                  "Cannot create %s: %s; create it for the user that identityd runs as, or set %s.", copy, strerror(-r),
                  variable);
        return r;
    }
    int fd = open(copy, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        int r = -errno;
        log_entry(LOG_ERR, MESSAGE_STORAGE, NULL, "Cannot open %s: %s; set %s to a directory that identityd may use.",
                  copy, strerror(-r), variable);
        return r;
    }
    if (ret_path)
        *ret_path = TAKE_PTR(copy);
    return fd;
}

static void load_secret(const char *name, const char *what, Secret **ret) {
    int r = name ? secret_from_credential(name, ret) : 0;

    if (r < 0)
        log_entry(LOG_WARNING, MESSAGE_CONFIGURATION, NULL, "The systemd credential %s (%s) cannot be read: %s.", name,
                  what, strerror(-r));
}

static int load_config(Manager *manager, Problems *problems) {
    int r = daemon_config_load(&manager->directories, problems, &manager->config);

    for (size_t i = 0; i < problems->count; i++) {
        _cleanup_free_ char *text = problem_to_string(&problems->list[i]);
        log_entry(problems->list[i].warning ? LOG_WARNING : LOG_ERR, MESSAGE_CONFIGURATION, NULL, "%s",
                  text ? text : "out of memory");
    }
    return r;
}

/* What cannot be read is looked for in the TPM again, and then written anew. */
static void load_device(Manager *manager) {
    Failure failure = FAILURE_INIT;

    if (store_device_load(manager->state_fd, &manager->stored_device, &failure) < 0)
        log_entry(LOG_WARNING, MESSAGE_STORAGE, NULL, "%s; the device ID is computed anew.", failure.text);
}

static int start_signing(Manager *manager) {
    _cleanup_tpm_ Tpm *tpm = NULL;
    const DaemonConfig *config = manager->config;
    TpmOptions options = {
        .tcti = config->tcti ? config->tcti : "device:/dev/tpmrm0",
        .parent_handle = config->parent_handle,
        .owner_authorization = manager->owner_authorization,
        .endorsement_authorization = manager->endorsement_authorization,
        .known_parent_name = bytes_view(&manager->stored_device.parent_name),
        .known_endorsement = bytes_view(&manager->stored_device.endorsement),
    };
    SigningCallbacks callbacks = { handle_closed, on_generation_used, on_generation_unused, on_tpm_trouble, manager };
    int r = tpm_new(&options, &tpm);

    if (r == -EINVAL) { /* what was recorded is no TPM Name */
        options.known_endorsement = options.known_parent_name = (BytesView) { NULL, 0 };
        r = tpm_new(&options, &tpm);
    }
    return r < 0 ? r : signing_new(TAKE_PTR(tpm), manager->loop, &callbacks, &manager->signing);
}

static int compare_identities(const void *a, const void *b) {
    return strcmp((*(Identity *const *) a)->name, (*(Identity *const *) b)->name);
}

static int add_identity(Manager *manager, const char *name) {
    _cleanup_(identity_free_p) Identity *identity = NULL;
    int r = identity_new(manager, name, &identity);

    if (r < 0)
        return r;
    Identity **list = reallocarray(manager->identities, manager->identity_count + 1U, sizeof *list);
    if (!list)
        return -ENOMEM;
    manager->identities = list;
    Identity *added = list[manager->identity_count++] = TAKE_PTR(identity);
    qsort(list, manager->identity_count, sizeof *list, compare_identities);
    identity_load(added);
    if (manager->callbacks.changed)
        manager->callbacks.changed(CHANGE_IDENTITY_ADDED, added, manager->callbacks.userdata);
    return 0;
}

static void remove_identity(Manager *manager, size_t index) {
    Identity *identity = manager->identities[index];

    if (manager->callbacks.changed)
        manager->callbacks.changed(CHANGE_IDENTITY_REMOVED, identity, manager->callbacks.userdata);
    (void) signing_remove_identity(manager->signing, identity->name);
    (void) publish_set(manager->runtime_fd, identity->name, NULL, 0, NULL);
    memmove(&manager->identities[index], &manager->identities[index + 1U],
            (manager->identity_count - index - 1U) * sizeof *manager->identities);
    manager->identity_count--;
    identity_free(identity);
}

static bool listed(char *const *names, const char *name) {
    for (; names && *names; names++)
        if (strcmp(*names, name) == 0)
            return true;
    return false;
}

/* 1: not all of them could be found out. */
static int list_identities(Manager *manager, char ***ret_names) {
    _cleanup_(problems_clear) Problems problems = { 0 };
    int r = config_list_identities(&manager->directories, &problems, ret_names);

    for (size_t i = 0; i < problems.count; i++) {
        _cleanup_free_ char *text = problem_to_string(&problems.list[i]);
        log_entry(LOG_WARNING, MESSAGE_CONFIGURATION, NULL, "%s", text ? text : "out of memory");
    }
    return r;
}

/* Brings the set of identities in line with the files that are there. */
static int load_identities(Manager *manager, char *const *names) {
    int r;

    for (size_t i = manager->identity_count; i > 0; i--)
        if (!listed(names, manager->identities[i - 1U]->name))
            remove_identity(manager, i - 1U);
    for (char *const *name = names; name && *name; name++) {
        Identity *present = manager_find_identity(manager, *name, NULL);
        if (present) {
            identity_load(present);
            handles_recheck(manager, present);
            identity_changed(present);
        } else if (manager->identity_count >= manager->config->identities)
            log_entry(LOG_ERR, MESSAGE_CONFIGURATION, *name,
                      "Not loaded: there are more than %u identities; raise Identities= in identityd.conf.",
                      manager->config->identities);
        else {
            r = add_identity(manager, *name);
            if (r < 0)
                return r;
        }
    }
    return 0;
}

int manager_new(sd_event *loop, Manager **ret) {
    _cleanup_(manager_free_p) Manager *manager = calloc(1, sizeof *manager);
    _cleanup_(problems_clear) Problems problems = { 0 };
    _cleanup_strings_ char **names = NULL;
    sd_id128_t machine;

    if (!manager)
        return -ENOMEM;
    manager->loop = sd_event_ref(loop);
    manager->jobs.loop = loop;
    manager->tpm.state = TPM_STATE_UNAVAILABLE;
    (void) failure_set(&manager->tpm_failure, 0, FAILURE_TPM_UNAVAILABLE, "it has not answered yet since the start.");
    manager->state_fd = manager->runtime_fd = manager->clock_watch_fd = -1;
    if (sd_id128_get_machine_app_specific(MACHINE_ID_APPLICATION, &machine) >= 0)
        (void) sd_id128_to_string(machine, manager->machine_id);

    int r = config_directories_from_environment(&manager->directories);
    if (r >= 0)
        r = load_config(manager, &problems);
    if (r < 0)
        return r;
    manager->state_fd = open_directory("STATE_DIRECTORY", IDENTITYD_STATE_DIRECTORY, 0700, NULL);
    manager->runtime_fd =
        open_directory("RUNTIME_DIRECTORY", IDENTITYD_RUNTIME_DIRECTORY, 0755, &manager->runtime_directory);
    if (manager->state_fd < 0 || manager->runtime_fd < 0)
        return manager->state_fd < 0 ? manager->state_fd : manager->runtime_fd;
    load_secret(manager->config->owner_authorization, "OwnerAuthCredential=", &manager->owner_authorization);
    load_secret(manager->config->endorsement_authorization,
                "EndorsementAuthCredential=", &manager->endorsement_authorization);
    if (manager->config->serial_credential)
        (void) secret_from_credential(manager->config->serial_credential, &manager->serial);
    load_device(manager);
    r = clock_load(manager);
    if (r >= 0)
        r = closer_new(&manager->jobs.closer);
    if (r >= 0)
        r = quota_new(manager->config->handles_per_user, manager->config->handles, &manager->quota);
    if (r >= 0)
        limits_apply(manager);
    if (r >= 0)
        r = line_limit_new(&manager->access_lines);
    if (r >= 0)
        r = start_signing(manager);
    if (r >= 0)
        r = timers_start(manager);
    if (r >= 0)
        r = list_identities(manager, &names);
    if (r >= 0)
        r = load_identities(manager, names);
    if (r < 0)
        return r;
    tpm_probe_start(manager);
    *ret = TAKE_PTR(manager);
    return 0;
}

Manager *manager_free(Manager *manager) {
    Failure stopping = FAILURE_INIT;

    if (!manager)
        return NULL;
    manager->callbacks = (ManagerCallbacks) { 0 };
    timers_stop(manager);
    (void) failure_set(&stopping, -ESHUTDOWN, FAILURE_NOT_READY, "identityd stops.");
    inquiries_abort(manager, &stopping);
    while (manager->identity_count > 0) /* their files stay published: programs may outlive a restart of ours */
        identity_free(manager->identities[--manager->identity_count]);
    signing_free(manager->signing);
    handles_forget(manager);
    free(manager->identities);
    job_loop_clear(&manager->jobs);
    closer_free(manager->jobs.closer);
    quota_free(manager->quota);
    access_log_end(manager);
    sd_event_source_disable_unref(manager->probe_timer);
    sd_event_source_disable_unref(manager->tpm_job_timer);
    daemon_config_free(manager->config);
    config_directories_clear(&manager->directories);
    secret_free(manager->owner_authorization);
    secret_free(manager->endorsement_authorization);
    secret_free(manager->serial);
    free(manager->runtime_directory);
    stored_device_clear(&manager->stored_device);
    close_safe(manager->state_fd);
    close_safe(manager->runtime_fd);
    sd_event_unref(manager->loop);
    free(manager);
    return NULL;
}

void manager_set_callbacks(Manager *manager, const ManagerCallbacks *callbacks) {
    manager->callbacks = *callbacks;
}

static bool differs(const char *a, const char *b) {
    return strcmp(a ? a : "", b ? b : "") != 0;
}

/* What was read at the start alone: said, lest somebody waits for it. */
static void tell_of_restart(const DaemonConfig *old, const DaemonConfig *new) {
    const struct {
        const char *key;
        bool changed;
    } settings[] = {
        { "TCTI=", differs(old->tcti, new->tcti) },
        { "ParentHandle=", old->parent_handle != new->parent_handle },
        { "OwnerAuthCredential=", differs(old->owner_authorization, new->owner_authorization) },
        { "EndorsementAuthCredential=", differs(old->endorsement_authorization, new->endorsement_authorization) },
        { "SerialCredential=", differs(old->serial_credential, new->serial_credential) },
    };

    for (size_t i = 0; i < ARRAY_LENGTH(settings); i++)
        if (settings[i].changed)
            log_entry(LOG_WARNING, MESSAGE_CONFIGURATION, NULL,
                      "%s of [TPM] in identityd.conf was changed; that takes effect when identityd is started again "
                      "(systemctl restart identityd.service).",
                      settings[i].key);
}

int manager_reload(Manager *manager, Failure *ret_failure) {
    _cleanup_(problems_clear) Problems problems = { 0 };
    _cleanup_strings_ char **names = NULL;

    /* Nobody loses an identity because a directory could not be read just now. */
    int r = list_identities(manager, &names);
    if (r != 0)
        return failure_set(ret_failure, r < 0 ? r : -EIO, FAILURE_STORAGE,
                           "Not every directory with identities could be read, so all stays as it was: see the log, or "
                           "`idctl check`.");
    DaemonConfig *old = TAKE_PTR(manager->config);
    r = load_config(manager, &problems);
    if (r < 0) {
        manager->config = old;
        return failure_errno(ret_failure, r, "Reading identityd.conf");
    }
    tell_of_restart(old, manager->config);
    daemon_config_free(old);
    limits_apply(manager);
    r = load_identities(manager, names);
    if (r < 0)
        return failure_errno(ret_failure, r, "Reading the identities");
    tpm_probe_start(manager);
    log_entry(LOG_INFO, MESSAGE_CONFIGURATION, NULL, "The configuration was read again: %zu identities.",
              manager->identity_count);
    return 0;
}

/* ---- questions ---- */

bool manager_is_settled(const Manager *manager) {
    return manager->settled;
}

bool manager_is_alive(Manager *manager) {
    uint64_t beat = signing_heartbeat(manager->signing);
    /* Inside a TPM command the thread is not stuck, the TPM is; a restart would not help it. */
    bool alive = beat != manager->last_heartbeat || signing_busy_since(manager->signing) != 0;

    manager->last_heartbeat = beat;
    signing_ping(manager->signing);
    return alive;
}

bool manager_waits_for_tpm(const Manager *manager) {
    return signing_busy_since(manager->signing) != 0;
}

bool manager_tpm_is_hung(const Manager *manager) {
    struct timespec now;
    uint64_t since = signing_busy_since(manager->signing);

    (void) clock_gettime(CLOCK_MONOTONIC, &now);
    return since != 0 &&
           (uint64_t) now.tv_sec * USEC_PER_SECOND + (uint64_t) now.tv_nsec / 1000U > since + TPM_HUNG_USEC;
}

const char *manager_tpm_state(const Manager *manager) {
    if (!manager->tpm_known || manager->tpm.state == TPM_STATE_UNAVAILABLE || manager_tpm_is_hung(manager))
        return "unavailable";
    if (manager->tpm.state == TPM_STATE_LOCKOUT)
        return "lockout";
    for (size_t i = 0; i < manager->identity_count; i++)
        if (manager->identities[i]->replaced)
            return "replaced";
    return "ready";
}

const TpmInformation *manager_tpm_information(const Manager *manager) {
    return &manager->tpm;
}

size_t manager_identity_count(const Manager *manager) {
    return manager->identity_count;
}

Identity *manager_identity_at(const Manager *manager, size_t index) {
    return manager->identities[index];
}

Identity *manager_find_identity(const Manager *manager, const char *name, Failure *ret_failure) {
    for (size_t i = 0; i < manager->identity_count; i++)
        if (strcmp(manager->identities[i]->name, name) == 0)
            return manager->identities[i];
    (void) failure_set(ret_failure, -ENOENT, FAILURE_NO_SUCH_IDENTITY,
                       "There is no identity %.64s; `idctl list` shows those that are configured.", name);
    return NULL;
}
