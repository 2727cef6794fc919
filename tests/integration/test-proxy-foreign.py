#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""identityd-proxy and programs of other people: what haproxy, varnish and nginx read of its PROXY header, ends of one direction
with socat and OpenSSL, ALPN and server names. Runs inside tests/sandbox."""

import os
import socket
import subprocess
import unittest

from proxied import (PATIENCE, ROOT, Keys, ProxyCase, client_context, connect, echo, is_dropped, receive_all, server_context,
                     talk)
from sandboxed import read, run, wait_until

REQUEST = b"GET / HTTP/1.0\r\nHost: program.example\r\n\r\n"
BYTES = os.urandom(1 << 20)


class ForeignCase(ProxyCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.keys = Keys(cls.directory, "client", subject="/CN=the client", names="DNS:client.example,URI:urn:example:client",
                        usage="clientAuth")

    def serve(self, target, *words):
        """The address of a proxy in front of the socket `target`."""
        proxy = self.proxy("--server", "--listen", "127.0.0.1:0", "--connect", target, *words, "demo")
        return ("127.0.0.1", proxy.port()), proxy

    def background(self, *words, **more):
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, **more)
        self.addCleanup(lambda: (process.kill(), process.wait()))
        return process

    def s_client(self, address, *words, data=b""):
        return run("openssl", "s_client", "-connect", f"{address[0]}:{address[1]}", "-CAfile", ROOT, "-cert", self.keys.chain,
                   "-cert_chain", self.keys.chain, "-key", self.keys.key, *words, data=data, check=False, timeout=PATIENCE)


class Header(ForeignCase):
    """Who connects, as the program reads it."""

    def ask(self, address, server_name=None, alpn=None):
        """The answer to a request over TLS, and the port that it came from."""
        context = client_context(self.keys)
        if alpn:
            context.set_alpn_protocols(alpn)
        with context.wrap_socket(connect(address), server_hostname=server_name) as tls:
            tls.sendall(REQUEST)
            return receive_all(tls).decode(), tls.getsockname()[1]

    def await_socket(self, path, log):
        def answers():
            try:
                connect(path).close()
                return True
            except OSError:
                return False
        try:
            wait_until(answers, f"a program at {path}", PATIENCE)
        except AssertionError as error:
            raise AssertionError(f"{error}\nIt said:\n{read(log)}") from None

    def test_haproxy(self):
        path, configuration = self.path("haproxy.socket"), f"{self.directory}/haproxy.cfg"
        with open(configuration, "w", encoding="utf-8") as file:
            file.write("defaults\n  mode http\n  timeout client 60s\n  timeout server 60s\n  timeout connect 60s\n"
                       f"frontend in\n  bind unix@{path} accept-proxy\n"
                       '  http-request return status 200 content-type text/plain lf-string "src=%[src] port=%[src_port] '
                       'dst=%[dst] dport=%[dst_port] authority=%[fc_pp_authority] sent=%[fc_rcvd_proxy]\\n"\n')
        with open(f"{self.directory}/haproxy.log", "wb") as log:
            self.background("haproxy", "-db", "-q", "-f", configuration, stdout=log, stderr=log)
        self.await_socket(path, log.name)
        address, _ = self.serve(path, "--proxy-protocol")
        answer, port = self.ask(address, "shop.example")
        self.assertIn(f"src=127.0.0.1 port={port} dst=127.0.0.1 dport={address[1]} authority=shop.example sent=1", answer)

    def test_varnish(self):
        """It reads what the TLVs say of TLS."""
        path, vcl, home = self.path("varnish.socket"), f"{self.directory}/test.vcl", f"{self.directory}/varnish"
        with open(vcl, "w", encoding="utf-8") as file:
            file.write('vcl 4.1;\nimport proxy;\nbackend default none;\nsub vcl_recv { return (synth(200)); }\nsub vcl_synth {\n'
                       '    set resp.body = "ip=" + client.ip + " alpn=" + proxy.alpn() + " authority=" + proxy.authority() +\n'
                       '        " ssl=" + proxy.is_ssl() + " conn=" + proxy.client_has_cert_conn() + " sess=" +\n'
                       '        proxy.client_has_cert_sess() + " result=" + proxy.ssl_verify_result() + " cn=" + proxy.client_cert_cn() +\n'
                       '        " version=" + proxy.ssl_version() + " cipher=" + proxy.ssl_cipher() + " end";\n    return (deliver);\n}\n')
        with open(f"{self.directory}/varnish.log", "wb") as log:
            self.background("varnishd", "-F", "-j", "none", "-n", home, "-a", f"{path},PROXY", "-f", vcl, "-s", "default,8m",
                            stdout=log, stderr=log)
        self.await_socket(path, log.name)
        address, _ = self.serve(path, "--proxy-protocol", "--alpn", "http/1.0")
        answer, _ = self.ask(address, "shop.example", ["http/1.0"])
        self.assertRegex(answer, r"ip=127\.0\.0\.1 alpn=http/1\.0 authority=shop\.example ssl=true conn=true sess=true result=0 "
                                 r"cn=the client version=TLSv1\.3 cipher=TLS_[A-Z0-9_]+ end")

    def test_nginx(self):
        """With names as long as they can be."""
        path, configuration = self.path("nginx.socket"), f"{self.directory}/nginx.conf"
        with open(configuration, "w", encoding="utf-8") as file:
            file.write(f"daemon off; master_process off; pid {self.directory}/nginx.pid; error_log stderr;\n"
                       "events { worker_connections 64; }\n"
                       f"http {{ access_log off; server {{ listen unix:{path} proxy_protocol;\n"
                       'location / { return 200 "src=$proxy_protocol_addr port=$proxy_protocol_port\\n"; } } }\n')
        with open(f"{self.directory}/nginx.log", "wb") as log:
            self.background("nginx", "-c", configuration, stdout=log, stderr=log)
        self.await_socket(path, log.name)
        label = "a" * 63
        uri = "urn:" + "u" * 250
        self.keys = Keys(self.directory, "long", subject="/CN=" + "n" * 64, names=f"URI:{uri}", usage="clientAuth")
        address, _ = self.serve(path, "--proxy-protocol", "--allow-uri", uri, "--alpn", "p" * 31)
        answer, port = self.ask(address, f"{label}.{label}.{label}.{label[:61]}", ["p" * 31])
        self.assertIn(f"src=127.0.0.1 port={port}", answer)

    def test_names(self):
        """By which a client was let in, in the TLV that is ours."""
        path, got = self.path("program"), []
        self.listener(lambda connection: got.append(connection.recv(4096)), path=path)
        for words, name in (((), b"DNS:client.example"), (("--allow-uri", "urn:example:client"), b"URI:urn:example:client"),
                            (("--allow-cn", "the client"), b"CN:the client")):
            with self.subTest(name):
                address, proxy = self.serve(path, "--proxy-protocol", *words)
                with client_context(self.keys).wrap_socket(connect(address)) as tls:
                    tls.recv(1)
                self.assertEqual(proxy.end(), 0)
                self.assertIn(b"\xe0" + len(name).to_bytes(2, "big") + name, got[-1])


class Ends(ForeignCase):
    """One direction ends, the other goes on."""

    def answer_after_the_end(self, connection):
        self.question = receive_all(connection)
        connection.sendall(BYTES)

    def test_socat_ends_first(self):
        """Its close_notify is the end of what the program reads, which then has much to say."""
        path = self.path("program")
        self.listener(self.answer_after_the_end, path=path)
        address, proxy = self.serve(path)
        said = run("socat", "-t", str(PATIENCE), "STDIO", f"OPENSSL:{address[0]}:{address[1]},cafile={ROOT},cert={self.keys.chain},"
                   f"key={self.keys.key},verify=1,commonname=localhost", data=b"question", timeout=PATIENCE)
        self.assertEqual(self.question, b"question")
        self.assertEqual(said.stdout, BYTES)
        proxy.await_log("both sides are done")

    def test_a_program_ends_first_towards_socat(self):
        """Its shutdown() is a close_notify, at which socat ends what its own program reads."""
        keys = Keys(self.directory, "peer")
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.background("socat", "-t", str(PATIENCE), f"OPENSSL-LISTEN:{port},bind=127.0.0.1,reuseaddr,fork,cafile={ROOT},cert={keys.chain},"
                        f"key={keys.key},verify=1", "SYSTEM:cat; echo and more")
        path = self.path()
        proxy = self.proxy("--listen", path, "--connect", f"127.0.0.1:{port}", "--name", "localhost", "demo")
        wait_until(lambda: f"0100007F:{port:04X} 00000000:0000 0A" in read("/proc/net/tcp"), "socat to listen", PATIENCE)
        self.assertEqual(talk(path, BYTES), BYTES + b"and more\n")
        proxy.await_log("both sides are done")

    def test_openssl_ends_first(self):
        """It hears no more after that, but the program gets all that was sent, and the end of it."""
        path = self.path("program")
        self.listener(self.answer_after_the_end, path=path)
        address, _ = self.serve(path)
        self.s_client(address, "-quiet", "-no_ign_eof", data=b"question")
        wait_until(lambda: getattr(self, "question", None) is not None, "the program to see the end", PATIENCE)
        self.assertEqual(self.question, b"question")

    def test_a_program_ends_first_towards_openssl(self):
        """s_client hears the end of what comes, after all of it."""
        path = self.path("program")
        self.listener(lambda connection: (connection.sendall(b"greeting"), connection.shutdown(socket.SHUT_WR), receive_all(connection)),
                      path=path)
        address, proxy = self.serve(path)
        said = self.s_client(address, "-quiet", "-ign_eof")
        self.assertEqual(said.stdout, b"greeting")
        proxy.await_log("8 bytes to the peer")


class Names(ForeignCase):
    """ALPN and server names."""

    def program(self):
        path = self.path("program")
        self.listener(echo, path=path)
        return path

    def test_alpn_of_a_server(self):
        address, proxy = self.serve(self.program(), "--alpn", "mqtt", "--alpn", "h2")
        self.assertIn(b"ALPN protocol: mqtt", self.s_client(address, "-alpn", "h2,mqtt").stdout)
        self.assertIn(b"No ALPN negotiated", self.s_client(address).stdout)
        refused = self.s_client(address, "-alpn", "http/1.1")
        self.assertIn(b"no application protocol", refused.stderr.lower())
        proxy.await_log("the client offers none of the protocols (--alpn)")

    def test_server_names_of_a_server(self):
        address, proxy = self.serve(self.program(), "--sni", "hub.example")
        self.assertIn(b"CONNECTED", self.s_client(address, "-servername", "hub.example", "-brief").stdout +
                      self.s_client(address, "-servername", "hub.example").stdout)
        for words, reason in ((("-servername", "other.example"), "asks for the server name other.example"),
                              (("-noservername",), "asks for no server name")):
            refused = self.s_client(address, *words)
            self.assertIn(b"unrecognized name", refused.stderr.lower())
            proxy.await_log(reason)

    def peer(self, alpn=()):
        """A TLS server that keeps which name it was asked for."""
        keys, asked = Keys(self.directory, "peer"), []
        context = server_context(keys)
        if alpn:
            context.set_alpn_protocols(alpn)
        context.sni_callback = lambda tls, name, _: asked.append(name)
        chosen = []

        def wrap(connection):
            tls = context.wrap_socket(connection, server_side=True)
            chosen.append(tls.selected_alpn_protocol())
            return tls

        return self.listener(echo, wrap), asked, chosen

    def test_a_client_asks_for_them(self):
        listener, asked, chosen = self.peer(["http/1.1", "mqtt"])
        path = self.path()
        self.proxy("--listen", path, "--connect", f"127.0.0.1:{listener.port}", "--name", "localhost", "--sni", "front.example",
                   "--alpn", "mqtt", "demo")
        self.assertEqual(talk(path), b"hello")
        self.assertEqual((asked, chosen), (["front.example"], ["mqtt"]))

    def test_a_server_that_knows_no_protocols(self):
        listener, asked, _ = self.peer()
        path = self.path()
        proxy = self.proxy("--listen", path, "--connect", f"localhost:{listener.port}", "--alpn", "mqtt", "demo")
        self.assertTrue(is_dropped(path))
        proxy.await_log("the server chooses none of the protocols (--alpn)")
        self.assertEqual(asked, ["localhost"])


if __name__ == "__main__":
    unittest.main()
