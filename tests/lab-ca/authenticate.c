/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Client certificates and HTTP authentication at the EST server. */
#include "authenticate.h"

#include "index.h"
#include "tls.h"

#include <stdio.h>
#include <string.h>

#define NONCE_SECONDS 300U

static void by_certificate(Server *server, struct MHD_Connection *connection, Client *client) {
    const union MHD_ConnectionInfo *info;
    char serial[INDEX_SERIAL_MAX] = "";
    int r;

    info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);
    if (!info || !info->tls_session)
        return;
    r = tls_client(server, info->tls_session, &client->certificate, &client->reason);
    if (r < 0)
        client->kind = CLIENT_REFUSED;
    if (r <= 0 || serial_of_certificate(client->certificate, serial) < 0)
        return;
    client->kind = CLIENT_CERTIFICATE;
    (void) snprintf(client->name, sizeof(client->name), "cert:%s", serial);
}

static const User *find_user(const Server *server, const char *name) {
    for (size_t i = 0; name && i < server->user_count; i++)
        if (strcmp(server->users[i].name, name) == 0)
            return &server->users[i];
    return NULL;
}

static bool by_basic(Server *server, struct MHD_Connection *connection, Client *client) {
    char *password = NULL, *name = MHD_basic_auth_get_username_password(connection, &password);
    const User *user = find_user(server, name);
    bool admitted = user && password && strcmp(user->password, password) == 0;

    if (admitted)
        (void) snprintf(client->name, sizeof(client->name), "user:%s", name);
    MHD_free(name);
    MHD_free(password);
    return admitted;
}

static enum MHD_DigestAuthAlgorithm digest_algorithm(const Server *server) {
    return server->authentication == HTTP_AUTH_DIGEST_MD5 ? MHD_DIGEST_ALG_MD5 : MHD_DIGEST_ALG_SHA256;
}

static bool by_digest(Server *server, struct MHD_Connection *connection, Client *client) {
    char *name = MHD_digest_auth_get_username(connection);
    const User *user = find_user(server, name);
    bool admitted = false;
    int r;

    if (user) {
        r = MHD_digest_auth_check2(connection, SERVER_REALM, name, user->password, NONCE_SECONDS,
                                   digest_algorithm(server));
        client->stale = r == MHD_INVALID_NONCE;
        admitted = r == MHD_YES;
    }
    if (admitted)
        (void) snprintf(client->name, sizeof(client->name), "user:%s", name);
    MHD_free(name);
    return admitted;
}

void authenticate(Server *server, struct MHD_Connection *connection, Client *client) {
    bool admitted;

    bool by_password = server->authentication == HTTP_AUTH_BASIC || server->authentication == HTTP_AUTH_SILENT ||
                       server->authentication == HTTP_AUTH_UNKNOWN;

    *client = (Client) { .kind = CLIENT_NOBODY, .name = "none" };
    by_certificate(server, connection, client);
    if (client->kind != CLIENT_NOBODY || server->authentication == HTTP_AUTH_NONE)
        return;
    admitted = by_password ? by_basic(server, connection, client) : by_digest(server, connection, client);
    if (server->authentication == HTTP_AUTH_STALE) {
        admitted = false;
        client->stale = true;
    }
    client->kind = admitted ? CLIENT_USER : CLIENT_CHALLENGE;
}

enum MHD_Result authenticate_challenge(Server *server, struct MHD_Connection *connection, const Client *client,
                                       bool closes) {
    static const char text[] = "Authentication is wanted.\n";
    struct MHD_Response *response;
    enum MHD_Result result;

    response = MHD_create_response_from_buffer(sizeof(text) - 1, (void *) (uintptr_t) text, MHD_RESPMEM_PERSISTENT);
    if (!response)
        return MHD_NO;
    (void) MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "text/plain");
    if (closes)
        (void) MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
    if (server->authentication == HTTP_AUTH_UNKNOWN)
        (void) MHD_add_response_header(response, MHD_HTTP_HEADER_WWW_AUTHENTICATE,
                                       "Digest realm=\"x\", nonce=\"n\", algorithm=SHA-9000, qop=\"auth\"");
    if (server->authentication == HTTP_AUTH_FOREIGN)
        (void) MHD_add_response_header(response, MHD_HTTP_HEADER_WWW_AUTHENTICATE, "Foreign realm=\"x\"");
    if (server->authentication == HTTP_AUTH_SILENT || server->authentication == HTTP_AUTH_FOREIGN)
        result = MHD_queue_response(connection, MHD_HTTP_UNAUTHORIZED, response);
    else if (server->authentication == HTTP_AUTH_BASIC || server->authentication == HTTP_AUTH_UNKNOWN)
        result = MHD_queue_basic_auth_fail_response(connection, SERVER_REALM, response);
    else
        result = MHD_queue_auth_fail_response2(connection, SERVER_REALM, "lab", response,
                                               client->stale ? MHD_YES : MHD_NO, digest_algorithm(server));
    MHD_destroy_response(response);
    return result;
}

int users_load(Server *server, const char *path) {
    _cleanup_datum_ gnutls_datum_t datum = DATUM_NULL;
    char *rest, *line;
    size_t number = 0;
    int r;

    r = file_read(".", path, &datum);
    if (r < 0) {
        complain("cannot read the users' file %s: %s", path, strerror(-r));
        return r;
    }
    rest = (char *) datum.data;
    while ((line = strsep(&rest, "\n"))) {
        char *password = strchr(line, ':');
        User *user = &server->users[server->user_count];

        number++;
        if (line[0] == '\0' || line[0] == '#')
            continue;
        if (!password || password == line || server->user_count >= SERVER_USERS_MAX) {
            complain("%s:%zu: wanted user:password, and at most %u of them", path, number, SERVER_USERS_MAX);
            return -EINVAL;
        }
        *password++ = '\0';
        user->name = strdup(line);
        user->password = strdup(password);
        server->user_count++;
        if (!user->name || !user->password)
            return -ENOMEM;
    }
    return 0;
}

void users_clear(Server *server) {
    for (size_t i = 0; i < server->user_count; i++) {
        free(server->users[i].name);
        free(server->users[i].password);
    }
    server->user_count = 0;
}
