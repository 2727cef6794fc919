#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""plain.py COMMAND…: runs a command with PLAIN_BUILD, a build without sanitizers.

What other programs load (the OpenSSL provider, the PKCS#11 module, libidentityd) cannot bring sanitizers into them. Where
$BUILD has sanitizers and PLAIN_BUILD is not set (tests/run sets it), $BUILD/plain is made, or brought up to date, first."""

import fcntl
import json
import os
import subprocess
import sys

TARGETS = {"client-lib/openssl/identityd.so", "client-lib/openssl/identityd.cnf", "client-lib/pkcs11/identityd-pkcs11.so"}


def quiet(*command):
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if result.returncode != 0:
        sys.exit(f"plain.py: {' '.join(command)}: {result.returncode}\n{result.stdout[-6000:]}")
    return result.stdout


def is_plain(build):
    with open(os.path.join(build, "meson-info/intro-buildoptions.json"), encoding="utf-8") as file:
        options = {option["name"]: option["value"] for option in json.load(file)}
    return options["b_sanitize"] in ("none", [], "")


def make(build, source):
    os.makedirs(build, exist_ok=True)
    with open(os.path.join(build, ".lock"), "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(os.path.join(build, "build.ninja")):
            quiet("meson", "setup", build, source, "-Dtests=false", "-Dman=disabled")
        known = {line.partition(":")[0] for line in quiet("ninja", "-C", build, "-t", "targets", "all").splitlines()}
        quiet("ninja", "-C", build, *sorted(TARGETS & known))


def main():
    build = os.environ["BUILD"]
    if not os.environ.get("PLAIN_BUILD"):
        if not is_plain(build):
            build = os.path.join(build, "plain")
            make(build, os.environ["SOURCE"])
        os.environ["PLAIN_BUILD"] = build
    os.execvp(sys.argv[1], sys.argv[1:])


main()
