# SPDX-License-Identifier: LGPL-2.1-or-later
"""Takes the power away from a running identityd, or the disk, at a chosen system call: strace's fault injection, with path filters,
so that the N-th call below one identity's directories is the same call each time."""

import collections
import os
import re
import subprocess
import time

from sandboxed import SANDBOX, run, service, wait_until

CALLS = ("openat", "mkdirat", "write", "pwrite64", "fsync", "fdatasync", "rename", "renameat", "renameat2", "unlink", "unlinkat",
         "symlinkat", "linkat", "ftruncate", "fchmod")
FILES = ("state", "key.pem", "chain.pem", "parent", "checksum", "checksum.pending", "request.der", "flags", "anchors.pem", "ocsp")
LINE = re.compile(r"^(?:\d+ +)?(\w+)\((.*)$")
COMMIT = re.compile(r'^\d+, "pending", \d+, "\d+"\)')
SCRIPT = SANDBOX + "/services/identityd"
TRACE = SANDBOX + "/log/strace"


def alive():
    return run(os.path.join(SANDBOX, "bin/service"), "running", "identityd", check=False).returncode == 0


def entries(path):
    return sorted(os.listdir(path)) if os.path.isdir(path) else []


def last_number(name):
    """The highest number of a generation that was ever used."""
    numbers = [int(n) for n in entries(f"{SANDBOX}/state/{name}/generations") if n.isdigit()]
    state = f"{SANDBOX}/state/{name}/state"
    if os.path.exists(state):
        with open(state, encoding="utf-8") as file:
            numbers += [int(n) for n in re.findall(r"^last-generation=(\d+)", file.read(), re.M)]
    return max(numbers, default=0)


def watched(name):
    """All places where something of this identity is written or removed."""
    state, published = f"{SANDBOX}/state/{name}", SANDBOX + "/run"
    last = last_number(name)
    numbers = sorted({*range(max(1, last - 3), last + 5), *(int(n) for n in entries(state + "/generations") if n.isdigit())})
    written = [state, *(f"{state}/{d}" for d in ("pending", ".#pending", "trust", "trust/crls")), f"{published}/.#{name}"]
    directories = [SANDBOX + "/state", published, f"{published}/{name}", f"{published}/.clock~", state + "/generations", state + "/trash",
                   *(f"{state}/{d}" for n in numbers for d in (f"generations/{n}", f"trash/{n}.0")),
                   *(f"{state}/trash/{d}.0" for d in ("pending", ".#pending", "generations", *entries(state + "/trash"))),
                   *(f"{state}/trash/{d}" for d in entries(state + "/trash"))]
    return directories + written + [f"{d}/{prefix}{f}" for d in written for f in FILES for prefix in ("", ".#")]


def command(name, inject):
    words = ["strace", "-f", "-qq", "-o", TRACE, "-e", "trace=" + ",".join(CALLS)]
    for path in watched(name):
        words += ["-P", path]
    return words + (["-e", "inject=" + inject] if inject else [])


def changes():
    """The calls of the trace that change the disk: [(call, its number)]. One is marked by "!": that which makes a commit durable."""
    seen, found, renamed = collections.Counter(), [], False
    with open(TRACE, encoding="utf-8", errors="replace") as file:
        for line in file:
            match = LINE.match(line)
            if not match or match[1] not in CALLS:
                continue
            seen[match[1]] += 1
            if match[1] != "openat" or "O_CREAT" in match[2]:
                found.append((match[1], seen[match[1]]))
            if renamed and match[1] == "fsync":
                found[-1] += ("!",)
            renamed = match[1] == "renameat" and COMMIT.match(match[2])
    return found


def tracer(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        return int(re.search(r"^TracerPid:\t(\d+)", file.read(), re.M)[1])


def quiet():
    """Waits until the trace has not grown for a while: what follows an operation by itself belongs to it."""
    size, since, end = -1, time.monotonic(), time.monotonic() + 20
    while time.monotonic() - since < 0.4 and time.monotonic() < end:
        now = os.path.getsize(TRACE) if os.path.exists(TRACE) else 0
        if now != size:
            size, since = now, time.monotonic()
        time.sleep(0.05)


class Attached:
    """strace on the daemon that runs."""

    def __init__(self, name, inject=None):
        self.name, self.inject, self.strace = name, inject, None

    def __enter__(self):
        pid = run(os.path.join(SANDBOX, "bin/service"), "running", "identityd").stdout.decode().strip()
        if os.path.exists(TRACE):
            os.unlink(TRACE)
        self.strace = subprocess.Popen(command(self.name, self.inject) + ["-p", pid], stdout=subprocess.DEVNULL,
                                       stderr=subprocess.PIPE)
        end = time.monotonic() + 60
        while tracer(pid) == 0:
            if self.strace.poll() is not None or time.monotonic() > end:
                raise AssertionError("strace may not attach: " + self.strace.stderr.read().decode())
            time.sleep(0.01)
        return self

    def __exit__(self, *_):
        quiet()
        self.strace.terminate()
        self.strace.wait(60)
        self.strace.stderr.close()


class Starting:
    """identityd's next start under strace."""

    def __init__(self, name, inject=None):
        self.name, self.inject = name, inject
        with open(SCRIPT, encoding="utf-8") as file:
            self.script = file.read()

    def __enter__(self):
        if os.path.exists(TRACE):
            os.unlink(TRACE)
        program = os.path.join(os.environ["BUILD"], "daemon/identityd")
        if self.script.count(" " + program) != 1:
            raise AssertionError("the service's script is not as expected: " + self.script)
        words = command(self.name, self.inject)
        words[1:1] = ["-D", "-I2"]  # so that identityd keeps the process id that `service` knows
        with open(SCRIPT, "w", encoding="utf-8") as file:
            file.write(self.script.replace(" " + program, " " + " ".join(f"'{w}'" for w in words) + " " + program))
        service("start", "identityd")
        return self

    def __exit__(self, *_):
        with open(SCRIPT, "w", encoding="utf-8") as file:
            file.write(self.script)
        wait_until(lambda: os.path.exists(TRACE), "strace", 60)
        quiet()
        if alive():
            pid = run(os.path.join(SANDBOX, "bin/service"), "running", "identityd").stdout.decode().strip()
            if tracer(pid):
                os.kill(tracer(pid), 15)
                wait_until(lambda: not alive() or tracer(pid) == 0, "strace to let go", 60)
