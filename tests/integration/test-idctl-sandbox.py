#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""idctl with the real identityd, TPM and CA, inside tests/sandbox; OpenSSL is the witness."""

import json
import os
import subprocess
import tempfile
import unittest

import cbor2
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils

import sandboxed

SANDBOX = os.environ["SANDBOX"]
SANDBOX_CA = os.environ["SANDBOX_CA"]
LAB_CA = os.environ["LAB_CA"]
ROOT = os.path.join(SANDBOX_CA, "root.pem")


def run(*command, status=0, text=None, **environment):
    result = subprocess.run(command, input=text, capture_output=True, text=True, check=False, timeout=120,
                            env={**os.environ, "NO_COLOR": "1", **environment})
    if result.returncode != status:
        raise AssertionError("%s: status %d, not %d\n%s%s" % (command, result.returncode, status, result.stdout, result.stderr))
    return result


def idctl(*arguments, **more):
    return run("idctl", *arguments, **more)


def show(identity):
    return json.loads(idctl("show", "--json", identity).stdout)


class Idctl(unittest.TestCase):
    def setUp(self):
        self.scratch = tempfile.TemporaryDirectory()
        self.addCleanup(self.scratch.cleanup)

    def path(self, name, data=None):
        path = os.path.join(self.scratch.name, name)
        if data is not None:
            with open(path, "wb") as file:
                file.write(data)
        return path

    def test_list_and_show(self):
        self.assertEqual(idctl("list", "--quiet").stdout.split(), sorted(idctl("list", "-q").stdout.split()))
        states = {i["name"]: i["state"] for i in json.loads(idctl("list", "--json").stdout)}
        self.assertEqual((states["demo"], states["demo-data"]), ("ready", "ready"))
        chain = self.path("chain.pem", idctl("show", "--chain", "demo").stdout.encode())
        self.assertIn("OK", run("openssl", "verify", "-CAfile", ROOT, "-untrusted", chain, chain).stdout)
        shown = show("demo")
        self.assertEqual(shown["certificates"][0], run("openssl", "x509", "-in", chain).stdout)
        self.assertEqual(shown["public_key"], run("openssl", "x509", "-in", chain, "-noout", "-pubkey").stdout)

    def test_sign_and_verify(self):
        message = self.path("message", b"a message\n")
        chain = self.path("chain.pem", idctl("show", "--chain", "demo-data").stdout.encode())
        key = self.path("key.pub", run("openssl", "x509", "-in", chain, "-noout", "-pubkey").stdout.encode())
        idctl("sign", "--raw", "demo-data", message)
        run("openssl", "dgst", "-sha256", "-verify", key, "-signature", message + ".sig", message)
        idctl("verify", "demo-data", message, message + ".sig")
        large = self.path("large", os.urandom(1 << 20))
        idctl("sign", "demo-data", large)
        run("openssl", "cms", "-verify", "-binary", "-inform", "DER", "-in", large + ".p7s", "-content", large, "-CAfile", ROOT,
            "-out", "/dev/null")
        verified = json.loads(idctl("verify", "--json", "demo-data", large, large + ".p7s").stdout)
        self.assertEqual((verified["verified"], verified["kind"]), (True, "cms"))
        # On another device, which has the root alone.
        signer, = verified["signers"]
        self.assertEqual(signer["subject"], show("demo-data")["subject"])
        for who in (signer["subject"], signer["sha256"]):
            idctl("verify", "--anchors", ROOT, "--signer", who, large, large + ".p7s", DBUS_SYSTEM_BUS_ADDRESS="unix:path=/none")
        other = idctl("verify", "--anchors", ROOT, "--signer", "CN=somebody else", large, large + ".p7s", status=1)
        self.assertIn("not by the signer that was asked for", other.stdout)
        idctl("verify", "--anchors", ROOT, "--chain", chain, "--usage", "client", DBUS_SYSTEM_BUS_ADDRESS="unix:path=/none")
        for signature in (message + ".sig", large + ".p7s"):
            forged = self.path("forged", b"a forged message\n")
            self.assertIn("NOT verified", idctl("verify", "demo-data", forged, signature, status=1).stdout)

    def test_a_certificate_request_is_not_signed_as_data(self):
        request = self.path("request.der")
        run("openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
            self.path("other.key"), "-outform", "DER", "-out", request, "-subj", "/CN=demo")
        idctl("sign", "--raw", "demo-data", request, status=4)
        self.assertFalse(os.path.exists(request + ".sig"))
        idctl("sign", "--cms", "demo-data", request) # what is signed are the attributes

    def test_others_verify_what_data_signs(self):
        """As identityd-handle(7) says, with nothing but what a distribution has."""
        message = self.path("message", b"valve 7 opened")
        certificate = x509.load_pem_x509_certificate(idctl("show", "--chain", "demo-data").stdout.encode())
        key = certificate.public_key()
        # identityd's own frame
        idctl("sign", "--framed", "demo-data", message)
        with open(message + ".sig", "rb") as file:
            signature = file.read()
        frame = b"\x7e" * 64 + b"identityd data v1\0" + b"demo-data" + b"\0"
        key.verify(signature, frame + b"valve 7 opened", ec.ECDSA(hashes.SHA256()))
        with self.assertRaises(InvalidSignature):
            key.verify(signature, frame + b"valve 8 opened", ec.ECDSA(hashes.SHA256()))
        with self.assertRaises(InvalidSignature):
            key.verify(signature, b"valve 7 opened", ec.ECDSA(hashes.SHA256()))
        # COSE_Sign1
        idctl("sign", "--cose", "demo-data", message)
        with open(message + ".cose", "rb") as file:
            sign1 = cbor2.loads(file.read())
        self.assertEqual(sign1.tag, 18)
        protected, unprotected, payload, signature = sign1.value
        self.assertEqual((cbor2.loads(protected), payload), ({1: -7}, None))
        chain = unprotected[33] if isinstance(unprotected[33], list) else [unprotected[33]]
        self.assertEqual(chain[0], certificate.public_bytes(serialization.Encoding.DER))
        structure = cbor2.dumps(["Signature1", protected, b"", b"valve 7 opened"])
        half = len(signature) // 2
        signature = utils.encode_dss_signature(int.from_bytes(signature[:half], "big"), int.from_bytes(signature[half:], "big"))
        key.verify(signature, structure, ec.ECDSA(hashes.SHA256()))
        with self.assertRaises(InvalidSignature):
            key.verify(signature, structure[:-1] + b"D", ec.ECDSA(hashes.SHA256()))
        # CMS
        idctl("sign", "demo-data", message)
        run("openssl", "cms", "-verify", "-binary", "-inform", "DER", "-in", message + ".p7s", "-content", message, "-CAfile", ROOT,
            "-purpose", "any", "-out", "/dev/null")

    def test_what_the_bus_signs(self):
        """The same through Sign alone: the structure for COSE, the message for identityd's own frame."""
        identity = sandboxed.Identity(sandboxed.dbus.SystemBus(), "demo-data")
        key = x509.load_pem_x509_certificate(idctl("show", "--chain", "demo-data").stdout.encode()).public_key()
        structure = cbor2.dumps(["Signature1", cbor2.dumps({1: -7}), b"", b"hello"])
        frame = b"\x7e" * 64 + b"identityd data v1\0demo-data\0"
        for framing, sent, signed in (("cose", structure, structure), ("identityd", b"hello", frame + b"hello"), ("raw", b"hello", b"hello")):
            key.verify(identity.sign("ecdsa_secp256r1_sha256", sent, framing), signed, ec.ECDSA(hashes.SHA256()))

    def test_refusals(self):
        message = self.path("message", b"x")
        idctl("sign", "demo", message, status=4) # grants no data
        idctl("sign", "nobody", message, status=3)
        idctl("show", "nobody", status=3)
        idctl("connect", "--check", "demo-data", "127.0.0.1:1", status=4)
        self.assertIn("cannot install", idctl("install", "demo", ROOT, status=1).stderr)
        self.assertEqual(show("demo")["state"], "ready")

    def server_certificate(self):
        key, request, certificate = self.path("s.key"), self.path("s.csr"), self.path("s.pem")
        run("openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-subj",
            "/CN=server", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-addext", "extendedKeyUsage=serverAuth",
            "-out", request)
        run(LAB_CA, "sign", SANDBOX_CA, "--csr", request, "--chain", "--lifetime", "3600", "--out", certificate)
        return key, certificate

    def server(self, *options):
        key, certificate = self.path("s.key"), self.path("s.pem")
        if not os.path.exists(certificate):
            self.server_certificate()
        process = subprocess.Popen(["openssl", "s_server", "-accept", "127.0.0.1:0", "-cert", certificate, "-cert_chain",
                                    certificate, "-key", key, "-rev", *options], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        for line in process.stdout:
            if line.startswith("ACCEPT"):
                return line.split()[1]
        raise AssertionError("s_server does not listen")

    def test_connect(self):
        endpoint = self.server("-tls1_3", "-Verify", "2", "-verify_return_error", "-CAfile", ROOT)
        report = json.loads(idctl("connect", "--check", "--json", "demo", endpoint).stdout)
        self.assertTrue(report["handshake"]["good"] and report["peer"]["asked_for_certificate"])
        self.assertEqual(idctl("connect", "--quiet", "demo", endpoint, text="hello\n").stdout, "olleh\n")
        idctl("connect", "--check", "--name", "other.example", "demo", endpoint, status=1)
        idctl("verify", "--peer", endpoint, "demo")
        idctl("verify", "--peer", endpoint, "--name", "other.example", "demo", status=1)

    def staple(self, certificate):
        """What the CA's index says of it now."""
        request, response, issuer = self.path("ocsp.request"), self.path("ocsp.response"), f"{SANDBOX_CA}/intermediate.pem"
        run("openssl", "ocsp", "-issuer", issuer, "-cert", certificate, "-reqout", request, "-no_nonce")
        run("openssl", "ocsp", "-index", f"{SANDBOX_CA}/index.txt", "-CA", issuer, "-rsigner", issuer, "-rkey",
            f"{SANDBOX_CA}/private/intermediate-1.key", "-ndays", "1", "-reqin", request, "-respout", response)
        return response

    def test_connect_heeds_a_stapled_response(self):
        _, certificate = self.server_certificate()
        good = self.server("-tls1_3", "-status_file", self.staple(certificate))
        self.assertIn("neither a CRL nor a stapled", idctl("connect", "--check", "demo", good).stdout)
        run(LAB_CA, "control", SANDBOX_CA, "revoke", self.serial(certificate))
        revoked = self.server("-tls1_3", "-status_file", self.staple(certificate))
        self.assertIn("is revoked, as its CA's OCSP response says", idctl("connect", "--check", "demo", revoked, status=1).stdout)
        idctl("connect", "--check", "demo", self.server("-tls1_3")) # nobody else has told it

    @staticmethod
    def serial(certificate):
        return run("openssl", "x509", "-in", certificate, "-noout", "-serial").stdout.strip().partition("=")[2]

    def test_connect_refused(self):
        stranger = self.path("stranger.pem")
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
            self.path("stranger.key"), "-out", stranger, "-subj", "/CN=stranger")
        endpoint = self.server("-tls1_3", "-Verify", "2", "-verify_return_error", "-CAfile", stranger)
        self.assertIn("unknown_ca", idctl("connect", "--check", "demo", endpoint, status=1).stdout)

    def test_renew(self):
        before = show("demo")
        after = json.loads(idctl("renew", "--rotate-key", "--json", "demo").stdout)
        self.assertGreater(after["generation"], before["generation"])
        self.assertNotEqual(after["public_key"], before["public_key"])
        self.assertNotEqual(after["serial_number"], before["serial_number"])

    def test_check(self):
        findings = json.loads(idctl("check", "--json", CONFIGURATION_DIRECTORY=os.path.join(SANDBOX, "etc"),
                                    RUNTIME_DIRECTORY=os.path.join(SANDBOX, "run")).stdout)
        self.assertNotIn("failed", [f["verdict"] for f in findings])
        for check, identity in (("TPM", None), ("certificate", "demo"), ("key", "demo"), ("renewal", "demo"), ("CA", "demo")):
            self.assertIn("ok", [f["verdict"] for f in findings if (f["check"], f["identity"]) == (check, identity)],
                          json.dumps(findings, indent=1))

    def test_reload_metrics_version(self):
        idctl("reload")
        self.assertTrue(idctl("metrics").stdout.endswith("# EOF\n"))
        self.assertEqual(json.loads(idctl("version", "--json").stdout)["tpm_state"], "ready")


if __name__ == "__main__":
    unittest.main()
