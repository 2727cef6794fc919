#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What `meson install` puts where, and what systemd says of the units: no complaint, and exposure within bounds.

test-units.py              installs below a scratch directory and judges that
test-units.py --self-test  breaks a copy of each, and wants it noticed
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile

BUILD = os.environ["BUILD"]
SOURCE = os.environ["SOURCE"]

# Of 10: what `systemd-analyze security` may say at most.
EXPOSURE = {"identityd.service": 0.5, "identityd-enroller@.service": 1.2, "identityd-fetch@.service": 1.2,
            "identityd-proxy@.service": 1.3, "identityd-wait@.service": 0.5}
# Where the programs are that units start, by the build's options.
PROGRAMS = {"identityd-wait@.service": "bindir"}
UNITS = [*EXPOSURE, "identityd-enroller.socket", "identityd-fetch.socket", "identityd-proxy@.socket",
         "identityd-reload@.service", "identityd-reload@.path", "identityd-ready@.target"]

# Where things belong, seen from the prefix; SYSCONF stands for sysconfdir.
LAYOUT = [
    *(f"lib/systemd/system/{unit}" for unit in UNITS),
    "lib/systemd/system-preset/90-identityd.preset",
    "lib/systemd/catalog/identityd.catalog",
    "lib/sysusers.d/identityd.conf",
    "lib/tmpfiles.d/identityd.conf",
    "share/dbus-1/system.d/org.identityd1.conf",
    "share/dbus-1/system-services/org.identityd1.service",
    "share/dbus-1/interfaces/org.identityd1.Manager.xml",
    "share/polkit-1/actions/org.identityd1.policy",
]


def option(name):
    import json
    output = subprocess.run(["meson", "introspect", "--buildoptions", BUILD], capture_output=True, text=True, check=True)
    return next(entry["value"] for entry in json.loads(output.stdout) if entry["name"] == name)


def install(destination):
    environment = dict(os.environ, DESTDIR=destination)
    subprocess.run(["meson", "install", "-C", BUILD, "--no-rebuild", "--quiet"], env=environment, check=True,
                   stdout=subprocess.DEVNULL)
    return os.path.join(destination, option("prefix").lstrip("/"))


def check_layout(prefix):
    faults = [f"{path} is not installed" for path in LAYOUT if not os.path.exists(os.path.join(prefix, path))]
    libexec = os.path.join(prefix, option("libexecdir"))
    for program in ("identityd", "identityd-enroller", "identityd-proxy"):
        if not os.access(os.path.join(libexec, program), os.X_OK):
            faults.append(f"{program} is not in libexecdir")
    return faults


def copy_units(prefix, directory):
    """The units as they are installed, but with the programs where they lie now, so that systemd finds them."""
    for unit in UNITS:
        programs = option(PROGRAMS.get(unit, "libexecdir"))
        installed = os.path.join("/", option("prefix").lstrip("/"), programs)
        with open(os.path.join(prefix, "lib/systemd/system", unit), encoding="utf-8") as file:
            text = file.read()
        if unit in EXPOSURE and f"ExecStart={installed}/" not in text:
            yield f"{unit} does not start what is in {installed}"
        with open(os.path.join(directory, unit), "w", encoding="utf-8") as file:
            file.write(text.replace(f"ExecStart={installed}/", f"ExecStart={os.path.join(prefix, programs)}/"))


def check_order(directory):
    """Whoever is ordered behind the target is behind the wait, and does not begin where that fails."""
    with open(os.path.join(directory, "identityd-ready@.target"), encoding="utf-8") as file:
        text = file.read()
    return [f"identityd-ready@.target has no {line}" for line in ("Requires=identityd-wait@%i.service", "After=identityd-wait@%i.service")
            if line + "\n" not in text]


def check_verify(directory):
    """Everything that systemd says of our units is a fault; what it says of the host's own is not ours."""
    units = [os.path.join(directory, unit) for unit in UNITS]
    environment = dict(os.environ, SYSTEMD_UNIT_PATH=directory + ":", SYSTEMD_LOG_LEVEL="warning")
    result = subprocess.run(["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True, check=False,
                            env=environment, timeout=60)
    faults = [line for line in result.stderr.splitlines() if "identityd" in line]
    if result.returncode != 0 and not faults:
        faults.append(f"systemd-analyze verify ended with {result.returncode}: {result.stderr}")
    return faults


def check_exposure(directory):
    faults = []
    for unit, limit in EXPOSURE.items():
        result = subprocess.run(["systemd-analyze", "security", "--offline=yes", "--no-pager", os.path.join(directory, unit)],
                                capture_output=True, text=True, check=False, timeout=60)
        found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", result.stdout)
        if not found:
            faults.append(f"{unit}: systemd-analyze security said nothing: {result.stderr}")
            continue
        exposure = float(found.group(1))
        print(f"{unit}: exposure {exposure} of at most {limit}")
        if exposure > limit:
            faults.append(f"{unit}: exposure {exposure}, more than {limit}:\n" +
                          "\n".join(line for line in result.stdout.splitlines() if line.startswith("✗")))
    return faults


def check_catalog(catalog, header):
    """Each MESSAGE_ID of the daemon is in the catalog, and the other way round."""
    with open(header, encoding="utf-8") as file:
        ids = set(re.findall(r'#define MESSAGE_\w+\s+"([0-9a-f]{32})"', file.read()))
    with open(catalog, encoding="utf-8") as file:
        explained = re.findall(r"^-- ([0-9a-f]{32})$", file.read(), re.MULTILINE)
    faults = [f"{i} is not in the catalog" for i in ids - set(explained)]
    faults += [f"{i} is in the catalog, but the daemon never says it" for i in set(explained) - ids]
    if not ids or len(set(explained)) != len(explained):
        faults.append("a MESSAGE_ID is explained twice, or there are none")
    with tempfile.TemporaryDirectory() as directory:
        database = os.path.join(directory, "var/lib/systemd/catalog")
        os.makedirs(database)
        os.makedirs(os.path.join(directory, "usr/lib/systemd/catalog"))
        shutil.copy(catalog, os.path.join(directory, "usr/lib/systemd/catalog"))
        result = subprocess.run(["journalctl", "--update-catalog", f"--root={directory}"], capture_output=True, text=True,
                                check=False, timeout=60)
        if result.returncode != 0 or result.stderr:
            faults.append(f"journalctl does not take the catalog: {result.stderr}")
    return faults


def check_places(directory, header):
    """identityd has fewer enrollers at work at a time than a socket unit lets in: those that go still count."""
    with open(header, encoding="utf-8") as file:
        places = int(re.search(r"#define JOB_PLACES (\d+)U", file.read()).group(1))
    faults = []
    for unit in ("identityd-enroller.socket", "identityd-fetch.socket"):
        with open(os.path.join(directory, unit), encoding="utf-8") as file:
            limit = int(re.search(r"^MaxConnections=(\d+)$", file.read(), re.MULTILINE).group(1))
        if limit < 2 * places:
            faults.append(f"{unit}: MaxConnections={limit} for {places} at work leaves no room for those that go")
    return faults


def check_neighbours(directory):
    """Instances of a template share a user where nothing else is said, and processes of one user reach each other."""
    faults = []
    for unit in (unit for unit in UNITS if unit.endswith("@.service")):
        with open(os.path.join(directory, unit), encoding="utf-8") as file:
            lines = file.read().splitlines()
        if "DynamicUser=yes" in lines and not any(re.fullmatch("User=.*%i", line) for line in lines) and "PrivateUsers=yes" not in lines:
            faults.append(f"{unit}: its instances share a user and a namespace of users")
    return faults


def check_limits(directory):
    """identityd.service has what the code reckons, and no service is without bounds."""
    budget = subprocess.run([os.path.join(BUILD, "tests/system/budget")], capture_output=True, text=True, check=True).stdout.split()
    faults = []
    for unit in (unit for unit in UNITS if unit.endswith(".service")):
        with open(os.path.join(directory, unit), encoding="utf-8") as file:
            lines = file.read().splitlines()
        for limit in ("LimitNOFILE=", "MemoryMax=", "TasksMax="):
            if sum(line.startswith(limit) for line in lines) != 1:
                faults.append(f"{unit} has no {limit}")
        if unit == "identityd.service":
            faults += [f"{unit} has another {line.split('=')[0]}= than {line}" for line in budget if line not in lines]
    return faults if len(budget) == 3 else faults + [f"the budget is {budget}"]


def check_sysusers(prefix):
    with tempfile.TemporaryDirectory() as root:
        os.mkdir(os.path.join(root, "etc"))
        result = subprocess.run(["systemd-sysusers", f"--root={root}", os.path.join(prefix, "lib/sysusers.d/identityd.conf")],
                                capture_output=True, text=True, check=False, timeout=60)
        try:
            with open(os.path.join(root, "etc/passwd"), encoding="utf-8") as file:
                users = [line.split(":")[0] for line in file]
            with open(os.path.join(root, "etc/group"), encoding="utf-8") as file:
                groups = [line.split(":")[0] for line in file]
        except OSError as error:
            return [f"systemd-sysusers made nothing: {error}: {result.stderr}"]
    faults = [f"no group {group}" for group in ("identityd", "identityd-admin", "tss") if group not in groups]
    return faults + ([] if users == ["identityd"] else [f"users: {users}"])


def check_all(prefix, directory):
    faults = check_layout(prefix)
    if not faults:
        faults += copy_units(prefix, directory)
        faults += check_verify(directory)
        faults += check_order(directory)
        faults += check_exposure(directory)
        faults += check_places(directory, os.path.join(SOURCE, "daemon/work/job.h"))
        faults += check_neighbours(directory)
        faults += check_limits(directory)
        faults += check_sysusers(prefix)
    return faults + check_catalog(os.path.join(SOURCE, "units/identityd.catalog"),
                                  os.path.join(SOURCE, "daemon/device/log.h"))


def edit(path, old, new):
    with open(path, encoding="utf-8") as file:
        text = file.read()
    assert old in text, f"{old} is not in {path}"
    with open(path, "w", encoding="utf-8") as file:
        file.write(text.replace(old, new))


def self_test(prefix, directory):
    assert not list(copy_units(prefix, directory))
    service, enroller = (os.path.join(directory, unit) for unit in ("identityd.service", "identityd-enroller@.service"))
    edit(service, "PrivateNetwork=yes\n", "")
    edit(enroller, "CapabilityBoundingSet=\n", "")
    faults = check_exposure(directory)
    assert len(faults) == 2 and "PrivateNetwork" in faults[0] and "identityd-enroller@" in faults[1], faults
    edit(enroller, "PrivateUsers=yes\n", "")
    edit(os.path.join(directory, "identityd-proxy@.service"), "User=idproxy-%i\n", "")
    faults = check_neighbours(directory)
    assert len(faults) == 2 and "identityd-enroller@" in faults[0] and "identityd-proxy@" in faults[1], faults
    socket = os.path.join(directory, "identityd-fetch.socket")
    edit(socket, "MaxConnections=16", "MaxConnections=7")
    assert len(check_places(directory, os.path.join(SOURCE, "daemon/work/job.h"))) == 1
    assert not check_limits(directory)
    edit(service, "LimitNOFILE=8192", "LimitNOFILE=8191")
    edit(enroller, "MemoryMax=128M\n", "")
    faults = check_limits(directory)
    assert len(faults) == 2 and "LimitNOFILE=8192" in faults[0] + faults[1] and "MemoryMax=" in faults[0] + faults[1], faults
    edit(os.path.join(directory, "identityd-ready@.target"), "After=", "Before=")
    assert len(check_order(directory)) == 1
    edit(service, "ProtectHome=yes", "ProtectHome=perhaps")
    assert any("ProtectHome" in fault or "perhaps" in fault for fault in check_verify(directory))
    catalog = os.path.join(directory, "broken.catalog")
    shutil.copy(os.path.join(SOURCE, "units/identityd.catalog"), catalog)
    edit(catalog, "-- 28aee7387334417fad26f38ceee72c4e", "-- 38aee7387334417fad26f38ceee72c4e")
    assert len(check_catalog(catalog, os.path.join(SOURCE, "daemon/device/log.h"))) == 2
    os.unlink(os.path.join(prefix, "share/dbus-1/system.d/org.identityd1.conf"))
    assert len(check_layout(prefix)) == 1
    return []


def main():
    if not shutil.which("systemd-analyze"):
        print("there is no systemd-analyze here (Debian's package systemd)")
        return 77
    with tempfile.TemporaryDirectory() as scratch:
        directory = os.path.join(scratch, "units")
        os.mkdir(directory)
        prefix = install(os.path.join(scratch, "root"))
        faults = self_test(prefix, directory) if "--self-test" in sys.argv else check_all(prefix, directory)
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


sys.exit(main())
