# SPDX-License-Identifier: LGPL-2.1-or-later
"""A message bus of the test's own in a directory of its own, and the processes on it, ended by their process ids."""

import os
import shutil
import subprocess
import tempfile
import time

CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>session</type><listen>unix:path=%s</listen><auth>EXTERNAL</auth><servicedir>%s</servicedir>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy>
</busconfig>"""


class PrivateBus:
    def __enter__(self):
        self.directory = tempfile.mkdtemp(prefix="identityd-test.")
        self.processes = []
        socket = os.path.join(self.directory, "bus")
        config = os.path.join(self.directory, "bus.conf")
        self.services = os.path.join(self.directory, "services")  # what the bus may start by itself
        os.mkdir(self.services)
        with open(config, "w", encoding="utf-8") as file:
            file.write(CONFIG % (socket, self.services))
        self.environment = dict(os.environ, DBUS_SYSTEM_BUS_ADDRESS="unix:path=" + socket, NO_COLOR="1", LC_ALL="C.UTF-8")
        self.start(["dbus-daemon", "--config-file=" + config, "--nofork", "--nopidfile"])
        self.wait_until(lambda: os.path.exists(socket), "the bus's socket")
        return self

    def start(self, command, **arguments):
        process = subprocess.Popen(command, env=self.environment, **arguments)
        self.processes.append(process)
        return process

    def reload(self):
        """Has the bus look again at what it may start."""
        subprocess.run(["busctl", "--system", "call", "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus",
                        "ReloadConfig"], env=self.environment, check=True)

    def wait_until(self, condition, what, seconds=20):
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise AssertionError("waited %d s in vain for %s" % (seconds, what))
            time.sleep(0.02)

    def has_owner(self, name):
        return subprocess.run(["busctl", "--system", "--no-pager", "call", "org.freedesktop.DBus", "/org/freedesktop/DBus",
                               "org.freedesktop.DBus", "NameHasOwner", "s", name], env=self.environment, check=False,
                              capture_output=True, text=True).stdout.strip() == "b true"

    def __exit__(self, *_):
        for process in reversed(self.processes):
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self.directory)
