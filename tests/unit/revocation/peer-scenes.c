/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* CRLs are written by hand where GnuTLS would take minutes. */
#include "tests/unit/revocation/peer-scenes.h"

#include "pki/asn1.h"

#include <time.h>

static const Duty *const table[] = { &loading_duty, &standing_duty, &peers_duty, NULL };

int scene_setup(void **state) {
    Scene *scene = calloc(1, sizeof *scene);

    assert_non_null(scene);
    scene->machine = machine_new();
    scene->peers = fake_ca_new("peers", NULL);
    scene->intermediate = fake_ca_new("peers intermediate", scene->peers);
    scene->stranger = fake_ca_new("stranger", NULL);
    machine_write(scene->machine, "etc/peers.pem", "%s", scene->peers->pem);
    *state = scene;
    return 0;
}

int scene_teardown(void **state) {
    Scene *scene = *state;
    int r = machine_free(scene->machine);

    fake_ca_free(scene->peers);
    fake_ca_free(scene->intermediate);
    fake_ca_free(scene->stranger);
    for (size_t i = 0; i < scene->made_count; i++)
        bytes_clear(&scene->made[i]);
    free(scene);
    return r;
}

/* ---- CRLs ---- */

static Bytes small_crl(const FakeCa *ca, const CrlIs *is) {
    const unsigned char number[] = { (unsigned char) (is->number ? is->number : 1) },
                        serial[] = { (unsigned char) is->serial }, filler[] = { 0x7f };
    time_t now = time(NULL);
    gnutls_x509_crl_t crl;
    gnutls_datum_t der;
    Bytes bytes = BYTES_NULL;

    assert_true(gnutls_x509_crl_init(&crl) >= 0);
    assert_true(gnutls_x509_crl_set_version(crl, 2) >= 0);
    assert_true(gnutls_x509_crl_set_this_update(crl, now + is->begins) >= 0);
    assert_true(gnutls_x509_crl_set_next_update(crl, now + (is->ends ? is->ends : 86400)) >= 0);
    assert_true(gnutls_x509_crl_set_number(crl, number, sizeof number) >= 0);
    assert_true(gnutls_x509_crl_set_crt_serial(crl, filler, sizeof filler, now - 100) >= 0);
    if (is->serial)
        assert_true(gnutls_x509_crl_set_crt_serial(crl, serial, sizeof serial, now - 100) >= 0);
    assert_true(gnutls_x509_crl_privkey_sign(crl, ca->certificate, ca->key, GNUTLS_DIG_SHA256, 0) >= 0);
    assert_true(gnutls_x509_crl_export2(crl, GNUTLS_X509_FMT_DER, &der) >= 0);
    assert_int_equal(bytes_copy((BytesView) { der.data, der.size }, &bytes), 0);
    gnutls_free(der.data);
    gnutls_x509_crl_deinit(crl);
    return bytes;
}

static Bytes sign(const FakeCa *ca, BytesView tbs, BytesView algorithm) {
    const gnutls_datum_t data = { (uint8_t *) (uintptr_t) tbs.data, (unsigned) tbs.size };
    gnutls_datum_t signature;
    Bytes bits = BYTES_NULL, whole = BYTES_NULL;

    assert_true(gnutls_privkey_sign_data(ca->key, GNUTLS_DIG_SHA256, 0, &data, &signature) >= 0);
    assert_true(signature.size < 126);
    const uint8_t head[] = { 0x03, (uint8_t) (signature.size + 1), 0x00 };
    assert_int_equal(bytes_append(&bits, (BytesView) { head, sizeof head }), 0);
    assert_int_equal(bytes_append(&bits, (BytesView) { signature.data, signature.size }), 0);
    const BytesView parts[] = { tbs, algorithm, bytes_view(&bits) };
    assert_int_equal(asn1_sequence(parts, 3, &whole), 0);
    gnutls_free(signature.data);
    bytes_clear(&bits);
    return whole;
}

static Bytes many_entries(unsigned lines) {
    enum { LINE = 2 + 2 + 20 + 15 };
    _cleanup_free_ uint8_t *entries = malloc((size_t) lines * LINE);
    Bytes list = BYTES_NULL;

    assert_non_null(entries);
    for (unsigned i = 0; i < lines; i++) {
        uint8_t *line = entries + (size_t) i * LINE;
        memcpy(line, "\x30\x25\x02\x14", 4);
        memset(line + 4, 0x11, 20);
        memcpy(line + 20, &i, sizeof i);
        memcpy(line + 24,
               "\x17\x0d"
               "250610120000Z",
               15);
    }
    const BytesView all = { entries, (size_t) lines * LINE };
    assert_int_equal(asn1_sequence(&all, 1, &list), 0);
    return list;
}

/* The extensions with a delta indicator behind. */
static Bytes with_indicator(BytesView explicit) {
    static const uint8_t indicator[] = "\x30\x0d\x06\x03\x55\x1d\x1b\x01\x01\xff\x04\x03\x02\x01\x01";
    _cleanup_bytes_ Bytes inner = BYTES_NULL;
    Bytes outer = BYTES_NULL;
    DerItem wrapper, list;

    assert_int_equal(der_next(&explicit, &wrapper), 1);
    assert_int_equal(der_next(&wrapper.content, &list), 1);
    const BytesView parts[] = { list.content, { indicator, sizeof indicator - 1 } };
    assert_int_equal(asn1_sequence(parts, 2, &inner), 0);
    const BytesView whole = bytes_view(&inner);
    assert_int_equal(asn1_sequence(&whole, 1, &outer), 0);
    outer.data[0] = 0xa0;
    return outer;
}

/* The same with what GnuTLS does not write. */
static Bytes changed_crl(const FakeCa *ca, BytesView small, const CrlIs *is) {
    _cleanup_bytes_ Bytes list = BYTES_NULL, extensions = BYTES_NULL, tbs = BYTES_NULL;
    BytesView content, tbs_content, parts[8];
    DerItem old_tbs, algorithm, item;
    size_t count = 0;

    assert_int_equal(der_open_sequence(small, &content), 0);
    assert_int_equal(der_next(&content, &old_tbs), 1);
    assert_int_equal(der_next(&content, &algorithm), 1);
    tbs_content = old_tbs.content;
    while (der_next(&tbs_content, &item) > 0) {
        assert_true(count < ARRAY_LENGTH(parts));
        parts[count++] = item.whole;
    }
    assert_int_equal(count, 7);
    if (is->more_lines > 0) {
        list = many_entries(is->more_lines);
        parts[5] = bytes_view(&list);
    }
    if (is->is_delta) {
        extensions = with_indicator(parts[6]);
        parts[6] = bytes_view(&extensions);
    }
    assert_int_equal(asn1_sequence(parts, count, &tbs), 0);
    return sign(ca, bytes_view(&tbs), algorithm.whole);
}

BytesView crl_of(Scene *scene, CrlIs is) {
    const FakeCa *ca = is.ca ? is.ca : scene->peers;
    Bytes crl = small_crl(ca, &is);

    if (is.more_lines > 0 || is.is_delta) {
        Bytes changed = changed_crl(ca, bytes_view(&crl), &is);
        bytes_clear(&crl);
        crl = changed;
    }
    assert_true(scene->made_count < ARRAY_LENGTH(scene->made));
    scene->made[scene->made_count++] = crl;
    return bytes_view(&crl);
}

/* ---- the device ---- */

void configure_peers(Scene *scene, const char *name, const char *more) {
    char text[1024];

    (void) snprintf(text, sizeof text, "[Peers]\nAnchors=%s/etc/peers.pem\nCheck=crl\n%s", scene->machine->root, more);
    machine_configure(scene->machine, name, text);
}

Identity *start_with(Scene *scene, const char *more, BytesView answer) {
    Machine *machine = scene->machine;

    configure_peers(scene, "x", more);
    machine_start_parts(machine, table);
    Identity *x = machine_add(machine, "x");
    if (answer.size > 0)
        next_brings(scene, answer);
    machine_certify(machine, x, &(Certified) { .issue = { .starts = -3600, .ends = 10 * 86400 } });
    machine_until(machine, peers_count(x) > 0);
    if (answer.size > 0) {
        machine_until(machine, gets(x, answer));
        machine_settle(machine);
    }
    return x;
}

Identity *start_again(Scene *scene) {
    machine_stop(scene->machine);
    machine_start_parts(scene->machine, table);
    return machine_add(scene->machine, "x");
}

void next_brings(Scene *scene, BytesView crl) {
    enroller_script_fetch(scene->machine->enroller, &(Reply) { .fetched = crl });
}

void next_fails(Scene *scene, const char *text) {
    enroller_script_fetch(scene->machine->enroller, &(Reply) { .kind = REPLY_FAILURE, .text = text });
}

unsigned fetches(const Scene *scene) {
    return enroller_count(scene->machine->enroller);
}

bool gets(const Identity *identity, BytesView crl) {
    gnutls_datum_t der = { (uint8_t *) (uintptr_t) crl.data, (unsigned) crl.size }, pem;
    BytesView all = machine_crls(identity);

    assert_true(gnutls_pem_base64_encode2("X509 CRL", &der, &pem) >= 0);
    bool found = all.size > 0 && memmem(all.data, all.size, pem.data, pem.size);
    gnutls_free(pem.data);
    return found;
}

PeerCrlView view_of(const Identity *identity, const char *url) {
    PeerCrlView view = { .url = NULL };

    for (size_t i = 0; i < peers_count(identity); i++) {
        peers_view(identity, i, &view);
        if (strcmp(view.url, url) == 0)
            return view;
    }
    fail_msg("there is no source %s", url);
    return view;
}
