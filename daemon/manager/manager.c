/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Brings everything up, keeps the set of identities in line with the files that are there, and passes on what changes.
 */
#include "manager/manager.h"

#include "device/log.h"
#include "enrolment/enrolment.h"
#include "identity/chosen.h"
#include "identity/forgotten.h"
#include "identity/identity.h"
#include "manager/timer.h"
#include "revocation/peers.h"
#include "revocation/revocation.h"
#include "work/work.h"

#include <fcntl.h>
#include <string.h>

#define BOOT_MARK ".clock-was-behind" /* no identity has such a name */

/* The table of duties, in the order in which those that are due at one instant begin: a revocation that is known
 * already comes before a renewal. */
static const Duty *const duties[] = {
    &loading_duty, &standing_duty, &revocation_duty,  &peers_duty,      &enrolment_duty, &rollover_duty,
    &manual_duty,  &inquiry_duty,  &publication_duty, &signatures_duty, &tidy_duty,      NULL,
};

struct Manager {
    sd_event *loop;
    ManagerCallbacks callbacks;
    Device *device;
    Work *work;
    Lending *lending;
    PeerPool *peer_pool;
    IdentitySet *set;
    IdentityContext context;
    Timer *timer;
    bool tpm_changed;        /* what is shown of it is another */
    bool boot_renewal_asked; /* once a TPM was there: what a clock that is behind calls for */
    uint64_t last_heartbeat;
};

/* ---- what the device says ---- */

/* Where the clock started below the floor, one fetch of statements and one renewal of each identity are tried in a boot
 * (docs/design.md §10, clock). */
static void plan_boot_renewals(Manager *manager) {
    Domains *domains = device_domains(manager->device);

    manager->boot_renewal_asked = true;
    domains_judge(domains);
    if (!domains_any_is_behind(domains))
        return;
    _cleanup_close_ int fd = openat(device_directories(manager->device)->runtime_fd, BOOT_MARK,
                                    O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) /* done already in this boot */
        return;
    log_entry(
        LOG_WARNING, MESSAGE_CLOCK, NULL,
        "The system clock is behind what is certainly past: dates are judged by the latest known instant, and one "
        "renewal and one revocation check are tried in this boot.");
    for (size_t i = 0; i < identity_set_count(manager->set); i++) {
        Identity *identity = identity_set_at(manager->set, i);
        if (!identity_clock_is_behind(identity))
            continue;
        enrolment_plan_boot_renewal(identity);
        revocation_check_soon(identity);
    }
}

static void on_tpm_looked(void *userdata) {
    Manager *manager = userdata;

    if (!manager->boot_renewal_asked && tpm_watch_is_ready(device_tpm(manager->device)))
        plan_boot_renewals(manager);
    for (size_t i = 0; i < identity_set_count(manager->set); i++) {
        identity_note(identity_set_at(manager->set, i), CHANGED_TPM);
        identity_evaluate(identity_set_at(manager->set, i));
    }
    manager->tpm_changed = true;
}

static void on_tpm_changed(void *userdata) {
    Manager *manager = userdata;

    for (size_t i = 0; i < identity_set_count(manager->set); i++)
        identity_note(identity_set_at(manager->set, i), CHANGED_TPM);
    manager->tpm_changed = true;
}

static void on_handle_closed(uint64_t id, void *userdata) {
    Manager *manager = userdata;

    if (manager->lending)
        handles_closed(manager->lending, id);
}

static void on_generation_used(const char *name, uint32_t generation, void *userdata) {
    Manager *manager = userdata;
    Identity *identity = identity_set_find(manager->set, name, NULL);

    if (!identity)
        return;
    identity_note_used(identity, generation);
    tidy_note_used(identity, generation);
}

static void on_generation_unused(const char *name, uint32_t generation, void *userdata) {
    Manager *manager = userdata;
    Identity *identity = identity_set_find(manager->set, name, NULL);

    if (identity)
        tidy_note_unused(identity, generation);
}

/* ---- changes ---- */

static void tell(const Manager *manager, ManagerChange change, Identity *identity) {
    if (manager->callbacks.changed)
        manager->callbacks.changed(change, identity, manager->callbacks.userdata);
}

/* Who waits for whom: an identity that became ready may be what others authenticate with. */
static void tell_others(Manager *manager, const Identity *ready) {
    for (size_t i = 0; i < identity_set_count(manager->set); i++)
        enrolment_authenticator_ready(identity_set_at(manager->set, i), identity_name(ready));
}

static void on_flush(void *userdata) {
    Manager *manager = userdata;

    for (size_t i = 0; i < identity_set_count(manager->set); i++) {
        Identity *identity = identity_set_at(manager->set, i);
        unsigned changes = identity_flush(identity);
        if (changes & CHANGED_CONFIGURATION) /* whatever had it read anew: a reload, or a disk that can be read again */
            handles_recheck(manager->lending, identity);
        if ((changes & CHANGED_STATE) && identity_state(identity) == STATE_READY)
            tell_others(manager, identity);
        if ((changes & ~(unsigned) CHANGED_TPM) != 0)
            tell(manager, CHANGE_IDENTITY_PROPERTIES, identity);
    }
    if (manager->tpm_changed)
        tell(manager, CHANGE_MANAGER_PROPERTIES, NULL);
    manager->tpm_changed = false;
}

static void on_clock_set(void *userdata) {
    Manager *manager = userdata;

    domains_judge(device_domains(manager->device));
    for (size_t i = 0; i < identity_set_count(manager->set); i++) {
        identity_evaluate(identity_set_at(manager->set, i));
        enrolment_note_awake(identity_set_at(manager->set, i));
    }
}

/* ---- the set ---- */

static int add_identity(Manager *manager, const char *name) {
    _cleanup_(identity_free_p) Identity *identity = NULL;
    int r = identity_new(&manager->context, name, &identity);

    if (r >= 0)
        r = identity_set_add(manager->set, identity);
    if (r < 0)
        return r;
    identity_load(identity);
    tell(manager, CHANGE_IDENTITY_ADDED, TAKE_PTR(identity));
    return 0;
}

static void remove_identity(Manager *manager, size_t index) {
    Identity *identity = identity_set_remove(manager->set, index);

    tell(manager, CHANGE_IDENTITY_REMOVED, identity);
    publication_withdraw(manager->device, identity_name(identity));
    identity_free(identity);
}

/* 1: not all of them could be found out. */
static int list_identities(const Manager *manager, char ***ret_names) {
    _cleanup_(problems_clear) Problems problems = { 0 };
    int r = config_list_identities(&device_directories(manager->device)->configuration, &problems, ret_names);

    for (size_t i = 0; i < problems.count; i++) {
        _cleanup_free_ char *text = problem_to_string(&problems.list[i]);
        log_entry(LOG_WARNING, MESSAGE_CONFIGURATION, NULL, "%s", text ? text : "out of memory");
    }
    return r;
}

static int load_identity(Manager *manager, const char *name) {
    Identity *present = identity_set_find(manager->set, name, NULL);

    if (!present)
        return add_identity(manager, name);
    identity_load(present);
    return 0;
}

/* Ends the list after as many as Identities= allows, and says which are left out. Returns what was cut off. */
static char **cut_names(const Manager *manager, char **names) {
    uint32_t most = device_config(manager->device)->identities, count = 0;

    while (names[count] && count < most)
        count++;
    for (char **name = names + count; *name; name++)
        log_entry(LOG_ERR, MESSAGE_CONFIGURATION, *name,
                  "Not loaded: there are more than %u identities, and those that have a certificate come first; raise "
                  "Identities= in identityd.conf.",
                  most);
    return names + count;
}

/* Brings the set of identities in line with the files that are there. */
static int load_identities(Manager *manager, char **names) {
    int r = chosen_sort(manager->device, manager->set, names);

    if (r < 0)
        return r;
    char **rest = cut_names(manager, names), *first_of_rest = *rest;
    *rest = NULL;
    for (size_t i = identity_set_count(manager->set); i > 0; i--)
        if (!strings_contain(names, identity_name(identity_set_at(manager->set, i - 1U))))
            remove_identity(manager, i - 1U);
    for (char **name = names; r >= 0 && *name; name++)
        r = load_identity(manager, *name);
    *rest = first_of_rest;
    return r;
}

/* ---- life ---- */

static int bring_up(Manager *manager) {
    const DeviceCallbacks callbacks = {
        .tpm_looked = on_tpm_looked,
        .tpm_changed = on_tpm_changed,
        .handle_closed = on_handle_closed,
        .generation_used = on_generation_used,
        .generation_unused = on_generation_unused,
        .userdata = manager,
    };
    int r = identity_set_new(&manager->set);

    if (r >= 0)
        r = device_new(manager->loop, &callbacks, &manager->device);
    if (r >= 0)
        r = work_new(manager->device, &manager->work);
    if (r >= 0)
        r = lending_new(manager->device, &manager->lending);
    if (r >= 0)
        r = peer_pool_new(manager->device, &manager->peer_pool);
    if (r < 0)
        return r;
    manager->context = (IdentityContext) {
        .device = manager->device,
        .work = manager->work,
        .set = manager->set,
        .duties = duties,
        .peer_pool = manager->peer_pool,
        .certificates = identity_set_certificates(manager->set),
    };
    const TimerOptions options = { manager->loop, manager->set, on_clock_set, on_flush, manager };
    return timer_new(&options, &manager->timer);
}

int manager_new(sd_event *loop, Manager **ret) {
    _cleanup_(manager_free_p) Manager *manager = calloc(1, sizeof *manager);
    _cleanup_strings_ char **names = NULL;

    if (!manager)
        return -ENOMEM;
    manager->loop = sd_event_ref(loop);
    int r = bring_up(manager);
    if (r >= 0)
        r = list_identities(manager, &names);
    if (r == 0) /* else not all are known that are configured */
        forgotten_withdraw(manager->device, names);
    if (r >= 0)
        r = load_identities(manager, names);
    if (r < 0)
        return r;
    on_flush(manager);
    device_look_at_tpm(manager->device);
    *ret = TAKE_PTR(manager);
    return 0;
}

/* Jobs end first, then the identities that wait for them, then the signing thread with what it owes, and last those who
 * are answered. Published files stay: programs may outlive a restart of ours. */
Manager *manager_free(Manager *manager) {
    if (!manager)
        return NULL;
    manager->callbacks = (ManagerCallbacks) { 0 };
    timer_free(manager->timer);
    identity_set_clear(manager->set);
    peer_pool_free(manager->peer_pool);
    if (manager->device)
        device_stop(manager->device);
    lending_free(manager->lending);
    manager->lending = NULL;
    work_free(manager->work);
    device_free(manager->device);
    identity_set_free(manager->set);
    sd_event_unref(manager->loop);
    free(manager);
    return NULL;
}

void manager_set_callbacks(Manager *manager, const ManagerCallbacks *callbacks) {
    manager->callbacks = *callbacks;
}

int manager_reload(Manager *manager, Failure *ret_failure) {
    _cleanup_strings_ char **names = NULL;

    /* Nobody loses an identity because a directory could not be read just now. */
    int r = list_identities(manager, &names);
    if (r != 0)
        return failure_set(ret_failure, r < 0 ? r : -EIO, FAILURE_STORAGE,
                           "Not every directory with identities could be read, so all stays as it was: see the log, or "
                           "`idctl check`.");
    r = device_reload(manager->device, ret_failure);
    if (r < 0)
        return r;
    lending_apply_limits(manager->lending);
    r = load_identities(manager, names);
    if (r < 0)
        return failure_errno(ret_failure, r, "Reading the identities");
    device_look_at_tpm(manager->device);
    log_entry(LOG_INFO, MESSAGE_CONFIGURATION, NULL, "The configuration was read again: %zu identities.",
              identity_set_count(manager->set));
    on_flush(manager); /* who is answered finds things so */
    return 0;
}

int manager_reset_clock(Manager *manager, const Identity *identity, Failure *ret_failure) {
    _cleanup_free_ char *domain = strdup(identity_domain(identity));
    int result = 0;

    if (!domain)
        return failure_errno(ret_failure, -ENOMEM, "Resetting the clock");
    for (size_t i = 0; i < identity_set_count(manager->set); i++) {
        Identity *other = identity_set_at(manager->set, i);
        if (other != identity && strcmp(identity_domain(other), domain) != 0)
            continue;
        int r = identity_reset_clock(other);
        if (r < 0)
            result = failure_set(ret_failure, r, FAILURE_STORAGE,
                                 "The time that was learned is forgotten until the next start, for the state of %s "
                                 "cannot be written: %s.",
                                 identity_name(other), strerror(-r));
        identity_evaluate(other);
        enrolment_note_awake(other);
    }
    on_flush(manager); /* who is answered finds things so */
    return result;
}

/* ---- questions ---- */

bool manager_is_settled(const Manager *manager) {
    return tpm_watch_has_looked(device_tpm(manager->device));
}

bool manager_is_alive(Manager *manager) {
    Signing *signing = device_signing(manager->device);
    uint64_t beat = signing_heartbeat(signing);
    /* Inside a TPM command the thread is not stuck, the TPM is; a restart would not help it. */
    bool alive = beat != manager->last_heartbeat || signing_busy_since(signing) != 0;

    manager->last_heartbeat = beat;
    signing_ping(signing);
    return alive;
}

bool manager_waits_for_tpm(const Manager *manager) {
    return signing_busy_since(device_signing(manager->device)) != 0;
}

Device *manager_device(const Manager *manager) {
    return manager->device;
}

Lending *manager_lending(const Manager *manager) {
    return manager->lending;
}

const IdentitySet *manager_identities(const Manager *manager) {
    return manager->set;
}

const char *manager_tpm_state(const Manager *manager) {
    const TpmWatch *tpm = device_tpm(manager->device);
    TpmState state = tpm_watch_information(tpm)->state;

    if (!tpm_watch_has_looked(tpm) || state == TPM_STATE_UNAVAILABLE || tpm_watch_is_hung(tpm))
        return "unavailable";
    if (state == TPM_STATE_LOCKOUT)
        return "lockout";
    for (size_t i = 0; i < identity_set_count(manager->set); i++)
        if (identity_is_replaced(identity_set_at(manager->set, i)))
            return "replaced";
    return "ready";
}

const char *manager_tpm_problem(const Manager *manager) {
    const TpmWatch *tpm = device_tpm(manager->device);

    if (tpm_watch_is_hung(tpm))
        return TPM_HUNG_TEXT;
    if (!tpm_watch_has_looked(tpm))
        return "the TPM is being looked at.";
    if (!tpm_watch_is_ready(tpm))
        return tpm_watch_problem(tpm);
    return strcmp(manager_tpm_state(manager), "replaced") == 0 ? IDENTITY_REPLACED_TEXT : "";
}
