#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The OpenSSL provider: keys by file and URI, every kind of signature, TLS 1.3 with handles that grant nothing else, what is
not ours left alone, and each refusal in OpenSSL's error queue. Runs inside tests/sandbox."""

import base64
import os
import re
import subprocess
import tempfile
import unittest

from openssl_provider import ProviderCase, USER, chain, key, shipped_configuration
from sandboxed import CA, SANDBOX, control, read, run, service

BUILD = os.environ["BUILD"]
CLIENT = BUILD + "/tests/integration/openssl-client"
ROOT = CA + "/root.pem"
BEGIN, END = "-----BEGIN IDENTITYD PRIVATE KEY-----\n", "-----END IDENTITYD PRIVATE KEY-----\n"
ALGORITHMS = {"demo": "EC 256", "p384": "EC 384", "rsa": "RSA 2048"}


class Provider(ProviderCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.watched = shipped_configuration(os.environ["OPENSSL_PROVIDER"], SANDBOX + "/watched.cnf")
        everything = {"tls_client": True, "tls_server": True, "digest": True}
        for identity in (cls.add("p384", "ecdsa-p384", **everything), cls.add("rsa", "rsa-2048", **everything),
                         cls.add("ec-client", tls_client=True), cls.add("ec-server", tls_server=True),
                         cls.add("rsa-client", "rsa-2048", tls_client=True), cls.add("rsa-server", "rsa-2048", tls_server=True),
                         cls.add("foreign", tls_client=USER + 1), cls.add("revocable", more="[Revocation]\nCheck=crl\nInterval=1s\n", tls_client=True),
                         cls.add("retirable", tls_client=True), cls.add("rotated", tls_client=True)):
            identity.wait("ready", 60)

    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.directory = scratch.name

    def path(self, name, data=None):
        path = os.path.join(self.directory, name)
        if data is not None:
            with open(path, "wb") as file:
                file.write(data if isinstance(data, bytes) else data.encode())
        return path

    def openssl(self, *words, check=True, **more):
        return run("openssl", *words, check=check, env={**os.environ, "OPENSSL_CONF": self.plain_configuration}, timeout=60, **more)

    def refused_by_openssl(self, *words):
        result = self.openssl(*words, check=False)
        self.assertNotEqual(result.returncode, 0)
        return (result.stdout + result.stderr).decode()

    def client(self, *words, check=True):
        """openssl-client with the sanitized provider."""
        return run(CLIENT, *words, check=check, env={**os.environ, "OPENSSL_CONF": self.watched}, timeout=120).stdout.decode()

    def hold(self, name):
        """A process that has loaded a key; sign() has it sign and returns what it said."""
        process = subprocess.Popen([CLIENT, "held", name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                   env={**os.environ, "OPENSSL_CONF": self.watched})
        self.addCleanup(process.wait, 60)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.stdin.close)
        self.assertEqual(process.stdout.readline(), "loaded\n")

        def sign(line=""):
            process.stdin.write(line + "\n")
            process.stdin.flush()
            return "".join(iter(process.stdout.readline, ".\n"))
        return sign

    # ---- loading ----

    def test_loading(self):
        for identity, algorithm in ALGORITHMS.items():
            for name in (key(identity), "identityd:" + identity):
                with self.subTest(name):
                    lines = self.client("load", name).splitlines()
                    certificates = ["store Certificate"] * 2 if name.startswith("identityd:") else []
                    self.assertEqual(lines, [algorithm + " identityd", "store Pkey", *certificates])

    def test_public_half(self):
        for identity in ALGORITHMS:
            with self.subTest(identity):
                public = run("openssl", "x509", "-in", chain(identity), "-noout", "-pubkey").stdout
                for name in (key(identity), "identityd:" + identity):
                    self.assertEqual(self.openssl("pkey", "-in", name, "-pubout").stdout, public)
                text = self.openssl("pkey", "-in", key(identity), "-text", "-noout", check=False).stdout.decode()
                self.assertNotIn("priv", text.split("pub")[0].replace("Private-Key", ""))

    def test_private_half_does_not_come_out(self):
        for identity in ALGORITHMS:
            for form in ("PEM", "DER"):
                with self.subTest(identity=identity, form=form):
                    out = self.path("out")
                    self.refused_by_openssl("pkey", "-in", key(identity), "-outform", form, "-out", out)
                    self.assertTrue(not os.path.exists(out) or os.path.getsize(out) == 0)

    def test_certificates_of_a_uri(self):
        out = self.openssl("storeutl", "-noout", "-certs", "-text", "identityd:demo").stdout.decode()
        self.assertEqual(out.count("Certificate:"), 2)
        self.assertIn("Total found: 2", out)

    # ---- signing ----

    def verify_with_openssl(self, identity, message, signature, digest="sha256", options=()):
        public = self.path("public", run("openssl", "x509", "-in", chain(identity), "-noout", "-pubkey").stdout)
        run("openssl", "dgst", "-" + digest, "-verify", public, *options, "-signature", signature, message)
        self.openssl("dgst", "-" + digest, "-prverify", key(identity), *options, "-signature", signature, message)
        wrong = self.path("wrong", read(message) + "x")
        self.refused_by_openssl("dgst", "-" + digest, "-prverify", key(identity), *options, "-signature", signature, wrong)

    def test_dgst(self):
        pss = ("-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest")
        cases = [("demo", "sha256", ()), ("p384", "sha384", ()), ("rsa", "sha256", ()), ("rsa", "sha384", ()),
                 ("rsa", "sha512", ()), ("rsa", "sha256", pss), ("rsa", "sha256", pss + ("-sigopt", "rsa_mgf1_md:sha256")),
                 ("demo-data", "sha256", ()),
                 # as TLS 1.2 may want it: not as long as the curve
                 ("demo", "sha384", ()), ("demo", "sha512", ()), ("p384", "sha256", ()), ("p384", "sha512", ())]
        for size in (0, 5, 65536, 200000):
            message, signature = self.path("message", "m" * size), self.path("signature")
            for identity, digest, options in cases if size == 5 else cases[:1]:
                with self.subTest(identity=identity, digest=digest, options=options, size=size):
                    self.openssl("dgst", "-" + digest, "-sign", key(identity), *options, "-out", signature, message)
                    self.verify_with_openssl(identity, message, signature, digest, options)

    def test_signing_that_is_refused(self):
        message = self.path("message", "message")
        long = self.path("long", "m" * 65537)
        pss = ("-sigopt", "rsa_padding_mode:pss")
        for words, text in (
            (("-sha1", "-sign", key("demo"), message), "signs with SHA-256, SHA-384 or SHA-512"),
            (("-sha384", "-sign", key("ec-client"), message), "this key of 256 bits signs with SHA256 here, not with SHA384"),
            (("-sha256", "-sign", key("rsa"), *pss, "-sigopt", "rsa_pss_saltlen:20", message), "as long as the digest"),
            (("-sha256", "-sign", key("rsa"), *pss, "-sigopt", "rsa_mgf1_md:sha384", message), "made with its digest"),
            (("-sha256", "-sign", key("rsa"), "-sigopt", "rsa_padding_mode:none", message), "PKCS#1 v1.5 or PSS only"),
            (("-sha256", "-sign", key("ec-client"), message), "is no TLS handshake of a client"),
            (("-sha256", "-sign", key("demo-data"), long), "digest"),
        ):
            with self.subTest(words[1:]):
                self.assertIn(text, self.refused_by_openssl("dgst", *words))

    def test_a_signature_that_was_begun(self):
        """Its hash cannot be changed, and what was given out is not given out again as something else."""
        for identity in ("demo", "rsa"):
            with self.subTest(identity):
                self.client("begun", key(identity))

    def test_pkeyutl(self):
        message = self.path("message", "message")
        for identity, digest in (("demo", "sha256"), ("p384", "sha384"), ("rsa", "sha256")):
            with self.subTest(identity):
                signature = self.path("signature")
                self.openssl("pkeyutl", "-sign", "-rawin", "-digest", digest, "-inkey", key(identity), "-in", message, "-out", signature)
                self.verify_with_openssl(identity, message, signature, digest)
                hashed = self.path("hashed", run("openssl", "dgst", "-" + digest, "-binary", message).stdout)
                self.openssl("pkeyutl", "-sign", "-inkey", key(identity), "-pkeyopt", "digest:" + digest, "-in", hashed, "-out", signature)
                self.verify_with_openssl(identity, message, signature, digest)
                self.openssl("pkeyutl", "-verify", "-inkey", key(identity), "-pkeyopt", "digest:" + digest, "-in", hashed, "-sigfile", signature)
                short = self.path("short", b"x" * 31)
                self.assertIn("31 bytes", self.refused_by_openssl(
                    "pkeyutl", "-sign", "-inkey", key(identity), "-pkeyopt", "digest:" + digest, "-in", short, "-out", signature))

    def test_requests_and_certificates(self):
        pss = ("-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest")
        for identity, digest, options in (("demo", "sha256", ()), ("p384", "sha384", ()), ("rsa", "sha256", ()),
                                          ("rsa", "sha512", ()), ("rsa", "sha256", pss), ("rsa", "sha384", pss)):
            with self.subTest(identity=identity, options=options):
                request, certificate = self.path("request"), self.path("certificate")
                words = ("-key", key(identity), "-subj", "/CN=x", "-" + digest, *options)
                self.openssl("req", "-new", *words, "-out", request)
                run("openssl", "req", "-in", request, "-verify", "-noout")
                self.openssl("req", "-x509", *words, "-out", certificate)
                run("openssl", "verify", "-CAfile", certificate, certificate)

    def test_cms(self):
        message = self.path("message", "message")
        for identity, options in (("demo", ()), ("demo-data", ()), ("p384", ("-md", "sha384")), ("rsa", ()),
                                  ("rsa", ("-keyopt", "rsa_padding_mode:pss"))):
            with self.subTest(identity=identity, options=options):
                signed = self.path("signed")
                issuer = self.path("issuer", read(chain(identity)).partition("-----END CERTIFICATE-----\n")[2])
                self.openssl("cms", "-sign", "-binary", "-in", message, "-signer", chain(identity), "-inkey", key(identity),
                             "-certfile", issuer, *options, "-outform", "DER", "-out", signed)
                run("openssl", "cms", "-verify", "-binary", "-inform", "DER", "-in", signed, "-content", message, "-CAfile", ROOT,
                    "-purpose", "any", "-out", os.devnull)

    def test_what_data_and_data_raw_are_good_for(self):
        """`data` alone signs CMS and no bare message, `data-raw` alone both; neither anything else."""
        message, signed = self.path("message", "message"), self.path("signed")
        for name, access in (("only-data", {"data": True}), ("only-raw", {"data-raw": True})):
            self.add_ready(name, **access)
            with self.subTest(name):
                issuer = self.path("issuer", read(chain(name)).partition("-----END CERTIFICATE-----\n")[2])
                self.openssl("cms", "-sign", "-binary", "-in", message, "-signer", chain(name), "-inkey", key(name), "-certfile", issuer,
                             "-outform", "DER", "-out", signed)
                run("openssl", "cms", "-verify", "-binary", "-inform", "DER", "-in", signed, "-content", message, "-CAfile", ROOT,
                    "-purpose", "any", "-out", os.devnull)
        self.assertIn("not lent to you for data-raw", self.refused_by_openssl("dgst", "-sha256", "-sign", key("only-data"), message))
        self.openssl("dgst", "-sha256", "-sign", key("only-raw"), "-out", signed, message)
        self.verify_with_openssl("only-raw", message, signed, "sha256", ())
        for name in ("only-data", "only-raw"):
            self.refused_by_openssl("req", "-new", "-key", key(name), "-subj", "/CN=x")
            self.refused_by_openssl("cms", "-sign", "-binary", "-econtent_type", "1.3.6.1.5.2.3.1", "-in", message, "-signer", chain(name),
                                    "-inkey", key(name), "-outform", "DER")

    # ---- TLS ----

    def test_tls_13_with_handles_for_nothing_else(self):
        for client, server in (("ec-client", "ec-server"), ("rsa-client", "rsa-server"), ("ec-client", "rsa-server"), ("p384", "rsa")):
            with self.subTest(client=client, server=server):
                self.client("handshakes", "3", key(client), chain(client), key(server), chain(server), ROOT)

    def test_p384_with_tls_12(self):
        """Whatever digests the peer offers, in whatever order."""
        plain, certificate = self.plain_certificate()
        for digests in ("ECDSA+SHA256", "ECDSA+SHA384", "ECDSA+SHA512", "ECDSA+SHA256:ECDSA+SHA384"):
            with self.subTest(digests):
                server = subprocess.Popen(
                    ["openssl", "s_server", "-accept", "127.0.0.1:0", "-tls1_2", "-cert", certificate, "-key", plain, "-Verify", "3",
                     "-verify_return_error", "-CAfile", ROOT, "-client_sigalgs", digests, "-naccept", "1", "-www"],
                    stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
                with server:
                    port = next(line for line in server.stdout if line.startswith("ACCEPT ")).rsplit(":", 1)[1].strip()
                    said = self.openssl("s_client", "-connect", "127.0.0.1:" + port, "-tls1_2", "-cert", chain("p384"), "-cert_chain",
                                        chain("p384"), "-key", key("p384"), "-CAfile", certificate, "-quiet", data=b"GET / HTTP/1.0\r\n\r\n", check=False)
                    server.kill()
                self.assertIn("Protocol  : TLSv1.2", said.stdout.decode(), said.stderr.decode())

    def test_the_wrong_side_is_refused(self):
        said = self.client("handshakes", "1", key("ec-server"), chain("ec-server"), key("ec-client"), chain("ec-client"), ROOT, check=False)
        self.assertIn("identityd did not sign", said)
        self.assertIn("not lent to you for tls-server", said)

    def test_a_key_that_is_not_of_the_certificate(self):
        said = self.client("handshakes", "1", key("ec-client"), chain("demo"), key("demo"), chain("demo"), ROOT, check=False)
        self.assertIn("key values mismatch", said)

    def test_an_identity_and_a_plain_key(self):
        plain, certificate = self.plain_certificate()
        self.client("handshakes", "2", key("ec-client"), chain("ec-client"), plain, certificate, self.both_roots(certificate))
        self.client("handshakes", "2", plain, certificate, key("ec-server"), chain("ec-server"), self.both_roots(certificate))

    def plain_certificate(self):
        plain, certificate = self.path("plain.key"), self.path("plain.crt")
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=plain",
            "-keyout", plain, "-out", certificate)
        return plain, certificate

    def both_roots(self, certificate):
        return self.path("roots", read(ROOT) + read(certificate))

    # ---- threads and processes ----

    def test_threads(self):
        for identity in ("demo", "rsa-client"):
            self.assertEqual(self.client("threads", key(identity), "6", "10"), "threads 6 failed 0\n")

    def test_fork(self):
        for identity in ("demo", "ec-client"):
            self.assertEqual(self.client("fork", key(identity)), "children 4 failed 0\n")

    # ---- what is not ours ----

    def test_other_keys_go_to_default(self):
        plain, certificate = self.plain_certificate()
        rsa = self.path("rsa.key")
        run("openssl", "genpkey", "-algorithm", "RSA", "-out", rsa)
        for name, kind in ((plain, "EC 256 default"), (rsa, "RSA 2048 default")):
            self.assertEqual(self.client("load", name).splitlines()[0], kind)
        message = self.path("message", "message")
        for digest in ("sha1", "sha256", "sha512"):
            self.openssl("dgst", "-" + digest, "-sign", plain, "-out", self.path("signature"), message)
            self.openssl("dgst", "-" + digest, "-prverify", plain, "-signature", self.path("signature"), message)
        peer = self.path("peer.key")
        self.openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", peer)
        public = self.path("peer.pub", self.openssl("pkey", "-in", peer, "-pubout").stdout)
        self.assertEqual(len(self.openssl("pkeyutl", "-derive", "-inkey", plain, "-peerkey", public).stdout), 32)
        self.client("handshakes", "2", plain, certificate, plain, certificate, certificate)
        encrypted = self.openssl("pkeyutl", "-encrypt", "-inkey", rsa, data=b"secret").stdout
        self.assertEqual(self.openssl("pkeyutl", "-decrypt", "-inkey", rsa, data=encrypted).stdout, b"secret")

    def test_files_with_several_blocks(self):
        """A key may stand behind a certificate, in a file or a pipe: our decoder takes nothing that another one wants."""
        plain, certificate = self.plain_certificate()
        for name, blocks in (("theirs", [certificate, plain]), ("theirs first", [plain, certificate]),
                             ("ours", [chain("demo"), key("demo")]), ("ours first", [key("demo"), chain("demo")])):
            with self.subTest(name):
                text = "".join(read(b) for b in blocks)
                both = self.path("both", "a comment\n" + text)
                self.openssl("pkey", "-in", both, "-pubout")
                self.openssl("pkey", "-pubout", data=text.encode())
                found = self.openssl("storeutl", "-noout", both).stdout.decode()
                self.assertIn(f"Total found: {text.count('-----BEGIN')}", found)
                python = "import ssl, sys; ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(sys.argv[1])"
                run("/usr/bin/python3", "-c", python, both, env={**os.environ, "OPENSSL_CONF": self.plain_configuration})

    def test_order_in_the_shipped_configuration(self):
        """docs/facts.md, "OpenSSL": listed after ours, `default` would lose keys that are not ours."""
        section = read(self.plain_configuration).partition("[identityd_providers]")[2].partition("[")[0]
        self.assertEqual(re.findall(r"(?m)^(\w+) =", section), ["default", "identityd"])
        self.assertEqual(re.findall(r"(?m)^  (\w+)$", self.openssl("list", "-providers").stdout.decode()), ["default", "identityd"])

    def test_without_a_daemon_nothing_is_asked_of_it(self):
        trace = self.path("trace")
        plain, _ = self.plain_certificate()
        run("strace", "-f", "-e", "trace=connect,socket", "-o", trace, "openssl", "dgst", "-sha256", "-sign", plain, "-out", os.devnull,
            os.devnull, env={**os.environ, "OPENSSL_CONF": self.plain_configuration})
        self.assertNotIn("socket(", read(trace))

    # ---- bad input ----

    def test_bad_key_files(self):
        good = read(key("demo"))
        body = base64.b64decode("".join(good.splitlines()[1:-1]))
        encode = lambda der: BEGIN + base64.encodebytes(der).decode() + END
        cut_off = "is cut off, too long, or does not hold the name"
        for name, text, wanted in (
            ("empty", "", None),
            ("empty block", BEGIN + END, cut_off),
            ("no end", good.replace(END, ""), cut_off),
            ("another end", good.replace(END, "-----END PRIVATE KEY-----\n"), cut_off),
            ("half", good[:len(good) // 2], cut_off),
            ("no base64", BEGIN + "????\n" + END, cut_off),
            ("cut DER", encode(body[:-2]), cut_off),
            ("one byte more", encode(body + b"\0"), cut_off),
            ("a long name", encode(b"\x30\x81\x81\x0c\x0eorg.identityd1\x0c\x6f" + b"a" * 111), cut_off),
            ("no name", encode(b"\x30\x12\x0c\x0eorg.identityd1\x0c\x00"), cut_off),
            ("a name that is a path", encode(b"\x30\x1b\x0c\x0eorg.identityd1\x0c\x09../../etc"), cut_off),
            ("a NUL in it", encode(b"\x30\x16\x0c\x0eorg.identityd1\x0c\x04de\0o"), cut_off),
            ("another's mark", encode(b"\x30\x16\x0c\x0eorg.identityd2\x0c\x04demo"), cut_off),
            ("much base64", BEGIN + ("A" * 64 + "\n") * 500 + END, cut_off),
            ("one long line", BEGIN + "A" * 30000 + "\n" + END, cut_off),
            ("no line at all", "A" * 3000, None),
            ("zeros", "\0" * 3000, None),
            ("BER", encode(b"\x30\x80" + body[2:] + b"\0\0"), cut_off),
            ("a long form of the length", encode(b"\x30\x81" + body[1:]), cut_off),
            ("a PEM header", good.replace(BEGIN, BEGIN + "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\n"), cut_off),
            ("another PEM header", good.replace(BEGIN, BEGIN + "X: y\n\n"), cut_off),
        ):
            with self.subTest(name):
                file = self.path("bad.pem", text)
                said = self.client("load", file, check=False)
                self.assertTrue(said.startswith("load:"), said)
                if wanted: # the first thing in the queue, before what OpenSSL makes of it
                    self.assertIn(wanted, said.splitlines()[1])
                self.refused_by_openssl("pkey", "-in", file, "-noout")
        self.client("load", self.path("good.pem", "text before\n" * 1000 + good))

    def test_every_cut_and_every_byte(self):
        good = read(key("demo"))
        body = base64.b64decode("".join(good.splitlines()[1:-1]))
        for i in range(0, len(body), 3):
            changed = body[:i] + bytes([body[i] ^ 0x41]) + body[i + 1:]
            self.assertTrue(self.client("load", self.path("x", BEGIN + base64.encodebytes(changed).decode() + END), check=False).startswith("load:"))
        for i in range(0, len(good) - 1, 17):
            self.assertTrue(self.client("load", self.path("x", good[:i]), check=False).startswith("load:"))

    def test_names_that_cannot_be_used(self):
        for name, wanted in (("nobody", "no identity"), ("foreign", "lent to this process for no purpose"), ("../demo", "does not name an identity"),
                             ("", "does not name an identity"), ("a" * 300, "does not name an identity")):
            with self.subTest(name):
                said = self.client("load", "identityd:" + name, check=False)
                self.assertTrue(said.startswith("load:"), said)
                self.assertIn(wanted, said)
        said = self.client("load", key("foreign"), check=False) # the store behind `openssl pkey` drops errors of a file
        self.assertIn("the identity cannot be used", said)
        self.assertIn("foreign", said)

    def test_retired(self):
        sign = self.hold(key("retirable"))
        self.assertEqual(sign(), "signed\n")
        saved = self.path("key.pem", read(key("retirable")))
        self.identity("retirable").call("Retire")
        self.assertRegex(sign(), r"refused:(?s:.*)retired")
        self.assertIn("retired", self.client("load", "identityd:retirable", check=False))
        self.assertIn("retired", self.client("load", saved, check=False))

    def test_revoked(self):
        identity = self.identity("revocable")
        sign = self.hold(key("revocable"))
        self.assertEqual(sign(), "signed\n")
        saved = self.path("key.pem", read(key("revocable")))
        self.revoke(identity)
        self.assertRegex(sign(), r"refused:(?s:.*)revoked")
        self.assertIn("revoked", self.client("load", saved, check=False))
        identity.enroll()
        identity.wait("ready")
        self.client("load", key("revocable"))

    def revoke(self, identity):
        control("revoke", str(identity.get("SerialNumber")))
        identity.wait("revoked", 60)

    def test_renewed_between_load_and_sign(self):
        """The key that was loaded with the old certificate goes on signing; who loads anew gets the new one."""
        identity = self.identity("rotated")
        old = self.openssl("pkey", "-in", key("rotated"), "-pubout").stdout
        sign = self.hold(key("rotated"))
        identity.renew(rotate_key=True)
        self.assertNotEqual(self.openssl("pkey", "-in", key("rotated"), "-pubout").stdout, old)
        self.assertEqual(sign(), "signed\n")
        self.assertEqual(self.hold(key("rotated"))(), "signed\n")

    def test_handle_closed_under_the_program(self):
        """By a program that closes all descriptors and opens others: those are not touched, and the key is opened anew."""
        sign = self.hold(key("ec-client"))
        self.assertEqual(sign(), "signed\n")
        self.assertEqual(sign("close"), "signed\nleft alone\n")
        self.assertEqual(sign(), "signed\n")

    def test_same_key_over_renewal_and_restart(self):
        """Another generation with the same key is as good, though identityd has only that after a start."""
        identity = self.identity("ec-client")
        sign = self.hold(key("ec-client"))
        self.assertEqual(sign(), "signed\n")
        identity.renew(rotate_key=False)
        self.assertEqual(sign(), "signed\n")
        service("restart", "identityd")
        self.connect()
        identity.wait("ready")
        self.assertEqual(sign(), "signed\n")

    def test_daemon_away_and_back(self):
        sign = self.hold(key("ec-client"))
        self.assertEqual(sign(), "signed\n")
        service("stop", "identityd")
        try:
            self.assertRegex(sign(), r"refused:(?s:.*)identityd")
            self.assertRegex(self.client("load", "identityd:ec-client", check=False), "load:(?s:.*)identityd")
        finally:
            service("start", "identityd")
        self.connect()
        self.identity("ec-client").wait("ready")
        self.assertEqual(sign(), "signed\n")
        service("restart", "identityd")
        self.connect()
        self.identity("ec-client").wait("ready")
        self.assertEqual(sign(), "signed\n")
        self.client("load", key("ec-client"))


if __name__ == "__main__":
    unittest.main(verbosity=2)
