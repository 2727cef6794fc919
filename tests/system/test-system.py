#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Boots machines with a TPM on which identityd was installed by `meson install`, and has tests/system/guest check it there.

test-system.py [--keep] [--build DIRECTORY] [PHASE…]

Phases of one machine, one after another: first (enrolment and everything that follows from it), again (a reboot with the same TPM;
ends in a power cut in the midst of a renewal), after-cut, other-tpm. Of another: apps (access by unit, confinement, programs, the
clock, a TPM that goes and comes). quick is what is worth a minute of everybody's time, and what is run where nothing is asked for;
with CI=true both machines are, side by side. Each result is a line. 77 where something that it takes is missing."""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time

import machine

SOURCE = os.environ.get("SOURCE") or os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CHAINS = [["first", "again", "after-cut", "other-tpm"], ["apps"]]
PHASE_SECONDS = 1500  # takes a minute or two where nothing else runs
TEST_PROGRAMS = ["lab-ca", "probe"]  # what the guest runs beside what is installed

FILES = {
    "etc/hostname": "device\n",
    "etc/machine-id": "5f7d5b0c0f5e4d3f9f6c1a2b3c4d5e6f\n",
    "etc/fstab": "",
    "etc/tmpfiles.d/tmp.conf": "# in place of the system's: the sources may lie below /tmp, which is not to be emptied\n",
    "etc/systemd/journald.conf.d/test.conf": "[Journal]\nStorage=persistent\nSyncIntervalSec=5s\nForwardToConsole=no\n",
    "etc/systemd/system.conf.d/test.conf": "[Manager]\nDefaultTimeoutStopSec=20s\n",
    "usr/lib/sysusers.d/identityd-test.conf": "u plain 2001 - /nonexistent /bin/sh\nu operator 2002 - /nonexistent /bin/sh\n"
                                              "u manager 2003 - /nonexistent /bin/sh\nm manager identityd-admin\n",
    "etc/systemd/system/identityd-test.service":
        "[Unit]\nAfter=dbus.socket basic.target polkit.service\n[Service]\nExecStart={guest} {build}\n"
        "StandardOutput=tty\nTTYPath=/dev/ttyS1\nStandardError=journal+console\nIgnoreSIGPIPE=no\n",
}


def plain_build(directory):
    """A build as it is shipped: no sanitizers, prefix /usr."""
    if not os.path.exists(os.path.join(directory, "build.ninja")):
        subprocess.run(["meson", "setup", directory, SOURCE, "--prefix=/usr", "--sysconfdir=/etc", "--localstatedir=/var"],
                       check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["ninja", "-C", directory, "build.ninja"], check=True, stdout=subprocess.DEVNULL)  # what is new, if anything
    targets = json.loads(subprocess.run(["meson", "introspect", "--targets", directory], capture_output=True, check=True).stdout)
    wanted = [os.path.relpath(name, directory) for target in targets for name in target["filename"]
              if target["installed"] or target["name"] in TEST_PROGRAMS]
    with open(os.path.join(directory, "build.log"), "wb") as log:
        if subprocess.run(["ninja", "-C", directory, *wanted], stdout=log, stderr=log, check=False).returncode != 0:
            log.flush()
            subprocess.run(["tail", "-n", "30", log.name], check=False)
            raise RuntimeError("the build failed")


def make_seed(seed, build):
    subprocess.run(["meson", "install", "-C", build, "--no-rebuild", "--quiet"], env=dict(os.environ, DESTDIR=seed), check=True,
                   stdout=subprocess.DEVNULL)
    for name, text in FILES.items():
        path = os.path.join(seed, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text.replace("{guest}", os.path.join(SOURCE, "tests/system/guest")).replace("{build}", build))
    wants = os.path.join(seed, "etc/systemd/system/multi-user.target.wants")
    os.makedirs(wants)
    os.symlink("../identityd-test.service", wants + "/identityd-test.service")
    os.makedirs(os.path.join(seed, "var/log/journal"))
    # As a package would after installing it.
    subprocess.run(["systemctl", f"--root={seed}", "preset", "identityd.service", "identityd-enroller.socket",
                    "identityd-fetch.socket"], check=True, stderr=subprocess.DEVNULL)


def check_filter(build):
    """What a story of the integration tests calls is within the units' system-call filters: those that the machines have refuse
    and log, here it is named what. 1: it is not."""
    result = subprocess.run([os.path.join(SOURCE, "tests/system/derive-filter"), "--build", build, "test-spine.py"],
                            capture_output=True, text=True, check=False)
    if result.returncode == 0 and "passed" in result.stdout:
        print("ok host: no system call of test-spine.py is missing in a filter", flush=True)
        return 0
    print(f"not ok host: derive-filter: {result.stdout}{result.stderr}", flush=True)
    return 1


class Run:
    """One machine and the phases that it goes through."""

    lock = threading.Lock()  # of what is printed

    def __init__(self, scratch, kernel, seed, phases):
        self.passed, self.failed = 0, 0
        self.scratch, self.phases = scratch, phases
        self.machine = machine.Machine(scratch, kernel, seed)

    def say(self, line):
        with Run.lock:
            print(line, flush=True)

    def fail(self, line, more=""):
        self.failed += 1
        self.say(f"not ok {line}{more}")

    def console(self):
        return "\n" + self.machine.console()[-4000:]

    def phase(self, phase):
        started = time.monotonic()
        tpm = os.path.join(self.scratch, "tpm-b" if phase == "other-tpm" else "tpm-a")
        self.machine.boot(tpm, f"identityd.phase={phase}")
        done = False
        try:
            for line in self.machine.results(PHASE_SECONDS):
                if line.startswith("ok "):
                    self.passed += 1
                    self.say(f"{line} ({time.monotonic() - started:.0f} s)")
                elif line.startswith("not ok "):
                    self.fail(line[len("not ok "):])
                elif line == "cut":
                    self.machine.cut_power()
                    done = True
                elif line == "done":
                    done = True
                elif line:
                    self.say(line)
            if not done:
                self.fail(f"{phase}: the machine ended before the checks did", self.console())
            self.machine.off()
        except TimeoutError as error:
            self.fail(f"{phase}: {error}", self.console())
        finally:
            self.machine.cut_power()
        self.say(f"# {phase}: {time.monotonic() - started:.0f} s")

    def run(self):
        try:
            for phase in self.phases:
                self.phase(phase)
        except Exception as error:  # pylint: disable=broad-except
            self.fail(f"{self.phases}: {type(error).__name__}: {error}")
        finally:
            self.machine.cut_power()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--keep", action="store_true", help="leaves the scratch directory, and says where it is")
    parser.add_argument("--build", help="a plain build with prefix /usr that is there, instead of one of our own")
    parser.add_argument("phases", nargs="*", help=f"quick, or of {CHAINS}")
    arguments = parser.parse_args()
    chains = [arguments.phases] if arguments.phases else CHAINS if os.environ.get("CI") == "true" else [["quick"]]
    try:
        machine.requirements()
        cache = os.path.join(os.environ.get("RUN_DIRECTORY") or SOURCE, "build-system")
        if not os.access(os.path.dirname(cache), os.W_OK):
            raise machine.Missing(f"{os.path.dirname(cache)} is not writable; set RUN_DIRECTORY to where builds may go")
        kernel = machine.find_kernel(cache)
    except machine.Missing as missing:
        print(f"no machine can be booted here: {missing}")
        return 77
    build = os.path.abspath(arguments.build) if arguments.build else os.path.join(cache, "plain")
    plain_build(build)
    scratch = tempfile.mkdtemp(prefix="idsys.", dir="/var/tmp")
    os.chmod(scratch, 0o755)
    try:
        seed = os.path.join(scratch, "seed")
        make_seed(seed, build)
        runs = [Run(os.path.join(scratch, f"machine-{i}"), kernel, seed, phases) for i, phases in enumerate(chains)]
        threads = [threading.Thread(target=run.run) for run in runs]
        for thread in threads:
            thread.start()
        failed = check_filter(build)
        for thread in threads:
            thread.join()
        passed, failed = sum(run.passed for run in runs) + 1 - failed, sum(run.failed for run in runs) + failed
        print(f"{passed} checks passed, {failed} failed")
        return 1 if failed or any(not run.passed for run in runs) else 0
    finally:
        if arguments.keep:
            print(f"kept: {scratch}")
        else:
            shutil.rmtree(scratch, ignore_errors=True)


sys.exit(main())
