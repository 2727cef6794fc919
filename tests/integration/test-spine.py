#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What an enrolled identity is: on the bus, on disk, for openssl. Runs inside tests/sandbox."""

import base64
import os
import re
import subprocess
import unittest

import dbus

from sandboxed import CA, SANDBOX, Case, field, idctl_json, log, read, requests, run, service, verify_chain

ALGORITHM = re.search(r"^Algorithm=(.*)$", read(SANDBOX + "/etc/identities/demo.conf"), re.MULTILINE)[1]
SCHEMES = {
    "ecdsa-p256": ["ecdsa_secp256r1_sha256"],
    "ecdsa-p384": ["ecdsa_secp384r1_sha384"],
    "rsa-2048": ["rsa_pkcs1_sha256", "rsa_pkcs1_sha384", "rsa_pss_rsae_sha256"],
    "rsa-3072": ["rsa_pkcs1_sha256", "rsa_pss_rsae_sha256"],
}[ALGORITHM]


class Spine(Case):
    def test_list(self):
        entries = {str(e[0]): e for e in self.manager("ListIdentities")}
        self.assertEqual(sorted(entries), ["demo", "demo-data"])
        name, path, state, activity, not_after, renewal = entries["demo-data"]
        self.assertEqual((name, path), ("demo-data", "/org/identityd1/identity/demo_2ddata"))
        self.assertEqual((state, activity), ("ready", "idle"))
        self.assertLess(renewal, not_after)
        self.refused("NoSuchIdentity", self.manager, "GetIdentity", "nobody")
        self.assertEqual(self.manager_property("TpmState"), "ready")
        self.assertRegex(self.manager_property("DeviceId"), r"^[0-9a-f]{64}$")

    def test_object_manager(self):
        objects = self.bus.get_object("org.identityd1", "/org/identityd1", introspect=False).GetManagedObjects(
            dbus_interface="org.freedesktop.DBus.ObjectManager")
        self.assertEqual(sorted(map(str, objects)), sorted([self.demo.path(), self.data.path()]))
        self.assertEqual(objects[self.demo.path()]["org.identityd1.Identity"]["Name"], "demo")

    def test_certificate(self):
        device = self.manager_property("DeviceId")
        for identity in (self.demo, self.data):
            certificates = [bytes(c) for c in identity.get("Certificates")]
            self.assertEqual(verify_chain(certificates), "")
            self.assertIn(device, field(certificates[0], "-subject"))
            serial = field(certificates[0], "-serial").partition("=")[2].lower()
            self.assertEqual(serial, identity.get("SerialNumber"))
            self.assertEqual(identity.get("KeyAlgorithm"), ALGORITHM)
            key = run("openssl", "pkey", "-pubin", "-outform", "DER", data=field(certificates[0], "-pubkey").encode()).stdout
            self.assertEqual(bytes(identity.get("PublicKey")), key)
            self.assertIn("IP Address:127.0.0.1", field(certificates[0], "-ext", "subjectAltName"))
        self.assertIn("TLS Web Client", field(self.demo.certificate(), "-ext", "extendedKeyUsage"))
        self.assertNotIn("TLS Web", run("openssl", "x509", "-inform", "DER", "-noout", "-text", data=self.data.certificate()).stdout.decode())

    def test_sign(self):
        certificate = self.data.certificate()
        for scheme in SCHEMES:
            message = b"a message for " + scheme.encode()
            self.verify(certificate, scheme, message, self.data.sign(scheme, message))
        self.verify(certificate, SCHEMES[0], b"", self.data.sign(SCHEMES[0], b""))
        largest = b"no handshake: " + os.urandom(65536 - 14) # what looks like one is refused
        self.verify(certificate, SCHEMES[0], largest, self.data.sign(SCHEMES[0], largest))

    def test_sign_refusals(self):
        scheme = SCHEMES[0]
        other = "ecdsa_secp384r1_sha384" if ALGORITHM != "ecdsa-p384" else "ecdsa_secp256r1_sha256"
        self.refused("AccessDenied", self.demo.sign, scheme, b"x")
        self.refused("InvalidArgument", self.data.sign, "rot13", b"x")
        self.refused("InvalidArgument", self.data.sign, other, b"x")
        self.refused("InvalidArgument", self.data.sign, scheme, b"x" * 65537)
        request = run("openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                      os.devnull, "-subj", "/CN=x", "-outform", "DER").stdout
        for name, message in (
            ("a CertificateVerify", b" " * 64 + b"TLS 1.3, client CertificateVerify\0" + bytes(32)),
            ("what begins like one", b" " * 64 + b"anything"),
            ("a DER SEQUENCE", request),
            ("a TLS handshake message", b"\x0b\0\0\x04abcd"),
        ):
            with self.subTest(name):
                self.refused("PurposeViolation", self.data.sign, scheme, message)

    def test_files(self):
        state = os.path.join(SANDBOX, "state")
        self.assertEqual(os.stat(state + "/demo").st_mode & 0o777, 0o700)
        key = read(state + "/demo/current/key.pem")
        self.assertTrue(key.startswith("-----BEGIN TSS2 PRIVATE KEY-----"))
        published = os.path.join(SANDBOX, "run/demo")
        self.assertEqual(read(published + "/chain.pem").count("BEGIN CERTIFICATE"), 2)
        self.assertIn(read(CA + "/root.pem").strip(), read(published + "/anchors.pem"))
        self.assertNotIn("TSS2 PRIVATE KEY", read(published + "/key.pem"))
        self.assertIn(b"demo", base64.b64decode(read(published + "/key.pem").splitlines()[1]))
        for name in ("chain.pem", "anchors.pem", "key.pem", "identity.pem", "current.pem"):
            self.assertEqual(os.stat(os.path.join(published, name)).st_mode & 0o777, 0o644)

    def test_key_file_in_tpm2_openssl(self):
        """The file is used as it is by another implementation; identityd makes room, since swtpm has three places for keys."""
        environment = dict(os.environ, TPM2OPENSSL_TCTI=os.environ["TPM2TOOLS_TCTI"], ASAN_OPTIONS="")
        key = os.path.join(SANDBOX, "state/demo/current/key.pem")
        message = os.path.join(SANDBOX, "for-openssl")
        with open(message, "wb") as file:
            file.write(b"signed by tpm2-openssl")
        digest = "-sha384" if ALGORITHM == "ecdsa-p384" else "-sha256"
        certificate = self.demo.certificate()
        service("stop", "identityd")
        signature = run("openssl", "dgst", digest, "-provider", "tpm2", "-provider", "default", "-propquery", "?provider=tpm2",
                        "-sign", key, message, env=environment, check=False)
        service("start", "identityd")
        type(self).connect()
        self.demo.wait("ready")
        self.data.wait("ready")
        self.assertEqual(signature.returncode, 0, signature.stderr.decode())
        scheme = {"ecdsa-p384": "x_sha384"}.get(ALGORITHM, "x_sha256")
        self.verify(certificate, scheme, b"signed by tpm2-openssl", signature.stdout)

    def test_first_enrolment_was_by_password_then_by_certificate(self):
        first = [line for line in requests("simpleenroll") if " 200 " in line and "label=demo " in line]
        self.assertEqual(len(first), 1)
        self.assertIn("client=user:demo", first[0])
        generation = self.demo.generation()
        self.demo.renew()
        self.assertEqual(self.demo.generation(), generation + 1)
        self.assertIn("client=cert:", requests("simplereenroll")[-1])

    def test_renew_with_and_without_a_new_key(self):
        key = bytes(self.data.get("PublicKey"))
        self.data.renew(rotate_key=False)
        self.assertEqual(bytes(self.data.get("PublicKey")), key)
        self.data.renew(rotate_key=True)
        self.assertNotEqual(bytes(self.data.get("PublicKey")), key)
        self.assertEqual(verify_chain(self.data.get("Certificates")), "")

    def test_properties_change_signal(self):
        process = subprocess.Popen(["busctl", "--system", "--json=short", "monitor", "org.identityd1"], stdout=subprocess.PIPE)
        try:
            self.demo.renew()
            seen = b""
            while b"PropertiesChanged" not in seen or b"SerialNumber" not in seen:
                seen += process.stdout.readline()
        finally:
            process.terminate()
            process.wait()
            process.stdout.close()

    def test_unknown_options_are_refused(self):
        options = dbus.Dictionary({"weather": dbus.Boolean(True)}, signature="sv")
        for method in ("Enroll", "Renew", "CreateRequest"):
            self.refused("InvalidArgument", self.demo.call, method, options, signature="a{sv}")
        wrong = dbus.Dictionary({"rotate-key": dbus.String("yes")}, signature="sv")
        self.refused("InvalidArgument", self.demo.call, "Renew", wrong, signature="a{sv}")
        self.refused("InvalidArgument", self.demo.open, "tls-client", {"weather": dbus.Boolean(True)})

    def test_idctl_sees_the_same(self):
        shown = idctl_json("show", "demo")
        self.assertEqual(shown["state"], "ready")
        names = [entry["name"] for entry in idctl_json("list")]
        self.assertEqual(names, ["demo", "demo-data"])

    def test_log(self):
        self.assertRegex(log("identityd"), re.compile(r"demo: empty → ready"))
        self.assertNotIn(read(SANDBOX + "/credentials/enrollment-password"), log("identityd") + log("enroller"))

    def test_protocol_est_takes_no_certificate_by_hand(self):
        self.refused("InvalidArgument", self.demo.install, [self.demo.certificate()])


if __name__ == "__main__":
    unittest.main()
