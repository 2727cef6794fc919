/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* EST's operations: routes a request, authenticates it, carries it out or misbehaves as told. */
#include "est.h"

#include "authenticate.h"
#include "index.h"
#include "issue.h"
#include "proof.h"
#include "reply.h"

#include <ctype.h>
#include <gnutls/crypto.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define EST_PREFIX "/.well-known/est/"
#define BODY_MAX   (64U * 1024U) /* bytes of a request's body */
#define LABEL_MAX  64U

typedef struct Request {
    Operation operation;
    char label[LABEL_MAX];
    uint8_t body[BODY_MAX];
    size_t size;
    bool too_large, started;
} Request;

/* Splits the path into label and operation. False: there is nothing there. */
static bool route(const char *url, Request *request) {
    const char *rest, *slash;

    if (strncmp(url, EST_PREFIX, strlen(EST_PREFIX)) != 0)
        return false;
    rest = url + strlen(EST_PREFIX);
    slash = strchr(rest, '/');
    if (slash) {
        size_t length = (size_t) (slash - rest);

        if (length == 0 || length >= LABEL_MAX)
            return false;
        for (size_t i = 0; i < length; i++)
            if (!isalnum((unsigned char) rest[i]) && !strchr("-._~", rest[i]))
                return false;
        memcpy(request->label, rest, length);
        rest = slash + 1;
    }
    for (unsigned i = OPERATION_CACERTS; i <= OPERATION_SIMPLEREENROLL; i++)
        if (strcmp(operation_to_string((Operation) i), rest) == 0) {
            request->operation = (Operation) i;
            return true;
        }
    return false;
}

/* ---- answers that are certificates ---- */

/* With `junk`, what nobody can read stands among them. */
static int pkcs7_reply(Reply *reply, const char *type, const gnutls_x509_crt_t *list, size_t count, bool junk) {
    static uint8_t empty_sequence[] = { 0x30, 0x00 };
    const gnutls_datum_t unreadable = { empty_sequence, sizeof(empty_sequence) };
    _cleanup_pkcs7_ gnutls_pkcs7_t pkcs7 = NULL;
    _cleanup_datum_ gnutls_datum_t der = DATUM_NULL;
    int r;

    r = gnutls_pkcs7_init(&pkcs7);
    for (size_t i = 0; r >= 0 && i < count; i++)
        r = gnutls_pkcs7_set_crt(pkcs7, list[i]);
    if (r >= 0 && junk)
        r = gnutls_pkcs7_set_crt_raw(pkcs7, &unreadable);
    if (r >= 0)
        r = gnutls_pkcs7_export2(pkcs7, GNUTLS_X509_FMT_DER, &der);
    return r < 0 ? gnutls_complain(r, "cannot make a PKCS#7") : reply_base64(reply, type, &der);
}

/* A PKCS#7 with a CRL and no certificate: GnuTLS encodes none that is quite empty. Under the lock. */
static int pkcs7_reply_without(Server *server, Reply *reply, const char *type) {
    _cleanup_datum_ gnutls_datum_t crl = DATUM_NULL, der = DATUM_NULL;
    _cleanup_pkcs7_ gnutls_pkcs7_t pkcs7 = NULL;
    int r;

    r = crl_get(server->ca, &server->crls, ca_issuer(server->ca)->name, FAULT_NONE, &crl);
    if (r < 0)
        return r;
    r = gnutls_pkcs7_init(&pkcs7);
    if (r >= 0)
        r = gnutls_pkcs7_set_crl_raw(pkcs7, &crl);
    if (r >= 0)
        r = gnutls_pkcs7_export2(pkcs7, GNUTLS_X509_FMT_DER, &der);
    return r < 0 ? gnutls_complain(r, "cannot make a PKCS#7") : reply_base64(reply, type, &der);
}

/* An attacker's root with our root's name, and the OldWithNew that anyone can make (docs/facts.md, "EST"). */
static int foreign_root(const Ca *ca, gnutls_x509_crt_t *ret_root, gnutls_x509_crt_t *ret_old_with_new) {
    _cleanup_datum_ gnutls_datum_t name = DATUM_NULL;
    _cleanup_authority_ Authority *attacker = NULL;
    AuthorityTemplate template = { .name = "attacker", .algorithm = CA_ECDSA_P256, .path_length = -1 };
    const Authority *root = ca->roots[ca->current];
    int r;

    r = gnutls_x509_crt_get_dn3(root->certificate, &name, 0);
    if (r < 0)
        return gnutls_complain(r, "cannot read the root's name");
    template.subject = (const char *) name.data;
    r = authority_create(NULL, &template, &attacker);
    if (r == 0)
        r = authority_cross_certify(root, attacker, ret_old_with_new);
    if (r == 0)
        *ret_root = TAKE_PTR(attacker->certificate);
    return r;
}

static int answer_cacerts(Server *server, const Fault *fault, Reply *reply) {
    gnutls_x509_crt_t list[CA_CACERTS_MAX + 2];
    _cleanup_crt_ gnutls_x509_crt_t attacker = NULL, old_with_new = NULL;
    size_t count, first = fault->kind == FAULT_NO_INTERMEDIATE ? 1 : 0;
    int r = 0;

    (void) pthread_mutex_lock(&server->lock);
    count = ca_cacerts(server->ca, list);
    if (fault->kind == FAULT_NEW_ALONE && server->ca->phase != CA_STABLE)
        first = CA_CACERTS_NEW;
    if (fault->kind == FAULT_FOREIGN_ROOT) {
        r = foreign_root(server->ca, &attacker, &old_with_new);
        if (r == 0) {
            list[count++] = attacker;
            list[count++] = old_with_new;
        }
    }
    if (r == 0 && fault->kind == FAULT_NO_CERTIFICATES)
        r = pkcs7_reply_without(server, reply, REPLY_TYPE_PKCS7);
    else if (r == 0)
        r = pkcs7_reply(reply, REPLY_TYPE_PKCS7, list + first, count - first, fault->kind == FAULT_JUNK_BESIDE);
    (void) pthread_mutex_unlock(&server->lock);
    return r;
}

static int answer_csrattrs(Server *server, Reply *reply) {
    int r = 0;

    (void) pthread_mutex_lock(&server->lock);
    if (server->csrattrs.status == 200)
        r = reply_base64(reply, REPLY_TYPE_CSRATTRS, &server->csrattrs.der);
    else
        reply->status = server->csrattrs.status;
    (void) pthread_mutex_unlock(&server->lock);
    return r;
}

/* ---- enrolment ---- */

/* RFC 8951: base64 with white space anywhere, whatever Content-Transfer-Encoding says. */
static int decode_body(const Request *request, gnutls_datum_t *ret) {
    _cleanup_free_ uint8_t *packed = malloc(request->size + 1);
    gnutls_datum_t text = { packed, 0 };
    int r;

    if (!packed)
        return -ENOMEM;
    for (size_t i = 0; i < request->size; i++)
        if (!memchr("\r\n\t ", request->body[i], 4))
            packed[text.size++] = request->body[i];
    r = gnutls_base64_decode2(&text, ret);
    return r < 0 ? -EBADMSG : 0;
}

/* 202 and what follows. True: the reply is 202. The pending list is by the DER's digest: "the same request". */
static bool answer_pending(Server *server, const gnutls_datum_t *der, const Fault *fault, Reply *reply) {
    time_t now = time(NULL);
    uint8_t digest[32];
    Pending *pending;

    if (gnutls_hash_fast(GNUTLS_DIG_SHA256, der->data, der->size, digest) < 0)
        return false;
    for (size_t i = 0; i < server->pending_count; i++) {
        pending = &server->pending[i];
        if (memcmp(pending->digest, digest, sizeof(digest)) != 0)
            continue;
        if (now >= pending->ready) {
            *pending = server->pending[--server->pending_count];
            return false;
        }
        (void) reply_text(reply, 202, "not yet");
        reply->retry_after = pending->ready - now;
        return true;
    }
    if (fault->kind != FAULT_PENDING || server->pending_count >= SERVER_PENDING_MAX)
        return false;
    pending = &server->pending[server->pending_count++];
    memcpy(pending->digest, digest, sizeof(digest));
    pending->ready = now + (fault->retry_after > 0 ? fault->retry_after : 0);
    (void) reply_text(reply, 202, "later");
    reply->retry_after = fault->retry_after;
    reply->retry_after_as_date = fault->as_date;
    return true;
}

/* Issues and answers, under the lock. `result` is for the log. */
static int issue_locked(Server *server, const IssueOrder *order, Reply *reply, char *result, size_t size) {
    _cleanup_crt_ gnutls_x509_crt_t certificate = NULL;
    gnutls_x509_crt_t list[3];
    char serial[INDEX_SERIAL_MAX] = "";
    size_t count = 0;
    int r;

    r = issue_certificate(server->ca, order, &certificate);
    if (r == 0)
        r = serial_of_certificate(certificate, serial);
    if (r < 0)
        return r;
    list[count++] = certificate;
    if (order->fault == FAULT_WITH_CHAIN) {
        list[count++] = ca_issuer(server->ca)->certificate;
        list[count++] = server->ca->roots[server->ca->current]->certificate;
    }
    (void) snprintf(result, size, "issued serial=%s", serial);
    if (order->fault == FAULT_NO_CERTIFICATES)
        return pkcs7_reply_without(server, reply, REPLY_TYPE_ISSUED);
    return pkcs7_reply(reply, REPLY_TYPE_ISSUED, list, count, order->fault == FAULT_JUNK_BESIDE);
}

typedef struct EnrollContext {
    Server *server;
    const Request *request;
    const Client *client;
    const Fault *fault;
    gnutls_session_t session;
} EnrollContext;

static bool wants_proof(Server *server) {
    (void) pthread_mutex_lock(&server->lock);
    bool wanted = server->csrattrs.wants_proof;
    (void) pthread_mutex_unlock(&server->lock);
    return wanted;
}

static int answer_enroll(const EnrollContext *context, Reply *reply, char *result, size_t size) {
    _cleanup_datum_ gnutls_datum_t der = DATUM_NULL;
    _cleanup_crq_ gnutls_x509_crq_t request = NULL;
    Server *server = context->server;
    const char *reason = "not base64";
    IssueOrder order;
    int r;

    r = decode_body(context->request, &der);
    if (r == 0)
        r = request_import(&der, GNUTLS_X509_FMT_DER, &request, &reason);
    if (r == -EBADMSG) {
        (void) snprintf(result, size, "refused: %s", reason);
        return reply_text(reply, 400, "The request was refused: %s.", reason);
    }
    if (r < 0)
        return r;
    if (context->request->operation == OPERATION_SIMPLEREENROLL &&
        !request_matches_certificate(request, context->client->certificate, &reason)) {
        (void) snprintf(result, size, "refused: %s", reason);
        return reply_text(reply, 403, "The request was refused: %s.", reason);
    }
    if (wants_proof(server) && !proof_is_given(context->session, request, &reason)) {
        (void) snprintf(result, size, "refused: %s", reason);
        return reply_text(reply, 403, "The request was refused: %s.", reason);
    }
    order =
        (IssueOrder) { .request = request, .fault = context->fault->kind, .previous = context->client->certificate };
    (void) pthread_mutex_lock(&server->lock);
    order.lifetime = server->lifetime;
    if (answer_pending(server, &der, context->fault, reply))
        (void) snprintf(result, size, "pending");
    else
        r = issue_locked(server, &order, reply, result, size);
    (void) pthread_mutex_unlock(&server->lock);
    return r;
}

/* ---- one request ---- */

static bool says_base64(struct MHD_Connection *connection) {
    const char *value =
        MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_TRANSFER_ENCODING);

    return value && strcasecmp(value, "base64") == 0;
}

static bool type_is(struct MHD_Connection *connection, const char *type) {
    const char *value = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_TYPE);
    size_t length = strlen(type);

    return value && strncasecmp(value, type, length) == 0 && strchr("; ", value[length]); /* or its end */
}

/* Whether the client may have what it asks for; else the reply says why not. */
static bool admit(const Server *server, const Request *request, const Client *client, Reply *reply) {
    if (client->kind == CLIENT_REFUSED)
        (void) reply_text(reply, 403, "Refused: %s.", client->reason);
    else if (request->operation == OPERATION_SIMPLEREENROLL && client->kind != CLIENT_CERTIFICATE)
        (void) reply_text(reply, 403, "Refused: simplereenroll wants the old certificate at TLS.");
    else if (client->kind == CLIENT_NOBODY && !server->open)
        (void) reply_text(reply, 403, "Refused: enrolment wants a client certificate.");
    else
        return true;
    return false;
}

static enum MHD_Result enroll(Server *server, struct MHD_Connection *connection, const Request *request) {
    _cleanup_client_ Client client = { 0 };
    _cleanup_reply_ Reply reply = REPLY_INIT;
    char result[160] = "refused";
    Fault fault;
    const union MHD_ConnectionInfo *tls = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);
    const EnrollContext context = { server, request, &client, &fault, tls ? tls->tls_session : NULL };

    authenticate(server, connection, &client);
    if (client.kind == CLIENT_CHALLENGE && request->operation == OPERATION_SIMPLEENROLL) {
        server_log(server, request->operation, 401, "challenge label=%s client=none", request->label);
        return authenticate_challenge(server, connection, &client, wants_proof(server)); /* as libest does */
    }
    fault = server_take_fault(server, request->operation); /* not used up by the round that only asks who it is */
    if (!admit(server, request, &client, &reply)) {
        if (client.reason)
            (void) snprintf(result, sizeof(result), "refused: %s", client.reason);
    } else if (request->too_large)
        (void) reply_text(&reply, 413, "The request is too large.");
    else if (!type_is(connection, "application/pkcs10"))
        (void) reply_text(&reply, 415, "The request's type must be application/pkcs10.");
    else if (fault.kind == FAULT_WANTS_ENCODING && !says_base64(connection))
        (void) reply_text(&reply, 400, "The request does not say that it is base64.");
    else if (reply_from_fault(server, &fault, &reply))
        (void) snprintf(result, sizeof(result), "fault");
    else if (answer_enroll(&context, &reply, result, sizeof(result)) < 0)
        (void) reply_text(&reply, 500, "The lab CA failed; see its standard error.");
    server_log(server, request->operation, reply.status, "%s label=%s client=%s fault=%s", result, request->label,
               client.name, fault_to_string(fault.kind));
    return reply_send(server, connection, &fault, &reply);
}

static enum MHD_Result show(Server *server, struct MHD_Connection *connection, const Request *request) {
    const Fault fault = server_take_fault(server, request->operation);
    _cleanup_reply_ Reply reply = REPLY_INIT;
    int r = 0;

    if (!reply_from_fault(server, &fault, &reply))
        r = request->operation == OPERATION_CACERTS ? answer_cacerts(server, &fault, &reply)
                                                    : answer_csrattrs(server, &reply);
    if (r < 0)
        (void) reply_text(&reply, 500, "The lab CA failed; see its standard error.");
    server_log(server, request->operation, reply.status, "shown label=%s fault=%s", request->label,
               fault_to_string(fault.kind));
    return reply_send(server, connection, &fault, &reply);
}

static enum MHD_Result refuse(Server *server, struct MHD_Connection *connection, unsigned status) {
    _cleanup_reply_ Reply reply = REPLY_INIT;
    const Fault none = { .kind = FAULT_NONE };

    (void) reply_text(&reply, status, status == 404 ? "There is nothing here." : "Not with this method.");
    return reply_send(server, connection, &none, &reply);
}

static void collect(Request *request, const char *upload, size_t size) {
    if (size > BODY_MAX - request->size) {
        request->too_large = true;
        return;
    }
    memcpy(request->body + request->size, upload, size);
    request->size += size;
}

enum MHD_Result est_handle(void *data, struct MHD_Connection *connection, const char *url, const char *method,
                           const char *version, const char *upload, size_t *upload_size, void **state) {
    Server *server = data;
    Request *request = *state;
    bool enrolls;

    if (!request) {
        *state = calloc(1, sizeof(Request));
        return *state ? MHD_YES : MHD_NO;
    }
    if (*upload_size > 0) {
        collect(request, upload, *upload_size);
        *upload_size = 0;
        return MHD_YES;
    }
    if (!route(url, request))
        return refuse(server, connection, 404);
    enrolls = request->operation == OPERATION_SIMPLEENROLL || request->operation == OPERATION_SIMPLEREENROLL;
    if (strcmp(method, enrolls ? "POST" : "GET") != 0)
        return refuse(server, connection, 405);
    return enrolls ? enroll(server, connection, request) : show(server, connection, request);
}

void est_completed(void *data, struct MHD_Connection *connection, void **state, enum MHD_RequestTerminationCode code) {
    free(*state);
    *state = NULL;
}

/* ---- CRLs ---- */

static int answer_crl(Server *server, const char *url, const Fault *fault, Reply *reply) {
    const char *name = url + strlen("/crl/"), *end;
    char authority[AUTHORITY_NAME_MAX];
    int r;

    if (strncmp(url, "/crl/", 5) != 0)
        return -ENOENT;
    end = strrchr(name, '.');
    if (!end || strcmp(end, ".crl") != 0 || (size_t) (end - name) >= sizeof(authority))
        return -ENOENT;
    memcpy(authority, name, (size_t) (end - name));
    authority[end - name] = '\0';
    (void) pthread_mutex_lock(&server->lock);
    r = server->crl_file ? file_read(server->directory, server->crl_file, &reply->body)
                         : crl_get(server->ca, &server->crls, authority, fault->kind, &reply->body);
    (void) pthread_mutex_unlock(&server->lock);
    reply->type = REPLY_TYPE_CRL;
    return r;
}

enum MHD_Result crl_handle(void *data, struct MHD_Connection *connection, const char *url, const char *method,
                           const char *version, const char *upload, size_t *upload_size, void **state) {
    _cleanup_reply_ Reply reply = REPLY_INIT;
    Server *server = data;
    Fault fault;
    int r;

    if (strcmp(method, "GET") != 0)
        return refuse(server, connection, 405);
    fault = server_take_fault(server, OPERATION_CRL);
    if (!reply_from_fault(server, &fault, &reply)) {
        r = answer_crl(server, url, &fault, &reply);
        if (r < 0)
            (void) reply_text(&reply, r == -ENOENT ? 404 : 500, "There is no such CRL.");
    }
    server_log(server, OPERATION_CRL, reply.status, "shown path=%s fault=%s", url, fault_to_string(fault.kind));
    return reply_send(server, connection, &fault, &reply);
}
