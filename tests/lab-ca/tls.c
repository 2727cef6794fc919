/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The EST server's side of TLS. */
#include "tls.h"

#include "index.h"

#include <arpa/inet.h>
#include <string.h>

#define DAY              ((time_t) 24 * 60 * 60)
#define CLIENT_CHAIN_MAX 8U

typedef enum CredentialKind {
    CREDENTIAL_RIGHT,
    CREDENTIAL_WRONG_NAME,
    CREDENTIAL_EXPIRED,
    CREDENTIAL_UNTRUSTED,
    _CREDENTIAL_COUNT,
} CredentialKind;

struct ServerCredentials {
    gnutls_certificate_credentials_t credentials[_CREDENTIAL_COUNT];
    gnutls_datum_t certificate_pem, key_pem;
    ServerCredentials *previous; /* kept for sessions that still use them */
};

const char *credentials_certificate_pem(const ServerCredentials *credentials) {
    return (const char *) credentials->certificate_pem.data;
}

const char *credentials_key_pem(const ServerCredentials *credentials) {
    return (const char *) credentials->key_pem.data;
}

static int set_names(gnutls_x509_crt_t certificate, CredentialKind kind, const char *host) {
    const char *name = kind == CREDENTIAL_WRONG_NAME ? "wrong.example" : "localhost";
    const uint8_t loopback[4] = { 127, 0, 0, 1 };
    struct in_addr address;
    int r;

    r = gnutls_x509_crt_set_dn(certificate, "CN=identityd lab EST server", NULL);
    if (r >= 0)
        r = gnutls_x509_crt_set_subject_alt_name(certificate, GNUTLS_SAN_DNSNAME, name, (unsigned) strlen(name),
                                                 GNUTLS_FSAN_SET);
    if (r >= 0 && kind != CREDENTIAL_WRONG_NAME)
        r = gnutls_x509_crt_set_subject_alt_name(certificate, GNUTLS_SAN_IPADDRESS, loopback, sizeof(loopback),
                                                 GNUTLS_FSAN_APPEND);
    if (r >= 0 && kind != CREDENTIAL_WRONG_NAME)
        r = gnutls_x509_crt_set_subject_alt_name(certificate, GNUTLS_SAN_IPADDRESS, &in6addr_loopback,
                                                 sizeof(in6addr_loopback), GNUTLS_FSAN_APPEND);
    if (r >= 0 && kind != CREDENTIAL_WRONG_NAME) {
        if (inet_pton(AF_INET, host, &address) == 1)
            r = gnutls_x509_crt_set_subject_alt_name(certificate, GNUTLS_SAN_IPADDRESS, &address, sizeof(address),
                                                     GNUTLS_FSAN_APPEND);
        else
            r = gnutls_x509_crt_set_subject_alt_name(certificate, GNUTLS_SAN_DNSNAME, host, (unsigned) strlen(host),
                                                     GNUTLS_FSAN_APPEND);
    }
    if (r >= 0)
        r = gnutls_x509_crt_set_key_usage(certificate, GNUTLS_KEY_DIGITAL_SIGNATURE);
    if (r >= 0)
        r = gnutls_x509_crt_set_key_purpose_oid(certificate, GNUTLS_KP_TLS_WWW_SERVER, 0);
    return r;
}

static int make_certificate(const Authority *issuer, gnutls_x509_privkey_t key, CredentialKind kind, const char *host,
                            gnutls_x509_crt_t *ret) {
    _cleanup_crt_ gnutls_x509_crt_t certificate = NULL;
    time_t now = time(NULL);
    int r;

    r = gnutls_x509_crt_init(&certificate);
    if (r >= 0)
        r = set_names(certificate, kind, host);
    if (r >= 0)
        r = gnutls_x509_crt_set_key(certificate, key);
    if (r < 0)
        return gnutls_complain(r, "cannot make the server's certificate");
    r = certificate_fill(certificate, issuer, now - DAY, kind == CREDENTIAL_EXPIRED ? now - 3600 : now + 365 * DAY);
    if (r == 0)
        r = certificate_sign(certificate, issuer);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(certificate);
    return 0;
}

/* One set of credentials. The right one's PEM is kept too. */
static int make_credentials(ServerCredentials *all, CredentialKind kind, const Authority *issuer,
                            gnutls_x509_privkey_t key, const char *host) {
    _cleanup_crt_ gnutls_x509_crt_t certificate = NULL;
    int r;

    r = make_certificate(issuer, key, kind, host, &certificate);
    if (r < 0)
        return r;
    r = gnutls_certificate_allocate_credentials(&all->credentials[kind]);
    if (r >= 0)
        r = gnutls_certificate_set_x509_key(all->credentials[kind], &certificate, 1, key);
    if (r >= 0 && kind == CREDENTIAL_RIGHT)
        r = gnutls_x509_crt_export2(certificate, GNUTLS_X509_FMT_PEM, &all->certificate_pem);
    if (r >= 0 && kind == CREDENTIAL_RIGHT)
        r = gnutls_x509_privkey_export2_pkcs8(key, GNUTLS_X509_FMT_PEM, NULL, GNUTLS_PKCS_PLAIN, &all->key_pem);
    return r < 0 ? gnutls_complain(r, "cannot make the server's credentials") : 0;
}

int credentials_renew(Server *server) {
    _cleanup_key_ gnutls_x509_privkey_t key = NULL;
    _cleanup_authority_ Authority *nobody = NULL;
    const AuthorityTemplate template = {
        .name = "nobody", .subject = "CN=nobody knows this root", .algorithm = CA_ECDSA_P256, .path_length = -1
    };
    ServerCredentials *made;
    int r;

    r = authority_create(NULL, &template, &nobody);
    if (r == 0)
        r = key_generate(CA_ECDSA_P256, &key);
    if (r < 0)
        return r;
    made = calloc(1, sizeof(ServerCredentials));
    if (!made)
        return -ENOMEM;
    for (unsigned kind = 0; r == 0 && kind < _CREDENTIAL_COUNT; kind++)
        r = make_credentials(made, kind, kind == CREDENTIAL_UNTRUSTED ? nobody : ca_server_issuer(server->ca), key,
                             server->host);
    if (r < 0) {
        (void) credentials_free(made);
        return r;
    }
    made->previous = server->credentials;
    server->credentials = made;
    return 0;
}

ServerCredentials *credentials_free(ServerCredentials *credentials) {
    while (credentials) {
        ServerCredentials *previous = credentials->previous;

        for (size_t i = 0; i < _CREDENTIAL_COUNT; i++)
            if (credentials->credentials[i])
                gnutls_certificate_free_credentials(credentials->credentials[i]);
        datum_clear(&credentials->certificate_pem);
        datum_clear(&credentials->key_pem);
        free(credentials);
        credentials = previous;
    }
    return NULL;
}

void tls_prepare(Server *server, gnutls_session_t session) {
    CredentialKind kind = CREDENTIAL_RIGHT;
    const char *priorities = "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2";
    Fault fault = server_take_fault(server, OPERATION_CONNECTION);
    gnutls_certificate_credentials_t chosen;
    int r;

    switch (fault.kind) {
    case FAULT_TLS12:
        priorities = "NORMAL:-VERS-ALL:+VERS-TLS1.2";
        break;
    case FAULT_SERVER_NAME:
        kind = CREDENTIAL_WRONG_NAME;
        break;
    case FAULT_SERVER_EXPIRED:
        kind = CREDENTIAL_EXPIRED;
        break;
    case FAULT_SERVER_UNTRUSTED:
        kind = CREDENTIAL_UNTRUSTED;
        break;
    default:
        break;
    }
    (void) pthread_mutex_lock(&server->lock);
    chosen = server->credentials->credentials[kind];
    (void) pthread_mutex_unlock(&server->lock);
    r = gnutls_priority_set_direct(session, priorities, NULL);
    if (r >= 0)
        r = gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, chosen);
    if (r < 0)
        (void) gnutls_complain(r, "cannot prepare a TLS session");
    gnutls_certificate_server_set_request(session, GNUTLS_CERT_REQUEST);
    if (fault.kind != FAULT_NONE)
        server_log(server, OPERATION_CONNECTION, 0, "fault=%s", fault_to_string(fault.kind));
}

/* Everything that may vouch for a client: all our roots and intermediates, and what was configured beside them. Lent
 * while the lock is held. */
static int client_trust(Server *server, gnutls_x509_trust_list_t *ret) {
    gnutls_x509_crt_t ours[2 * CA_ROOTS_MAX];
    gnutls_x509_trust_list_t list;
    unsigned n = 0;
    int r;

    for (size_t i = 0; i < server->ca->count; i++) {
        ours[n++] = server->ca->roots[i]->certificate;
        ours[n++] = server->ca->intermediates[i]->certificate;
    }
    r = gnutls_x509_trust_list_init(&list, 0);
    if (r < 0)
        return r;
    r = gnutls_x509_trust_list_add_cas(list, ours, n, 0);
    if (r >= 0 && server->client_anchor_count > 0)
        r = gnutls_x509_trust_list_add_cas(list, server->client_anchors, server->client_anchor_count, 0);
    if (r < 0) {
        gnutls_x509_trust_list_deinit(list, 0);
        return r;
    }
    *ret = list;
    return 0;
}

static const char *verify_client(Server *server, gnutls_x509_crt_t *chain, unsigned count) {
    gnutls_typed_vdata_st purpose = { .type = GNUTLS_DT_KEY_PURPOSE_OID,
                                      .data = (unsigned char *) (uintptr_t) GNUTLS_KP_TLS_WWW_CLIENT };
    gnutls_x509_trust_list_t trust;
    char serial[INDEX_SERIAL_MAX];
    unsigned status = 0;
    IndexEntry entry;
    int r = 0;

    (void) pthread_mutex_lock(&server->lock);
    bool listed = client_trust(server, &trust) >= 0;
    if (listed) {
        r = gnutls_x509_trust_list_verify_crt2(trust, chain, count, &purpose, 1, 0, &status, NULL);
        gnutls_x509_trust_list_deinit(trust, 0);
    }
    (void) pthread_mutex_unlock(&server->lock);
    if (!listed)
        return "the server's trust list cannot be made";
    if (r < 0)
        return "the client certificate cannot be verified";
    if (status & GNUTLS_CERT_EXPIRED)
        return "the client certificate has expired";
    if (status & GNUTLS_CERT_NOT_ACTIVATED)
        return "the client certificate is not valid yet";
    if (status != 0)
        return "the client certificate does not verify";
    if (serial_of_certificate(chain[0], serial) < 0)
        return "the client certificate's serial number cannot be read";
    r = index_find(server->directory, serial, &entry);
    if (r < 0)
        return "the index cannot be read";
    return r > 0 && entry.status == 'R' ? "the client certificate is revoked" : NULL;
}

int tls_client(Server *server, gnutls_session_t session, gnutls_x509_crt_t *ret, const char **ret_reason) {
    gnutls_x509_crt_t chain[CLIENT_CHAIN_MAX] = { NULL };
    const gnutls_datum_t *raw;
    unsigned count = 0, imported = 0;
    int r = 0;

    raw = gnutls_certificate_get_peers(session, &count);
    if (!raw || count == 0)
        return 0;
    *ret_reason = count > CLIENT_CHAIN_MAX ? "the client's chain is too long" : NULL;
    while (!*ret_reason && imported < count) {
        r = gnutls_x509_crt_init(&chain[imported]);
        if (r >= 0)
            r = gnutls_x509_crt_import(chain[imported], &raw[imported], GNUTLS_X509_FMT_DER);
        imported++;
        if (r < 0)
            *ret_reason = "the client certificate cannot be read";
    }
    if (!*ret_reason)
        *ret_reason = verify_client(server, chain, count);
    if (!*ret_reason)
        *ret = TAKE_PTR(chain[0]);
    for (unsigned i = 0; i < CLIENT_CHAIN_MAX; i++)
        crt_clear(&chain[i]);
    return *ret_reason ? -EACCES : 1;
}
