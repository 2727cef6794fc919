#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What concerns the device and not one identity: its ID, kept over restarts and not by clones; settings that want a restart; a
TPM that is there only later. Runs inside tests/sandbox."""

import hashlib
import os
import stat
import time
import unittest

from lifecycle import USUAL, Lifecycle, configuration
from sandboxed import CA, SANDBOX, read, run, service, wait_until

RECORD = SANDBOX + "/state/.device"
CLOCK, MARK = SANDBOX + "/run/.clock", SANDBOX + "/run/.clock-was-behind"
SETTINGS = SANDBOX + "/etc/identityd.conf"


def record():
    return dict(line.split("=", 1) for line in read(RECORD).splitlines())


def write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def checked(text):
    """The same with the checksum that it has to have."""
    lines = "".join(line + "\n" for line in text.splitlines() if not line.startswith("checksum="))
    return lines + f"checksum={hashlib.sha256(lines.encode()).hexdigest()}\n"


class Device(Lifecycle):
    def setUp(self):
        super().setUp()
        self.demo.wait("ready", 60)
        self.device_id = str(self.manager_property("DeviceId"))

    def started_with(self, text):
        """The device ID after a start with this record in place of the present one."""
        self.restart("stop", lambda: write(RECORD, text))
        self.demo.wait("ready", 60)
        return str(self.manager_property("DeviceId"))

    def test_it_is_kept(self):
        kept = record()
        self.assertEqual(hashlib.sha256(bytes.fromhex(kept["endorsement"])).hexdigest(), self.device_id)
        self.assertEqual(stat.S_IMODE(os.stat(RECORD).st_mode), 0o600)
        before = os.stat(RECORD).st_ino
        self.restart()
        self.demo.wait("ready", 60)
        self.assertEqual(self.manager_property("DeviceId"), self.device_id)
        self.assertEqual(os.stat(RECORD).st_ino, before, "it was not written again")
        # What is there is used: the TPM is not asked.
        other = "ab" * 91
        self.addCleanup(self.started_with, read(RECORD))
        self.assertEqual(self.started_with(checked(read(RECORD).replace(kept["endorsement"], other))),
                         hashlib.sha256(bytes.fromhex(other)).hexdigest())

    def test_a_clone_has_its_own(self):
        """The record of another device: another parent. It is neither used nor left."""
        text, kept = read(RECORD), record()
        other = kept["parent-name"][:-2] + f"{int(kept['parent-name'][-2:], 16) ^ 1:02x}"
        self.assertEqual(self.started_with(checked(text.replace(kept["parent-name"], other).replace(kept["endorsement"], "ab" * 91))),
                         self.device_id)
        wait_until(lambda: record() == kept, "the record to be this device's")

    def test_what_cannot_be_read(self):
        kept = record()
        for text in ("", "format=2\n", "nonsense\n", f"format=1\nparent-name=00\nendorsement={kept['endorsement']}\n"):
            with self.subTest(text):
                self.assertEqual(self.started_with(text), self.device_id)
                wait_until(lambda: record() == kept, "the record to be written anew")
        self.assertIn("the device ID is computed anew", self.logged())

    def test_settings_that_want_a_restart(self):
        text = read(SETTINGS)
        self.addCleanup(write, SETTINGS, text)
        write(SETTINGS, text + "DeviceIdSalt=x\n")
        self.manager("Reload")
        self.assertNotIn("takes effect when", self.logged())
        wait_until(lambda: self.manager_property("DeviceId") not in ("", self.device_id), "the salted device ID")
        write(SETTINGS, text.replace("TCTI=", "TCTI=device:/dev/null\nParentHandle=0x81000002\n#"))
        self.manager("Reload")
        for key in ("TCTI=", "ParentHandle="):
            self.assertIn(f"{key} of [TPM] in identityd.conf was changed; that takes effect when identityd is started again",
                          self.logged())
        self.assertNotIn("SerialCredential= of", self.logged())
        self.demo.wait("ready")
        write(SETTINGS, text)
        self.manager("Reload")
        wait_until(lambda: self.manager_property("DeviceId") == self.device_id, "the plain device ID")

    def test_a_serial_number_in_names(self):
        """What a manufacturer wrote into the firmware is a value in a name, or is refused, and never a part of it."""
        path, name = SANDBOX + "/credentials/serial", f"{SANDBOX}/etc/identities/named.conf"

        def manual(subject, names, more=""):
            return (f"[Identity]\nSubject={subject}\nSubjectAltName={names}\n[Enrollment]\nProtocol=manual\n"
                    f"Anchors={CA}/root.pem\n{more}")
        self.addCleanup(self.restart, "stop", lambda: os.unlink(path))
        self.restart("stop", lambda: write(path, "A/1,O=evil_b:2\n"))
        self.demo.wait("ready", 60)
        named = self.made("named", manual("CN=%s,O=Maker", "uri:urn:example:%s:x hardware-module:1.3.6.1.4.1.99999.1/%s"), state=None)
        text = run("openssl", "req", "-inform", "DER", "-noout", "-text", "-nameopt", "RFC2253",
                   data=named.create_request()).stdout.decode()
        self.assertIn("Subject: CN=A/1\\,O=evil_b:2,O=Maker\n", text)
        self.assertIn("URI:urn:example:A%2F1%2CO%3Devil_b%3A2:x, othername:", text)
        for names, line, fault in (
            ("dns:%s.example", 3, 'SubjectAltName=dns:%s.example: %s is "A/1,O=evil_b:2" on this device and cannot stand in a label'),
            ("uri:https://%s/x", 3, 'SubjectAltName=uri:https://%s/x: %s is "A/1,O=evil_b:2" on this device and cannot stand in'),
            ("dns:ok", 2, "Subject=serialNumber=%s: serialNumber may have only letters"),
        ):
            with self.subTest(names):
                self.configure("named", manual("serialNumber=%s" if line == 2 else "CN=x", names))
                self.assertIn(f"named: {name}:{line}: [Identity] {fault}",
                              self.refused("InvalidArgument", named.create_request, new_key=True))
        self.configure("named", configuration(enrollment=f"{USUAL}\nAuthenticate=credential:enrollment-password\nUser=u-%s"))
        self.assertIn(f'named: {name}:8: [Enrollment] User=u-%s: %s is "A/1,O=evil_b:2" on this device and has a \':\'',
                      self.refused("InvalidArgument", named.enroll))

    def test_a_tpm_that_comes_late_to_a_clock_that_is_behind(self):
        """The one renewal of such a boot is tried once the TPM is there, though the first look found none."""
        one = self.made("late", configuration())
        generation = one.generation()
        one.settle()

        domains = read(CLOCK).splitlines()

        def behind_and_without():
            service("stop", "swtpm")
            for path in (CLOCK, MARK):
                if os.path.exists(path):
                    os.unlink(path)
            since = int(time.clock_gettime(time.CLOCK_BOOTTIME) * 1e6)
            write(CLOCK, "".join(f"{line.split()[0]} {int(time.time()) + 600} {since} a test\n" for line in domains))
        self.addCleanup(self.boot_with_a_clock)
        self.restart("stop", behind_and_without)
        one.wait("unavailable", 60)
        self.assertIn("The TPM cannot be used", self.logged())
        self.assertFalse(os.path.exists(MARK))
        service("start", "swtpm")
        wait_until(lambda: one.generation() == generation + 1 and one.state() == "ready", "the renewal of this boot", 60)
        self.assertTrue(os.path.exists(MARK))

    def boot_with_a_clock(self):
        if not os.path.exists(SANDBOX + "/pids/swtpm"):
            service("start", "swtpm")
        self.restart("stop", lambda: [os.unlink(path) for path in (CLOCK, MARK) if os.path.exists(path)])
        self.demo.wait("ready", 60)


if __name__ == "__main__":
    unittest.main()
