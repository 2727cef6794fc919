/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Mutual TLS 1.3 handshakes of GnuTLS with itself over a socket pair, in one thread; the server's key is in software.
 *
 * handshake-gnutls COUNT software | esys | identityd:NAME | pkcs11:URL MODULE: where the client's key is. All present a
 * chain of the same CA and verify the other side's. */
#include "bench/measure.h"
#include "bench/raw-tpm.h"

#include <fcntl.h>
#include <gnutls/abstract.h>
#include <gnutls/crypto.h>
#include <gnutls/pkcs11.h>
#include <gnutls/x509.h>
#include <identityd/identityd-gnutls.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PRIORITIES  "NORMAL:-VERS-ALL:+VERS-TLS1.3"
#define REQUEST_MAX 8192U

typedef struct Bench {
    gnutls_certificate_credentials_t server, client;
    identityd_credential *identity;
    identityd_gnutls_credentials *binding; /* NULL: `client` */
    RawTpm *raw;
} Bench;

/* Bare ESYS as a GnuTLS key. */
static int esys_sign(gnutls_privkey_t key, gnutls_sign_algorithm_t algorithm, void *userdata, unsigned flags,
                     const gnutls_datum_t *hash, gnutls_datum_t *ret) {
    const RawTpm *raw = userdata;
    TPMT_SIGNATURE *signature = NULL;

    (void) key, (void) algorithm, (void) flags;
    if (raw_tpm_sign_hash(raw, raw->key, hash->data, hash->size, &signature) < 0)
        return GNUTLS_E_PK_SIGN_FAILED;
    const TPMS_SIGNATURE_ECDSA *ecdsa = &signature->signature.ecdsa;
    gnutls_datum_t r = { (void *) ecdsa->signatureR.buffer, ecdsa->signatureR.size };
    gnutls_datum_t s = { (void *) ecdsa->signatureS.buffer, ecdsa->signatureS.size };
    int result = gnutls_encode_rs_value(ret, &r, &s);
    Esys_Free(signature);
    return result;
}

static int esys_info(gnutls_privkey_t key, unsigned flags, void *userdata) {
    (void) key, (void) userdata;
    if (flags & GNUTLS_PRIVKEY_INFO_PK_ALGO)
        return GNUTLS_PK_ECDSA;
    if (flags & GNUTLS_PRIVKEY_INFO_PK_ALGO_BITS)
        return 256;
    if (flags & GNUTLS_PRIVKEY_INFO_HAVE_SIGN_ALGO) {
        gnutls_sign_algorithm_t algorithm = GNUTLS_FLAGS_TO_SIGN_ALGO(flags);
        return algorithm == GNUTLS_SIGN_ECDSA_SHA256 || algorithm == GNUTLS_SIGN_ECDSA_SECP256R1_SHA256;
    }
    return -1;
}

static int esys_key(Bench *bench, gnutls_privkey_t key, gnutls_pubkey_t public) {
    if (raw_tpm_open(getenv("TPM2TOOLS_TCTI"), &bench->raw) < 0)
        return GNUTLS_E_TPM_ERROR;
    const TPMS_ECC_POINT *point = &bench->raw->public->publicArea.unique.ecc;
    const gnutls_datum_t x = { (void *) point->x.buffer, point->x.size },
                         y = { (void *) point->y.buffer, point->y.size };
    int r = gnutls_pubkey_import_ecc_raw(public, GNUTLS_ECC_CURVE_SECP256R1, &x, &y);
    if (r >= 0)
        r = gnutls_privkey_import_ext4(key, bench->raw, NULL, esys_sign, NULL, NULL, esys_info, 0);
    return r;
}

/* Has the sandbox's CA certify the key and gives both to the credentials. */
static int certify(gnutls_certificate_credentials_t credentials, gnutls_privkey_t key, gnutls_pubkey_t public) {
    gnutls_x509_crq_t request = NULL;
    unsigned char pem[REQUEST_MAX];
    size_t size = sizeof pem;
    gnutls_datum_t chain = { NULL, 0 };
    gnutls_pcert_st certificates[8];
    unsigned count = ARRAY_LENGTH(certificates);
    char *path = NULL;

    int r = gnutls_x509_crq_init(&request);
    if (r >= 0)
        r = gnutls_x509_crq_set_dn(request, "CN=bench", NULL);
    if (r >= 0)
        r = gnutls_x509_crq_set_subject_alt_name(request, GNUTLS_SAN_DNSNAME, "localhost", 9, GNUTLS_FSAN_SET);
    if (r >= 0)
        r = gnutls_x509_crq_set_pubkey(request, public);
    if (r >= 0)
        r = gnutls_x509_crq_privkey_sign(request, key, GNUTLS_DIG_SHA256, 0);
    if (r >= 0)
        r = gnutls_x509_crq_export(request, GNUTLS_X509_FMT_PEM, pem, &size);
    if (r >= 0 && (measure_certify(pem, strnlen((char *) pem, size), &path) < 0 || gnutls_load_file(path, &chain) < 0))
        r = GNUTLS_E_FILE_ERROR;
    if (r >= 0)
        r = gnutls_pcert_list_import_x509_raw(certificates, &count, &chain, GNUTLS_X509_FMT_PEM, 0);
    if (r >= 0) {
        gnutls_certificate_set_flags(credentials, GNUTLS_CERTIFICATE_SKIP_KEY_CERT_MATCH);
        r = gnutls_certificate_set_key(credentials, NULL, 0, certificates, (int) count, key);
    }
    if (path)
        (void) unlink(path);
    free(path);
    gnutls_free(chain.data);
    gnutls_x509_crq_deinit(request);
    return r;
}

/* Credentials with a key of `kind`; they own it. */
static int credentials_new(Bench *bench, const char *kind, gnutls_certificate_credentials_t *ret) {
    gnutls_privkey_t key = NULL;
    gnutls_pubkey_t public = NULL;
    char root[4096];

    (void) snprintf(root, sizeof root, "%s/root.pem", getenv("SANDBOX_CA") ?: ".");
    int r = gnutls_certificate_allocate_credentials(ret);
    if (r >= 0)
        r = gnutls_certificate_set_x509_trust_file(*ret, root, GNUTLS_X509_FMT_PEM);
    if (r >= 0 && (r = gnutls_privkey_init(&key)) >= 0)
        r = gnutls_pubkey_init(&public);
    if (r >= 0 && strcmp(kind, "esys") == 0)
        r = esys_key(bench, key, public);
    else if (r >= 0) {
        if (strcmp(kind, "software") == 0)
            r = gnutls_privkey_generate(key, GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0);
        else
            r = gnutls_privkey_import_url(key, kind, 0);
        if (r >= 0)
            r = gnutls_pubkey_import_privkey(public, key, GNUTLS_KEY_DIGITAL_SIGNATURE, 0);
    }
    if (r >= 0)
        r = certify(*ret, key, public);
    gnutls_pubkey_deinit(public);
    return r;
}

/* Both ends by turns, until both are done. */
static int shake_hands(gnutls_session_t client, gnutls_session_t server) {
    int c = GNUTLS_E_AGAIN, s = GNUTLS_E_AGAIN;

    while (c != 0 || s != 0) {
        if (c != 0 && (c = gnutls_handshake(client)) < 0 && gnutls_error_is_fatal(c))
            return c;
        if (s != 0 && (s = gnutls_handshake(server)) < 0 && gnutls_error_is_fatal(s))
            return s;
    }
    return gnutls_protocol_get_version(client) == GNUTLS_TLS1_3 ? 0 : GNUTLS_E_UNSUPPORTED_VERSION_PACKET;
}

static int begin_client(Bench *bench, gnutls_session_t client) {
    if (bench->binding)
        return identityd_gnutls_session_begin(bench->binding, client, "localhost", 0) < 0 ? GNUTLS_E_INTERNAL_ERROR : 0;
    gnutls_session_set_verify_cert(client, "localhost", 0);
    int r = gnutls_priority_set_direct(client, PRIORITIES, NULL);
    return r < 0 ? r : gnutls_credentials_set(client, GNUTLS_CRD_CERTIFICATE, bench->client);
}

static int handshake(void *userdata) {
    Bench *bench = userdata;
    gnutls_session_t client = NULL, server = NULL;
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    int r = gnutls_init(&client, GNUTLS_CLIENT | GNUTLS_NONBLOCK);
    if (r >= 0)
        r = gnutls_init(&server, GNUTLS_SERVER | GNUTLS_NONBLOCK | GNUTLS_NO_TICKETS);
    if (r >= 0) {
        gnutls_transport_set_int(client, pair[0]);
        gnutls_transport_set_int(server, pair[1]);
        gnutls_certificate_server_set_request(server, GNUTLS_CERT_REQUIRE);
        gnutls_session_set_verify_cert(server, NULL, 0);
        r = gnutls_priority_set_direct(server, PRIORITIES, NULL);
    }
    if (r >= 0)
        r = gnutls_credentials_set(server, GNUTLS_CRD_CERTIFICATE, bench->server);
    if (r >= 0)
        r = begin_client(bench, client);
    if (r >= 0)
        r = shake_hands(client, server);
    if (bench->binding && client)
        identityd_gnutls_session_end(client);
    gnutls_deinit(client);
    gnutls_deinit(server);
    (void) close(pair[0]);
    (void) close(pair[1]);
    if (r < 0)
        fprintf(stderr, "handshake-gnutls: %s; %s\n", gnutls_strerror(r), identityd_last_error());
    return r;
}

int main(int argc, char *argv[]) {
    Bench bench = { 0 };
    int r;

    if (argc != 3 && argc != 4) {
        fputs("handshake-gnutls COUNT software | esys | identityd:NAME | pkcs11:URL MODULE\n", stderr);
        return 2;
    }
    /* One module and no other, whatever p11-kit has been told. */
    r = gnutls_pkcs11_init(GNUTLS_PKCS11_FLAG_MANUAL, NULL);
    if (r >= 0 && argc == 4)
        r = gnutls_pkcs11_add_provider(argv[3], NULL);
    if (r >= 0)
        r = credentials_new(&bench, "software", &bench.server);
    if (r >= 0 && strncmp(argv[2], "identityd:", 10) == 0) {
        if (identityd_credential_open(argv[2] + 10, "tls-client", &bench.identity) < 0 ||
            identityd_gnutls_credentials_new(bench.identity, 0, &bench.binding) < 0)
            r = GNUTLS_E_INTERNAL_ERROR;
    } else if (r >= 0)
        r = credentials_new(&bench, argv[2], &bench.client);
    if (r < 0)
        fprintf(stderr, "handshake-gnutls: %s: %s; %s\n", argv[2], gnutls_strerror(r), identityd_last_error());
    else
        r = measure_run(argv[1], handshake, &bench);
    identityd_gnutls_credentials_free(bench.binding);
    identityd_credential_free(bench.identity);
    if (bench.client)
        gnutls_certificate_free_credentials(bench.client);
    if (bench.server)
        gnutls_certificate_free_credentials(bench.server);
    raw_tpm_free(bench.raw);
    return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
