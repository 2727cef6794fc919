#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Cuts the power at every system call by which an operation of the store changes the disk, and makes each of them fail for lack
of space, on a read-only file system and with an I/O error; then opens the store anew and asserts: the old or the new, whole,
nothing left over, and work goes on.

A kill is not yet a power cut: what was written but not synced survives it. So from the trace of each cut it is known which files
were not synced then, and those are emptied, as a journalling file system may leave them. The trace of the whole operation is also
checked for order: nothing is renamed before its content is synced, and no directory is left unsynced when the operation says that
it is done.

Usage: power-cut.py [--under EMULATOR] STORE-OPERATION [OPERATION…]"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

CHANGES = ["openat", "mkdirat", "write", "fsync", "fdatasync", "renameat", "renameat2", "unlinkat", "symlinkat", "linkat", "fchmod",
           "ftruncate"]
TRACE = ",".join(CHANGES) + ",getppid"
LINE = re.compile(r"^(?:\d+ +)?(\w+)\((.*)$")
RESULT = re.compile(r"\) += (-?\d+)(?:<([^>]*)>)?")
DIRECTORY = re.compile(r"^(?:AT_FDCWD|\d+)<([^>]*)>")

ARGUMENTS = sys.argv[1:]
EMULATOR = [ARGUMENTS[1]] if ARGUMENTS[0] == "--under" else []
PROGRAM, *ASKED_FOR = ARGUMENTS[2 * len(EMULATOR):]
RUN = [*EMULATOR, PROGRAM]
ENVIRONMENT = dict(os.environ, ASAN_OPTIONS="detect_leaks=0:abort_on_error=0", UBSAN_OPTIONS="halt_on_error=1")


class Wrong(Exception):
    pass


def program(*arguments):
    done = subprocess.run([*RUN, *arguments], capture_output=True, text=True, env=ENVIRONMENT, timeout=60)
    if done.returncode != 0:
        raise Wrong(f"{' '.join(arguments)}: status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def strace(log, operation, directory, inject=None):
    command = ["strace", "-f", "-y", "-s", "0", "-o", log, "-e", "trace=" + TRACE]
    if inject:
        command += ["-e", "inject=" + inject]
    command += [*RUN, "run", operation, directory]
    return subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, timeout=60)


class Call:
    """One line of a trace."""

    def __init__(self, name, rest, number):
        self.name, self.rest, self.number = name, rest, number
        result = RESULT.search(rest)
        self.finished = result is not None
        self.succeeded = result is not None and int(result.group(1)) >= 0
        strings = re.findall(r'"([^"]*)"', rest)
        first = DIRECTORY.match(rest)
        self.directory = first.group(1) if first else ""
        self.paths = []
        if name in ("openat", "mkdirat", "unlinkat"):
            self.paths = [self.at(self.directory, strings[0])]
        elif name == "symlinkat":
            self.paths = [self.at(re.search(r"\d+<([^>]*)>", rest).group(1), strings[1])]
        elif name in ("renameat", "renameat2", "linkat"):
            places = re.findall(r"\d+<([^>]*)>", rest)
            self.paths = [self.at(places[0], strings[0]), self.at(places[1], strings[1])]

    @staticmethod
    def at(directory, name):
        return os.path.normpath(os.path.join(directory, name))

    def changes(self):
        return self.name in CHANGES and (self.name != "openat" or "O_CREAT" in self.rest)

    def shape(self, directory):
        """What stays the same from run to run."""
        return self.name + " " + re.sub(r"\d+<", "<", self.rest.split(") =")[0].split(" <unfinished")[0]).replace(directory, "")


def read_trace(log):
    """The calls between the two marks; each with its number among the calls of its name since the program began."""
    counts, calls, marks = {}, [], 0
    for line in open(log, errors="replace"):
        match = LINE.match(line)
        if not match:
            continue
        name, rest = match.groups()
        counts[name] = counts.get(name, 0) + 1
        if name == "getppid":
            marks += 1
        elif marks == 1:
            calls.append(Call(name, rest, counts[name]))
    return calls, marks


class Disk:
    """Which files and directories a power cut could still take back."""

    def __init__(self):
        self.files, self.directories = set(), set()

    def follow(self, calls):
        for call in calls:
            if not call.succeeded:
                continue
            if call.name == "write":
                self.files.add(call.directory)
            elif call.name in ("fsync", "fdatasync"):
                self.files.discard(call.directory)
                self.directories.discard(call.directory)
            elif call.name in ("openat", "mkdirat", "symlinkat") and call.changes():
                self.directories.add(os.path.dirname(call.paths[0]))
                if call.name == "openat":
                    self.files.add(call.paths[0])
            elif call.name == "unlinkat":
                self.files.discard(call.paths[0])
                self.directories.discard(call.paths[0])
            elif call.name in ("renameat", "renameat2"):
                self.rename(call)

    def rename(self, call):
        old, new = call.paths
        exchange = "RENAME_EXCHANGE" in call.rest
        for dirty in self.files | self.directories:
            if dirty == old or dirty.startswith(old + "/"):
                if "/trash/" not in new:
                    raise Wrong(f"{old} is renamed to {new} while {dirty} is not synced")
        if exchange and any(dirty.startswith(new + "/") for dirty in self.files):
            raise Wrong(f"{new} is exchanged while it is not synced")
        self.directories |= {os.path.dirname(old), os.path.dirname(new)}

    def unsynced_content(self):
        return {d for d in self.files | self.directories if "/trash" not in d and "/.#" not in d}


def describe(directory):
    return program("describe", directory)


def allowed_outcomes(operation, old, new):
    """Descriptions that a cut may lead to. Everything is all or nothing, but for two."""
    outcomes = {old, new}
    if operation == "retire":  # pending work goes first
        outcomes.add(re.sub(r"pending=.*", "pending=none", old))
    if operation == "open-first":
        outcomes.add("no store\n")
    return outcomes


def generations_of(description):
    return [line for line in description.splitlines() if line.startswith(("current=", "generation="))]


class Operation:
    def __init__(self, name, work):
        self.name, self.work = name, work
        self.template = os.path.join(work, name + ".template")
        self.durable = "publish" not in name  # the runtime directory does not survive a power cut
        os.mkdir(self.template)
        program("prepare", name, self.template)
        self.old = self.describe_copy(self.template, "old")
        directory, log = self.fresh("whole"), os.path.join(work, name + ".whole.log")
        done = strace(log, name, directory)
        if done.returncode != 0 or not done.stdout.startswith("ok\n"):
            raise Wrong(f"{name}: {done.stdout}{done.stderr}")
        calls, marks = read_trace(log)
        if marks != 2:
            raise Wrong(f"{name}: {marks} marks in the trace")
        self.directory_of_trace = directory
        self.points = [call for call in calls if call.changes()]
        if self.durable:
            disk = Disk()
            disk.follow(calls)
            if disk.unsynced_content():
                raise Wrong(f"{name} is done while these are not synced: {sorted(disk.unsynced_content())}")
        self.new = describe(directory)
        self.allowed = allowed_outcomes(name, self.old, self.new)

    def fresh(self, label):
        directory = os.path.join(self.work, f"{self.name}.{label}")
        shutil.rmtree(directory, ignore_errors=True)
        shutil.copytree(self.template, directory, symlinks=True)
        return directory

    def describe_copy(self, directory, label):
        copy = os.path.join(self.work, f"{self.name}.{label}")
        shutil.copytree(directory, copy, symlinks=True)
        return describe(copy)

    def cut(self, index):
        """Kills at the point, loses what was not synced, opens anew."""
        point = self.points[index]
        label = f"cut-{index}"
        directory, log = self.fresh(label), os.path.join(self.work, f"{self.name}.{label}.log")
        done = strace(log, self.name, directory, f"{point.name}:signal=KILL:when={point.number}")
        calls, marks = read_trace(log)
        if marks != 1 or not calls:
            raise Wrong(f"{self.name}: the kill at {point.name} {point.number} came at another place\n{done.stdout}{done.stderr}")
        if calls[-1].shape(directory) != point.shape(self.directory_of_trace):
            raise Wrong(f"{self.name}: killed at {calls[-1].shape(directory)} instead of {point.shape(self.directory_of_trace)}")
        if self.durable:
            disk = Disk()
            disk.follow(calls[:-1])
            for path in disk.files:
                if os.path.exists(path):
                    os.truncate(path, 0)
        outcome = describe(directory)
        if outcome not in self.allowed:
            raise Wrong(f"{self.name}, cut at {point.shape(self.directory_of_trace)}: neither old nor new, but\n{outcome}"
                        f"old:\n{self.old}new:\n{self.new}")
        shutil.rmtree(directory)
        return outcome == self.new

    def fail(self, index, error, for_good):
        """Makes the call at the point fail, once or from there on; the process lives, the store must too."""
        point = self.points[index]
        label = f"{error}-{index}{'+' if for_good else ''}"
        directory, log = self.fresh(label), os.path.join(self.work, f"{self.name}.{label}.log")
        if for_good:
            # Each name has its own count; those before the point must not be hit.
            specification = []
            for name in WRITERS[error]:
                later = [p.number for p in self.points[index:] if p.name == name]
                if name == "openat":
                    # Those that only read must go on working, so this one is hit where it is the point itself, and once.
                    if point.name == name:
                        specification.append(f"{name}:error={error}:when={point.number}")
                elif later:
                    specification.append(f"{name}:error={error}:when={later[0]}+")
            inject = specification
        else:
            inject = [f"{point.name}:error={error}:when={point.number}"]
        command = ["strace", "-f", "-y", "-s", "0", "-o", log, "-e", "trace=" + TRACE]
        for one in inject:
            command += ["-e", "inject=" + one]
        done = subprocess.run(command + [*RUN, "run", self.name, directory], capture_output=True, text=True, env=ENVIRONMENT,
                              timeout=60)
        what = f"{self.name}, {error}{' from' if for_good else ''} at {point.shape(self.directory_of_trace)}"
        if done.returncode != 0:
            raise Wrong(f"{what}: status {done.returncode}\n{done.stdout}{done.stderr}")
        verdict, _, live = done.stdout.partition("\n")
        if "trash=forgotten" in live or (not for_good and "trash=left" in live):
            raise Wrong(f"{what}: something stays in trash/ and nobody removes it:\n{live}")
        outcome = describe(directory)
        if outcome not in self.allowed:
            raise Wrong(f"{what}: neither old nor new, but\n{outcome}")
        if verdict == "ok":
            if outcome != self.new:
                raise Wrong(f"{what}: said to be done, but afterwards there is\n{outcome}")
        else:
            if not re.match(rf"failed org.freedesktop.DBus.Error.IOError {re.escape(directory)}.* cannot be .*: {MESSAGES[error]}", verdict):
                raise Wrong(f"{what}: not a clear error: {verdict}")
            if "retire" not in self.name and "remove" not in self.name and \
                    generations_of(live) and generations_of(live)[0] != generations_of(self.old)[0]:
                raise Wrong(f"{what}: it failed, but the current generation changed: {live}")
        shutil.rmtree(directory)
        return verdict == "ok"


MESSAGES = {"ENOSPC": "No space left on device", "EROFS": "Read-only file system", "EIO": "Input/output error"}
WRITERS = {
    "ENOSPC": ["openat", "mkdirat", "write", "fsync", "renameat", "renameat2", "symlinkat"],
    "EROFS": ["openat", "mkdirat", "write", "fsync", "renameat", "renameat2", "symlinkat", "unlinkat", "fchmod"],
    "EIO": ["write", "fsync"],
}


def can_inject(error, points, index):
    return points[index].name in WRITERS[error]


def check_strace(work):
    trial = subprocess.run(["strace", "-o", os.path.join(work, "trial"), "true"], capture_output=True, text=True)
    return None if trial.returncode == 0 else trial.stderr.strip()


def try_operation(operation, pool):
    cuts = [pool.submit(operation.cut, i) for i in range(len(operation.points))]
    faults = [pool.submit(operation.fail, i, error, for_good) for i in range(len(operation.points)) for error in WRITERS
              for for_good in (False, True) if can_inject(error, operation.points, i)]
    new = sum(cut.result() for cut in cuts)
    survived = sum(fault.result() for fault in faults)
    print(f"{operation.name}: {len(cuts)} cut points ({len(cuts) - new} old, {new} new), {len(faults)} faults "
          f"({len(faults) - survived} refused, {survived} survived)", flush=True)
    return len(cuts), len(faults)


def main():
    work = tempfile.mkdtemp(prefix="identityd-power-cut-")
    try:
        problem = check_strace(work) if shutil.which("strace") else "strace is not installed"
        if problem:
            print(f"power cuts cannot be tried here: {problem}")
            return 1 if os.environ.get("CI") else 77
        names = ASKED_FOR or program("list").split()
        totals = [0, 0]
        with ThreadPoolExecutor(max_workers=2) as pool:
            for name in names:
                for i, count in enumerate(try_operation(Operation(name, work), pool)):
                    totals[i] += count
        print(f"in all: {len(names)} operations, {totals[0]} cut points, {totals[1]} faults")
        return 0
    except Wrong as wrong:
        print(f"FAILED: {wrong}")
        return 1
    finally:
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
