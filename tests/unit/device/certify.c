/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What enrolment does, without its checks and its network. */
#include "tests/unit/device/certify.h"

#include "work/key-tasks.h"

typedef struct Made {
    bool is_done;
    Failure failure;
    TpmKey *key;
    Bytes bytes;
} Made;

static void on_key(const Failure *failure, TpmKey *key, void *userdata) {
    Made *made = userdata;

    *made = (Made) { .is_done = true, .failure = *failure, .key = key };
}

static void on_bytes(const Failure *failure, BytesView bytes, void *userdata) {
    Made *made = userdata;

    *made = (Made) { .is_done = true, .failure = *failure };
    if (bytes.size > 0)
        (void) bytes_copy(bytes, &made->bytes);
}

static Work *work_of(const Machine *machine) {
    if (!machine->manager)
        return machine->work;
    const IdentitySet *set = manager_identities(machine->manager);
    assert_true(identity_set_count(set) > 0);
    return identity_context(identity_set_at(set, 0))->work;
}

TpmKey *machine_key(Machine *machine) {
    Made made = { .is_done = false };
    TpmTask *task = NULL;

    assert_int_equal(key_task_start(work_of(machine), KEY_ECDSA_P256, on_key, &made, &task), 0);
    machine_until(machine, made.is_done);
    if (!made.key)
        fail_msg("no key: %s", made.failure.text);
    return made.key;
}

Bytes machine_request(Machine *machine, const TpmKey *key, const char *subject, const char *dns) {
    Made made = { .is_done = false };
    RequestOrder order = { .key = key, .names = { .subject = strdup(subject) } };
    TpmTask *task = NULL;

    if (dns) {
        order.names.san_values[0] = strdup(dns);
        order.names.sans[0] = (CsrSan) { SAN_DNS, order.names.san_values[0] };
        order.names.san_count = 1;
    }
    assert_int_equal(request_task_start(work_of(machine), &order, on_bytes, &made, &task), 0);
    machine_until(machine, made.is_done);
    if (made.bytes.size == 0)
        fail_msg("no request: %s", made.failure.text);
    return made.bytes;
}

CertificateList machine_issue(Machine *machine, const TpmKey *key, const Certified *how) {
    _cleanup_bytes_ Bytes request = machine_request(machine, key, how->subject ? how->subject : "CN=x", how->dns);
    const gnutls_datum_t der = { request.data, (unsigned) request.size };
    _cleanup_free_ char *leaf = fake_ca_certify(how->ca ? how->ca : machine->ca, der, &how->issue),
                        *all = fake_concat(leaf, how->beside ? how->beside : "");
    CertificateList list = { 0 };
    Failure failure = FAILURE_INIT;

    if (certificate_list_from_pem(bytes_view_string(all), CHAIN_MAX, &list, &failure) < 0)
        fail_msg("%s", failure.text);
    return list;
}

uint32_t machine_certify(Machine *machine, Identity *identity, const Certified *how) {
    _cleanup_(stored_pending_clear) StoredPending pending = { 0 };
    TpmKey *key = machine_key(machine);
    Certified named = *how;
    char subject[80];
    _cleanup_bytes_ Bytes pem = BYTES_NULL;
    Failure failure = FAILURE_INIT;
    uint32_t number = 0;

    (void) snprintf(subject, sizeof subject, "CN=%s", identity_name(identity));
    if (!named.subject)
        named.subject = subject;
    CertificateList chain = machine_issue(machine, key, &named);
    assert_int_equal(certificate_list_to_pem(&chain, &pem), 0);
    assert_int_equal(tpm_key_to_pem(key, &pending.key_pem), 0);
    assert_int_equal(bytes_copy(tpm_key_parent_name(key), &pending.parent_name), 0);
    if (store_pending_save(identity_store(identity), &pending, &failure) < 0 ||
        store_commit(identity_store(identity), bytes_view(&pem), &number, &failure) < 0)
        fail_msg("%s", failure.text);
    assert_int_equal(identity_adopt(identity, number, key, &chain), 0);
    return number;
}
