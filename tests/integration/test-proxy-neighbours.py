#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""identityd-proxy beside those who mean it ill: processes of its own user, clients that say nothing, users and addresses that
want everything for themselves. Runs inside tests/sandbox."""

import os
import pwd
import subprocess
import sys
import unittest

from proxied import PATIENCE, ProxyCase
from sandboxed import read, run, wait_until


def other_user():
    """How to start a process that has no privileges: as somebody else where we are root."""
    if os.getuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


class Memory(ProxyCase):
    """What a process of the same user reads of it: nothing."""

    def start(self):
        """One without privileges, that waits for an identityd which is not there."""
        log = open(f"{self.directory}/unprivileged.log", "wb")
        self.addCleanup(log.close)
        process = subprocess.Popen(["identityd-proxy", "--listen", "127.0.0.1:0", "--loopback", "--connect", "localhost:1", "demo"],
                                   env=dict(os.environ, DBUS_SYSTEM_BUS_ADDRESS="unix:path=/nonexistent", ASAN_OPTIONS=""),
                                   stdin=subprocess.DEVNULL, stdout=log, stderr=log, **other_user())
        self.addCleanup(lambda: (process.kill(), process.wait()))
        wait_until(lambda: "new connections wait" in read(log.name) or process.poll() is not None, "it to wait", PATIENCE)
        self.assertIsNone(process.poll(), read(log.name))
        return process

    def test_nothing_is_read_by_the_same_user(self):
        process = self.start()
        tries = "; ".join(("import sys, ctypes",
                           "c = ctypes.CDLL(None, use_errno=True)",
                           "print([name for name in ('mem', 'environ', 'maps', 'fd/0') if opens(name)] +"
                           " (['ptrace'] if c.ptrace(0x4206, int(sys.argv[1]), 0, 0) == 0 else []))"))
        script = ("def opens(name):\n    import sys\n    try:\n        return open(f'/proc/{sys.argv[1]}/{name}', 'rb') is not None\n"
                  "    except OSError:\n        return False\n" + tries)
        said = run(sys.executable, "-c", script, str(process.pid), **other_user()).stdout.decode().strip()
        self.assertEqual(said, "[]")
        # The same attempts succeed with a process that does not mind, so that they can fail.
        willing = subprocess.Popen(["sleep", "60"], **other_user())
        self.addCleanup(lambda: (willing.kill(), willing.wait()))
        said = run(sys.executable, "-c", script, str(willing.pid), **other_user()).stdout.decode().strip()
        self.assertIn("environ", said)

    def test_no_core(self):
        process = self.start()
        self.assertRegex(read(f"/proc/{process.pid}/limits"), r"Max core file size +0 +0 ")


if __name__ == "__main__":
    unittest.main()
