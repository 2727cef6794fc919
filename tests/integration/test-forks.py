#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Forks while threads sign, by each way in: no child waits for what a thread of its parent holds. Runs inside tests/sandbox."""

import os
import unittest

from openssl_provider import ProviderCase, key
from sandboxed import run

CLIENT = os.environ["BUILD"] + "/tests/integration/fork-client"
FORKS = 48


class Forks(ProviderCase):
    def forks(self, *words):
        said = run("timeout", "-k", "2", "150", CLIENT, str(FORKS), *words, check=False,
                   env={**os.environ, "OPENSSL_CONF": self.plain_configuration})
        self.assertRegex(said.stdout.decode(), rf"forks {FORKS} failed 0 signatures \d+ failed 0\n", said.stderr.decode())

    def test_gnutls(self):
        self.forks("gnutls", "identityd:demo")

    def test_pkcs11(self):
        self.forks("pkcs11", os.environ["PKCS11_MODULE"], "demo")

    def test_openssl(self):
        for name in ("identityd:demo", key("demo")):
            self.forks("openssl", name)


if __name__ == "__main__":
    unittest.main(verbosity=2)
