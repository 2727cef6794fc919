/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One State as a value: what is taken from the packet, and what is made of its PEM when somebody needs it. The fields
 * are put together here byte by byte. */
#include "client-lib/snapshot-parse.h"
#include "client-lib/snapshot.h"
#include "client-lib/verify.h"
#include "common/handle-protocol.h"
#include "fakes/fake-pki.h"
#include "identityd/identityd-gnutls.h"

#include <fcntl.h>
#include <gnutls/crypto.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define SEALED (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

typedef struct State {
    uint8_t bytes[1024];
    size_t size;
    int fds[PACKET_FDS_MAX];
    size_t fd_count;
    uint8_t kinds[PACKET_FDS_MAX];
} State;

static struct {
    FakeCa *ca;
    gnutls_privkey_t key, rsa;
    char *chain, *rsa_chain, *crl;
} world;

static int setup_world(void **state) {
    world.ca = fake_ca_new("Fake Root", NULL);
    world.key = fake_key_new(FAKE_KEY_P384);
    world.rsa = fake_key_new(FAKE_KEY_RSA);
    world.chain =
        fake_ca_issue(world.ca, world.key, &(FakeRequest) { .common_name = "a", .dns = "a.example", .server = true });
    world.rsa_chain = fake_ca_issue(world.ca, world.rsa, &(FakeRequest) { .common_name = "rsa" });
    world.crl = fake_ca_crl(world.ca, NULL, 3600);
    return 0;
}

static int teardown_world(void **state) {
    fake_ca_free(world.ca);
    gnutls_privkey_deinit(world.key);
    gnutls_privkey_deinit(world.rsa);
    free(world.chain);
    free(world.rsa_chain);
    free(world.crl);
    return 0;
}

static void field(State *made, uint16_t tag, const void *value, size_t size) {
    const uint8_t head[] = { (uint8_t) tag, (uint8_t) (tag >> 8), (uint8_t) size, (uint8_t) (size >> 8), 0, 0 };

    memcpy(made->bytes + made->size, head, sizeof(head));
    memcpy(made->bytes + made->size + sizeof(head), value, size);
    made->size += sizeof(head) + size;
}

static State state_new(void) {
    State made = { .size = 0 };

    field(&made, HANDLE_STATE_IDENTITY, "mqtt", 4);
    field(&made, HANDLE_STATE_PURPOSE, "tls-server", 10);
    field(&made, HANDLE_STATE_STATE, "ready", 5);
    return made;
}

static void file(State *made, uint8_t kind, const char *text) {
    int fd = memfd_create("state", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text)); /* and its offset is at the end */
    assert_int_equal(fcntl(fd, F_ADD_SEALS, SEALED), 0);
    made->kinds[made->fd_count] = kind;
    made->fds[made->fd_count++] = fd;
}

/* Closes the descriptors, which snapshot_new() has read. */
static int read_state(State *made, identityd_snapshot **ret) {
    Packet packet = { .header = { .type = HANDLE_STATE, .generation = 7 } };

    if (made->fd_count > 0)
        field(made, HANDLE_STATE_FILES, made->kinds, made->fd_count);
    packet.payload = (BytesView) { made->bytes, made->size };
    memcpy(packet.fds, made->fds, sizeof(packet.fds));
    packet.fd_count = made->fd_count;
    int r = snapshot_new(&packet, ret);
    memset(made->bytes, 'x', sizeof(made->bytes)); /* what it took is its own */
    for (size_t i = 0; i < made->fd_count; i++)
        close(made->fds[i]);
    return r;
}

static identityd_snapshot *must_read(State *made) {
    identityd_snapshot *snapshot = NULL;

    if (read_state(made, &snapshot) < 0)
        fail_msg("%s", identityd_last_error());
    return snapshot;
}

/* With this chain, these anchors and these CRLs; each may be NULL. */
static identityd_snapshot *with_files(const char *chain, const char *anchors, const char *crls) {
    State made = state_new();

    if (chain)
        file(&made, HANDLE_FILE_CHAIN, chain);
    if (anchors)
        file(&made, HANDLE_FILE_ANCHORS, anchors);
    if (crls)
        file(&made, HANDLE_FILE_CRLS, crls);
    return must_read(&made);
}

static void assert_error_says(const char *part) {
    if (!strstr(identityd_last_error(), part))
        fail_msg("'%s' does not say '%s'", identityd_last_error(), part);
}

/* ---- what is taken ---- */

static void test_everything(void **state) {
    static const uint8_t not_after[8] = { 0x08, 0x07, 0x06, 0x05, 0x04, 0x03, 0x02, 0x01 };
    State made = state_new();
    size_t size = 99;

    field(&made, HANDLE_STATE_NOT_AFTER, not_after, sizeof(not_after));
    field(&made, HANDLE_STATE_OLDEST, "\x05\0\0\0", 4);
    field(&made, HANDLE_STATE_SCHEMES, "\x03\x04\xff\xfe\x04\x08", 6); /* the second is none */
    file(&made, HANDLE_FILE_OCSP, "response");
    file(&made, HANDLE_FILE_ANCHORS, "anchors");
    file(&made, HANDLE_FILE_CHAIN, "chain");
    file(&made, HANDLE_FILE_CRLS, "crls");
    identityd_snapshot *snapshot = must_read(&made);
    assert_string_equal(identityd_snapshot_identity(snapshot), "mqtt");
    assert_string_equal(identityd_snapshot_purpose(snapshot), "tls-server");
    assert_string_equal(identityd_snapshot_state(snapshot), "ready");
    assert_int_equal(identityd_snapshot_generation(snapshot), 7);
    assert_true(identityd_snapshot_not_after(snapshot) == UINT64_C(0x0102030405060708));
    assert_int_equal(snapshot->oldest, 5);
    assert_memory_equal(identityd_snapshot_schemes(snapshot), ((uint16_t[]) { 0x0403, 0x0804, 0 }), 6);
    assert_true(snapshot_has_scheme(snapshot, 0x0804));
    assert_false(snapshot_has_scheme(snapshot, 0xfeff));
    assert_false(snapshot_has_scheme(snapshot, 0));
    assert_memory_equal(identityd_snapshot_ocsp(snapshot, &size), "response", 8);
    assert_int_equal(size, 8);
    assert_string_equal(identityd_snapshot_chain(snapshot, &size), "chain");
    assert_int_equal(size, 5);
    assert_string_equal(identityd_snapshot_anchors(snapshot, &size), "anchors");
    assert_int_equal(size, 7);
    assert_string_equal(identityd_snapshot_crls(snapshot, NULL), "crls");
    assert_null(identityd_snapshot_free(snapshot));
}

static void test_earlier_generations(void **state) {
    static const char earlier[] = { 6, 0, 0, 0, 3, 0, 'k', 'e', 'y', 2, 1, 0, 0, 1, 0, 'k' };
    State made = state_new(), none = state_new();
    EarlierGeneration found;
    BytesView rest = { NULL, 0 };

    field(&made, HANDLE_STATE_EARLIER, earlier, sizeof(earlier));
    identityd_snapshot *snapshot = must_read(&made);
    assert_true(snapshot_next_earlier(snapshot, &rest, &found));
    assert_int_equal(found.number, 6);
    assert_true(bytes_view_equal(found.spki, bytes_view_string("key")));
    assert_true(snapshot_next_earlier(snapshot, &rest, &found));
    assert_int_equal(found.number, 258);
    assert_true(bytes_view_equal(found.spki, bytes_view_string("k")));
    assert_false(snapshot_next_earlier(snapshot, &rest, &found));
    assert_false(snapshot_next_earlier(snapshot, &rest, &found)); /* it does not begin again */
    identityd_snapshot_free(snapshot);
    rest = (BytesView) { NULL, 0 };
    snapshot = must_read(&none);
    assert_false(snapshot_next_earlier(snapshot, &rest, &found));
    identityd_snapshot_free(snapshot);
}

static void test_nothing(void **state) {
    State made = state_new();
    identityd_snapshot *snapshot = must_read(&made);
    size_t size = 99;

    assert_string_equal(identityd_snapshot_chain(snapshot, &size), "");
    assert_int_equal(size, 0);
    assert_string_equal(identityd_snapshot_anchors(snapshot, NULL), "");
    assert_string_equal(identityd_snapshot_crls(snapshot, NULL), "");
    size = 99;
    assert_null(identityd_snapshot_ocsp(snapshot, &size));
    assert_int_equal(size, 0);
    assert_int_equal(identityd_snapshot_schemes(snapshot)[0], 0);
    assert_true(identityd_snapshot_not_after(snapshot) == 0);
    identityd_snapshot_free(snapshot);
    assert_null(identityd_snapshot_free(NULL));
}

static void test_more_schemes_than_there_is_room_for(void **state) {
    State made = state_new();
    uint8_t schemes[80];

    for (size_t i = 0; i < sizeof(schemes); i += 2)
        memcpy(schemes + i, "\x03\x04", 2);
    field(&made, HANDLE_STATE_SCHEMES, schemes, sizeof(schemes));
    identityd_snapshot *snapshot = must_read(&made);
    size_t count = 0;
    while (identityd_snapshot_schemes(snapshot)[count])
        count++;
    assert_int_equal(count, SNAPSHOT_SCHEMES_MAX);
    identityd_snapshot_free(snapshot);
}

/* Each refusal says what is wrong, and gives nothing. */
static void test_refusals(void **state) {
    static const struct {
        uint16_t tag;
        const char *value;
        size_t size;
        const char *says;
    } table[] = {
        { HANDLE_STATE_IDENTITY, "mqtt", 4, "a field came twice" },
        { HANDLE_STATE_SCHEMES, "\3\4\3", 3, "the schemes" },
        { HANDLE_STATE_NOT_AFTER, "1234", 4, "the end of life" },
        { HANDLE_STATE_OLDEST, "12345678", 8, "the oldest generation" },
        { HANDLE_STATE_EARLIER, "\1\0\0\0\1", 5, "the earlier generations" },
        { HANDLE_STATE_EARLIER, "\1\0\0\0\0\0", 6, "the earlier generations" },
        { HANDLE_STATE_EARLIER, "\1\0\0\0\2\0k", 7, "the earlier generations" },
        { HANDLE_STATE_EARLIER, "\1\0\0\0\1\0k\2", 8, "the earlier generations" },
        { HANDLE_STATE_FILES, "\1", 1, "descriptors and their kinds differ in number" },
    };
    identityd_snapshot *snapshot = NULL;

    for (size_t i = 0; i < ARRAY_LENGTH(table); i++) {
        State made = state_new();
        field(&made, table[i].tag, table[i].value, table[i].size);
        assert_int_equal(read_state(&made, &snapshot), -EBADMSG);
        assert_error_says("identityd sent a State that is malformed: ");
        assert_error_says(table[i].says);
        assert_null(snapshot);
    }
    State empty = { .size = 0 };
    assert_int_equal(read_state(&empty, &snapshot), -EBADMSG);
    assert_error_says("identity, purpose or state is missing");
    State twice = state_new();
    file(&twice, HANDLE_FILE_CHAIN, "a");
    file(&twice, HANDLE_FILE_CHAIN, "b");
    assert_int_equal(read_state(&twice, &snapshot), -EBADMSG);
    assert_error_says("a file came twice");
    State open = state_new(); /* its writer could change it later */
    open.fds[0] = memfd_create("state", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    open.kinds[0] = HANDLE_FILE_CHAIN;
    open.fd_count = 1;
    assert_int_equal(write(open.fds[0], "text", 4), 4);
    assert_int_equal(read_state(&open, &snapshot), -EBADMSG);
    assert_error_says("a file is not a sealed memfd");
    assert_null(snapshot);
}

/* A State of these three words; NULL: left out. */
static int read_words(const char *identity, const char *purpose, const char *word, identityd_snapshot **ret) {
    State made = { .size = 0 };

    if (identity)
        field(&made, HANDLE_STATE_IDENTITY, identity, strlen(identity));
    if (purpose)
        field(&made, HANDLE_STATE_PURPOSE, purpose, strlen(purpose));
    if (word)
        field(&made, HANDLE_STATE_STATE, word, strlen(word));
    return read_state(&made, ret);
}

static void test_words(void **state) {
    char longest[IDENTITY_NAME_MAX + 2] = { 0 }, word[SNAPSHOT_STATE_MAX + 2] = { 0 };
    const struct {
        const char *identity, *purpose, *word, *says;
    } table[] = {
        { NULL, "data", "ready", "identity, purpose or state is missing" },
        { "mqtt", NULL, "ready", "identity, purpose or state is missing" },
        { "mqtt", "data", NULL, "identity, purpose or state is missing" },
        { "", "data", "ready", "the identity's name" },
        { "Mqtt", "data", "ready", "the identity's name" },
        { longest, "data", "ready", "the identity's name" },
        { "mqtt", "", "ready", "the purpose" },
        { "mqtt", "Data", "ready", "an unknown purpose" },
        { "mqtt", "data-and-more-of-it", "ready", "the purpose" },
        { "mqtt", "data", "", "the state's name" },
        { "mqtt", "data", word, "the state's name" },
    };
    identityd_snapshot *snapshot = NULL;

    memset(longest, 'a', IDENTITY_NAME_MAX + 1);
    memset(word, 'a', SNAPSHOT_STATE_MAX + 1);
    for (size_t i = 0; i < ARRAY_LENGTH(table); i++) {
        if (read_words(table[i].identity, table[i].purpose, table[i].word, &snapshot) != -EBADMSG)
            fail_msg("case %zu is taken", i);
        assert_error_says(table[i].says);
    }
    longest[IDENTITY_NAME_MAX] = word[SNAPSHOT_STATE_MAX] = '\0';
    assert_int_equal(read_words(longest, "data", word, &snapshot), 0);
    identityd_snapshot_free(snapshot);
}

/* `size` bytes of one kind of file. */
static int read_file(uint8_t kind, size_t size, char content) {
    identityd_snapshot *snapshot = NULL;
    State made = state_new();
    char *text = malloc(size + 1);

    assert_non_null(text);
    memset(text, content, size);
    int fd = memfd_create("state", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_int_equal(write(fd, text, size), size);
    assert_int_equal(fcntl(fd, F_ADD_SEALS, SEALED), 0);
    free(text);
    made.kinds[0] = kind;
    made.fds[0] = fd;
    made.fd_count = 1;
    int r = read_state(&made, &snapshot);
    identityd_snapshot_free(snapshot);
    return r;
}

static void test_files(void **state) {
    static const struct {
        uint8_t kind;
        size_t maximum;
        bool is_text;
    } kinds[] = {
        { HANDLE_FILE_CHAIN, HANDLE_FILE_MAX, true },
        { HANDLE_FILE_ANCHORS, HANDLE_FILE_MAX, true },
        { HANDLE_FILE_CRLS, HANDLE_CRLS_MAX, true },
        { HANDLE_FILE_OCSP, HANDLE_FILE_MAX, false },
    };

    for (size_t i = 0; i < ARRAY_LENGTH(kinds); i++) {
        assert_int_equal(read_file(kinds[i].kind, kinds[i].maximum, 'a'), 0);
        assert_int_equal(read_file(kinds[i].kind, kinds[i].maximum + 1, 'a'), -EBADMSG);
        assert_error_says("a file is larger than the protocol allows");
        assert_int_equal(read_file(kinds[i].kind, 1, '\0'), kinds[i].is_text ? -EBADMSG : 0);
        if (kinds[i].is_text)
            assert_error_says("a PEM file has NUL bytes");
    }
    assert_int_equal(read_file(99, 1, '\0'), 0); /* of a later version */
}

/* What a later version may add is passed over; what could be one of ours comes once. */
static void test_fields_of_a_later_version(void **state) {
    identityd_snapshot *snapshot = NULL;

    for (uint16_t tag = 30; tag < 34; tag++) {
        State once = state_new(), twice = state_new();
        field(&once, tag, "a", 1);
        assert_int_equal(read_state(&once, &snapshot), 0);
        identityd_snapshot_free(snapshot);
        field(&twice, tag, "a", 1);
        field(&twice, tag, "a", 1);
        assert_int_equal(read_state(&twice, &snapshot), tag < 32 ? -EBADMSG : 0);
        if (tag >= 32)
            identityd_snapshot_free(snapshot);
    }
    State cut = state_new();
    cut.size--;
    assert_int_equal(read_state(&cut, &snapshot), -EBADMSG);
    assert_error_says("a field is cut short");
}

static void test_references(void **state) {
    State made = state_new();
    identityd_snapshot *snapshot = must_read(&made);

    assert_ptr_equal(snapshot_ref(snapshot), snapshot);
    assert_null(identityd_snapshot_free(snapshot));
    assert_string_equal(identityd_snapshot_identity(snapshot), "mqtt"); /* the other reference holds it */
    identityd_snapshot_free(snapshot);
}

/* ---- what is made of it ---- */

static void test_chain(void **state) {
    char *pem = fake_concat(world.chain, world.ca->pem);
    identityd_snapshot *snapshot = with_files(pem, NULL, NULL);
    gnutls_datum_t leaf = fake_pem_to_der(world.chain), root = fake_pem_to_der(world.ca->pem);
    const SnapshotChain *chain = NULL, *again = NULL;
    const SnapshotKey *key = NULL;

    assert_int_equal(snapshot_chain_der(snapshot, &chain), 0);
    assert_int_equal(chain->count, 2);
    assert_int_equal(chain->der[0].size, leaf.size);
    assert_memory_equal(chain->der[0].data, leaf.data, leaf.size);
    assert_int_equal(chain->der[1].size, root.size);
    assert_memory_equal(chain->der[1].data, root.data, root.size);
    assert_int_equal(snapshot_chain_der(snapshot, &again), 0);
    assert_ptr_equal(again, chain); /* made once */
    assert_int_equal(snapshot_key(snapshot, &key), 0);
    assert_int_equal(key->algorithm, GNUTLS_PK_ECDSA);
    assert_int_equal(key->bits, 384);
    assert_true(key->spki.size > 97);
    gnutls_free(leaf.data);
    gnutls_free(root.data);
    identityd_snapshot_free(snapshot);
    free(pem);
}

static void test_rsa_key(void **state) {
    identityd_snapshot *snapshot = with_files(world.rsa_chain, NULL, NULL);
    const SnapshotKey *key = NULL;

    assert_int_equal(snapshot_key(snapshot, &key), 0);
    assert_int_equal(key->algorithm, GNUTLS_PK_RSA);
    assert_int_equal(key->bits, 2048);
    identityd_snapshot_free(snapshot);
}

static void test_no_chain(void **state) {
    identityd_snapshot *none = with_files(NULL, NULL, NULL), *bad = with_files("no PEM", NULL, NULL);
    const SnapshotChain *chain = NULL;
    const SnapshotKey *key = NULL;

    assert_int_equal(snapshot_chain_der(none, &chain), -ENOENT);
    assert_string_equal(identityd_last_error(), "mqtt has no certificate: it is ready");
    assert_int_equal(snapshot_key(none, &key), -ENOENT);
    assert_int_equal(snapshot_chain_der(bad, &chain), -EBADMSG);
    assert_error_says("certificates that identityd sent do not parse: ");
    assert_int_equal(snapshot_key(bad, &key), -EBADMSG);
    assert_null(chain);
    assert_null(key);
    identityd_snapshot_free(none);
    identityd_snapshot_free(bad);
}

static void test_length_of_a_chain(void **state) {
    char *pem = fake_concat(world.chain, "");
    const SnapshotChain *chain = NULL;

    for (unsigned count = 1; count <= SNAPSHOT_CHAIN_MAX + 1; count++) {
        identityd_snapshot *snapshot = with_files(pem, NULL, NULL);
        assert_int_equal(snapshot_chain_der(snapshot, &chain), count <= SNAPSHOT_CHAIN_MAX ? 0 : -EBADMSG);
        if (count <= SNAPSHOT_CHAIN_MAX)
            assert_int_equal(chain->count, count);
        identityd_snapshot_free(snapshot);
        char *longer = fake_concat(pem, world.chain);
        free(pem);
        pem = longer;
    }
    free(pem);
}

/* A chain whose leaf has a key on a curve that nobody knows. */
static void test_key_that_is_none(void **state) {
    static const uint8_t p384[] = { 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22 };
    gnutls_datum_t der = fake_pem_to_der(world.chain), pem = { NULL, 0 };
    unsigned char *curve = memmem(der.data, der.size, p384, sizeof p384);
    const SnapshotKey *key = NULL;

    assert_non_null(curve);
    curve[6] = 0x7e;
    assert_int_equal(gnutls_pem_base64_encode2("CERTIFICATE", &der, &pem), 0);
    identityd_snapshot *snapshot = with_files((char *) pem.data, NULL, NULL);
    assert_int_equal(snapshot_key(snapshot, &key), -EBADMSG);
    assert_error_says("certificates that identityd sent do not parse");
    assert_null(key);
    identityd_snapshot_free(snapshot);
    gnutls_free(pem.data);
    gnutls_free(der.data);
}

static void test_trust(void **state) {
    identityd_snapshot *snapshot = with_files(NULL, world.ca->pem, world.crl);
    const SnapshotTrust *trust = NULL, *again = NULL;

    assert_int_equal(snapshot_trust(snapshot, &trust), 0);
    assert_int_equal(trust->anchors.count, 1);
    assert_int_equal(trust->crls.count, 1);
    assert_int_equal(trust->moment_count, 4); /* where each begins and ends */
    assert_true(trust->moments[0] < trust->moments[1] && trust->moments[2] < trust->moments[3]);
    assert_int_equal(snapshot_trust(snapshot, &again), 0);
    assert_ptr_equal(again, trust);
    identityd_snapshot_free(snapshot);
}

static void test_no_trust(void **state) {
    char *half = fake_concat(world.crl, "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n");
    const struct {
        const char *anchors, *crls, *says;
        int r;
    } table[] = {
        { NULL, world.crl, "mqtt has no anchors to verify a peer with: set Anchors= in [Peers] or [Enrollment]",
          -ENOENT },
        { "no PEM", NULL, "anchors that identityd sent do not parse: ", -EBADMSG },
        { world.ca->pem, "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n",
          "CRLs that identityd sent do not parse: ", -EBADMSG },
        { world.ca->pem, half, "CRLs that identityd sent do not parse: ", -EBADMSG }, /* the other alone will not do */
    };

    for (size_t i = 0; i < ARRAY_LENGTH(table); i++) {
        identityd_snapshot *snapshot = with_files(NULL, table[i].anchors, table[i].crls);
        const SnapshotTrust *trust = NULL;
        assert_int_equal(snapshot_trust(snapshot, &trust), table[i].r);
        assert_error_says(table[i].says);
        assert_null(trust);
        assert_int_equal(snapshot_trust(snapshot, &trust), table[i].r); /* nothing half made is left */
        identityd_snapshot_free(snapshot);
    }
    free(half);
}

#define THREADS 8U

typedef struct Asked {
    identityd_snapshot *snapshot;
    const SnapshotTrust *trust;
    const SnapshotKey *key;
    bool good;
} Asked;

static void *ask(void *userdata) {
    Asked *asked = userdata;

    asked->good =
        snapshot_trust(asked->snapshot, &asked->trust) == 0 && snapshot_key(asked->snapshot, &asked->key) == 0;
    return NULL;
}

/* Whoever comes second gets what the first one made. */
static void test_threads(void **state) {
    identityd_snapshot *snapshot = with_files(world.chain, world.ca->pem, world.crl);
    Asked asked[THREADS];
    pthread_t threads[THREADS];

    for (size_t i = 0; i < THREADS; i++) {
        asked[i] = (Asked) { .snapshot = snapshot };
        assert_int_equal(pthread_create(&threads[i], NULL, ask, &asked[i]), 0);
    }
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    for (size_t i = 0; i < THREADS; i++) {
        assert_true(asked[i].good);
        assert_ptr_equal(asked[i].trust, asked[0].trust);
        assert_ptr_equal(asked[i].key, asked[0].key);
    }
    identityd_snapshot_free(snapshot);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everything),
        cmocka_unit_test(test_earlier_generations),
        cmocka_unit_test(test_nothing),
        cmocka_unit_test(test_more_schemes_than_there_is_room_for),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_fields_of_a_later_version),
        cmocka_unit_test(test_references),
        cmocka_unit_test(test_chain),
        cmocka_unit_test(test_rsa_key),
        cmocka_unit_test(test_no_chain),
        cmocka_unit_test(test_length_of_a_chain),
        cmocka_unit_test(test_key_that_is_none),
        cmocka_unit_test(test_trust),
        cmocka_unit_test(test_no_trust),
        cmocka_unit_test(test_threads),
    };

    return cmocka_run_group_tests(tests, setup_world, teardown_world);
}
