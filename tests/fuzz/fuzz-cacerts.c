/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What an answer to /cacerts may do to the anchors of an identity, be it the first one by its fingerprint or a
 * rollover, and whatever the enroller says of the server. The input chooses among certificates of an old and of a new
 * CA, of a stranger and of servers of each, or is the answer itself. No anchor may come in but one that was in the
 * answer and that an anchor which was there signed for, or the one of the fingerprint; and one at least stays. */
#include "scratch.h"

#include "enrolment/duties.h"
#include "enrolment/follow.h"
#include "tests/unit/device/certify.h"

#include <gnutls/pkcs7.h>

/* The old CA vouches for the new one, that one for the third; nobody for the stranger, who vouches for the old one. */
enum { OLD, NEW, CROSS, BACK, THIRD, THIRD_CROSS, STRANGER, STRANGE_CROSS, SERVER, NEW_SERVER, STRANGE_SERVER, _POOL };

static Machine *machine;
static Identity *identities[2]; /* x: anchors; y: a fingerprint */
static Certificate *pool[_POOL];

static void fill_pool(unsigned place, const char *pem) {
    CertificateList list = { 0 };
    Failure failure = FAILURE_INIT;

    require(certificate_list_from_pem(bytes_view_string(pem), 1, &list, &failure) == 0);
    pool[place] = list.list[0];
    free(list.list);
}

static void fill_server(unsigned place, const FakeCa *ca) {
    const FakeRequest request = { .common_name = "ca.example", .dns = "ca.example", .server = true };
    gnutls_privkey_t key = fake_key_new(FAKE_KEY_P256);
    char *pem = fake_ca_issue(ca, key, &request);

    fill_pool(place, pem);
    free(pem);
    gnutls_privkey_deinit(key);
}

static void fill_cross(unsigned place, const FakeCa *of, const FakeCa *by) {
    char *pem = fake_ca_cross(of, by);

    fill_pool(place, pem);
    free(pem);
}

static void end(void) {
    for (unsigned i = 0; i < _POOL; i++)
        certificate_free(pool[i]);
    (void) machine_free(machine);
}

/* Once: a device with its own TPM, and three CAs. */
static void begin(void) {
    static const Duty *const duties[] = { &loading_duty, &rollover_duty, NULL };
    const Certified certified = { .ca = NULL };

    machine = machine_new();
    machine->by_hand = true;
    FakeCa *new = fake_ca_new("root", NULL), *third = fake_ca_new("root", NULL), *stranger = fake_ca_new("root", NULL);
    machine_configure(machine, "x", "");
    machine_configure_fingerprint(machine, "y", machine->ca, "");
    machine_start_parts(machine, duties);
    identities[0] = machine_add(machine, "x");
    identities[1] = machine_add(machine, "y");
    require(machine_certify(machine, identities[0], &certified) == 1);
    require(atexit(end) == 0);
    fill_pool(OLD, machine->ca->pem);
    fill_pool(NEW, new->pem);
    fill_pool(THIRD, third->pem);
    fill_pool(STRANGER, stranger->pem);
    fill_cross(CROSS, new, machine->ca);
    fill_cross(BACK, machine->ca, new);
    fill_cross(THIRD_CROSS, third, new);
    fill_cross(STRANGE_CROSS, machine->ca, stranger);
    fill_server(SERVER, machine->ca);
    fill_server(NEW_SERVER, new);
    fill_server(STRANGE_SERVER, stranger);
    fake_ca_free(new);
    fake_ca_free(third);
    fake_ca_free(stranger);
}

static bool is_of_pool(const Certificate *certificate, unsigned place) {
    return certificate_equal(certificate, pool[place]);
}

/* Back to what it was: x has the old anchor, y none. */
static void reset(Identity *identity) {
    CertificateList old = { 0 };
    Failure failure = FAILURE_INIT;

    if (identity == identities[1]) {
        if (identity_anchors(identity)->count == 0)
            return;
        require(store_anchors_drop(identity_store(identity), &failure) == 0);
        identity_load(identity);
        require(identity_anchors(identity)->count == 0);
        return;
    }
    if (identity_anchors(identity)->count == 1 && is_of_pool(identity_anchors(identity)->list[0], OLD))
        return;
    require(certificate_list_add_ref(&old, pool[OLD]) == 0);
    require(identity_set_anchors(identity, &old, &failure) == 0);
}

static void choose_certificates(BytesView *rest, CertificateList *ret) {
    uint8_t count = choose(rest) % 8;

    while (count-- > 0)
        require(certificate_list_add_ref(ret, pool[choose(rest) % _POOL]) == 0);
}

static void check(const Identity *identity, const CertificateList *answer, int r) {
    const CertificateList *anchors = identity_anchors(identity);

    if (identity == identities[1]) {
        require(anchors->count == (r >= 0 ? 1U : 0U) && (r < 0 || is_of_pool(anchors->list[0], OLD)));
        return;
    }
    require(anchors->count >= 1);
    for (size_t i = 0; i < anchors->count; i++) {
        if (is_of_pool(anchors->list[i], OLD))
            continue;
        bool is_new = is_of_pool(anchors->list[i], NEW), is_third = is_of_pool(anchors->list[i], THIRD);
        require(certificate_list_contains(answer, anchors->list[i]) && (is_new || is_third));
        require(certificate_list_contains(answer, pool[CROSS]));
        require(is_new || certificate_list_contains(answer, pool[THIRD_CROSS]));
    }
    require(identity_leaf(identity) && identity_generation(identity) == 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    BytesView rest = { data, size };
    uint8_t first = choose(&rest);
    _cleanup_certificates_ CertificateList answer = { 0 }, chain = { 0 };
    _cleanup_bytes_ Bytes pem = BYTES_NULL;
    LeftOut left_out = { 0 };
    Failure failure = FAILURE_INIT;
    int r = 0;

    if (!machine)
        begin();
    rewind(machine->log.stream);
    Identity *identity = identities[first & 1];
    reset(identity);
    if (first & 2)
        r = certificate_bundle_from_pkcs7(rest, BUNDLE_MAX, &answer, &left_out, &failure);
    else
        choose_certificates(&rest, &answer);
    if (first & 4)
        require(bytes_copy(rest, &pem) == 0);
    else {
        choose_certificates(&rest, &chain);
        require(chain.count == 0 || certificate_list_to_pem(&chain, &pem) == 0);
    }
    if (r < 0) {
        require(failure.text[0]);
        return 0;
    }
    r = follow_cacerts(identity, &answer, bytes_view(&pem), &failure);
    require(r >= 0 || failure.text[0]);
    check(identity, &answer, r);
    return 0;
}
