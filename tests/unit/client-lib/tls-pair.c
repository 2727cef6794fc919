/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* TLS between two identities in one process. */
#include "tls-pair.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

static char *device_chains[2], *service_chains[2];

static void set(const char *name, uint32_t generation, const char *chain, const char *crls, const char *state) {
    fake_identityd_set(fixture.fake, &(FakeIdentity) { .name = name,
                                                       .state = state,
                                                       .generation = generation,
                                                       .key = generation == 2 ? fixture.next_key : fixture.key,
                                                       .chain = chain,
                                                       .anchors = fixture.ca->pem,
                                                       .crls = crls });
}

static char *issue(gnutls_privkey_t key, const char *name, bool server, unsigned serial) {
    return fake_ca_issue(
        fixture.ca, key,
        &(FakeRequest) {
            .common_name = name, .dns = server ? name : NULL, .server = server, .client = !server, .serial = serial });
}

static void make_chains(void) {
    if (device_chains[0])
        return;
    device_chains[0] = issue(fixture.key, "device", false, 11);
    device_chains[1] = issue(fixture.next_key, "device", false, 12);
    service_chains[0] = issue(fixture.key, "service.example", true, 21);
    service_chains[1] = issue(fixture.next_key, "service.example", true, 22);
}

void set_device(uint32_t generation, const char *crls, const char *state) {
    set("device", generation, device_chains[generation - 1], crls, state);
}

void set_service(uint32_t generation, const char *chain, const char *crls, const char *state) {
    set("service", generation, chain ? chain : service_chains[generation - 1], crls, state);
}

int setup_tls(void **state) {
    make_chains();
    fixture.fake = fake_identityd_new();
    set_device(1, NULL, NULL);
    set_service(1, NULL, NULL, NULL);
    return 0;
}

void party_open(Party *party, const char *identity, const char *purpose) {
    *party = (Party) { .socket = -1 };
    if (identityd_credential_open(identity, purpose, &party->credential) < 0)
        fail_msg("open: %s", identityd_last_error());
    assert_int_equal(identityd_gnutls_credentials_new(party->credential, 0, &party->credentials), 0);
    if (strcmp(identity, "device") == 0)
        party->host = "service.example";
}

void party_clear(Party *party) {
    gnutls_free(party->resume.data);
    party->resume = (gnutls_datum_t) { NULL, 0 };
    identityd_gnutls_credentials_free(party->credentials);
    identityd_credential_free(party->credential);
    *party = (Party) { .socket = -1 };
}

static int begin(Party *party, bool server, int socket) {
    unsigned flags = (server ? GNUTLS_SERVER : GNUTLS_CLIENT) | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL;

    party->socket = socket;
    party->error[0] = '\0';
    party->result = GNUTLS_E_AGAIN;
    assert_int_equal(gnutls_init(&party->session, flags), 0);
    gnutls_transport_set_int(party->session, socket);
    if (party->flags & IDENTITYD_GNUTLS_KEEP_PRIORITY)
        assert_int_equal(gnutls_priority_set_direct(party->session, party->priority, NULL), 0);
    int r = identityd_gnutls_session_begin(party->credentials, party->session, party->host, party->flags);
    if (r < 0) {
        party->result = r;
        (void) snprintf(party->error, sizeof(party->error), "%s", identityd_last_error());
        return r;
    }
    if (party->priority)
        assert_int_equal(gnutls_priority_set_direct(party->session, party->priority, NULL), 0);
    if (server)
        gnutls_certificate_server_set_request(party->session, GNUTLS_CERT_REQUIRE);
    else if (party->resume.data)
        assert_int_equal(gnutls_session_set_data(party->session, party->resume.data, party->resume.size), 0);
    return 0;
}

static bool is_done(const Party *party) {
    return party->result == 0 || (party->result != GNUTLS_E_INTERRUPTED && gnutls_error_is_fatal(party->result));
}

static void step(Party *party) {
    if (is_done(party))
        return;
    party->result = gnutls_handshake(party->session);
    if (party->result < 0 && gnutls_error_is_fatal(party->result)) {
        (void) snprintf(party->error, sizeof(party->error), "%s", identityd_last_error());
        (void) gnutls_alert_send_appropriate(party->session, party->result);
    }
}

static void end(Party *party) {
    if (party->session) {
        identityd_gnutls_session_end(party->session);
        gnutls_deinit(party->session);
    }
    party->session = NULL;
    if (party->socket >= 0)
        close(party->socket);
    party->socket = -1;
}

static void ask_who(Party *party) {
    identityd_peer *peer = NULL;

    assert_int_equal(identityd_gnutls_peer(party->session, &peer), 0);
    const char *name = identityd_peer_names(peer)[0];
    (void) snprintf(party->peer, sizeof(party->peer), "%s", name ? name : "");
    identityd_peer_free(peer);
}

static bool transfer(Party *from, Party *to) {
    char buffer[8];
    ssize_t n;

    if (gnutls_record_send(from->session, "ping", 4) != 4)
        return false;
    for (unsigned i = 0; i < 10; i++) {
        n = gnutls_record_recv(to->session, buffer, sizeof(buffer));
        if (n != GNUTLS_E_AGAIN && n != GNUTLS_E_INTERRUPTED)
            return n == 4;
    }
    return false;
}

int connect_parties(Party *client, Party *server) {
    int fds[2], r = -1;

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    int c = begin(client, false, fds[0]), s = begin(server, true, fds[1]);
    if (c >= 0 && s >= 0) {
        for (unsigned i = 0; i < 100 && !(is_done(client) && is_done(server)); i++) {
            step(client);
            step(server);
            if ((is_done(client) && client->result < 0) || (is_done(server) && server->result < 0)) {
                step(client);
                step(server);
                break;
            }
        }
        if (client->result == 0 && server->result == 0 && transfer(server, client) && transfer(client, server)) {
            ask_who(client);
            if (client->asks_again)
                client->again = identityd_gnutls_verify_peer(client->session, client->asks_again);
            client->resumed = gnutls_session_is_resumed(client->session) != 0;
            gnutls_free(client->resume.data);
            client->resume = (gnutls_datum_t) { NULL, 0 };
            if (server->flags & IDENTITYD_GNUTLS_TICKETS)
                assert_int_equal(gnutls_session_get_data2(client->session, &client->resume), 0);
            r = 0;
        }
    }
    end(client);
    end(server);
    return r;
}
