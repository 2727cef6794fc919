# SPDX-License-Identifier: LGPL-2.1-or-later
"""For tests of what happens to an identity over the years: identities of the test's own, restarts, the lab CA's records."""

import os
import shutil
import subprocess
import time

from sandboxed import CA, EST, SANDBOX, Case, control, log, service, wait_until

SCHEME = "ecdsa_secp256r1_sha256"
PASSWORD = "Authenticate=credential:enrollment-password\nUser=demo"
USUAL = f"Server={EST}\nAnchors={CA}/root.pem\nServerAnchors={CA}/server.pem"


def configuration(more="", enrollment=f"{USUAL}\n{PASSWORD}", access="digest", subject="CN=%d,O=test"):
    """An identity's file; `more` are its other sections."""
    rules = "".join(f"{word}=user:{os.getuid()}\n" for word in access.split())
    return f"[Identity]\nSubject={subject}\n[Enrollment]\n{enrollment}\n[Access]\n{rules}{more}"


def checking(what="crl", more="", access="digest"):
    """An identity that asks every second whether it is revoked."""
    return configuration(f"[Revocation]\nCheck={what}\nInterval=1s\n{more}", access=access)


def revoke(identity, *reason):
    control("revoke", str(identity.get("SerialNumber")).upper(), *reason)


class Lifecycle(Case):
    def setUp(self):
        control("clear")
        control("forget-pending")
        self.log_begins = len(log("identityd"))

    def made(self, name, text, state="ready"):
        """An identity that the test takes away again."""
        self.configure(name, text)
        self.addCleanup(self.forget, name)
        identity = self.identity(name)
        if state:
            identity.wait(state)
        return identity

    def forget(self, name):
        if os.path.exists(f"{SANDBOX}/etc/identities/{name}.conf"):
            self.configure(name, None)
        shutil.rmtree(f"{SANDBOX}/state/{name}", ignore_errors=True)

    def restart(self, how="kill", meanwhile=None):
        service(how, "identityd")
        if meanwhile:
            meanwhile()
        service("start", "identityd")
        self.reconnect()

    def reconnect(self):
        """The bus answers for the new daemon."""
        type(self).connect()
        wait_until(lambda: self.demo.state_or_none() is not None, "identityd on the bus")

    def logged(self):
        """identityd's log since the test began."""
        return log("identityd")[self.log_begins:]

    def watch(self):
        """`idctl monitor` into a file; returns what reads that."""
        path = f"{SANDBOX}/log/monitor.{time.monotonic_ns()}"
        with open(path, "wb") as file:
            process = subprocess.Popen(["idctl", "monitor"], stdout=file, stderr=file)
        self.addCleanup(process.wait)
        self.addCleanup(process.terminate)

        def read():
            with open(path, encoding="utf-8") as file:
                return file.read()
        wait_until(read, "idctl monitor to say something")
        return read

    def published(self, name):
        path = f"{SANDBOX}/run/{name}"
        return sorted(os.listdir(path)) if os.path.isdir(path) else []

    def stays(self, identity, state, seconds):
        """Wants the state to be the same all the time."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.assertEqual(identity.state(), state)
            time.sleep(0.1)


class ShortLived(Lifecycle):
    def setUp(self):
        super().setUp()
        self.addCleanup(control, "lifetime", "3600")
        self.addCleanup(control, "clear")

    def life(self, identity):
        """(not before, not after) in seconds."""
        return int(identity.get("NotBefore")) / 1e6, int(identity.get("NotAfter")) / 1e6
