#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Protocol=manual: a factory line gives the device an IDevID, which then authenticates the EST enrolment of an LDevID; and what
is not ours is refused. Runs inside tests/sandbox."""

import os
import unittest

import dbus

from sandboxed import CA, EST, SANDBOX, Case, control, field, idctl, log, pem_to_der, read, requests, run, service, sign_request, verify_chain, wait_until

SCHEME = "ecdsa_secp256r1_sha256"

FACTORY = f"""
[Identity]
Subject=serialNumber=%d,O=Maker
SubjectAltName=hardware-module:1.3.6.1.4.1.99999.1/4711
Kind=idevid
[Enrollment]
Protocol=manual
Anchors={CA}/root.pem
[Access]
tls-client=user:{os.getuid()}
"""


def other_request(subject="/CN=x"):
    return run("openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", os.devnull,
               "-subj", subject, "-outform", "DER").stdout


class Manual(Case):
    def setUp(self):
        self.configure("factory", FACTORY)
        self.factory = self.identity("factory")
        self.addCleanup(self.forget)

    def forget(self):
        for name in ("factory", "owner"):
            if os.path.exists(f"{SANDBOX}/etc/identities/{name}.conf"):
                self.configure(name, None)
            run("rm", "-rf", f"{SANDBOX}/state/{name}")

    def test_revoked_key_is_not_brought_in_again(self):
        """A certificate for the revoked key, the very same one too, does not lead out of revoked; a new key does."""
        self.configure("factory", FACTORY + "[Revocation]\nCheck=crl\nInterval=1s\n")
        request = self.factory.create_request()
        chain = pem_to_der(sign_request(request, "--chain"))
        self.factory.install(chain)
        self.factory.wait("ready")
        control("revoke", str(self.factory.get("SerialNumber")).upper())
        self.factory.wait("revoked")
        for again in (chain, pem_to_der(sign_request(request, "--chain"))):
            self.refused("CertificateRejected", self.factory.install, again)
            self.assertEqual(self.factory.state(), "revoked")
        request = self.factory.create_request(**{"new-key": True})
        self.factory.install(pem_to_der(sign_request(request, "--chain")))
        self.factory.wait("ready")

    def test_factory_line(self):
        self.assertEqual(self.factory.state(), "empty")
        self.refused("InvalidArgument", self.factory.enroll)
        request = self.factory.create_request()
        self.assertEqual(self.factory.create_request(), request, "the pending request again, byte for byte")
        text = run("openssl", "req", "-inform", "DER", "-noout", "-text", "-verify", "-nameopt", "RFC2253", data=request)
        self.assertIn(b"verify OK", text.stderr + text.stdout)
        self.assertIn(b"O=Maker", text.stdout)
        self.assertIn(b"othername", text.stdout)
        certificates = pem_to_der(sign_request(request, "--idevid", "--chain"))
        self.factory.install(certificates)
        self.factory.wait("ready")
        self.assertEqual(verify_chain(self.factory.get("Certificates")), "")
        self.assertIn("Dec 31 23:59:59 9999", field(self.factory.certificate(), "-enddate"))
        with self.factory.open("tls-client"):
            pass

        self.configure("owner", f"""
[Identity]
Subject=CN=%d,O=Owner
[Enrollment]
Server={EST}/owner
Anchors={CA}/root.pem
ServerAnchors={CA}/server.pem
Authenticate=identity:factory
[Access]
data-raw=user:{os.getuid()}
""")
        owner = self.identity("owner")
        owner.wait("ready")
        serial = self.factory.get("SerialNumber").upper()
        enrolled = [line for line in requests("simpleenroll") if "label=owner" in line]
        self.assertIn(f"client=cert:{serial}", enrolled[-1])
        owner.renew()
        self.assertNotIn(serial, requests("simplereenroll")[-1], "an LDevID renews by itself")

    def test_wrong_chains(self):
        request = self.factory.create_request()
        right = pem_to_der(sign_request(request, "--idevid", "--chain"))
        foreign = SANDBOX + "/foreign"
        if not os.path.exists(foreign):
            run(os.environ["LAB_CA"], "init", foreign)
        with open(SANDBOX + "/request.der", "wb") as file:
            file.write(request)
        from_elsewhere = pem_to_der(run(os.environ["LAB_CA"], "sign", foreign, "--csr", SANDBOX + "/request.der", "--chain").stdout.decode())
        other = pem_to_der(sign_request(other_request("/O=Maker/serialNumber=1"), "--chain"))
        root = pem_to_der(read(CA + "/root.pem"))
        cases = {
            "another key": (other, "key"),
            "a CA that is no anchor": (from_elsewhere, "issuer"),
            "without the intermediate": (right[:1], "issuer"),
            "the CA's own certificate": (right[1:] + root, "key"),
        }
        for name, (chain, words) in cases.items():
            with self.subTest(name):
                text = self.refused("CertificateRejected", self.factory.install, chain)
                self.assertIn("factory", text)
                self.assertIn(words, text)
                self.assertEqual(self.factory.state(), "empty")
        for name, chain in (("nothing", []), ("no certificate", [b"junk"]), ("one that is cut off", [right[0][:-5], right[1]]),
                            ("too many", right * 50)):
            with self.subTest(name):
                with self.assertRaises(dbus.DBusException) as caught:
                    self.factory.install(chain)
                self.assertIn(caught.exception.get_dbus_name().rpartition(".")[2], ("CertificateRejected", "InvalidArgument", "LimitsExceeded"))
        self.factory.install([right[0], *root, right[1]])  # issuers in any order
        self.factory.wait("ready")

    def test_extended_key_usage_of_the_issuer(self):
        """An intermediate that is not for what the identity is lent out for: peers would refuse it, so we do."""
        place = SANDBOX + "/usages"
        os.makedirs(place, exist_ok=True)
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        authority = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n"
        run("openssl", "req", "-x509", *key, "-keyout", f"{place}/root.key", "-subj", "/CN=usages root", "-days", "9", "-out", f"{place}/root.pem")

        def signed(request, issuer, extensions, *words):
            with open(f"{place}/extensions", "w", encoding="utf-8") as file:
                file.write(extensions)
            return run("openssl", "x509", "-req", *words, "-CA", f"{place}/{issuer}.pem", "-CAkey", f"{place}/{issuer}.key", "-days", "8",
                       "-set_serial", str(int.from_bytes(os.urandom(8), "big") | 1), "-extfile", f"{place}/extensions", data=request).stdout.decode()

        def chain(request, usage):
            issuer = run("openssl", "req", "-new", *key, "-keyout", f"{place}/issuer.key", "-subj", f"/CN=for {usage}").stdout
            with open(f"{place}/issuer.pem", "w", encoding="utf-8") as file:
                file.write(signed(issuer, "root", f"{authority}extendedKeyUsage={usage}\n"))
            leaf = "keyUsage=digitalSignature\nextendedKeyUsage=clientAuth,serverAuth\n"
            return pem_to_der(signed(request, "issuer", leaf, "-inform", "DER") + read(f"{place}/issuer.pem"))

        enrollment = f"[Identity]\nSubject=CN=usages\n[Enrollment]\nProtocol=manual\nAnchors={place}/root.pem\n"
        for access, usage, refused in (("tls-client", "serverAuth", "clients"), ("tls-server", "clientAuth", "servers"),
                                       ("digest", "serverAuth", "clients"), ("tls-client", "clientAuth", ""),
                                       ("tls-server", "serverAuth", ""), ("tls-server", "anyExtendedKeyUsage", "")):
            with self.subTest(access=access, usage=usage):
                self.forget()
                self.configure("factory", f"{enrollment}[Access]\n{access}=user:{os.getuid()}\n")
                certificates = chain(self.factory.create_request(), usage)
                if refused:
                    text = self.refused("CertificateRejected", self.factory.install, certificates)
                    self.assertIn(f"extended key usage of CN=for {usage}", text)
                    self.assertIn(f"TLS {refused}", text)
                    self.assertEqual(self.factory.state(), "empty")
                else:
                    self.factory.install(certificates)
                    self.factory.wait("ready")

        # One that is in use is not left to expire for what it never had: [Access] asks for more now than it did then.
        self.configure("factory", f"{enrollment}[Access]\ntls-client=user:{os.getuid()}\n")
        text = self.refused("CertificateRejected", self.factory.install, chain(self.factory.create_request(), "serverAuth"))
        self.assertIn("TLS clients", text)
        self.forget()
        self.configure("factory", f"{enrollment}[Access]\ntls-client=user:{os.getuid()}\n")
        self.factory.install(chain(self.factory.create_request(), "clientAuth"))
        self.factory.wait("ready")
        self.configure("factory", f"{enrollment}[Access]\ntls-client=user:{os.getuid()}\ntls-server=user:{os.getuid()}\n")
        self.factory.wait("ready")
        generation = self.factory.generation()
        self.factory.install(chain(self.factory.create_request(), "clientAuth"))
        wait_until(lambda: self.factory.generation() > generation, "the chain that is no better and no worse")
        self.assertIn("the present one is no better", log("identityd"))

    def test_request_survives_a_restart(self):
        request = self.factory.create_request()
        service("kill", "identityd")
        service("start", "identityd")
        type(self).connect()
        self.demo.wait("ready")
        self.factory = self.identity("factory")
        self.assertEqual(self.factory.create_request(), request)
        another = self.factory.create_request(new_key=True)
        self.assertNotEqual(another, request)
        self.refused("CertificateRejected", self.factory.install, pem_to_der(sign_request(request, "--chain")))
        self.factory.install(pem_to_der(sign_request(another, "--chain")))
        self.factory.wait("ready")

    def test_by_idctl(self):
        path, chain = SANDBOX + "/by-idctl.csr", SANDBOX + "/by-idctl.pem"
        idctl("request", "--out", path, "factory")
        run(os.environ["LAB_CA"], "sign", CA, "--csr", path, "--idevid", "--chain", "--out", chain)
        idctl("install", "factory", chain)
        self.factory.wait("ready")
        self.assertNotEqual(idctl("install", "factory", "/dev/null", check=False).returncode, 0)


if __name__ == "__main__":
    unittest.main()
