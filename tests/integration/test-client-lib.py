#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The programs and examples on libidentityd beside a fake identityd: loops of handshakes and signatures across renewals and
restarts, and the example in Python, whose signatures openssl verifies."""

import os
import re
import signal
import subprocess
import tempfile
import unittest

import ended

BUILD = os.environ["BUILD"]
SOURCE = os.environ["SOURCE"]
PROGRAMS = os.path.join(BUILD, "tests/integration")
WITH_FAKE = os.path.join(PROGRAMS, "with-fake-identityd")
HANDSHAKES = os.path.join(PROGRAMS, "handshake-client")
HANDLES = os.path.join(PROGRAMS, "handles-client")
EXAMPLE = os.path.join(SOURCE, "client-lib/examples/handle.py")


def run(options, script, **kwargs):
    """The script in bash beside the fake; its process."""
    return subprocess.run([WITH_FAKE, *options, "bash", "-euc", script], capture_output=True, text=True, timeout=100, **kwargs)


class Programs(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory(prefix="idcl.")
        os.environ["SCRATCH"] = self.directory.name

    def tearDown(self):
        self.directory.cleanup()

    def check(self, process, status=0):
        self.assertEqual(process.returncode, status, process.stdout + process.stderr)

    def test_handles_across_renewals(self):
        for purpose in ("data-raw", "tls-client", "tls-server", "digest"):
            with self.subTest(purpose=purpose):
                process = run(["--renew", "30"], f"{HANDLES} --handles 4 --count 50 --pause 4 demo {purpose}")
                self.check(process)
                signatures, failures, generations = re.match(r"signatures (\d+) failures (\d+) generations ([\d,]+)",
                                                             process.stdout).groups()
                self.assertEqual((signatures, failures), ("200", "0"))
                self.assertGreater(len(generations.split(",")), 3)

    def test_handles_of_other_algorithms(self):
        for identity in ("demo-p384", "demo-rsa"):
            for purpose in ("data-raw", "tls-client", "digest"):
                self.check(run([], f"{HANDLES} --count 5 {identity} {purpose}"))

    def test_handles_across_restarts(self):
        process = run(["--restart", "250"], f"{HANDLES} --handles 2 --count 120 --pause 10 --reopen demo data-raw")
        # a signature that was under way is lost and said to be; the next works
        self.assertRegex(process.stdout, r"signatures 240 failures \d ", process.stdout + process.stderr)

    def test_handles_end_with_identityd(self):
        process = run(["--restart", "50"], f"{HANDLES} --count 100 --pause 5 demo data-raw")
        self.check(process, 1)
        self.assertIn("closed the credential handle of demo", process.stderr)

    def test_ends(self):
        """The same test as with the real one: see ended.py."""
        for state in ended.ERRORS:
            with self.subTest(state):
                ended.check(self, [WITH_FAKE, "--end", state], "demo", lambda process: process.send_signal(signal.SIGUSR2), state)

    def test_handshakes_across_renewals(self):
        process = run(["--renew", "20"], f"""
            {HANDSHAKES} --listen --count 60 demo unix:$SCRATCH/tls > $SCRATCH/server &
            until [ -S $SCRATCH/tls ]; do sleep 0.02; done
            {HANDSHAKES} --count 60 --pause 10 --host demo.example demo unix:$SCRATCH/tls
            wait $!
            cat $SCRATCH/server""")
        self.check(process)
        self.assertEqual(process.stdout.count("handshakes 60 failures 0"), 2)
        self.assertGreater(len(process.stdout.split("generations ")[1].split()[0].split(",")), 3)

    def test_handshakes_count_failures(self):
        process = run([], f"""
            {HANDSHAKES} --listen --count 3 demo unix:$SCRATCH/tls > $SCRATCH/server &
            until [ -S $SCRATCH/tls ]; do sleep 0.02; done
            {HANDSHAKES} --count 3 --host other.example demo unix:$SCRATCH/tls || echo status $?""")
        self.assertIn("handshakes 3 failures 3", process.stdout)
        self.assertIn("status 1", process.stdout)
        self.assertIn("is not for the name other.example", process.stderr)

    def test_handshakes_over_tls12(self):
        process = run([], f"""
            {HANDSHAKES} --listen --purpose digest --count 3 demo unix:$SCRATCH/tls > $SCRATCH/server &
            until [ -S $SCRATCH/tls ]; do sleep 0.02; done
            {HANDSHAKES} --count 3 --tls12 --purpose digest --host demo.example demo unix:$SCRATCH/tls; wait $!""")
        self.check(process)

    def test_no_such_identity(self):
        for command in (f"{HANDLES} nobody data-raw", f"{HANDSHAKES} nobody unix:/nowhere"):
            process = run([], command)
            self.check(process, 2)
            self.assertIn("There is no identity 'nobody'", process.stderr)

    def test_python_example(self):
        for identity in ("demo", "demo-rsa"):
            process = run([], f"""
                echo "a message" > $SCRATCH/message
                /usr/bin/python3 {EXAMPLE} {identity} --chain $SCRATCH/chain < $SCRATCH/message > $SCRATCH/signature
                openssl x509 -in $SCRATCH/chain -noout -pubkey > $SCRATCH/public
                openssl verify -CAfile $FAKE/ca.pem -untrusted $SCRATCH/chain $SCRATCH/chain
                openssl dgst -sha256 -verify $SCRATCH/public -signature $SCRATCH/signature $SCRATCH/message""")
            self.check(process)
            self.assertIn("Verified OK", process.stdout)

    def test_python_example_refused(self):
        for arguments, text in (("nobody", "no identity"), ("empty", "it is empty"), ("demo --purpose tls-client", "refuses")):
            process = run([], f"echo x | /usr/bin/python3 {EXAMPLE} {arguments}")
            self.assertNotEqual(process.returncode, 0)
            self.assertIn(text, process.stderr)


class Interface(unittest.TestCase):
    """Headers, symbols and manual pages name the same functions."""

    def setUp(self):
        self.declared = {library: self.functions_in(f"{library[3:]}.h") for library in ("libidentityd", "libidentityd-gnutls")}
        self.functions = set().union(*self.declared.values())
        self.assertGreater(len(self.functions), 30)

    @staticmethod
    def read(*path):
        with open(os.path.join(SOURCE, *path), encoding="utf-8") as file:
            return file.read()

    def functions_in(self, header):
        text = re.sub(r"/\*.*?\*/", "", self.read("client-lib/identityd", header), flags=re.S)
        return set(re.findall(r"\b(identityd_[a-z0-9_]+)\(", text))

    @staticmethod
    def defined_by(library):
        """{version node: symbols}"""
        symbols = subprocess.run(["nm", "-D", "--defined-only", os.path.join(BUILD, "client-lib", library + ".so.0")], check=True,
                                 capture_output=True, text=True).stdout
        nodes = {}
        for name, node in (line.split()[-1].split("@@") for line in symbols.splitlines() if "@@" in line):
            nodes.setdefault(node, set()).add(name)
        return nodes

    def test_symbols(self):
        core, gnutls = (self.defined_by(library) for library in self.declared)
        self.assertEqual(core.pop("LIBIDENTITYD_0"), self.declared["libidentityd"])
        self.assertEqual(gnutls, {"LIBIDENTITYD_GNUTLS_0": self.declared["libidentityd-gnutls"]})
        # What the one has for the other alone bears no name that a program could take for an interface.
        self.assertEqual(list(core), ["LIBIDENTITYD_PRIVATE_0_1"])
        self.assertFalse({name for name in core["LIBIDENTITYD_PRIVATE_0_1"] if not name.startswith("private_identityd_")})
        modules = {"openssl/identityd.so": {"OSSL_provider_init"},
                   "pkcs11/identityd-pkcs11.so": {"C_GetFunctionList", "C_GetInterface", "C_GetInterfaceList"}}
        for module, symbols in modules.items():
            defined = subprocess.run(["nm", "-D", "--defined-only", os.path.join(BUILD, "client-lib", module)], check=True, capture_output=True, text=True)
            self.assertEqual({line.split()[-1].partition("@")[0] for line in defined.stdout.splitlines()}, symbols)

    def test_who_only_signs_loads_nothing_else(self):
        """A program on libidentityd does not start GnuTLS, and one that has the provider in its configuration starts nothing."""
        for path in ("libidentityd.so.0", "libidentityd-gnutls.so.0", "openssl/identityd.so"):
            with self.subTest(path):
                dynamic = subprocess.run(["readelf", "-d", os.path.join(BUILD, "client-lib", path)], check=True, capture_output=True, text=True).stdout
                needed = " ".join(re.findall(r"NEEDED.*\[(.*)\]", dynamic))
                (self.assertRegex if path == "libidentityd.so.0" else self.assertNotRegex)(needed, "libsystemd")
                (self.assertRegex if "gnutls" in path else self.assertNotRegex)(needed, "libgnutls")

    def test_manual(self):
        described = set()
        aliases = self.read("man", "meson.build")
        for name in os.listdir(os.path.join(SOURCE, "man")):
            if not name.endswith(".3.scd"):
                continue
            page, text = name[:-len(".3.scd")], self.read("man", name)
            names = set(re.search(r"# NAME\n\n(.*?) - ", text, re.S).group(1).split(", "))
            described |= names
            for other in names - {page}:
                self.assertIn(f"'{other}.3'", aliases)
            for function in names & self.functions:
                self.assertRegex(text, r"(?s)# SYNOPSIS.*?\b%s\(.*# DESCRIPTION" % function)
        self.assertEqual(self.functions - described, set())

    def test_header_alone(self):
        """Each header compiles by itself, also as C++."""
        for header in ("identityd.h", "identityd-gnutls.h"):
            for compiler, language in (("cc", "c"), ("c++", "c++")):
                subprocess.run([compiler, "-x", language, "-fsyntax-only", "-Wall", "-Wextra", "-Werror", "-pedantic",
                                "-I", os.path.join(SOURCE, "client-lib"), "-include", "identityd/" + header, "/dev/null"],
                               check=True)


if __name__ == "__main__":
    unittest.main()
