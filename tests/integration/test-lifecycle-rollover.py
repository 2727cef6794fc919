#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The CA moves to a new root under a client and a server that never fail to verify each other; an attacker does not. Runs inside
tests/sandbox."""

import os
import re
import shutil
import subprocess
import tempfile
import time
import unittest

from lifecycle import PASSWORD, Lifecycle, configuration
from sandboxed import CA, EST, SANDBOX, control, pem_to_der, read, requests, verify_chain, wait_until

PROGRAM = os.path.join(os.environ["BUILD"], "tests/integration/handshake-client")


def following(access, anchors, interval="1s"):
    """An identity whose own anchors also verify the CA's server, so that an old one can leave."""
    text = configuration(f"[Renewal]\nAnchorsInterval={interval}\n", f"Server={EST}\nAnchors={anchors}\n{PASSWORD}", access)
    return text.replace("[Enrollment]", "SubjectAltName=dns:localhost\n[Enrollment]", 1)


def anchors_of(identity):
    return [bytes(a) for a in identity.get("Anchors")]


class Attack(Lifecycle):
    def setUp(self):
        super().setUp()
        self.root = pem_to_der(read(CA + "/root.pem"))

    def test_old_with_new_is_no_evidence(self):
        """A root of the attacker's under our root's name, with the OldWithNew that anyone can make: refused for ever."""
        one = self.made("one", following("tls-client", CA + "/root.pem"))
        control("fault", "cacerts", "foreign-root", "count=0")
        seen = len(requests("cacerts"))
        wait_until(lambda: len([line for line in requests("cacerts")[seen:] if "foreign-root" in line]) > 2, "the attack", 60)
        one.renew()
        time.sleep(0.5)
        self.assertEqual(anchors_of(one), self.root)
        self.assertEqual(pem_to_der(read(SANDBOX + "/run/one/anchors.pem")), self.root)
        self.restart()
        one.wait("ready")
        self.assertEqual(anchors_of(one), self.root)

    def test_a_changed_file_is_added(self):
        """Anchors that the admin puts in place count at the next reload, beside those that were followed."""
        with tempfile.TemporaryDirectory() as directory:
            path = directory + "/anchors.pem"
            shutil.copy(CA + "/root.pem", path)
            one = self.made("one", following("tls-client", path, "1h"))
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                            directory + "/key", "-subj", "/CN=another", "-days", "2", "-out", directory + "/another.pem"],
                           check=True, capture_output=True)
            with open(path, "a", encoding="utf-8") as file:
                file.write(read(directory + "/another.pem"))
            self.manager("Reload")
            self.assertEqual(sorted(anchors_of(one)), sorted(self.root + pem_to_der(read(directory + "/another.pem"))))


class Server(Lifecycle):
    """The CA's own server is below an anchor that it leaves out of /cacerts: that one must stay, whatever our chain needs."""

    def test_an_anchor_that_the_server_needs(self):
        first = SANDBOX + "/root-of-server.pem"
        shutil.copy(CA + "/root.pem", first)
        one = self.made("one", following("tls-client", first))
        old = pem_to_der(read(first))
        control("rollover", "begin")
        wait_until(lambda: len(anchors_of(one)) == 2, "both anchors", 60)
        control("rollover", "switch")
        control("fault", "cacerts", "new-alone", "count=0")
        one.renew()
        self.assertNotEqual(verify_chain([bytes(c) for c in one.get("Certificates")], first), "", "our chain does without the old root")
        seen = len(requests("cacerts"))
        wait_until(lambda: len([line for line in requests("cacerts")[seen:] if "new-alone" in line]) > 2, "answers without it", 60)
        self.assertIn(old[0], anchors_of(one))
        one.renew()
        control("clear")
        control("rollover", "finish")  # now the server has a certificate of the new root
        wait_until(lambda: old[0] not in anchors_of(one), "the old root to leave", 60)
        self.assertEqual(len(anchors_of(one)), 1)
        one.renew()


class Rollover(Lifecycle):
    def begin(self, *words):
        process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def test_whole_rollover(self):
        first = SANDBOX + "/root-a.pem"
        shutil.copy(CA + "/root.pem", first)
        old = pem_to_der(read(first))
        client = self.made("client", following("tls-client", first))
        server = self.made("server", following("tls-server", first))
        target = f"unix:{SANDBOX}/tls"
        listening = self.begin(PROGRAM, "--listen", "--count", "100000", "server", target)
        wait_until(lambda: os.path.exists(target[5:]), "the server's socket")
        connecting = self.begin(PROGRAM, "--seconds", "16", "--pause", "20", "--host", "localhost", "client", target)
        held = client.open("tls-client")
        self.addCleanup(held.close)

        control("rollover", "begin")
        both = self.until(client, server, 2)
        self.assertEqual([a for a in both if a in old], old)
        new = [a for a in both if a not in old]
        control("rollover", "switch")
        for identity in (client, server):
            identity.renew()
            time.sleep(1)
        for identity in (client, server):
            with open(SANDBOX + "/root-b.pem", "w", encoding="utf-8") as file:
                file.write(subprocess.run(["openssl", "x509", "-inform", "DER"], input=new[0], capture_output=True, check=True).stdout.decode())
            self.assertEqual(verify_chain([bytes(c) for c in identity.get("Certificates")], SANDBOX + "/root-b.pem"), "")
        control("rollover", "finish")
        last = self.until(client, server, 1)
        self.assertEqual(last, new, "only the new root is left")
        self.assertEqual(pem_to_der(read(SANDBOX + "/run/client/anchors.pem")), new)
        held.get_state()
        self.assertEqual(pem_to_der(held.state["anchors"].decode()), new, "a handle brings them to its program")
        out, error = connecting.communicate(timeout=40)
        print(out.strip())
        self.assertEqual(connecting.returncode, 0, error)
        done, failures = re.search(r"handshakes (\d+) failures (\d+)", out).groups()
        self.assertEqual(failures, "0", error)
        self.assertGreater(int(done), 50)
        # What is configured is the old root alone; what was followed since counts over a restart.
        self.restart()
        client.wait("ready")
        self.assertEqual(anchors_of(client), new)
        client.renew()

    def until(self, client, server, count):
        wait_until(lambda: all(len(anchors_of(i)) == count for i in (client, server)), f"{count} anchors", 60)
        return anchors_of(client)


if __name__ == "__main__":
    unittest.main()
