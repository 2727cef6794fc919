#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Nothing wakes an idle identityd but its watchdog: both threads are traced, and every return from epoll is counted against the
watchdog's beats. Counted, not timed. Runs inside tests/sandbox."""

import collections
import os
import re
import shutil
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
from notified import Notified  # noqa: E402

WATCHDOG_USEC = 4_000_000  # fed twice in that time
BEATS = 5
# Main: the timer. Signing: main's ping. Nothing else.
WAKES_A_BEAT = {"main": 1, "signing": 1}


def traced(daemon, path, seconds):
    """System calls of all threads over that time, and the beats that were heard."""
    strace = subprocess.Popen(["strace", "-f", "-q", "-o", path, "-p", str(daemon.process.pid)], stderr=subprocess.PIPE)
    end = time.monotonic() + 20
    while not os.path.exists(path) or any(state_of(daemon, thread) is None for thread in daemon.threads()):
        if time.monotonic() > end or strace.poll() is not None:
            raise RuntimeError(f"strace cannot attach: {strace.stderr.read().decode() if strace.poll() else ''}")
        time.sleep(0.05)
    beats = 0
    while beats < BEATS:
        if "WATCHDOG=1" in daemon.message(seconds).split("\n"):
            beats += 1
    time.sleep(0.5)  # what the last beat caused
    strace.terminate()
    strace.wait(20)
    return beats


def state_of(daemon, thread):
    """The tracer of a thread; None: none yet."""
    with open(f"/proc/{daemon.process.pid}/task/{thread}/status", encoding="ascii") as file:
        tracer = int(re.search(r"^TracerPid:\s+(\d+)$", file.read(), re.MULTILINE).group(1))
    return tracer or None


def wakes(path):
    """Returns from waiting, by thread."""
    counted = collections.Counter()
    for line in open(path, encoding="utf-8", errors="replace"):
        found = re.match(r"(\d+) +(?:<\.\.\. )?(epoll_wait|epoll_pwait2?|ppoll|poll|futex|nanosleep|clock_nanosleep|select)\b(.*)", line)
        if found and "unfinished" not in line and "= 0" not in line.split(")")[-1] and "detached" not in line:
            counted[int(found.group(1))] += 1
    return counted


def main():
    if not shutil.which("strace"):
        print("there is no strace")
        return 77
    subprocess.run(["service", "stop", "identityd"], check=True)
    daemon = Notified(WATCHDOG_USEC)
    try:
        time.sleep(3)  # what a start leaves to be done
        path = os.path.join(os.environ["SANDBOX"], "trace")
        try:
            beats = traced(daemon, path, 30)
        except RuntimeError as error:
            print(error)
            return 77
        counted = wakes(path)
        threads = daemon.threads()
    finally:
        daemon.stop()
    print(f"{beats} beats of the watchdog, {len(threads)} threads, returns from waiting: "
          f"{', '.join(str(counted[thread]) for thread in threads)}")
    faults = []
    for index, thread in enumerate(threads):
        allowed = WAKES_A_BEAT["main" if index == 0 else "signing"] * beats if index < 2 else 0
        if counted[thread] > allowed:
            faults.append(f"thread {index} woke {counted[thread]} times, and should {allowed} times")
    if not counted[threads[0]]:
        faults.append("not even the watchdog woke it: nothing was traced")
    for fault in faults:
        print(fault)
    if faults:
        print(open(path, encoding="utf-8", errors="replace").read()[:6000])
    return 1 if faults else 0


sys.exit(main())
