/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* See program.h. */
#include "proxy/program.h"

#include "proxy/run.h"

static ExitCode run(const Command *command) {
    _cleanup_proxy_settings_ ProxySettings settings = { 0 };

    ExitCode code = proxy_settings_parse(command, &settings);
    return code == EXIT_OK ? proxy_run(&settings) : code;
}

static const Option program_options[] = {
    { "quiet", 'q', NULL, "No remarks, only what goes wrong" },
    { NULL },
};

static const Option settings_options[] = {
    { "server", 0, NULL, "Accept TLS, and pass it on to a local program" },
    { "listen", 0, "ADDRESS", "A socket's path, or with --server ADDRESS:PORT; default: the sockets of systemd" },
    { "connect", 0, "ADDRESS", "HOST:PORT of a TLS server, or with --server a socket's path" },
    { "loopback", 0, NULL, "Allow a port of 127.0.0.1 or [::1] as the side without TLS" },
    { "mode", 0, "MODE", "Access mode of the socket at a path; default: 0600" },
    { "name", 0, "NAME", "Name that the server's certificate must carry, also sent as SNI; default: HOST" },
    { "sni", 0, "NAME",
      "Server name to ask for in its place; with --server: that clients must ask for, may be given again", true },
    { "alpn", 0, "PROTOCOL", "Protocol to agree on (ALPN); may be given again, the preferred one first", true },
    { "proxy-protocol", 0, NULL, "With --server: tell the program who connects, by the PROXY protocol (version 2)" },
    { "allow-cn", 0, "NAME", "Let in clients with this common name; may be given again, as the next two", true },
    { "allow-dns", 0, "NAME", "Let in clients with this DNS name", true },
    { "allow-uri", 0, "URI", "Let in clients with this URI", true },
    { "require-crl", 0, NULL, "Refuse a peer that no current CRL covers" },
    { "max-connections", 0, "NUMBER", "Open at once, more have to wait; default: 512" },
    { "max-per-source", 0, "NUMBER", "Of one local user, address or IPv6 /64; default: half of those" },
    { "max-idle-per-source", 0, "NUMBER", "Of these without a byte for a minute; default: half of them" },
    { "max-handshakes", 0, "START:RATE:FULL", "When those under way make room for others; default: 128:30:256" },
    { "max-handshakes-per-source", 0, "NUMBER", "Under way of one source; default: 64" },
    { "buffer-size", 0, "BYTES", "For each direction of a connection; default: 16384" },
    { "handshake-timeout", 0, "SECONDS", "From accepting to both sides standing; default: 30" },
    { "peer-timeout", 0, "SECONDS", "With --server: in all that a handshake waits for the client; default: 10" },
    { "idle-timeout", 0, "SECONDS", "Without a byte either way, 0 for ever; default: 43200" },
    { "half-closed-timeout", 0, "SECONDS", "Without a byte when one side has ended; default: 60" },
    { "drain-timeout", 0, "SECONDS", "For open connections after SIGTERM; default: 10" },
    { "log-limit", 0, "LINES", "A minute that connections may cause, 0 for any number; default: 600" },
    { NULL },
};

const Program proxy_program = { .name = "identityd-proxy", .page = "identityd-proxy(8)", .options = program_options };

const Verb proxy_verb = {
    .synopsis = "IDENTITY",
    .summary = "Give programs without TLS mutual TLS as this identity",
    .options = settings_options,
    .minimum = 1,
    .maximum = 1,
    .run = run,
};
