#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Programs as they are installed, with an identity: each against a peer that demands the client's certificate, or as a
server, and again after a renewal with a new key. The lines of configuration are those of identityd-programs(7). Runs inside
tests/sandbox."""

import hashlib
import http.server
import os
import pwd
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import unittest

from openssl_provider import ProviderCase, chain, key, published
from proxied import Keys, Proxy
from sandboxed import CA, SANDBOX, read, run, wait_until

MODULE = os.environ.get("PKCS11_MODULE")
ROOT = CA + "/root.pem"
OBJECT = "pkcs11:token=identityd;object=demo"
ME = pwd.getpwuid(os.getuid())
os.environ["PATH"] += ":/usr/sbin:/sbin" # servers, for an ordinary user
REFERENCE = hashlib.sha1(b"main").hexdigest() # what the peer says to git


def needs(*programs):
    missing = [p for p in programs if not shutil.which(p)]
    return unittest.skipUnless(not missing, f"not installed: {' '.join(missing)}")


needs_pkcs11 = unittest.skipUnless(MODULE, "the PKCS#11 module is not built")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Peer:
    """A TLS server with a software key that demands a certificate of the lab CA and keeps the last one it saw."""

    def __init__(self, certificate, private, before_tls=None):
        self.seen = None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, private)
        context.load_verify_locations(ROOT)
        context.load_verify_locations(chain("demo")) # GnuTLS programs send the leaf alone from PKCS#11
        context.verify_mode = ssl.CERT_REQUIRED
        peer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def setup(self):
                self.request.settimeout(10)
                if before_tls:
                    before_tls(self.request)
                self.request = context.wrap_socket(self.request, server_side=True)
                peer.seen = self.request.getpeercert(True)
                super().setup()

            def finish(self):
                super().finish()
                self.request.close()

            def do_GET(self):
                body = f"{REFERENCE}\trefs/heads/main\n".encode() if "info/refs" in self.path else b"welcome\n"
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments):
                pass

        class Server(http.server.ThreadingHTTPServer):
            def handle_error(self, request, client_address):
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Programs(ProviderCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.directory = tempfile.mkdtemp(prefix="programs.", dir=SANDBOX)
        cls.certificate, cls.private = cls.directory + "/peer.crt", cls.directory + "/peer.key"
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=localhost",
            "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", cls.private, "-out", cls.certificate)
        cls.peer = Peer(cls.certificate, cls.private)
        cls.url = f"https://localhost:{cls.peer.port}/"
        unwanted = ("GIT_", "SSL_", "CURL_", "NODE_", "PG", "REQUESTS_")
        environment = {n: v for n, v in os.environ.items() if not n.startswith(unwanted) and not n.lower().endswith("_proxy")}
        cls.environment = {**environment, "OPENSSL_CONF": cls.plain_configuration, "HOME": cls.directory}
        os.mkdir(cls.directory + "/modules")
        cls.file("modules/identityd.module", f"module: {MODULE}\ntrust-policy: no\n")

    @classmethod
    def tearDownClass(cls):
        cls.peer.close()
        shutil.rmtree(cls.directory)

    @classmethod
    def file(cls, name, text=""):
        path = os.path.join(cls.directory, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def run_program(self, *words, check=True, **more):
        return run("timeout", "-k", "2", "20", *words, check=check, env=self.environment, cwd=self.directory, **more).stdout.decode()

    def run_with_modules(self, *words):
        """Where the module is installed, p11-kit finds it in this directory; here it is, in a mount namespace of its own."""
        inside = ("unshare", "--mount", *([] if os.getuid() == 0 else ["--map-current-user", "--keep-caps"]), "sh", "-c",
                  'mount --bind "$0" /usr/share/p11-kit/modules && exec "$@"', self.directory + "/modules")
        if run(*inside, "true", check=False).returncode != 0:
            self.skipTest("mount namespaces are not permitted here")
        return self.run_program(*inside, *words)

    def start(self, *words, port=None, log_name=None, environment=None):
        """A program that goes on until the test ends."""
        output = os.path.join(self.directory, (log_name or os.path.basename(words[0])) + ".log")
        with open(output, "w", encoding="utf-8") as file:
            process = subprocess.Popen(words, env=environment or self.environment, cwd=self.directory, stdin=subprocess.PIPE, stdout=file,
                                       stderr=subprocess.STDOUT, start_new_session=True)
        process.output = output

        def end():
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
                try:
                    process.wait(5)
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait(5)
            process.stdin.close()
        self.addCleanup(end)
        if port:
            self.wait_for_port(port, process)
        return process

    def wait_for_port(self, port, process):
        def listens():
            if process.poll() is not None:
                raise AssertionError(f"{process.args[0]} ended: {read(process.output)}")
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return True
            except OSError:
                return False
        wait_until(listens, f"{process.args[0]} on port {port}", 10)

    def renew(self):
        old = self.demo.certificate()
        self.demo.renew(rotate_key=True)
        self.assertNotEqual(self.demo.certificate(), old)

    def client(self, use, peer=None):
        """A client of the demanding peer: with the certificate of today, before and after a renewal."""
        peer = peer or self.peer
        for renewed in (False, True):
            if renewed:
                self.renew()
            peer.seen = None
            use()
            wait_until(lambda: peer.seen is not None, "the peer to see a client", 5)
            self.assertEqual(peer.seen, self.demo.certificate(), "renewed" if renewed else "at first")

    def certificate_of(self, port):
        """What a TLS 1.3 server that takes our software certificate, if it wants one, proves to be."""
        context = ssl.create_default_context(cafile=ROOT)
        context.load_verify_locations(chain("demo"))
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_cert_chain(self.certificate, self.private)
        with socket.create_connection(("127.0.0.1", port), 10) as s, context.wrap_socket(s, server_hostname="localhost") as tls:
            return tls.getpeercert(True)

    def server(self, port, reload):
        """A server: the certificate of today, before and after a renewal and `reload`."""
        self.assertEqual(self.certificate_of(port), self.demo.certificate())
        self.renew()
        reload()

        def is_new():
            try:
                return self.certificate_of(port) == self.demo.certificate()
            except OSError:
                return False
        wait_until(is_new, "the server to use its new certificate", 10)

    # ---- clients, OpenSSL ----

    @needs("curl")
    def test_curl(self):
        self.client(lambda: self.assertEqual(self.run_program(
            "curl", "-sS", "--cacert", self.certificate, "--cert", chain("demo"), "--key", key("demo"), self.url), "welcome\n"))

    def test_openssl_s_client(self):
        self.client(lambda: self.run_program(
            "openssl", "s_client", "-connect", f"localhost:{self.peer.port}", "-CAfile", self.certificate, "-verify_return_error",
            "-cert", chain("demo"), "-cert_chain", chain("demo"), "-key", "identityd:demo", data=b"GET / HTTP/1.0\r\n\r\n"))

    def test_python(self):
        script = ("import ssl, sys, urllib.request as u; c = ssl.create_default_context(cafile=sys.argv[1]);"
                  "c.load_cert_chain(sys.argv[2], sys.argv[3]); print(u.urlopen(sys.argv[4], context=c).read().decode(), end='')")
        self.client(lambda: self.assertEqual(self.run_program(
            "/usr/bin/python3", "-c", script, self.certificate, chain("demo"), key("demo"), self.url), "welcome\n"))

    @needs("psql")
    def test_psql(self):
        """libpq wants a key file that others cannot read: a copy of current.pem, which is a name and never changes."""
        private = self.file("psql.key", read(published("demo", "current.pem")))
        os.chmod(private, 0o600)

        def before_tls(connection):
            connection.recv(8) # SSLRequest
            connection.send(b"S")
        peer = Peer(self.certificate, self.private, before_tls)
        self.addCleanup(peer.close)
        self.client(lambda: self.run_program(
            "psql", f"host=localhost hostaddr=127.0.0.1 port={peer.port} dbname=x user=x sslmode=verify-full sslrootcert={self.certificate} "
            f"sslcert={chain('demo')} sslkey={private}", check=False), peer)

    @needs("mosquitto", "mosquitto_pub", "mosquitto_sub")
    def test_mosquitto_clients(self):
        port = free_port()
        anchors = self.file("mosquitto-anchors.pem", read(ROOT))
        broker = self.start(shutil.which("mosquitto"), "-c", self.file("peer.conf", f"""listener {port} 127.0.0.1
allow_anonymous true
cafile {anchors}
certfile {self.certificate}
keyfile {self.private}
require_certificate true
use_subject_as_username true
user {ME.pw_name}
"""), port=port, log_name="peer-mosquitto")
        words = ["-h", "localhost", "-p", str(port), "--cafile", self.certificate, "--cert", chain("demo"), "--key", key("demo"), "-t", "x"]
        for _ in range(2):
            self.run_program("mosquitto_pub", *words, "-r", "-m", "hello")
            self.assertEqual(self.run_program("mosquitto_sub", *words, "-C", "1", "-W", "10"), "hello\n")
            self.renew()
        self.assertIsNone(broker.poll())

    # ---- clients without TLS, through a proxy that is not started again ----

    def proxied(self, port):
        path = self.directory + "/proxied"
        proxy = Proxy("--listen", path, "--connect", f"localhost:{port}", "demo")
        self.addCleanup(proxy.end)
        return path

    @needs("curl")
    def test_curl_without_tls(self):
        keys = Keys(self.directory, "http-peer")
        peer = Peer(keys.chain, keys.key)
        self.addCleanup(peer.close)
        path = self.proxied(peer.port)
        self.client(lambda: self.assertEqual(self.run_program("curl", "-sS", "--unix-socket", path, "http://localhost/"),
                                             "welcome\n"), peer)

    @needs("mosquitto", "mosquitto_pub", "mosquitto_sub")
    def test_mosquitto_clients_without_tls(self):
        keys, port = Keys(self.directory, "mqtt-peer"), free_port()
        self.start(shutil.which("mosquitto"), "-c", self.file("proxied.conf", f"""listener {port} 127.0.0.1
allow_anonymous true
cafile {self.file("proxied-anchors.pem", read(ROOT))}
certfile {keys.chain}
keyfile {keys.key}
require_certificate true
use_subject_as_username true
user {ME.pw_name}
"""), port=port, log_name="proxied-mosquitto")
        path = self.proxied(port)
        for _ in range(2):
            self.run_program("mosquitto_pub", "--unix", path, "-t", "readings", "-r", "-m", "21.5")
            self.assertEqual(self.run_program("mosquitto_sub", "--unix", path, "-t", "readings", "-C", "1", "-W", "10"), "21.5\n")
            self.renew()

    # ---- clients, GnuTLS by PKCS#11 ----

    @needs_pkcs11
    @needs("wget")
    def test_wget(self):
        self.client(lambda: self.assertEqual(self.run_with_modules(
            "wget", "-qO-", "--ca-certificate", self.certificate, "--certificate", OBJECT + ";type=cert",
            "--private-key", OBJECT + ";type=private", self.url), "welcome\n"))

    @needs_pkcs11
    @needs("git")
    def test_git(self):
        self.client(lambda: self.assertIn(REFERENCE, self.run_with_modules(
            "git", "-c", "http.sslCAInfo=" + self.certificate, "-c", f"http.sslCert={OBJECT};type=cert",
            "-c", f"http.sslKey={OBJECT};type=private", "ls-remote", self.url + "repository")))

    @needs_pkcs11
    @needs("gnutls-cli")
    def test_gnutls_cli(self):
        self.client(lambda: self.run_program(
            "gnutls-cli", "--provider", MODULE, "--x509cafile", self.certificate, "--x509certfile", OBJECT + ";type=cert", "--x509keyfile",
            OBJECT + ";type=private", "--port", str(self.peer.port), "localhost", data=b"GET / HTTP/1.0\r\n\r\n", check=False))

    @needs_pkcs11
    @needs("p11tool")
    def test_data_is_not_in_the_token(self):
        listed = self.run_with_modules("p11tool", "--provider", MODULE, "--list-all", "pkcs11:token=identityd")
        self.assertIn("object=demo;", listed)
        self.assertNotIn("object=demo-data", listed)

    # ---- servers ----

    def test_openssl_s_server(self):
        port = free_port()
        words = ("openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-cert", chain("demo"), "-cert_chain", chain("demo"), "-key",
                 "identityd:demo", "-www")
        process = self.start(*words, port=port)

        def restart():
            process.terminate()
            process.wait(5)
            self.start(*words, port=port)
        self.server(port, restart)

    @needs_pkcs11
    @needs("gnutls-serv")
    def test_gnutls_serv(self):
        port = free_port()
        words = ("gnutls-serv", "--provider", MODULE, "--http", "--port", str(port), "--x509certfile", OBJECT + ";type=cert", "--x509keyfile",
                 OBJECT + ";type=private", "--disable-client-cert")
        process = self.start(*words, port=port)

        def restart():
            process.terminate()
            process.wait(5)
            self.start(*words, port=port)
        self.server(port, restart)

    @needs("mosquitto")
    def test_mosquitto_broker(self):
        port = free_port()
        process = self.start(shutil.which("mosquitto"), "-c", self.file("broker.conf", f"""listener {port} 127.0.0.1
allow_anonymous true
certfile {chain("demo")}
keyfile {key("demo")}
user {ME.pw_name}
"""), port=port)
        self.server(port, lambda: process.send_signal(signal.SIGHUP))

    @needs("nginx")
    def test_nginx(self):
        port = free_port()
        process = self.start("nginx", "-p", self.directory, "-e", "stderr", "-c", self.file("nginx.conf", f"""daemon off;
user {ME.pw_name};
pid nginx.pid;
worker_processes 2;
env OPENSSL_CONF;
env DBUS_SYSTEM_BUS_ADDRESS; # for the sandbox alone
events {{ }}
http {{
    access_log off;
    client_body_temp_path nginx-1; proxy_temp_path nginx-2; fastcgi_temp_path nginx-3; uwsgi_temp_path nginx-4; scgi_temp_path nginx-5;
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_protocols TLSv1.3;
        ssl_certificate {chain("demo")};
        ssl_certificate_key {key("demo")};
        return 200;
    }}
}}
"""), port=port)
        self.server(port, lambda: process.send_signal(signal.SIGHUP))

    @needs("haproxy")
    def test_haproxy(self):
        """As a server, where it looks for the key beside the certificate under NAME.key; and as a client of its back end, with both
        in one file."""
        port, other = free_port(), free_port()
        for link, target in (("demo.pem", chain("demo")), ("demo.pem.key", key("demo"))):
            path = os.path.join(self.directory, link)
            os.symlink(target, path)
            self.addCleanup(os.unlink, path)
        process = self.start("haproxy", "-W", "-f", self.file("haproxy.cfg", f"""defaults
    mode http
    timeout connect 5s
    timeout client 5s
    timeout server 5s
frontend tls
    bind 127.0.0.1:{port} ssl crt {self.directory}/demo.pem ssl-min-ver TLSv1.3
    http-request return status 200
listen plain
    bind 127.0.0.1:{other}
    server peer 127.0.0.1:{self.peer.port} ssl crt {published("demo", "identity.pem")} ca-file {self.certificate} verifyhost localhost
"""), port=port)
        self.server(port, lambda: process.send_signal(signal.SIGUSR2))
        self.peer.seen = None
        self.assertEqual(self.run_program("curl", "-sS", f"http://127.0.0.1:{other}/"), "welcome\n")
        self.assertEqual(self.peer.seen, self.demo.certificate())

    @needs("stunnel")
    def test_stunnel(self):
        """Both directions; SIGHUP reads keys again."""
        port, other, plain = free_port(), free_port(), free_port()
        process = self.start("stunnel", self.file("stunnel.conf", f"""foreground = yes
pid =
sslVersionMin = TLSv1.3
cert = {chain("demo")}
key = {key("demo")}
[server]
accept = 127.0.0.1:{port}
connect = 127.0.0.1:{plain}
[client]
client = yes
accept = 127.0.0.1:{other}
connect = 127.0.0.1:{self.peer.port}
CAfile = {self.certificate}
verifyChain = yes
"""), port=port)
        self.server(port, lambda: process.send_signal(signal.SIGHUP))
        self.peer.seen = None
        self.assertEqual(self.run_program("curl", "-sS", f"http://127.0.0.1:{other}/"), "welcome\n")
        self.assertEqual(self.peer.seen, self.demo.certificate())

    # ---- others ----

    @needs("openvpn")
    def test_openvpn(self):
        anchors = self.file("vpn-anchors.pem", read(ROOT) + read(self.certificate))
        for _ in range(2):
            port = free_port()
            common = ["openvpn", "--dev", "null", "--ifconfig-noexec", "--route-noexec", "--proto", "udp4", "--ca", anchors, "--verb", "4",
                      "--data-ciphers", "AES-256-GCM", "--tls-version-min", "1.3", "--user", ME.pw_name]
            server = self.start(*common, "--tls-server", "--dh", "none", "--lport", str(port), "--local", "127.0.0.1", "--cert",
                                self.certificate, "--key", self.private, log_name="vpn-server")
            client = self.start(*common, "--tls-client", "--remote", "127.0.0.1", str(port), "--nobind", "--cert", chain("demo"), "--key",
                                key("demo"), log_name="vpn-client")
            wait_until(lambda: "Initialization Sequence Completed" in read(client.output) and "VERIFY OK: depth=0" in read(server.output),
                       "OpenVPN", 15)
            client.terminate()
            server.terminate()
            client.wait(5)
            server.wait(5)
            self.renew()

    @needs_pkcs11
    @needs("sshd", "ssh")
    @unittest.skipIf(ME.pw_shell.endswith(("nologin", "false")), "this user cannot log in")
    def test_ssh(self):
        port = free_port()
        host_key, authorized = os.path.join(self.directory, "host"), os.path.join(self.directory, "authorized")
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", host_key)
        if os.getuid() == 0:
            os.makedirs("/run/sshd", exist_ok=True)
        self.start(shutil.which("sshd"), "-D", "-e", "-f", self.file("sshd.conf", f"""Port {port}
ListenAddress 127.0.0.1
HostKey {host_key}
AuthorizedKeysFile {authorized}
PermitRootLogin yes
StrictModes no
UsePAM no
PasswordAuthentication no
PidFile none
"""), port=port)
        for _ in range(2):
            listed = self.run_program("ssh-keygen", "-D", MODULE)
            self.file("authorized", "".join(line + "\n" for line in listed.splitlines() if line.endswith(" demo")))
            self.assertEqual(self.run_program(
                "ssh", "-F", "none", "-o", "PKCS11Provider=" + MODULE, "-o", "UserKnownHostsFile=/dev/null", "-o", "StrictHostKeyChecking=no",
                "-o", "BatchMode=yes", "-p", str(port), f"{ME.pw_name}@127.0.0.1", "echo", "welcome"), "welcome\n")
            self.renew()

    @needs("eapol_test", "hostapd")
    def test_eap_tls(self):
        """wpa_supplicant's EAP-TLS against hostapd's RADIUS server; TLS 1.3 has to be asked for on both sides."""
        port = free_port()
        anchors = self.file("eap-anchors.pem", read(ROOT))
        self.start("hostapd", self.file("hostapd.conf", f"""driver=none
interface=none
radius_server_clients={self.file("radius", "127.0.0.1/32 secret")}
radius_server_auth_port={port}
eap_server=1
eap_user_file={self.file("users", "* TLS")}
ca_cert={anchors}
server_cert={self.certificate}
private_key={self.private}
tls_flags=[ENABLE-TLSv1.3]
"""))
        network = self.file("wpa.conf", f"""network={{
    key_mgmt=WPA-EAP
    eap=TLS
    identity="device"
    ca_cert="{self.certificate}"
    client_cert="{chain("demo")}"
    private_key="{key("demo")}"
    phase1="tls_disable_tlsv1_3=0"
}}
""")
        for _ in range(2):
            said = self.run_program("eapol_test", "-c", network, "-p", str(port), "-s", "secret", "-t", "10")
            self.assertIn("SUCCESS", said)
            self.assertIn("TLSv1.3", said)
            self.renew()

    @needs("node")
    def test_node(self):
        """Where Node.js brings an OpenSSL of its own, it has to be told to read the system's kind of configuration."""
        script = ("const h = require('https'), f = require('fs'), [ca, cert, key, url] = process.argv.slice(1).map((a, i) => i < 3 ? "
                  "f.readFileSync(a) : a); h.get(url, {ca, cert, key}, r => r.pipe(process.stdout))"
                  ".on('error', e => { console.error(e); process.exit(1); })")
        self.client(lambda: self.assertEqual(self.run_program(
            "node", "--openssl-shared-config", "-e", script, self.certificate, chain("demo"), key("demo"), self.url), "welcome\n"))


if __name__ == "__main__":
    unittest.main(verbosity=2)
