# SPDX-License-Identifier: LGPL-2.1-or-later
"""identityd started as systemd would, inside tests/sandbox: with a notification socket, so that READY=1 and WATCHDOG=1 are seen."""

import os
import socket
import subprocess
import time


class Notified:
    """A running daemon; `ready_after` is seconds from exec to READY=1, where that is waited for."""

    def __init__(self, watchdog_usec=None, timeout=60, wait=True):
        sandbox = os.environ["SANDBOX"]
        path = os.path.join(sandbox, f"notify.{os.getpid()}.{time.monotonic_ns()}")
        if os.path.exists(path):
            os.unlink(path)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(path)
        self.status = None  # the last one that was told
        environment = dict(os.environ, NOTIFY_SOCKET=path, STATE_DIRECTORY=sandbox + "/state", RUNTIME_DIRECTORY=sandbox + "/run",
                           CONFIGURATION_DIRECTORY=sandbox + "/etc", CREDENTIALS_DIRECTORY=sandbox + "/credentials")
        if watchdog_usec:
            environment["WATCHDOG_USEC"] = str(watchdog_usec)
        self.log = open(os.path.join(sandbox, "log/notified.log"), "ab")
        started = time.monotonic()
        self.process = subprocess.Popen([os.environ["BUILD"] + "/daemon/identityd"], env=environment, stdin=subprocess.DEVNULL,
                                        stdout=self.log, stderr=self.log)
        if wait:
            self.await_message("READY=1", timeout)
        self.ready_after = time.monotonic() - started

    def await_message(self, line, timeout):
        end = time.monotonic() + timeout
        while line not in self.message(max(end - time.monotonic(), 0.001)).split("\n"):
            pass

    def message(self, timeout):
        self.socket.settimeout(timeout)
        text = self.socket.recv(4096).decode()
        for line in text.split("\n"):
            if line.startswith("STATUS="):
                self.status = line[7:]
        return text

    def threads(self):
        return sorted(int(name) for name in os.listdir(f"/proc/{self.process.pid}/task"))

    def stop(self):
        self.process.terminate()
        status = self.process.wait(30)
        self.socket.close()
        self.log.close()
        return status
