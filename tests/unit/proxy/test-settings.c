/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Arguments of the proxy and their bounds. */
#include "proxy/program.h"
#include "proxy/settings.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#define WORDS_MAX 48U

/* The settings that a command line gives; borrowed from it, so that words are literals. */
static ExitCode parse(const char *const *words, ProxySettings *ret) {
    char *argv[WORDS_MAX + 1] = { (char *) "identityd-proxy" };
    Command command;
    int argc = 1;

    for (; words[argc - 1]; argc++) {
        assert_true((unsigned) argc < WORDS_MAX);
        argv[argc] = (char *) (uintptr_t) words[argc - 1];
    }
    ExitCode code = command_parse(&proxy_program, &proxy_verb, argc, argv, &command);
    return code == _EXIT_CONTINUE ? proxy_settings_parse(&command, ret) : code;
}

#define WORDS(...)  ((const char *const[]) { __VA_ARGS__, NULL })
#define CLIENT(...) WORDS("mqtt", "--connect", "broker.example:8883", __VA_ARGS__)
#define SERVER(...) WORDS("mqtt", "--server", "--connect", "/run/app.sock", __VA_ARGS__)

static void test_usual(void **state) {
    _cleanup_proxy_settings_ ProxySettings settings = { 0 };

    assert_int_equal(parse(CLIENT("--listen", "/run/mqtt.sock"), &settings), EXIT_OK);
    assert_string_equal(settings.identity, "mqtt");
    assert_false(settings.server || settings.loopback || settings.quiet || settings.require_crl);
    assert_true(settings.listens && proxy_address_is_path(&settings.listen));
    assert_string_equal(settings.peer.host, "broker.example");
    assert_string_equal(settings.name, "broker.example");
    assert_int_equal(settings.mode, 0600);
    assert_int_equal(settings.limits.connections, 512);
    assert_int_equal(settings.limits.per_source, 256);
    assert_int_equal(settings.limits.idle_per_source, 128);
    assert_int_equal(settings.limits.handshakes.start, 128);
    assert_int_equal(settings.limits.handshakes.rate, 30);
    assert_int_equal(settings.limits.handshakes.full, 256);
    assert_int_equal(settings.limits.handshakes.per_source, 64);
    assert_int_equal(settings.limits.peer, 10);
    assert_int_equal(settings.limits.log_lines, 600);
    assert_int_equal(settings.limits.buffer, 16384);
    assert_int_equal(settings.limits.handshake, 30);
    assert_int_equal(settings.limits.idle, 43200);
    assert_int_equal(settings.limits.half_closed, 60);
    assert_int_equal(settings.limits.drain, 10);
}

static void test_everything(void **state) {
    _cleanup_proxy_settings_ ProxySettings settings = { 0 };

    assert_int_equal(
        parse(SERVER("--listen", "[::]:8443", "--allow-uri", "urn:x", "--allow-cn", "a", "--allow-cn", "b, c",
                     "--max-connections", "4096", "--buffer-size", "1024", "--handshake-timeout", "1", "--idle-timeout",
                     "0", "--half-closed-timeout", "86400", "--drain-timeout", "0", "--require-crl", "--quiet"),
              &settings),
        EXIT_OK);
    assert_true(settings.server && settings.require_crl && settings.quiet);
    assert_null(settings.name);
    assert_int_equal(settings.allowed_count, 3);
    assert_int_equal(settings.allowed[0].kind, PROXY_NAME_CN);
    assert_string_equal(settings.allowed[0].name, "a");
    assert_string_equal(settings.allowed[1].name, "b, c");
    assert_int_equal(settings.allowed[2].kind, PROXY_NAME_URI);
    assert_int_equal(settings.limits.connections, 4096);
    assert_int_equal(settings.limits.buffer, 1024);
    assert_int_equal(settings.limits.idle, 0);
    assert_int_equal(settings.limits.drain, 0);
}

/* What one source may have hangs on what all may, where it is not said. */
static void test_shares(void **state) {
    static const struct {
        const char *words[3];
        unsigned per_source, idle;
    } cases[] = {
        { { "--max-connections=1", "--quiet", "--quiet" }, 1, 1 },
        { { "--max-connections=7", "--quiet", "--quiet" }, 4, 2 },
        { { "--max-connections=7", "--max-per-source=7", "--quiet" }, 7, 4 },
        { { "--max-per-source=9", "--max-idle-per-source=1", "--quiet" }, 9, 1 },
        { { "--max-connections=4096", "--max-per-source=4096", "--max-idle-per-source=4096" }, 4096, 4096 },
    };

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        _cleanup_proxy_settings_ ProxySettings settings = { 0 };
        assert_int_equal(parse(CLIENT(cases[i].words[0], cases[i].words[1], cases[i].words[2]), &settings), EXIT_OK);
        assert_int_equal(settings.limits.per_source, cases[i].per_source);
        assert_int_equal(settings.limits.idle_per_source, cases[i].idle);
    }
}

static void test_handshakes(void **state) {
    static const struct {
        const char *text;
        SlotRule rule; /* start 0: refused */
    } cases[] = {
        { "1:1:1", { 1, 1, 1, 0 } },
        { "10:30:100", { 10, 30, 100, 0 } },
        { "1024:100:1024", { 1024, 100, 1024, 0 } },
        { "10", { 0 } },
        { "10:30", { 0 } },
        { "10:30:", { 0 } },
        { "10:30:100:", { 0 } },
        { ":30:100", { 0 } },
        { "10::100", { 0 } },
        { "0:30:100", { 0 } },
        { "10:0:100", { 0 } },
        { "10:101:100", { 0 } },
        { "10:30:9", { 0 } },
        { "10:30:1025", { 0 } },
        { "10:30:-1", { 0 } },
        { "10:30:100x", { 0 } },
        { "10,30,100", { 0 } },
        { " 10:30:100", { 0 } },
        { "", { 0 } },
    };

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        _cleanup_proxy_settings_ ProxySettings settings = { 0 };
        assert_int_equal(parse(CLIENT("--max-handshakes", cases[i].text), &settings),
                         cases[i].rule.start > 0 ? EXIT_OK : EXIT_USAGE);
        if (cases[i].rule.start == 0)
            continue;
        assert_int_equal(settings.limits.handshakes.start, cases[i].rule.start);
        assert_int_equal(settings.limits.handshakes.rate, cases[i].rule.rate);
        assert_int_equal(settings.limits.handshakes.full, cases[i].rule.full);
    }
}

static void test_passed_sockets(void **state) {
    _cleanup_proxy_settings_ ProxySettings settings = { 0 };

    assert_int_equal(parse(CLIENT("--name", "other.example"), &settings), EXIT_OK);
    assert_false(settings.listens);
    assert_string_equal(settings.name, "other.example");
}

static void test_names_and_protocols(void **state) {
    _cleanup_proxy_settings_ ProxySettings settings = { 0 }, server = { 0 };

    assert_int_equal(parse(CLIENT("--sni", "front.example", "--alpn", "h2", "--alpn=http/1.1"), &settings), EXIT_OK);
    assert_int_equal(settings.sni_count, 1);
    assert_string_equal(settings.sni[0], "front.example");
    assert_string_equal(settings.name, "broker.example"); /* is checked as before */
    assert_int_equal(settings.alpn_count, 2);
    assert_string_equal(settings.alpn[0], "h2");
    assert_string_equal(settings.alpn[1], "http/1.1");
    assert_false(settings.proxy_protocol);
    assert_int_equal(parse(SERVER("--sni", "a", "--sni", "b", "--proxy-protocol"), &server), EXIT_OK);
    assert_int_equal(server.sni_count, 2);
    assert_string_equal(server.sni[1], "b");
    assert_true(server.proxy_protocol);
    assert_int_equal(server.alpn_count, 0);
}

static void test_too_many_protocols(void **state) {
    const char *words[WORDS_MAX] = { "mqtt", "--server", "--connect", "/run/app.sock" };
    ProxySettings settings = { 0 };

    for (size_t i = 0; i < PROXY_ALPN_MAX; i++)
        words[4 + i] = "--alpn=a";
    assert_int_equal(parse(words, &settings), EXIT_OK);
    words[4 + PROXY_ALPN_MAX] = "--alpn=a";
    assert_int_equal(parse(words, &settings), EXIT_USAGE);
}

static void test_refusals(void **state) {
    const char *const *lines[] = {
        WORDS("mqtt"),
        WORDS("Mqtt", "--connect", "broker.example:8883"),
        WORDS("mqtt", "--connect", "broker.example"),
        WORDS("mqtt", "--connect", "::1:80"),
        WORDS("mqtt", "--server", "--connect", "relative.sock"),
        WORDS("mqtt", "--server", "--connect", "127.0.0.1:80"),
        WORDS("mqtt", "--server", "--loopback", "--connect", "192.0.2.1:80"),
        CLIENT("--listen", ""),
        CLIENT("--listen", "@abstract"),
        CLIENT("--listen", "/run/"),
        CLIENT("--listen", "127.0.0.1:80"),
        CLIENT("--listen", "0.0.0.0:80", "--loopback"),
        CLIENT("--listen", "localhost:80", "--loopback"),
        CLIENT("--listen", "127.0.0.1:65536", "--loopback"),
        CLIENT("--listen", "127.0.0.1:-1", "--loopback"),
        CLIENT("--mode", "0660"),
        CLIENT("--listen", "127.0.0.1:80", "--loopback", "--mode", "0660"),
        CLIENT("--listen", "/run/a", "--mode", "1777"),
        CLIENT("--listen", "/run/a", "--mode", "rw"),
        CLIENT("--listen", "/run/a", "--mode", ""),
        CLIENT("--allow-cn", "a"),
        CLIENT("--name", ""),
        SERVER("--listen", "/run/tls.sock"),
        SERVER("--listen", "example.org:443"),
        SERVER("--listen", "0.0.0.0:http"),
        SERVER("--name", "a"),
        SERVER("--sni", ""),
        SERVER("--alpn", ""),
        SERVER("--alpn", "pppppppppppppppppppppppppppppppp"), /* 32 */
        CLIENT("--sni", ""),
        CLIENT("--sni", "a", "--sni", "b"),
        CLIENT("--proxy-protocol"),
        SERVER("--allow-dns", ""),
    };
    static const char *const numbers[][3] = {
        { "--max-connections", "0", "4097" },     { "--max-per-source", "0", "4097" },
        { "--max-idle-per-source", "0", "4097" }, { "--max-handshakes-per-source", "0", "1025" },
        { "--peer-timeout", "0", "601" },         { "--log-limit", "-1", "1000001" },
        { "--buffer-size", "1023", "1048577" },   { "--handshake-timeout", "0", "601" },
        { "--idle-timeout", "-1", "604801" },     { "--half-closed-timeout", "0", "86401" },
        { "--drain-timeout", "", "601" },         { "--idle-timeout", "5s", "99999999999999999999" },
    };
    ProxySettings settings = { 0 };

    for (size_t i = 0; i < ARRAY_LENGTH(lines); i++)
        assert_int_equal(parse(lines[i], &settings), EXIT_USAGE);
    for (size_t i = 0; i < ARRAY_LENGTH(numbers); i++) {
        assert_int_equal(parse(CLIENT(numbers[i][0], numbers[i][1]), &settings), EXIT_USAGE);
        assert_int_equal(parse(CLIENT(numbers[i][0], numbers[i][2]), &settings), EXIT_USAGE);
    }
}

/* As long as TLS has them, and no longer. */
static void test_long_names(void **state) {
    char name[257] = "", host[257 + 3];
    ProxySettings settings = { 0 };

    for (size_t length = 255; length <= 256; length++) {
        ExitCode expected = length == 255 ? EXIT_OK : EXIT_USAGE;
        memset(name, 'a', length);
        snprintf(host, sizeof host, "%s:1", name);
        assert_int_equal(parse(CLIENT("--name", name), &settings), expected);
        proxy_settings_clear(&settings);
        assert_int_equal(parse(WORDS("mqtt", "--connect", host), &settings), expected);
        proxy_settings_clear(&settings);
        assert_int_equal(parse(SERVER("--allow-cn", name), &settings), expected);
        assert_int_equal(parse(SERVER("--allow-dns", name), &settings), expected);
        assert_int_equal(parse(SERVER("--allow-uri", name), &settings), expected);
    }
}

static void test_too_many_names(void **state) {
    const char *words[WORDS_MAX] = { "mqtt", "--server", "--connect", "/run/app.sock" };
    ProxySettings settings = { 0 };

    for (size_t i = 0; i < COMMAND_REPEATED_MAX; i++)
        words[4 + i] = "--allow-cn=a";
    assert_int_equal(parse(words, &settings), EXIT_OK);
    words[4 + COMMAND_REPEATED_MAX] = "--allow-dns=a";
    assert_int_equal(parse(words, &settings), EXIT_USAGE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_usual),
        cmocka_unit_test(test_everything),
        cmocka_unit_test(test_passed_sockets),
        cmocka_unit_test(test_shares),
        cmocka_unit_test(test_names_and_protocols),
        cmocka_unit_test(test_too_many_protocols),
        cmocka_unit_test(test_handshakes),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_long_names),
        cmocka_unit_test(test_too_many_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
