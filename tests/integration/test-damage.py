#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Disks that lose bits, are full or take no writes. Each file that an identity has in the state directory is mutated, in many
identities at once: never is one good with bad data, and none is lost for what can be made anew. Runs inside tests/sandbox; prints
how many mutations there were."""

import os
import shutil
import subprocess
import unittest

from lifecycle import SCHEME, Lifecycle, configuration
from sandboxed import CA, SANDBOX, idctl, idctl_json, run, service, wait_until

MANUAL = f"Protocol=manual\nAnchors={CA}/root.pem"
STATE = SANDBOX + "/state"
PLACES = 12  # bits of a file that are flipped


def flip(place):
    def mutate(content):
        at = place * len(content) // PLACES
        return content[:at] + bytes([content[at] ^ (1 if place % 2 else 0x20)]) + content[at + 1:]
    return mutate


def mutations():
    """[(what it is called, what it makes of a content)]"""
    return [(f"bit at {place}/{PLACES}", flip(place)) for place in range(PLACES)] + \
        [("empty", lambda content: b""), ("half", lambda content: content[:len(content) // 2]),
         ("without its end", lambda content: content[:-1]), ("junk", lambda content: b"junk\n")]


def content_of(path):
    with open(path, "rb") as file:
        return file.read()


def put(path, content):
    with open(path, "wb") as file:
        file.write(content)


class Stored(Lifecycle):
    def signs(self, one):
        with one.open("digest") as opened:
            self.assertTrue(opened.sign_digest(SCHEME, bytes(32)))


class Damage(Stored):
    def start_with(self, cases, enrollment=MANUAL):
        """Starts identityd with an identity for each case (label, what is done to its directory): a copy of `demo`."""
        self.copies = {}
        os.makedirs(SANDBOX + "/etc/identityd.conf.d", exist_ok=True)
        put(SANDBOX + "/etc/identityd.conf.d/damage.conf", b"[Limits]\nIdentities=200\n")
        service("stop", "identityd")
        for number, (label, mutate) in enumerate(cases):
            name = f"m{number}"
            shutil.rmtree(f"{STATE}/{name}", ignore_errors=True)
            shutil.copytree(STATE + "/demo", f"{STATE}/{name}", symlinks=True)
            mutate(f"{STATE}/{name}")
            with open(f"{SANDBOX}/etc/identities/{name}.conf", "w", encoding="utf-8") as file:
                file.write(configuration(enrollment=enrollment))
            self.copies[name] = label
        service("start", "identityd")
        self.addCleanup(self.take_away)
        self.reconnect()
        self.demo.wait("ready")

    def take_away(self):
        for name in self.copies:
            os.unlink(f"{SANDBOX}/etc/identities/{name}.conf")
            shutil.rmtree(f"{STATE}/{name}")
        self.manager("Reload")

    def outcomes(self, *states):
        """{label: (identity, state)}; whatever is ready is what demo is, and nothing of another is published."""
        found = {}
        chain = [bytes(c) for c in self.demo.get("Certificates")]
        for name, label in self.copies.items():
            one = self.identity(name)
            wait_until(lambda: one.state() in states, f"{label} to be one of {states}, not {one.state()}")
            if one.state() == "ready":
                self.assertEqual([bytes(c) for c in one.get("Certificates")], chain, label)
                self.signs(one)
            else:
                self.assertEqual(self.published(name), [], label)
            found[label] = one, one.state()
        return found

    def count(self, what, cases):
        print(f"{what}: {len(cases)} mutations", flush=True)

    def of_files(self, files, before=lambda directory: None):
        """The cases of all mutations of these files."""
        def mutated(file, mutation):
            def mutate(directory):
                before(directory)
                put(f"{directory}/{file}", mutation(content_of(f"{directory}/{file}")))
            return mutate
        return [(f"{file}: {label}", mutated(file, mutation)) for file in files for label, mutation in mutations()]


class Generations(Damage):
    def test_every_file(self):
        cases = self.of_files([f"current/{file}" for file in ("key.pem", "chain.pem", "parent", "checksum")])
        self.start_with(cases)
        for label, (one, state) in self.outcomes("empty", "ready").items():
            self.assertEqual(state, "empty", label)
            self.assertIn("nothing was deleted", one.get("LastError"), label)
        self.count("a generation", cases)

    def test_files_of_another(self):
        def swapped(file):
            return lambda directory: shutil.copy(f"{STATE}/demo-data/current/{file}", f"{directory}/current/{file}")
        cases = [(file, swapped(file)) for file in ("key.pem", "chain.pem", "checksum")]
        self.start_with(cases)
        self.assertEqual({state for _, state in self.outcomes("empty", "ready").values()}, {"empty"})
        self.count("files of another identity", cases)

    def test_without_checksum(self):
        """As an identityd left it that wrote none: the signatures decide, and what is found good gets its checksum."""
        def old(directory):
            os.unlink(directory + "/current/checksum")
        cases = [("whole", old)] + self.of_files(["current/chain.pem"], old)
        self.start_with(cases)
        found = self.outcomes("empty", "ready")
        self.assertEqual(found["whole"][1], "ready")
        self.assertTrue(os.path.exists(f"{STATE}/m0/current/checksum"))
        self.assertGreater(sum(state == "empty" for _, state in found.values()), PLACES // 2)
        self.count("a chain without checksum", cases)

    def test_other_anchors(self):
        """With its checksum it is good, and lives on; without one nothing speaks for it."""
        other = SANDBOX + "/other-root.pem"
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "/dev/null",
            "-subj", "/CN=another root", "-days", "30", "-addext", "keyUsage=critical,keyCertSign", "-out", other)
        self.start_with([("with", lambda directory: None),
                         ("without", lambda directory: os.unlink(directory + "/current/checksum"))],
                        f"Protocol=manual\nAnchors={other}")
        found = self.outcomes("empty", "ready")
        self.assertEqual({label: state for label, (_, state) in found.items()}, {"with": "ready", "without": "empty"})
        self.assertEqual(found["with"][0].get("LastError"), "")
        self.assertIn("does not end in the anchors that count now", self.logged())


class Rest(Damage):
    def test_state(self):
        """What may have been revoked is on hold; nothing else is lost."""
        cases = self.of_files(["state"])
        self.start_with(cases)
        self.assertIn("revoked", {state for _, state in self.outcomes("ready", "revoked").values()})
        self.count("state", cases)

    def test_what_can_be_made_anew(self):
        def junk(path):
            def mutate(directory):
                os.makedirs(os.path.dirname(f"{directory}/{path}"), exist_ok=True)
                put(f"{directory}/{path}", b"junk\n")
            return mutate

        def link(target):
            def mutate(directory):
                os.unlink(directory + "/current")
                os.symlink(target, directory + "/current")
            return mutate
        cases = self.of_files(["trust/anchors.pem"]) + \
            [(path, junk(path)) for path in ("trust/ocsp", "trust/crls/" + "a" * 64 + ".crl", "pending/key.pem", "pending/flags", "pending",
                                             ".#state", ".#pending", "trash/x")] + \
            [("current → " + target, link(target)) for target in ("generations/77", "elsewhere", "generations/01")] + \
            [("no trust", lambda directory: shutil.rmtree(directory + "/trust")),
             ("no current", lambda directory: os.unlink(directory + "/current"))]
        self.start_with(cases)
        self.outcomes("ready")
        self.count("what can be made anew", cases)

    def test_pending_of_another_time(self):
        """Work that cannot be read goes, and the renewal comes."""
        for file in ("key.pem", "parent", "flags", "request.der"):
            with self.subTest(file):
                generation = self.demo.generation()

                def spoil():
                    os.makedirs(STATE + "/demo/pending", exist_ok=True)
                    for one in ("key.pem", "parent", "flags"):
                        if not os.path.exists(f"{STATE}/demo/pending/{one}"):
                            put(f"{STATE}/demo/pending/{one}", b"junk\n")
                    put(f"{STATE}/demo/pending/{file}", b"")
                self.restart("stop", spoil)
                self.demo.wait("ready")
                self.demo.renew()
                self.assertEqual(self.demo.generation(), generation + 1)
                self.assertFalse(os.path.exists(STATE + "/demo/pending"))


class Disks(Stored):
    def mount(self, *words):
        done = subprocess.run(["mount", *words], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            self.skipTest("mount(8) says: " + done.stderr.strip())

    def unmount(self, path):
        subprocess.run(["umount", "-l", path], capture_output=True, check=False)

    def test_read_only(self):
        """What is there is read, and signs; when it may be written to, life goes on."""
        generation = self.demo.generation()
        self.addCleanup(self.restart)
        self.addCleanup(self.unmount, STATE)
        service("stop", "identityd")
        shutil.rmtree(STATE + "/demo/trust")
        try:
            self.mount("--bind", STATE, STATE)
            self.mount("-o", "remount,bind,ro", STATE)
        finally:
            service("start", "identityd")
            self.reconnect()
        self.demo.wait("ready")
        self.assertEqual(self.demo.generation(), generation)
        self.signs(self.demo)
        self.assertFalse(os.path.exists(STATE + "/demo/trust"))
        run("mount", "-o", "remount,bind,rw", STATE)
        self.demo.renew()
        self.assertEqual(self.demo.generation(), generation + 1)
        self.signs(self.demo)

    def test_first_load(self):
        """A directory that takes nothing when the identity is first loaded: full, or read-only."""
        for name, options in (("full", "size=16k"), ("still", "size=1m,ro")):
            with self.subTest(name):
                path = f"{STATE}/{name}"
                os.mkdir(path)
                self.addCleanup(lambda path=path: os.path.isdir(path) and os.rmdir(path))
                self.addCleanup(self.unmount, path)
                self.mount("-t", "tmpfs", "-o", options, "none", path)
                if name == "full":
                    with self.assertRaises(OSError):
                        for number in range(100):
                            put(f"{path}/.#{number}", b"x" * 4096)
                    # Names that begin so are removed at opening; what is not of the store stays.
                    for number in range(100):
                        if os.path.exists(f"{path}/.#{number}"):
                            os.rename(f"{path}/.#{number}", f"{path}/other{number}")
                one = self.made(name, configuration(), state=None)
                wait_until(lambda: one.state_or_none() in ("empty", "unavailable") and one.get("LastError"), "its failure")
                run("mount", "-o", "remount,size=1m,rw", path)
                one.wait("ready", 90)
                self.signs(one)
                self.configure(name, None)


class Forgotten(Stored):
    def names(self):
        return [str(name) for name in self.manager("ListForgotten")]

    def test_configuration_that_went_while_it_was_down(self):
        """Its files are published no more; its keys stay until they are forgotten, which is refused while it is configured."""
        one = self.made("gone", configuration())
        self.assertIn("key.pem", self.published("gone"))
        self.assertIn("is configured", self.refused("InvalidArgument", self.manager, "Forget", "gone", signature="s"))
        path = SANDBOX + "/etc/identities/gone.conf"
        other = SANDBOX + "/run/other"
        os.makedirs(other, exist_ok=True)
        put(other + "/a-file", b"of somebody else")
        self.restart("stop", lambda: os.unlink(path))
        self.demo.wait("ready")
        self.assertEqual(self.published("gone"), [])
        self.assertTrue(self.published("demo"))
        self.assertTrue(os.path.exists(other + "/a-file"))
        shutil.rmtree(other)
        self.assertEqual(self.names(), ["gone"])
        listed = {row["name"]: row["state"] for row in idctl_json("list", "--all")}
        self.assertEqual((listed["gone"], listed["demo"]), ("forgotten", "ready"))
        self.assertNotIn("gone", [row["name"] for row in idctl_json("list")])
        self.assertIn(b"forgotten", idctl("list", "--all").stdout)
        # It comes back as it was, until it is removed.
        self.configure("gone", configuration())
        one.wait("ready")
        self.assertEqual((one.generation(), self.names()), (1, []))
        self.configure("gone", None)
        self.assertEqual(idctl("forget", "gone", check=False, data=b"").returncode, 2)
        idctl("forget", "--yes", "gone")
        self.assertFalse(os.path.exists(STATE + "/gone"))
        self.assertEqual(self.names(), [])
        self.assertIn(b"nothing of that name", idctl("forget", "--yes", "gone", check=False).stderr)
        for name in ("demo", "..", "", "trash/x"):
            self.refused("InvalidArgument", self.manager, "Forget", name, signature="s")
        self.demo.wait("ready")
        self.signs(self.demo)


if __name__ == "__main__":
    unittest.main()
