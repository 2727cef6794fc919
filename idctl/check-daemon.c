/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* See check-daemon.h. Nothing here complains on standard error: what cannot be asked is a finding too. */
#include "idctl/check-daemon.h"

#include "common/names.h"
#include "idctl/certificates.h"
#include "idctl/identity.h"
#include "idctl/output.h"

#include <gnutls/abstract.h>
#include <stdio.h>
#include <string.h>
#include <sys/timex.h>

#define START_ADVICE                                                                                                   \
    "Start it with \"systemctl start identityd.service\"; \"journalctl -u identityd.service\" says why if it does "    \
    "not stay up."

static int get_property(Bus *bus, const char *property, char **ret, sd_bus_error *ret_error) {
    return sd_bus_get_property_string(bus->bus, IDENTITYD_BUS_NAME, IDENTITYD_MANAGER_PATH, IDENTITYD_MANAGER_INTERFACE,
                                      property, ret_error, ret);
}

bool check_tpm(Bus *bus, Findings *findings) {
    _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
    _cleanup_free_ char *state = NULL, *vendor = NULL, *device_id = NULL;
    static const struct {
        const char *state, *advice;
    } advices[] = {
        { "unavailable",
          "Is there a TPM 2.0, and may the user identityd open /dev/tpmrm0? See TCTI= in identityd.conf(5)." },
        { "replaced", "This is not the TPM that made the keys. \"idctl enroll\" makes new ones in this one." },
        { "lockout", "The TPM refuses authorizations after failed ones; it recovers by itself with time." },
    };
    const char *advice = NULL;

    int r = get_property(bus, "TpmState", &state, &error);
    if (r < 0) {
        findings_add(findings, (FindingAbout) { "identityd", NULL }, FINDING_FAILED, START_ADVICE,
                     "does not answer: %s", error.message ? error.message : strerror(-r));
        return false;
    }
    (void) get_property(bus, "TpmVendor", &vendor, NULL);
    for (size_t i = 0; i < ARRAY_LENGTH(advices); i++)
        if (strcmp(advices[i].state, state) == 0)
            advice = advices[i].advice;
    findings_add(findings, (FindingAbout) { "TPM", NULL }, strcmp(state, "ready") == 0 ? FINDING_OK : FINDING_FAILED,
                 advice, "%s%s%s", state, vendor && vendor[0] ? ", " : "", vendor ? vendor : "");
    if (get_property(bus, "DeviceId", &device_id, NULL) >= 0)
        findings_add(
            findings, (FindingAbout) { "device ID", NULL }, device_id[0] ? FINDING_OK : FINDING_WARNING,
            "Configurations that use %d are refused. The endorsement authorization may be set and unknown: see "
            "EndorsementAuthCredential= in identityd.conf(5).",
            "%s", device_id[0] ? device_id : "there is none");
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

static void check_state(const IdentityProperties *properties, Findings *findings) {
    FindingAbout about = { "state", properties->name };
    static const struct {
        const char *state, *advice;
        FindingVerdict verdict;
    } states[] = {
        { "ready", NULL, FINDING_OK },
        { "empty",
          "\"idctl enroll\" gets a certificate, or \"idctl request\" and \"idctl install\" where the CA is reached "
          "by other means.",
          FINDING_WARNING },
        { "expired",
          "Renewal goes on by itself if the CA can be reached; \"idctl renew\" tries now. Is the clock right?",
          FINDING_FAILED },
        { "revoked", "Its CA revoked it. If that is settled, \"idctl enroll\" makes a new key.", FINDING_FAILED },
        { "unavailable", "See what is said of the TPM.", FINDING_FAILED },
        { "retired", "An administrator retired it. \"idctl enroll\" makes a new key.", FINDING_WARNING },
    };

    for (size_t i = 0; i < ARRAY_LENGTH(states); i++)
        if (strcmp(states[i].state, properties->state) == 0)
            findings_add(findings, about, states[i].verdict, states[i].advice, "%s, %s%s%s", properties->state,
                         properties->activity, properties->last_error[0] ? "; last error: " : "",
                         properties->last_error);
    if (states[0].verdict == FINDING_OK && strcmp(properties->state, "ready") == 0 && properties->last_error[0])
        findings_add(findings, about, FINDING_WARNING, "The present certificate stays in use meanwhile.",
                     "the last attempt failed");
}

static void check_expiry(const IdentityProperties *properties, Findings *findings) {
    FindingAbout about = { "certificate", properties->name };
    uint64_t now = time_now(), lifetime = properties->not_after - properties->not_before;
    _cleanup_free_ char *end = time_to_text(properties->not_after, now),
                        *begin = time_to_text(properties->not_before, now);

    if (!end || !begin)
        return;
    if (properties->not_after <= now)
        findings_add(findings, about, FINDING_FAILED, "\"idctl renew\" tries to renew it now.", "expired at %s", end);
    else if (properties->not_before > now)
        findings_add(findings, about, FINDING_FAILED, "Is the clock right?", "begins at %s", begin);
    else if (properties->not_after - now < lifetime / 10)
        findings_add(findings, about, FINDING_WARNING,
                     "It should have been renewed by now: see \"idctl show\" for the reason.",
                     "ends at %s, and less than a tenth of its life is left", end);
    else
        findings_add(findings, about, FINDING_OK, NULL, "ends at %s", end);
}

static void check_renewal(const IdentityProperties *properties, const IdentityConfig *config, Findings *findings) {
    FindingAbout about = { "renewal", properties->name };
    uint64_t now = time_now(), grace = (properties->not_after - properties->not_before) / 20;
    _cleanup_free_ char *when = time_to_text(properties->next_renewal, now);

    if (config && config->protocol == PROTOCOL_MANUAL)
        findings_add(findings, about, FINDING_SKIPPED, NULL, "by hand: Protocol=manual");
    else if (properties->next_renewal == 0)
        findings_add(findings, about, FINDING_WARNING, "See LastError in \"idctl show\".", "none is planned");
    else if (properties->next_renewal >= properties->not_after)
        findings_add(findings, about, FINDING_FAILED, "Correct At= in [Renewal].", "planned for %s, after the end",
                     when ? when : "");
    else if (now > properties->next_renewal && now - properties->next_renewal > grace)
        findings_add(findings, about, FINDING_WARNING, "Is the CA reachable? See LastError in \"idctl show\".",
                     "overdue: it was planned for %s", when ? when : "");
    else
        findings_add(findings, about, FINDING_OK, NULL, "planned for %s", when ? when : "");
}

/* SubjectPublicKeyInfo of a certificate, DER. */
static int certificate_spki(const Bytes *der, Bytes *ret) {
    _cleanup_certificates_ Certificates one = { 0 };
    gnutls_pubkey_t key;
    gnutls_datum_t spki;

    int r = certificates_from_der(der, 1, &one);
    if (r < 0)
        return r;
    if (gnutls_pubkey_init(&key) < 0)
        return -ENOMEM;
    r = gnutls_pubkey_import_x509(key, one.list[0], 0);
    if (r >= 0)
        r = gnutls_pubkey_export2(key, GNUTLS_X509_FMT_DER, &spki);
    gnutls_pubkey_deinit(key);
    if (r < 0)
        return -EBADMSG;
    r = bytes_copy((BytesView) { spki.data, spki.size }, ret);
    gnutls_free(spki.data);
    return r;
}

static void check_key(const IdentityProperties *properties, Findings *findings) {
    FindingAbout about = { "key", properties->name };
    _cleanup_bytes_ Bytes spki = BYTES_NULL;

    if (certificate_spki(&properties->certificates.list[0], &spki) < 0)
        findings_add(findings, about, FINDING_FAILED, "\"idctl renew\" gets another certificate.",
                     "the certificate cannot be read");
    else if (!bytes_view_equal(bytes_view(&spki), bytes_view(&properties->public_key)))
        findings_add(findings, about, FINDING_FAILED,
                     "Something changed the files of identityd. \"idctl enroll --new-key\" makes a new pair.",
                     "key and certificate do not belong together");
    else
        findings_add(findings, about, FINDING_OK, NULL, "%s, fits the certificate", properties->key_algorithm);
}

/* The report has one finding a line; here they become one text. */
static void add_report(const char *identity, const char *report, Findings *findings) {
    _cleanup_free_ char *text = strdup(report);

    if (!text)
        return;
    size_t length = strlen(text);
    while (length > 0 && text[length - 1] == '\n')
        text[--length] = '\0';
    for (char *c = text; *c; c++)
        if (*c == '\n')
            *c = ';';
    findings_add(findings, (FindingAbout) { "CA", identity }, FINDING_OK, NULL, "%s", text);
}

static void check_server(Bus *bus, const char *identity, const IdentityConfig *config, Findings *findings) {
    _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *call = NULL, *reply = NULL;
    FindingAbout about = { "CA", identity };
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
    if (r >= 0)
        add_report(identity, report, findings);
    else if (error.name && bus_error_exit_code(error.name) == EXIT_DENIED)
        findings_add(findings, about, FINDING_SKIPPED, "Run idctl check as root to have the CA tried.", "%s",
                     error.message ? error.message : error.name);
    else
        findings_add(findings, about, FINDING_FAILED,
                     "Without the CA there is no renewal. Check Server=, ServerAnchors= and the "
                     "network.",
                     "%s", error.message ? error.message : strerror(-r));
}

void check_identity(Bus *bus, const char *identity, const IdentityConfig *config, Findings *findings) {
    _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
    _cleanup_properties_ IdentityProperties properties = { 0 };

    int r = get_identity(bus, identity, &properties, &error);
    if (r < 0 || !properties.name || !properties.state || !properties.activity || !properties.last_error ||
        !properties.key_algorithm) {
        findings_add(
            findings, (FindingAbout) { "state", identity }, FINDING_FAILED,
            "If its file is new, \"idctl reload\" makes identityd read it; if the file is faulty, mend it first.",
            "identityd does not have it: %s", error.message ? error.message : strerror(r < 0 ? -r : EBADMSG));
        return;
    }
    check_state(&properties, findings);
    if (properties.certificates.count > 0) {
        check_expiry(&properties, findings);
        check_key(&properties, findings);
        if (strcmp(properties.state, "ready") == 0)
            check_renewal(&properties, config, findings);
    }
    if (strcmp(properties.state, "retired") != 0)
        check_server(bus, identity, config, findings);
}

int check_list_identities(Bus *bus, char ***ret) {
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
    _cleanup_(strings_free_p) char **names = NULL;
    const char *name, *path, *state, *activity;
    uint64_t not_after, next_renewal;
    size_t count = 0;

    int r = sd_bus_call_method(bus->bus, IDENTITYD_BUS_NAME, IDENTITYD_MANAGER_PATH, IDENTITYD_MANAGER_INTERFACE,
                               "ListIdentities", NULL, &reply, NULL);
    if (r < 0 || (r = sd_bus_message_enter_container(reply, 'a', "(sosstt)")) < 0)
        return r;
    names = calloc(1, sizeof names[0]);
    while (names && (r = sd_bus_message_read(reply, "(sosstt)", &name, &path, &state, &activity, &not_after,
                                             &next_renewal)) > 0) {
        char **more = reallocarray(names, count + 2, sizeof names[0]);
        if (!more)
            return -ENOMEM;
        names = more;
        names[count + 1] = NULL;
        names[count] = strdup(name);
        if (!names[count++])
            return -ENOMEM;
    }
    if (!names)
        return -ENOMEM;
    if (r < 0)
        return r;
    *ret = TAKE_PTR(names);
    return 0;
}

uint64_t check_latest_not_before(Bus *bus, char *const *identities) {
    uint64_t latest = 0;

    for (size_t i = 0; identities[i]; i++) {
        _cleanup_properties_ IdentityProperties properties = { 0 };
        if (get_identity(bus, identities[i], &properties, NULL) >= 0 && properties.not_before > latest)
            latest = properties.not_before;
    }
    return latest;
}
