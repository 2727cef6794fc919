#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""CAs that write a name in another way, or choose it: what is the same name renews, what is another one is refused at first
sight with both in the text, or taken where the configuration lets the CA decide. Runs inside tests/sandbox."""

import os
import unittest

from lifecycle import PASSWORD, SCHEME, USUAL, Lifecycle
from sandboxed import control, field, idctl, log, requests, wait_until

BOTH = ("simpleenroll", "simplereenroll")


def configuration(more="", san="dns:Host-A.Example uri:urn:example:x"):
    return (f"[Identity]\nSubject=CN=Device-1,O=Example AG\n{'SubjectAltName=' + san if san else ''}\n[Enrollment]\n{USUAL}\n"
            f"{PASSWORD}\n{more}\n[Access]\ndata-raw=user:{os.getuid()}\n")


def names(identity):
    """Subject and alternative names, as openssl reads them."""
    certificate = identity.certificate()
    return field(certificate, "-subject", "-nameopt", "RFC2253"), field(certificate, "-ext", "subjectAltName")


class Names(Lifecycle):
    def faulty(self, fault, operations=BOTH):
        for operation in operations:
            control("fault", operation, fault, "count=0")

    def lives(self, identity):
        """Three renewals, each by its own certificate."""
        for _ in range(3):
            generation = identity.generation()
            identity.renew()
            self.assertEqual((identity.generation(), identity.state()), (generation + 1, "ready"))
            self.assertIn("client=cert:", requests("simplereenroll")[-1])
        identity.sign(SCHEME, b"it works")

    def test_string_types(self):
        """First as asked for, then in other string types, and in others again."""
        one = self.made("one", configuration())
        before = one.certificate()
        self.faulty("retag")
        self.lives(one)
        self.assertNotEqual(field(before, "-subject", "-nameopt", "show_type"),
                            field(one.certificate(), "-subject", "-nameopt", "show_type"))

    def test_lower_case(self):
        self.faulty("lower-case")
        one = self.made("one", configuration())
        self.assertIn("DNS:host-a.example", names(one)[1])
        self.lives(one)

    def refused_and_taken(self, fault, san, in_text, in_names):
        self.faulty(fault)
        one = self.made("one", configuration(san=san), state=None)
        wait_until(lambda: one.get("LastError") != "", "a refusal")
        text = str(one.get("LastError"))
        for words in (*in_text, "Names=ca"):
            self.assertIn(words, text)
        self.assertEqual(one.state(), "empty")
        self.assertEqual(len([line for line in log("identityd")[self.log_begins:].splitlines() if in_text[0] in line]), 1)
        self.configure("one", configuration("Names=ca", san))
        one.wait("ready")
        for words in in_names:
            self.assertIn(words, "\n".join(names(one)))
        control("clear")  # renewals ask for what the CA decided, and get it
        present = names(one)
        self.lives(one)
        self.assertEqual(names(one), present)
        return idctl("show", "one").stdout.decode()

    def test_organization_of_the_ca(self):
        shown = self.refused_and_taken("own-org", "uri:urn:example:x",
                                       ('"CN=Device-1,O=CA profile Ltd"', '"CN=Device-1,O=Example AG"'), ("O=CA profile Ltd",))
        self.assertIn("CN=Device-1,O=CA profile Ltd", shown)

    def test_alternative_name_of_the_ca(self):
        shown = self.refused_and_taken("san-from-cn", "", ("dns:Device-1", "the request has none"), ("DNS:Device-1",))
        self.assertIn("dns:Device-1", shown)

    def test_ca_that_changes_its_mind(self):
        """At a renewal: refused with exact, taken with ca."""
        one = self.made("one", configuration())
        self.faulty("own-org")
        text = self.refused("CertificateRejected", one.renew)
        self.assertIn("O=CA profile Ltd", text)
        self.assertIn("O=Example AG", text)
        self.assertEqual((one.generation(), one.state()), (1, "ready"))
        self.configure("one", configuration("Names=ca"))
        wait_until(lambda: one.generation() == 2 or one.get("Activity") == "idle", "the end of waiting")
        if one.generation() == 1:
            one.renew()
        self.assertIn("O=CA profile Ltd", names(one)[0])

    def test_the_rest_is_wanted_all_the_same(self):
        one = self.made("one", configuration("Names=ca"))
        for fault, words in {"wrong-key": "key", "ca-certificate": "CA certificate"}.items():
            with self.subTest(fault):
                self.faulty(fault)
                self.assertIn(words, self.refused("CertificateRejected", one.renew))
                self.assertEqual((one.generation(), one.state()), (1, "ready"))
                control("clear")


if __name__ == "__main__":
    unittest.main()
