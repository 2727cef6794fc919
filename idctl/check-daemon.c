/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* See check-daemon.h. Nothing here complains on standard error: what cannot be asked is a finding too. */
#include "idctl/check-daemon.h"

#include "common/names.h"
#include "idctl/check-report.h"
#include "idctl/output.h"

#include <string.h>
#include <sys/timex.h>

#define START_ADVICE                                                                                                   \
    "Start it with \"systemctl start identityd.service\"; \"journalctl -u identityd.service\" says why if it does "    \
    "not stay up."

static int get_property(Bus *bus, const char *property, char **ret, sd_bus_error *ret_error) {
    return sd_bus_get_property_string(bus->bus, IDENTITYD_BUS_NAME, IDENTITYD_MANAGER_PATH, IDENTITYD_MANAGER_INTERFACE,
                                      property, ret_error, ret);
}

static const char *tpm_advice(const char *state) {
    static const struct {
        const char *state, *advice;
    } advices[] = {
        { "unavailable",
          "Is there a TPM 2.0, and may the user identityd open /dev/tpmrm0? See TCTI= in identityd.conf(5)." },
        { "replaced",
          "This is not the TPM that made the keys. \"idctl enroll --new-key\" makes new ones in this one." },
        { "lockout", "The TPM refuses authorizations after failed ones; it recovers by itself with time." },
    };

    for (size_t i = 0; i < ARRAY_LENGTH(advices); i++)
        if (strcmp(advices[i].state, state) == 0)
            return advices[i].advice;
    return NULL;
}

/* Without a TPM that was ever read there is none to be known, which is no fault of its own. */
static void check_device_id(Bus *bus, bool ready, Findings *findings) {
    const FindingAbout about = { "device ID", NULL };
    _cleanup_free_ char *device_id = NULL;

    if (get_property(bus, "DeviceId", &device_id, NULL) < 0)
        return;
    if (device_id[0])
        findings_add(findings, about, FINDING_OK, NULL, "%s", device_id);
    else if (!ready)
        findings_add(findings, about, FINDING_SKIPPED, NULL, "not known without the TPM");
    else
        findings_add(
            findings, about, FINDING_WARNING,
            "Configurations that use %d are refused. The endorsement authorization may be set and unknown: see "
            "EndorsementAuthCredential= in identityd.conf(5).",
            "there is none");
}

bool check_tpm(Bus *bus, Findings *findings, bool *ret_ready) {
    const FindingAbout about = { "TPM", NULL };
    _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
    _cleanup_free_ char *state = NULL, *vendor = NULL, *problem = NULL;

    int r = get_property(bus, "TpmState", &state, &error);
    if (r < 0) {
        findings_add(findings, (FindingAbout) { "identityd", NULL }, FINDING_FAILED, START_ADVICE,
                     "does not answer: %s", error.message ? error.message : strerror(-r));
        return false;
    }
    (void) get_property(bus, "TpmVendor", &vendor, NULL);
    (void) get_property(bus, "TpmProblem", &problem, NULL);
    bool ready = strcmp(state, "ready") == 0;
    if (ready)
        findings_add(findings, about, FINDING_OK, NULL, "ready%s%s", vendor && vendor[0] ? ", " : "",
                     vendor ? vendor : "");
    else
        findings_add(findings, about, FINDING_FAILED, tpm_advice(state), "%s: %s", state, problem ? problem : "");
    check_device_id(bus, ready, findings);
    *ret_ready = ready;
    return true;
}

void check_clock(uint64_t latest_not_before, Findings *findings) {
    FindingAbout about = { "clock", NULL };
    uint64_t now = time_now();
    _cleanup_free_ char *text = time_to_text(now, 0), *bound = time_to_text(latest_not_before, 0);
    struct timex state = { 0 };

    if (latest_not_before > now)
        findings_add(findings, about, FINDING_FAILED,
                     "The clock is behind: certificates look not yet valid to programs. Set it, or run a time service.",
                     "%s, but a certificate begins at %s", text ? text : "", bound ? bound : "");
    else if (adjtimex(&state) == TIME_ERROR || (state.status & STA_UNSYNC))
        findings_add(findings, about, FINDING_WARNING,
                     "Run a time service (systemd-timesyncd, chrony): certificates begin and end by the clock.",
                     "%s, not synchronized", text ? text : "");
    else
        findings_add(findings, about, FINDING_OK, NULL, "%s, synchronized", text ? text : "");
}

static int get_identity(Bus *bus, const char *identity, IdentityProperties *ret, sd_bus_error *ret_error) {
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
    _cleanup_free_ char *path = NULL;

    int r = sd_bus_path_encode(IDENTITYD_IDENTITY_PREFIX, identity, &path);
    if (r >= 0)
        r = sd_bus_call_method(bus->bus, IDENTITYD_BUS_NAME, path, "org.freedesktop.DBus.Properties", "GetAll",
                               ret_error, &reply, "s", IDENTITYD_IDENTITY_INTERFACE);
    return r < 0 ? r : identity_properties_read(reply, ret);
}

/* The same failure of another identity's CA is told once in full. */
static void tell_ca_failure(FindingAbout about, const char *text, Findings *findings) {
    for (size_t i = 0; i < findings->count; i++) {
        const Finding *told = &findings->list[i];
        if (told->verdict == FINDING_FAILED && strcmp(told->check, about.check) == 0 && strcmp(told->text, text) == 0) {
            findings_add(findings, about, FINDING_SKIPPED, NULL, "as with %s", told->identity);
            return;
        }
    }
    findings_add(findings, about, FINDING_FAILED,
                 "Without the CA there is no renewal. Check Server=, ServerAnchors= and the network.", "%s", text);
}

/* Whether the CA can be reached, as the enroller finds it. `ret_failure`: why not; the caller frees. */
static void check_server(Bus *bus, const char *identity, const IdentityConfig *config, Findings *findings,
                         char **ret_failure) {
    _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *call = NULL, *reply = NULL;
    const FindingAbout about = { "CA", identity };
    const char *report;

    if (config && config->protocol == PROTOCOL_MANUAL) {
        findings_add(findings, about, FINDING_SKIPPED, NULL, "none: Protocol=manual");
        return;
    }
    int r = sd_bus_message_new_method_call(bus->bus, &call, IDENTITYD_BUS_NAME, IDENTITYD_MANAGER_PATH,
                                           IDENTITYD_MANAGER_INTERFACE, "ProbeServer");
    if (r >= 0)
        r = sd_bus_message_append(call, "s", identity);
    if (r >= 0)
        r = sd_bus_call(bus->bus, call, (uint64_t) BUS_LONG_CALL_SECONDS * 1000000U, &error, &reply);
    if (r >= 0)
        r = sd_bus_message_read(reply, "s", &report);
    if (r >= 0) {
        check_report(identity, report, findings);
        return;
    }
    const char *text = error.message ? error.message : strerror(-r);
    if (error.name && bus_error_exit_code(error.name) == EXIT_DENIED)
        findings_add(findings, about, FINDING_SKIPPED, "Run idctl check as root to have the CA tried.", "%s", text);
    else {
        tell_ca_failure(about, text, findings);
        *ret_failure = strdup(text);
    }
}

/* ---- one identity ---- */

static bool is_whole(const IdentityProperties *properties) {
    return properties->name && properties->state && properties->activity && properties->last_error &&
           properties->key_algorithm;
}

void check_identity(Bus *bus, const char *identity, CheckTerms *terms, Findings *findings) {
    _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
    _cleanup_properties_ IdentityProperties properties = { 0 };
    _cleanup_free_ char *ca_failure = NULL;

    int r = get_identity(bus, identity, &properties, &error);
    if ((r < 0 || !is_whole(&properties)) && terms->config_failed) {
        findings_add(findings, (FindingAbout) { "state", identity }, FINDING_SKIPPED, NULL,
                     "identityd does not have it: it follows from the above");
        return;
    }
    if (r < 0 || !is_whole(&properties)) {
        findings_add(findings, (FindingAbout) { "state", identity }, FINDING_FAILED,
                     "If its file is new, \"idctl reload\" makes identityd read it.", "identityd does not have it: %s",
                     error.message ? error.message : strerror(r < 0 ? -r : EBADMSG));
        return;
    }
    if (strcmp(properties.state, "retired") != 0 && strcmp(properties.state, "misconfigured") != 0)
        check_server(bus, identity, terms->config, findings, &ca_failure);
    terms->ca_failure = ca_failure;
    check_state(&properties, terms, findings);
    terms->ca_failure = NULL;
    check_peer_crls(&properties, terms, findings);
    if (properties.certificates.count == 0)
        return;
    check_certificate(&properties, terms, findings);
    check_key(&properties, findings);
    check_chain(&properties, terms->config, findings);
    if (strcmp(properties.state, "ready") == 0)
        check_renewal(&properties, terms, findings);
}

uint64_t check_latest_not_before(Bus *bus, const Listing *identities) {
    uint64_t latest = 0;

    for (size_t i = 0; i < identities->count; i++) {
        _cleanup_properties_ IdentityProperties properties = { 0 };
        if (get_identity(bus, identities->list[i].name, &properties, NULL) >= 0 && properties.not_before > latest)
            latest = properties.not_before;
    }
    return latest;
}

void check_reader(sd_bus *bus, FileReader *ret) {
    _cleanup_(sd_bus_creds_unrefp) sd_bus_creds *credentials = NULL;
    uid_t uid;

    file_reader_installed(ret);
    if (bus && sd_bus_get_name_creds(bus, IDENTITYD_BUS_NAME, SD_BUS_CREDS_EUID, &credentials) >= 0 &&
        sd_bus_creds_get_euid(credentials, &uid) >= 0)
        file_reader_by_uid(uid, ret);
}
