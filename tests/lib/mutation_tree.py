# SPDX-License-Identifier: LGPL-2.1-or-later
"""A scratch copy of the source in which tests/mutants makes one change at a time, its build, and the tests in it.

Only what the nearest tests need is built. A test runs with limits, and with what it started is gone when it ends; a worker
process has one tree.
"""

import ctypes
import fcntl
import json
import os
import re
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, namedtuple

import mutations

# The integration tests that are nearest to a room, the one that notices most first. A room without a line has none.
INTEGRATION = {
    "access": ["callers", "hostile-bus"],
    "bus": ["introspect", "hostile-bus", "callers", "idctl-sandbox"],
    "client-lib": ["client-lib", "client-sandbox"],
    "command": ["idctl"],
    "config": ["spine", "device"],
    "daemon": ["spine", "life"],
    "device": ["readiness", "lifecycle-tpm", "lifecycle-clock"],
    "enroller": ["spine", "enrolment", "lifecycle-renewal"],
    "enrolment": ["enrolment", "manual", "hostile-enroller", "lifecycle-renewal", "lifecycle-rollover"],
    "idctl": ["idctl", "idctl-sandbox"],
    "identity": ["life", "damage", "lifecycle-rotation", "lifecycle-expiry"],
    "lending": ["handles", "callers", "life", "lifecycle-rotation"],
    "manager": ["spine", "life", "metrics", "lifecycle-clock"],
    "openssl": ["openssl", "forks"],
    "pkcs11": ["pkcs11", "forks"],
    "pki": ["spine", "lifecycle-revocation", "lifecycle-ocsp"],
    "proxy": ["proxy"],
    "revocation": ["lifecycle-revocation", "lifecycle-ocsp"],
    "rules": ["lifecycle-renewal", "lifecycle-expiry", "lifecycle-clock"],
    "signing": ["handles", "spine"],
    "store": ["damage", "lifecycle-cuts"],
    "tpm": ["spine", "lifecycle-tpm"],
    "work": ["spine", "hostile-enroller"],
}

# Tests that are as near as a room's own, but stand elsewhere.
ELSEWHERE = {"common": ["config-names"], "idctl": ["idctl"], "pki": ["pki-table"]}

TIMES_NORMAL = 10
MEMORY_MAX = 8 << 30  # bytes, for each process of a test: a changed bound may ask for anything

Test = namedtuple("Test", "name command environment directory targets sources")
Options = namedtuple("Options", "root build setup integration patience")
Result = namedtuple("Result", "mutant verdict by")
KILLED, SURVIVED, SAME, BROKEN, UNTESTED = "killed", "survived", "equivalent", "does not compile", "no tests"


class Trouble(Exception):
    """Something that makes a verdict impossible; its text is for whoever started this."""


def say(text):
    print("mutants:", text, file=sys.stderr, flush=True)


def git(root, *arguments):
    result = subprocess.run(["git", "-C", root, "-c", "safe.directory=*", *arguments], capture_output=True, check=False)
    if result.returncode != 0:
        raise Trouble(f"git {arguments[0]}: {result.stderr.decode(errors='replace').strip()}")
    return result.stdout.decode()


def files_of(root):
    """What is under version control or will be, as it lies there."""
    names = set(git(root, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0"))
    return sorted(name for name in names if name and os.path.isfile(os.path.join(root, name)))


def read(path):
    with open(path, "rb") as file:
        return file.read()


def write(path, data):
    """Always with the time of now, so that ninja sees the change back as well."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(data)


class Tree:
    """A scratch copy of the source with a build of its own, and the tests in it."""

    def __init__(self, options, number):
        self.options = options
        directory = os.path.join(options.build, str(number))
        kind = "".join("-" + re.sub(r"\W+", "-", option.strip("-D")) for option in options.setup)
        self.source, self.build = os.path.join(directory, "source"), os.path.join(directory, "build" + kind)
        os.makedirs(self.source, exist_ok=True)
        self.lock = open(os.path.join(directory, "lock"), "w", encoding="utf-8")
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise Trouble(f"{directory}: in use") from error
        self.changed = None  # the file that is not as it was, and its text
        self.measured = {}  # seconds of each test as it was; None: not to be used
        self.noticed = Counter()  # how often a test noticed, by name and file
        self.copy()
        self.configure()
        self.scratch = own_tmp([options.root, directory])

    def copy(self):
        """Makes the scratch copy what the checkout is; what is the same keeps its time."""
        names = files_of(self.options.root)
        for name in names:
            here, there = os.path.join(self.options.root, name), os.path.join(self.source, name)
            if not os.path.isfile(there) or read(here) != read(there):
                write(there, read(here))
            shutil.copymode(here, there)
        for directory, _, present in os.walk(self.source):
            for name in present:
                path = os.path.join(directory, name)
                if os.path.relpath(path, self.source) not in names:
                    os.unlink(path)

    def configure(self):
        if not os.path.exists(os.path.join(self.build, "build.ninja")):
            say(f"configuring {self.build}")
            self.run(["meson", "setup", self.build, self.source, "--buildtype=plain", "-Dwerror=false", "-Db_lto=false",
                      *self.options.setup], "meson setup")
        self.run(["ninja", "-C", self.build, "build.ninja"], "meson")
        describe = ["meson", "introspect", self.build]
        targets = {target["id"]: target for target in json.loads(self.run(describe + ["--targets"], "meson"))}
        self.tests = [self.test(test, targets) for test in json.loads(self.run(describe + ["--tests"], "meson"))]
        # What runs beside an integration test and is of the code that changes; the rest is built once.
        self.installed = [name for target in targets.values() if target["installed"] for name in self.relative(target["filename"])]
        # What tests load by its path, which meson is not told of.
        self.modules = [name for target in targets.values() if target["type"] == "shared module"
                        for name in self.relative(target["filename"])]
        commands = json.loads(read(os.path.join(self.build, "compile_commands.json")))
        self.compile = {os.path.realpath(os.path.join(c["directory"], c["file"])): c["command"] for c in reversed(commands)}

    def run(self, command, what):
        result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        if result.returncode != 0:
            raise Trouble(f"{what} failed in {self.build}:\n" + result.stdout.decode(errors="replace")[-4000:])
        return result.stdout.decode()

    def relative(self, names):
        return [os.path.relpath(os.path.join(self.build, name), self.build) for name in names]

    def test(self, test, targets):
        used = [targets[name] for name in test["depends"] if name in targets]
        built = [name for target in used for name in self.relative(target["filename"])]
        program = os.path.relpath(os.path.join(self.build, test["cmd"][0]), self.build)
        sources = {os.path.relpath(os.path.realpath(s), os.path.realpath(self.source))
                   for target in used for group in target["target_sources"] for s in group.get("sources", [])}
        # A relative argument of meson's is one below the build.
        command = [os.path.join(self.build, word) if word in built else word for word in test["cmd"]]
        if program in built:
            command[0] = os.path.join(self.build, program)
        return Test(test["name"], command, test["env"], test["workdir"] or self.build, built, sources)

    def ninja(self, targets):
        command = ["ninja", "-C", self.build, "-j", "1", *sorted(set(targets))]
        return subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode == 0

    def passes(self, test, patience):
        """Runs a test; whether it passed, which one that skipped itself did."""
        environment = dict(os.environ, MALLOC_PERTURB_="85", **test.environment)
        environment.pop("TMPDIR", None)

        def limit():
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            if not any("b_sanitize" in option for option in self.options.setup):  # they reserve terabytes
                resource.setrlimit(resource.RLIMIT_AS, (MEMORY_MAX, MEMORY_MAX))

        process = subprocess.Popen(test.command, env=environment, cwd=test.directory, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True, preexec_fn=limit)
        try:
            return process.wait(patience) in (0, 77)
        except subprocess.TimeoutExpired:
            return False
        finally:
            end_children()
            process.wait()
            for name in os.listdir("/tmp") if self.scratch else ():
                path = os.path.join("/tmp", name)
                shutil.rmtree(path, ignore_errors=True) if os.path.isdir(path) and not os.path.islink(path) else os.unlink(path)

    def nearest(self, path):
        """The unit tests of a file's room, by the folder of tests/unit that has the name of its folder or of one above it; and
        those of ELSEWHERE."""
        room = mutations.room_of(path)
        while room:
            parts = room.split("/")
            for i in range(len(parts)):
                folder = "tests/unit/" + "/".join(parts[i:]) + "/"
                found = [test for test in self.tests if any(source.startswith(folder) for source in test.sources)]
                if found:
                    elsewhere = ELSEWHERE.get(parts[i], [])
                    return found + [test for test in self.tests if test.name in elsewhere and test not in found]
            room = os.path.dirname(room)
        return []

    def integration(self, path):
        names = INTEGRATION.get(os.path.basename(mutations.room_of(path)), []) if self.options.integration else []
        return [test for name in names for test in self.tests if test.name == name]

    def usable(self, tests, targets):
        """Those that pass on the code as it is."""
        new = [test for test in tests if test.name not in self.measured]
        if new:
            say(f"building {len(new)} tests in {self.build}")
            self.run(["ninja", "-C", self.build, *sorted({name for test in new for name in test.targets} | set(targets))], "ninja")
        for test in new:
            begin = time.monotonic()
            passed = self.passes(test, 900) or self.passes(test, 900)  # once more, lest chance leaves it out
            self.measured[test.name] = time.monotonic() - begin if passed else None
            if not passed:
                say(f"{test.name} is left out, it fails on the code as it is")
        return [test for test in tests if self.measured[test.name] is not None]

    def notices(self, mutant, tests, targets):
        """The name of the first test that notices, None if none does; BROKEN if it does not compile."""
        if not tests:
            return None
        groups = [tests[:1], tests[1:]]  # most often one is enough, and only that one is linked
        for group in groups:
            if group and not self.ninja([name for test in group for name in test.targets] + targets):
                return BROKEN
            for test in group:
                if not self.passes(test, max(self.options.patience, TIMES_NORMAL * self.measured[test.name])):
                    self.noticed[test.name, mutant.file] += 1
                    self.noticed[test.name] += 1
                    return test.name
        return None

    def order(self, mutant, tests):
        words = set(re.split(r"[-_./]", os.path.splitext(mutant.file)[0]))

        def key(test):
            alike = sum(len(words & set(re.split(r"[-_./]", os.path.splitext(s)[0]))) for s in test.sources if "/test-" in s)
            return -self.noticed[test.name, mutant.file], -alike, -self.noticed[test.name], self.measured[test.name]

        return sorted(tests, key=key)

    def object(self, path):
        """A file's optimized code, b"" if it does not compile; None if it is not built at all."""
        command = self.compile.get(os.path.realpath(path))
        if command is None:
            return None
        words, keep, skip = shlex.split(command), [], False
        for word in words:
            if not skip and word not in ("-o", "-MF", "-MQ", "-MD"):
                keep.append(word)
            skip = word in ("-o", "-MF", "-MQ")
        with tempfile.TemporaryDirectory() as directory:
            out = os.path.join(directory, "o")
            subprocess.run(keep + ["-O2", "-o", out], cwd=self.build, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                           check=False)
            return read(out) if os.path.exists(out) else b""

    def restore(self):
        if self.changed:
            write(os.path.join(self.source, self.changed[0]), self.changed[1].encode())
            self.changed = None

    def try_one(self, mutant, was):
        unit, integration = self.nearest(mutant.file), self.integration(mutant.file)
        installed = self.installed if integration else []
        if any(test.name not in self.measured for test in unit + integration):
            self.restore()
        unit, integration = self.usable(unit, self.modules), self.usable(integration, ["all"])
        if not unit and not integration:
            return Result(mutant, UNTESTED, None)
        path, becomes = os.path.join(self.source, mutant.file), was[:mutant.start] + mutant.new + was[mutant.end:]
        self.changed = mutant.file, was
        write(path, becomes.encode())
        by = self.notices(mutant, self.order(mutant, unit), self.modules)
        if by is None:
            changed = self.object(path)
            write(path, was.encode())
            if changed == b"":
                by = BROKEN
            elif changed is not None and changed == self.object(path):
                by = SAME
            elif integration:
                write(path, becomes.encode())
                by = self.notices(mutant, integration, installed)
        verdict = SURVIVED if by is None else by if by in (BROKEN, SAME) else KILLED
        return Result(mutant, verdict, by)


def own_tmp(needed):
    """Gives this process a /tmp of its own, since tests that are killed leave much behind; False where that cannot be."""
    if os.geteuid() != 0 or any(os.path.realpath(path).startswith("/tmp/") for path in needed):
        return False
    before, libc = os.stat("/tmp"), ctypes.CDLL(None, use_errno=True)
    clone_newns, private = 0x00020000, 0x4000 | 0x40000  # CLONE_NEWNS; MS_REC | MS_PRIVATE
    if libc.unshare(clone_newns) != 0 or libc.mount(b"none", b"/", None, private, None) != 0:
        return False
    return libc.mount(b"tmpfs", b"/tmp", b"tmpfs", 0, b"mode=1777,size=2g") == 0 and os.stat("/tmp").st_dev != before.st_dev


def end_children():
    """Ends what a test left: this process is asked to inherit it (PR_SET_CHILD_SUBREAPER)."""
    while True:
        try:
            with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as file:
                children = [int(number) for number in file.read().split()]
        except OSError:
            return
        if not children:
            return
        for child in children:
            os.kill(child, signal.SIGKILL)
        for child in children:
            try:
                os.waitpid(child, 0)
            except ChildProcessError:
                pass
