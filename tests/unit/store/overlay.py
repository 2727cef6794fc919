#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The store on an overlay file system whose lower layer, an image, has the state directory already: rename(2) of a directory says
EXDEV there. Each operation must lead to what it leads to on a plain directory; those that move directories are also cut off at each
call by which they change the disk.

Usage: overlay.py STORE-OPERATION. Runs itself in a mount namespace of its own, as root or in a user namespace; where there is
neither, or no overlay file system, it is skipped."""

import os
import re
import shutil
import subprocess
import sys
import tempfile

PROGRAM = sys.argv[1]
INSIDE = "--inside" in sys.argv
MOVING = ["pending-replace", "pending-drop", "commit-first", "commit-renewal", "remove-old", "retire", "publish-again",
          "unpublish"]
CALLS = ["openat", "mkdirat", "write", "fsync", "renameat", "renameat2", "unlinkat", "symlinkat"]
ENVIRONMENT = dict(os.environ, ASAN_OPTIONS="detect_leaks=0:abort_on_error=0", UBSAN_OPTIONS="halt_on_error=1")


class Wrong(Exception):
    pass


def skip(reason):
    print(f"an overlay file system cannot be tried here: {reason}")
    sys.exit(1 if os.environ.get("CI") else 77)


def run(*words, check=True):
    done = subprocess.run(words, capture_output=True, text=True, env=ENVIRONMENT, timeout=60, check=False)
    if check and done.returncode != 0:
        raise Wrong(f"{' '.join(words)}: status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


class Overlay:
    """A copy of `lower` as an image's layer, with an empty one above."""

    def __init__(self, work, lower):
        self.directory = tempfile.mkdtemp(dir=work)
        for name in ("upper", "work", "merged"):
            os.mkdir(f"{self.directory}/{name}")
        self.merged = self.directory + "/merged"
        self.mounted = subprocess.run(
            ["mount", "-t", "overlay", "overlay", "-o",
             f"lowerdir={lower},upperdir={self.directory}/upper,workdir={self.directory}/work", self.merged],
            capture_output=True, text=True, check=False)

    def __enter__(self):
        if self.mounted.returncode != 0:
            skip(self.mounted.stderr.strip())
        return self.merged

    def __exit__(self, *_):
        run("umount", self.merged)
        shutil.rmtree(self.directory, ignore_errors=True)


def describe(directory, plain):
    """What is in the store, with the directory's name taken out."""
    return run(PROGRAM, "describe", directory).replace(directory, plain)


def outcomes(work, name):
    """(the template, what it holds, what the operation makes of it on a plain directory)."""
    template, plain, old = (f"{work}/{name}.{kind}" for kind in ("template", "plain", "old"))
    os.mkdir(template)
    run(PROGRAM, "prepare", name, template)
    shutil.copytree(template, plain, symlinks=True)
    shutil.copytree(template, old, symlinks=True)
    run(PROGRAM, "run", name, plain)
    return template, describe(old, "D"), describe(plain, "D")


def rename_is_refused(work):
    """That the file system is one for which all this is needed."""
    lower = work + "/trial"
    os.makedirs(lower + "/a")
    with Overlay(work, lower) as merged:
        try:
            os.rename(merged + "/a", merged + "/b")
        except OSError:
            return True
        return False


def cut(work, name, template, call, number):
    """What is found after a kill at the N-th call of that name; None: it was done before."""
    with Overlay(work, template) as merged:
        done = subprocess.run(["strace", "-f", "-o", "/dev/null", "-e", f"trace={call}", "-e",
                               f"inject={call}:signal=KILL:when={number}", PROGRAM, "run", name, merged],
                              capture_output=True, text=True, env=ENVIRONMENT, timeout=60, check=False)
        return None if done.returncode == 0 else describe(merged, "D")


def calls_of(work, name, template):
    """[(call, its number)] of those that change the disk, and how many came before the operation."""
    log = f"{work}/{name}.trace"
    with Overlay(work, template) as merged:
        run("strace", "-f", "-s", "0", "-o", log, "-e", "trace=getppid," + ",".join(CALLS), PROGRAM, "run", name, merged)
    counts, found, marks = {}, [], 0
    with open(log, encoding="utf-8", errors="replace") as file:
        for line in file:
            match = re.match(r"^(?:\d+ +)?(\w+)\(", line)
            if not match:
                continue
            call = match[1]
            counts[call] = counts.get(call, 0) + 1
            marks += call == "getppid"
            if marks == 1 and call in CALLS and (call != "openat" or "O_CREAT" in line):
                found.append((call, counts[call]))
    return found


def try_without_exchange(work, name, template, new):
    """A plain directory of a file system that does not know RENAME_EXCHANGE."""
    for error in ("EINVAL", "ENOSYS"):
        plain = f"{work}/{name}.{error}"
        shutil.copytree(template, plain, symlinks=True)
        said = run("strace", "-f", "-o", "/dev/null", "-e", "trace=renameat2", "-e", f"inject=renameat2:error={error}", PROGRAM,
                   "run", name, plain)
        found = describe(plain, "D")
        if not said.startswith("ok\n") or found != new:
            raise Wrong(f"{name} with {error} for RENAME_EXCHANGE: {said}instead of\n{new}there is\n{found}")


def try_operation(work, name):
    template, old, new = outcomes(work, name)
    with Overlay(work, template) as merged:
        said = run(PROGRAM, "run", name, merged)
        found = describe(merged, "D")
        if not said.startswith("ok\n") or found != new:
            raise Wrong(f"{name} on an overlay: {said}instead of\n{new}there is\n{found}")
    if name in MOVING and shutil.which("strace"):
        try_without_exchange(work, name, template, new)
    cuts = calls_of(work, name, template) if name in MOVING and shutil.which("strace") else []
    allowed = {old, new, re.sub(r"pending=.*", "pending=none", old)}
    for call, number in cuts:
        found = cut(work, name, template, call, number)
        if found is None:
            raise Wrong(f"{name}: there was no {call} {number}")
        # A retirement may be found half-way, with some of what was there; its mark in `state` has whoever opens it end it. Of
        # published files some may be missing, but those of two sets never stand side by side.
        half = (name == "retire" and set(found.splitlines()) <= set((old + new).splitlines())) or \
            ("publish" in name and any(set(found.splitlines()) <= set(one.splitlines()) for one in (old, new)))
        if found not in allowed and not half:
            raise Wrong(f"{name}, cut at {call} {number}: neither old nor new, but\n{found}old:\n{old}new:\n{new}")
    return len(cuts)


def main():
    if not INSIDE:
        words = ["unshare", "-m"] if os.getuid() == 0 else ["unshare", "-Urm"]
        if subprocess.run(words + ["true"], capture_output=True, check=False).returncode != 0:
            skip("neither root nor a user namespace")
        os.execvp("unshare", words + [sys.executable, __file__, PROGRAM, "--inside"])
    work = tempfile.mkdtemp(prefix="identityd-overlay-")
    try:
        if subprocess.run(["mount", "-t", "tmpfs", "none", work], capture_output=True, check=False).returncode != 0:
            skip("a tmpfs cannot be mounted")
        if not rename_is_refused(work):
            print("this overlay file system renames directories of its lower layer")
        names = run(PROGRAM, "list").split()
        cuts = sum(try_operation(work, name) for name in names)
        print(f"in all: {len(names)} operations on an overlay file system, {cuts} cut points")
        return 0
    except Wrong as wrong:
        print(wrong)
        return 1
    finally:
        subprocess.run(["umount", work], capture_output=True, check=False)
        os.rmdir(work)


sys.exit(main())
