/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* See settings.h. */
#include "proxy/settings.h"

#include "command/complain.h"
#include "common/names.h"

#include <string.h>

#define NAME_MAX_LENGTH 255U /* of a peer, as in TLS's server_name */

void proxy_settings_clear(ProxySettings *settings) {
    endpoint_clear(&settings->peer);
}

typedef struct Number {
    const char *option;
    unsigned least, most, usual;
} Number;

static bool read_number(const char *text, char end, unsigned least, unsigned most, const char **ret_rest,
                        unsigned *ret) {
    char *rest = NULL;

    errno = 0;
    unsigned long value = strtoul(text, &rest, 10);
    if (text[0] < '0' || text[0] > '9' || *rest != end || errno != 0 || value < least || value > most)
        return false;
    *ret_rest = rest + (end != '\0');
    *ret = (unsigned) value;
    return true;
}

static ExitCode parse_number(const Command *command, const Number *number, unsigned *ret) {
    const char *text = command_value(command, number->option);

    if (!text) {
        *ret = number->usual;
        return EXIT_OK;
    }
    if (!read_number(text, '\0', number->least, number->most, &text, ret)) {
        complain("--%s=%s: a whole number from %u to %u is wanted.", number->option, text, number->least, number->most);
        return EXIT_USAGE;
    }
    return EXIT_OK;
}

static ExitCode parse_handshakes(const Command *command, SlotRule *ret) {
    const char *text = command_value(command, "max-handshakes"), *rest = text;

    *ret = (SlotRule) { .start = PROXY_HANDSHAKES_START, .rate = PROXY_HANDSHAKES_RATE, .full = PROXY_HANDSHAKES_FULL };
    if (!text || (read_number(rest, ':', 1, SLOTS_MAX, &rest, &ret->start) &&
                  read_number(rest, ':', 1, 100, &rest, &ret->rate) &&
                  read_number(rest, '\0', ret->start, SLOTS_MAX, &rest, &ret->full)))
        return EXIT_OK;
    complain(
        "--max-handshakes=%s: START:RATE:FULL is wanted, such as %u:%u:%u: handshakes from 1 on, percent, and at least "
        "as many handshakes again, up to %u.",
        text, PROXY_HANDSHAKES_START, PROXY_HANDSHAKES_RATE, PROXY_HANDSHAKES_FULL, SLOTS_MAX);
    return EXIT_USAGE;
}

typedef struct LimitOption {
    Number number;
    unsigned *ret;
} LimitOption;

static ExitCode parse_numbers(const Command *command, const LimitOption *options, size_t count) {
    for (size_t i = 0; i < count; i++) {
        ExitCode code = parse_number(command, &options[i].number, options[i].ret);
        if (code != EXIT_OK)
            return code;
    }
    return EXIT_OK;
}

static unsigned half(unsigned number) {
    return (number + 1) / 2;
}

/* What one source may have; where it is not said, half of what all of them may. */
static ExitCode parse_shares(const Command *command, ProxyLimits *ret) {
    const LimitOption of_all = { { "max-per-source", 1, 4096, half(ret->connections) }, &ret->per_source };

    ExitCode code = parse_numbers(command, &of_all, 1);
    if (code != EXIT_OK)
        return code;
    const LimitOption of_idle = { { "max-idle-per-source", 1, 4096, half(ret->per_source) }, &ret->idle_per_source };
    return parse_numbers(command, &of_idle, 1);
}

static ExitCode parse_limits(const Command *command, ProxyLimits *ret) {
    unsigned buffer = 0;
    const LimitOption numbers[] = {
        { { "max-connections", 1, 4096, PROXY_CONNECTIONS }, &ret->connections },
        { { "max-handshakes-per-source", 1, SLOTS_MAX, PROXY_HANDSHAKES_SOURCE }, &ret->handshakes.per_source },
        { { "peer-timeout", 1, 600, PROXY_PEER_SECONDS }, &ret->peer },
        { { "log-limit", 0, 1000000, PROXY_LOG_LINES }, &ret->log_lines },
        { { "buffer-size", 1024, 1048576, PROXY_BUFFER }, &buffer },
        { { "handshake-timeout", 1, 600, PROXY_HANDSHAKE_SECONDS }, &ret->handshake },
        { { "idle-timeout", 0, 604800, PROXY_IDLE_SECONDS }, &ret->idle },
        { { "half-closed-timeout", 1, 86400, PROXY_HALF_CLOSED_SECONDS }, &ret->half_closed },
        { { "drain-timeout", 0, 600, PROXY_DRAIN_SECONDS }, &ret->drain },
    };

    ExitCode code = parse_handshakes(command, &ret->handshakes);
    if (code == EXIT_OK)
        code = parse_numbers(command, numbers, ARRAY_LENGTH(numbers));
    if (code == EXIT_OK)
        code = parse_shares(command, ret);
    if (code != EXIT_OK)
        return code;
    ret->idle_counts = PROXY_IDLE_COUNTS_SECONDS;
    ret->buffer = buffer;
    return EXIT_OK;
}

static ExitCode parse_mode(const Command *command, ProxySettings *settings) {
    const char *text = command_value(command, "mode");
    char *end = NULL;

    settings->mode = PROXY_MODE;
    if (!text)
        return EXIT_OK;
    unsigned long value = strtoul(text, &end, 8);
    if (text[0] < '0' || text[0] > '7' || *end || value > 0777) {
        complain("--mode=%s: an access mode in octal is wanted, such as 0660.", text);
        return EXIT_USAGE;
    }
    if (!settings->listens || !proxy_address_is_path(&settings->listen)) {
        complain("--mode goes with --listen PATH: only a socket at a path that is made here gets a mode here.");
        return EXIT_USAGE;
    }
    settings->mode = (mode_t) value;
    return EXIT_OK;
}

static ExitCode check_name(const char *option, const char *name) {
    if (name[0] && strlen(name) <= NAME_MAX_LENGTH)
        return EXIT_OK;
    complain("--%s: a name has 1 to %u bytes.", option, NAME_MAX_LENGTH);
    return EXIT_USAGE;
}

static ExitCode parse_allowed(const Command *command, ProxySettings *settings) {
    static const struct {
        const char *option;
        ProxyNameKind kind;
    } kinds[] = { { "allow-cn", PROXY_NAME_CN }, { "allow-dns", PROXY_NAME_DNS }, { "allow-uri", PROXY_NAME_URI } };
    const char *name;

    for (size_t i = 0; i < ARRAY_LENGTH(kinds); i++)
        for (size_t position = 0; (name = command_next(command, kinds[i].option, &position));) {
            if (check_name(kinds[i].option, name) != EXIT_OK)
                return EXIT_USAGE;
            settings->allowed[settings->allowed_count++] = (ProxyName) { kinds[i].kind, name };
        }
    if (settings->allowed_count > 0 && !settings->server) {
        complain("--allow-… go with --server; a server's certificate is checked for --name.");
        return EXIT_USAGE;
    }
    return EXIT_OK;
}

static ExitCode parse_server_names(const Command *command, ProxySettings *settings) {
    const char *name;

    for (size_t position = 0; (name = command_next(command, "sni", &position));) {
        if (check_name("sni", name) != EXIT_OK)
            return EXIT_USAGE;
        settings->sni[settings->sni_count++] = name;
    }
    if (settings->sni_count > 1 && !settings->server) {
        complain("--sni: a client asks for one server name.");
        return EXIT_USAGE;
    }
    return EXIT_OK;
}

static ExitCode parse_protocols(const Command *command, ProxySettings *settings) {
    const char *name;

    for (size_t position = 0; (name = command_next(command, "alpn", &position));) {
        if (!name[0] || strlen(name) > PROXY_ALPN_BYTES) {
            complain("--alpn: a protocol has 1 to %u bytes.", PROXY_ALPN_BYTES);
            return EXIT_USAGE;
        }
        if (settings->alpn_count == PROXY_ALPN_MAX) {
            complain("--alpn: at most %u protocols.", PROXY_ALPN_MAX);
            return EXIT_USAGE;
        }
        settings->alpn[settings->alpn_count++] = name;
    }
    if (settings->proxy_protocol && !settings->server) {
        complain("--proxy-protocol goes with --server: it tells the local program who connects.");
        return EXIT_USAGE;
    }
    return EXIT_OK;
}

static ExitCode parse_addresses(const Command *command, ProxySettings *settings) {
    const char *listen = command_value(command, "listen"), *connect = command_value(command, "connect");
    ExitCode code = EXIT_OK;

    if (!connect) {
        complain("--connect is missing: where accepted connections are passed on to.");
        return EXIT_USAGE;
    }
    settings->listens = listen != NULL;
    if (listen && !listen[0]) {
        complain("--listen: an address is wanted.");
        return EXIT_USAGE;
    }
    if (listen)
        code = settings->server ? proxy_address_parse_tls(listen, &settings->listen)
                                : proxy_address_parse_plain(listen, settings->loopback, &settings->listen);
    if (code != EXIT_OK)
        return code;
    return settings->server ? proxy_address_parse_plain(connect, settings->loopback, &settings->connect)
                            : endpoint_parse(connect, &settings->peer);
}

ExitCode proxy_settings_parse(const Command *command, ProxySettings *ret) {
    _cleanup_proxy_settings_ ProxySettings settings = {
        .identity = command->arguments[0],
        .server = command_has(command, "server"),
        .loopback = command_has(command, "loopback"),
        .quiet = command_has(command, "quiet"),
        .require_crl = command_has(command, "require-crl"),
        .proxy_protocol = command_has(command, "proxy-protocol"),
        .name = command_value(command, "name"),
    };

    if (!identity_name_is_valid(settings.identity)) {
        complain("\"%s\" cannot be the name of an identity.", settings.identity);
        return EXIT_USAGE;
    }
    if (settings.name && settings.server) {
        complain("--name is for the certificate of a server; clients are chosen by --allow-….");
        return EXIT_USAGE;
    }
    ExitCode code = parse_addresses(command, &settings);
    if (code == EXIT_OK)
        code = parse_mode(command, &settings);
    if (code == EXIT_OK)
        code = parse_allowed(command, &settings);
    if (code == EXIT_OK)
        code = parse_server_names(command, &settings);
    if (code == EXIT_OK)
        code = parse_protocols(command, &settings);
    if (code == EXIT_OK)
        code = parse_limits(command, &settings.limits);
    if (code == EXIT_OK && !settings.server) {
        settings.name = settings.name ? settings.name : settings.peer.host;
        code = check_name("name", settings.name);
    }
    if (code != EXIT_OK)
        return code;
    *ret = settings;
    settings.peer = (Endpoint) { 0 };
    return EXIT_OK;
}
