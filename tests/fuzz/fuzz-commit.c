/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The gate before a certificate is used: what came for a key that is pending, chosen by the input among certificates of
 * the right CA and of a stranger, for this key and for another, with the right name and with others, and what stands
 * beside it; or the input's own bytes. Only one that is for the key, of the CA, under the name and in its time becomes
 * current; after everything else all is as it was. */
#include "scratch.h"

#include "enrolment/commit.h"
#include "enrolment/pending.h"
#include "tests/unit/device/certify.h"

enum {
    GOOD,
    OTHER_NAME,
    OTHER_KEY,
    STRANGER,
    EXPIRED,
    FUTURE,
    MORE_NAMES,
    ROOT,
    STRANGE_ROOT,
    INTERMEDIATE,
    BELOW,
    _POOL
};

static Machine *machine;
static Identity *identity;
static StoredPending pending;
static Certificate *pool[_POOL];

static void end(void) {
    for (unsigned i = 0; i < _POOL; i++)
        certificate_free(pool[i]);
    stored_pending_clear(&pending);
    (void) machine_free(machine);
}

static void fill(unsigned place, CertificateList list) {
    require(list.count >= 1);
    pool[place] = list.list[0];
    list.list[0] = NULL;
    for (size_t i = 1; i < list.count; i++)
        certificate_free(list.list[i]);
    free(list.list);
}

static void fill_pem(unsigned place, const char *pem) {
    CertificateList list = { 0 };
    Failure failure = FAILURE_INIT;

    require(certificate_list_from_pem(bytes_view_string(pem), 1, &list, &failure) == 0);
    fill(place, list);
}

static void fill_pool(const TpmKey *key) {
    FakeCa *stranger = fake_ca_new("root", NULL), *below = fake_ca_new("below", machine->ca);
    TpmKey *other = machine_key(machine);

    fill(GOOD, machine_issue(machine, key, &(Certified) { .subject = "CN=x" }));
    fill(OTHER_NAME, machine_issue(machine, key, &(Certified) { .subject = "CN=y" }));
    fill(OTHER_KEY, machine_issue(machine, other, &(Certified) { .subject = "CN=x" }));
    fill(STRANGER, machine_issue(machine, key, &(Certified) { .subject = "CN=x", .ca = stranger }));
    fill(EXPIRED,
         machine_issue(machine, key, &(Certified) { .subject = "CN=x", .issue = { .starts = -7200, .ends = -3600 } }));
    fill(FUTURE,
         machine_issue(machine, key, &(Certified) { .subject = "CN=x", .issue = { .starts = 7200, .ends = 9000 } }));
    fill(MORE_NAMES, machine_issue(machine, key, &(Certified) { .subject = "CN=x", .dns = "x.example" }));
    fill(BELOW, machine_issue(machine, key, &(Certified) { .subject = "CN=x", .ca = below }));
    fill_pem(ROOT, machine->ca->pem);
    fill_pem(STRANGE_ROOT, stranger->pem);
    fill_pem(INTERMEDIATE, below->pem);
    fake_ca_free(stranger);
    fake_ca_free(below);
    tpm_key_free(other);
}

/* Once: a device with its own TPM, an identity that has a certificate, and a key that waits for one. */
static void begin(void) {
    static const Duty *const duties[] = { &loading_duty, NULL };
    const Certified certified = { .ca = NULL };

    machine = machine_new();
    identity = machine_start_alone(machine, "", duties);
    require(machine_certify(machine, identity, &certified) == 1);
    TpmKey *key = machine_key(machine);
    require(pending_from_key(key, &pending) == 0);
    pending.request = machine_request(machine, key, "CN=x", NULL);
    fill_pool(key);
    tpm_key_free(key);
    require(atexit(end) == 0);
}

static void choose_list(BytesView *rest, CertificateList *ret) {
    uint8_t count = choose(rest) % 6;

    while (count-- > 0)
        require(certificate_list_add_ref(ret, pool[choose(rest) % _POOL]) == 0);
}

static bool has(const CertificateList *list, unsigned place) {
    return certificate_list_contains(list, pool[place]);
}

/* Before each input: the key is pending, and nothing of earlier ones lies about. */
static void prepare(void) {
    Failure failure = FAILURE_INIT;
    uint32_t *numbers = NULL;
    size_t count = 0;

    rewind(machine->log.stream);
    require(store_pending_save(identity_store(identity), &pending, &failure) == 0);
    require(store_list(identity_store(identity), &numbers, &count, &failure) == 0);
    for (size_t i = 0; i < count; i++)
        if (numbers[i] != store_current(identity_store(identity)))
            require(store_remove(identity_store(identity), numbers[i], &failure) == 0);
    free(numbers);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    BytesView rest = { data, size };
    uint8_t how = choose(&rest);
    _cleanup_certificates_ CertificateList issued = { 0 }, helpers = { 0 };
    LeftOut left_out = { 0 };
    Failure failure = FAILURE_INIT;
    int64_t begins = 0;

    if (!machine)
        begin();
    prepare();
    uint32_t before = identity_generation(identity);
    if (how & 2)
        (void) certificate_bundle_from_pkcs7(rest, 16, &issued, &left_out, &failure);
    else
        choose_list(&rest, &issued);
    choose_list(&rest, &helpers);
    const CommitInput input = { &issued, how & 4 ? NULL : &helpers, &pending, how & 1 };
    failure = FAILURE_INIT;
    int r = commit(identity, &input, &begins, &failure);
    if (r != 0) {
        require(identity_generation(identity) == before && store_current(identity_store(identity)) == before);
        require(r == COMMIT_EARLY ? begins > 0 && has(&issued, FUTURE) : failure.text[0]);
        return 0;
    }
    require(identity_generation(identity) == before + 1U && store_current(identity_store(identity)) == before + 1U);
    const Certificate *leaf = identity_leaf(identity);
    bool is_below = certificate_equal(leaf, pool[BELOW]);
    require(certificate_equal(leaf, pool[GOOD]) || is_below || certificate_equal(leaf, pool[MORE_NAMES]));
    require(!is_below || has(&issued, INTERMEDIATE) || (!(how & 4) && has(&helpers, INTERMEDIATE)));
    require(certificate_list_contains(&issued, leaf));
    return 0;
}
