# SPDX-License-Identifier: LGPL-2.1-or-later
"""What happens around identityd in tests/bench/soak, inside the sandbox: soak_neighbours.py HEAP SECONDS ROUND. Prints the figures."""
import json
import os
import re
import socket
import struct
import subprocess
import sys
import threading
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tests/integration"))

import dbus  # noqa: E402  pylint: disable=wrong-import-position
import dbus.bus  # noqa: E402  pylint: disable=wrong-import-position

from handle import GET_STATE, HEADER, SIGN_MESSAGE, Closed, Handle, Refused  # noqa: E402  pylint: disable=wrong-import-position
from sandboxed import CA, EST, NAME, SANDBOX, control, run, service  # noqa: E402  pylint: disable=wrong-import-position

PROGRAMS = os.path.join(os.environ["BUILD"], "tests/integration")
IDENTITIES = ("demo", "demo-data", "rotating", "peers")
NOBODY = 65534
SAMPLES_EVERY = 0.1
PASSING = (f"[Identity]\nSubject=CN=%d,O=passing\n[Enrollment]\nServer={EST}\nAnchors={CA}/root.pem\nServerAnchors={CA}/server.pem\n"
           f"Authenticate=credential:enrollment-password\nUser=demo\n[Access]\ndigest=user:{os.getuid()}\n")


class Tally:
    """What the neighbours did. Each thread adds to it."""

    def __init__(self):
        self.lock, self.counts = threading.Lock(), dict.fromkeys(("signatures", "handshakes", "wrong", "refused", "hostile"), 0)

    def add(self, what, count=1):
        with self.lock:
            self.counts[what] += count


TALLY = Tally()


def quietly(*words, seconds=60):
    """A program whose failure is no fault while something is down; (standard output, standard error)."""
    result = subprocess.run(words, capture_output=True, text=True, check=False, timeout=seconds, errors="replace")
    return result.stdout, result.stderr


# ---- programs ----

def sign(identity, purpose):
    """Opens three handles, signs with each, drops them; each signature is verified."""
    out, err = quietly(f"{PROGRAMS}/handles-client", "--handles", "3", "--count", "8", "--pause", "20", "--reopen", identity, purpose)
    done = re.search(r"signatures (\d+) failures (\d+)", out)
    wrong = err.count("it may not verify")
    TALLY.add("wrong", wrong)
    TALLY.add("refused", int(done[2]) - wrong if done else 1)
    TALLY.add("signatures", int(done[1]) - int(done[2]) if done else 0)


def shake_hands():
    """A TLS server and a client, both with keys of identityd."""
    path = f"{SANDBOX}/soak-tls.{threading.get_ident()}"
    with subprocess.Popen([f"{PROGRAMS}/handshake-client", "--listen", "--purpose", "tls-server", "--count", "5", "demo", "unix:" + path],
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        end = time.monotonic() + 5
        while not os.path.exists(path) and server.poll() is None and time.monotonic() < end:
            time.sleep(0.02)
        out, _ = quietly(f"{PROGRAMS}/handshake-client", "--count", "5", "--host", "localhost", "peers", "unix:" + path)
        server.kill()
    if os.path.exists(path):
        os.unlink(path)
    done = re.search(r"handshakes (\d+) failures (\d+)", out)
    TALLY.add("refused", int(done[2]) if done else 1)
    TALLY.add("handshakes", int(done[1]) - int(done[2]) if done else 0)


# ---- neighbours ----

def call(bus, path, interface, method, signature, *arguments):
    return bus.call_blocking(NAME, path, NAME + interface, method, signature, arguments, timeout=10)


def open_handle(bus, identity="demo", purpose="digest"):
    return Handle(call(bus, "/org/identityd1", ".Manager", "OpenCredential", "ssa{sv}", identity, purpose, {}).take())


def rubbish(bus):
    """Packets that are none, each of which ends its handle."""
    for packet in (b"", b"x", os.urandom(200), HEADER.pack(9, GET_STATE, 0, 1, 0, 0, 0), HEADER.pack(1, 0x77, 0, 1, 0, 0, 0),
                   HEADER.pack(1, SIGN_MESSAGE, 0, 1, 0, 0xffff, 0) + bytes(60000)):
        with open_handle(bus) as handle:
            try:
                handle.socket.send(packet)
            except OSError:
                pass
            handle.socket.shutdown(socket.SHUT_WR)
            handle.wait_closed(5)


def never_read(bus):
    """Asks until nothing more goes into the socket, sends descriptors along, and goes away."""
    with open_handle(bus) as handle:
        handle.socket.setblocking(False)
        pipe = os.pipe()
        try:
            for serial in range(1, 10000):
                handle.socket.sendmsg([HEADER.pack(1, GET_STATE, 0, serial, 0, 0, 0)])
            handle.socket.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("ii", *pipe))])
        except OSError:
            pass
        for descriptor in pipe:
            os.close(descriptor)


def many_handles(bus):
    """As many as there are to be had, and one more."""
    held = []
    try:
        for _ in range(70):
            held.append(open_handle(bus, "demo-data", "data-raw"))
    finally:
        for handle in held:
            handle.close()


def wrong_calls(bus):
    for arguments in (("nobody-of-this-name", "digest", {}), ("demo", "everything", {}), ("demo", "digest", {"x" * 200: True}),
                      ("é€" * 80, "digest", {}), ("demo-data", "digest", {})):
        try:
            call(bus, "/org/identityd1", ".Manager", "OpenCredential", "ssa{sv}", *arguments)
        except dbus.DBusException:
            pass
    for method, signature, arguments in (("Sign", "ssay", ("raw", "rot13", dbus.ByteArray(b"x"))), ("InstallCertificate", "aay", ([],)),
                                         ("Sign", "ssay", ("raw", "ecdsa_secp256r1_sha256", dbus.ByteArray(bytes(1 << 20)))),
                                         ("InstallCertificate", "aay", ([dbus.ByteArray(os.urandom(3000))],)), ("Renew", "s", ("x",))):
        try:
            call(bus, "/org/identityd1/identity/demo", ".Identity", method, signature, *arguments)
        except dbus.DBusException:
            pass


def hang_up(_):
    """Calls whose callers are gone before the answer."""
    for _ in range(5):
        bus = dbus.bus.BusConnection(os.environ["DBUS_SYSTEM_BUS_ADDRESS"])
        for method in ("Renew", "Enroll"):
            bus.call_async(NAME, "/org/identityd1/identity/demo-data", NAME + ".Identity", method, "a{sv}", ({},), None, None)
        bus.flush()
        bus.close()


def as_nobody(_):
    """Another user, who has no rights."""
    subprocess.run([sys.executable, "-c", "import os, subprocess\nos.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
                    "for verb in (['renew', 'demo'], ['retire', '--yes', 'demo'], ['sign', 'demo-data', '/dev/null'], ['show', 'demo'], ['reload']):\n"
                    f"    subprocess.run(['{SANDBOX}/bin/idctl', *verb], stdout=-3, stderr=-3, timeout=30)"], check=False, timeout=60)


def neighbour(acts):
    """Each of these once."""
    for act in acts:
        try:
            bus = dbus.bus.BusConnection(os.environ["DBUS_SYSTEM_BUS_ADDRESS"])
        except dbus.DBusException:
            return
        try:
            act(bus)
        except (dbus.DBusException, Closed, Refused, OSError, TimeoutError, ValueError):
            pass
        bus.close()
        TALLY.add("hostile")


def be_known():
    """So many callers that no more of them are remembered: what is full does not grow."""
    buses = [dbus.bus.BusConnection(os.environ["DBUS_SYSTEM_BUS_ADDRESS"]) for _ in range(100)]
    for bus in buses:
        neighbour_of(bus)
    for bus in buses:
        bus.close()


def neighbour_of(bus):
    try:
        open_handle(bus, "demo-data", "data-raw").close()
    except (dbus.DBusException, Closed, Refused, TimeoutError):
        pass


# ---- what goes wrong, and what an admin does ----

def pass_by():
    """An identity that comes, signs, and is forgotten."""
    path = f"{SANDBOX}/etc/identities/passing.conf"
    with open(path, "w", encoding="utf-8") as file:
        file.write(PASSING)
    quietly("idctl", "reload")
    quietly("idctl", "wait", "--timeout=10s", "passing")
    sign("passing", "digest")
    quietly("idctl", "retire", "--yes", "passing")
    os.unlink(path)
    quietly("idctl", "reload")
    quietly("idctl", "forget", "--yes", "passing")


def disturb(seconds):
    """One thing after the other, each a share of the time."""
    pause = seconds / 12
    for verb, name in (("stop", "lab-ca"), ("start", "lab-ca")):
        service(verb, name)
        time.sleep(pause)
    control("crl-renew")
    service("restart", "swtpm")
    time.sleep(pause)
    for operation in ("any", "crl"):
        control("fault", operation, "status", "code=503", "count=3")
    time.sleep(pause)
    control("clear")
    quietly("idctl", "renew", "--rotate-key", "rotating")
    quietly("idctl", "renew", "--rotate-key", "demo")
    pass_by()
    for verb in (["list"], ["show", "demo"], ["metrics"], ["check"], ["version"]):
        quietly("idctl", *verb)


def again(end, function, *arguments):
    while time.monotonic() < end:
        function(*arguments)
        time.sleep(0.2)


def busy(seconds):
    """Everything at once, until the time is over."""
    end = time.monotonic() + seconds
    works = [(disturb, seconds), (again, end, sign, "demo", "tls-client"), (again, end, sign, "demo-data", "data-raw"),
             (again, end, sign, "rotating", "digest"), (again, end, shake_hands),
             (again, end, neighbour, (rubbish, never_read, many_handles, wrong_calls, hang_up, as_nobody))]
    threads = [threading.Thread(target=f, args=arguments) for f, *arguments in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


# ---- looks ----

def shown():
    identities = {i["name"]: i for i in json.loads(run("idctl", "list", "--json").stdout)}
    return {name: json.loads(run("idctl", "show", "--json", name).stdout) for name in identities}


def look(pid, heap):
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        pages = {words[0]: int(words[1]) for words in (line.split() for line in file) if words[-1] == "kB"}
    with open(heap, "rb") as file:
        used, blocks = struct.unpack("=qq", file.read(16))
    return {"pss-kib": pages["Pss:"], "own-kib": pages["Pss_Anon:"], "heap-bytes": used, "heap-blocks": blocks,
            "descriptors": len(os.listdir(f"/proc/{pid}/fd"))}


def still(pid, heap, seconds):
    """Once all are ready again: the least of what was seen."""
    end, found = time.monotonic() + 20, {}
    while time.monotonic() < end:
        found = shown()
        if all(i["state"] == "ready" for i in found.values()):
            break
        time.sleep(0.2)
    least, end = look(pid, heap), time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(SAMPLES_EVERY)
        now = look(pid, heap)
        least = {key: min(least[key], now[key]) for key in least}
    kept = sum(len(os.listdir(f"{SANDBOX}/state/{name}/generations")) for name in IDENTITIES)
    return {**least, "not-ready": [name for name, i in found.items() if i["state"] != "ready"], "identities": len(found),
            "generations-kept": kept, "generation": sum(i["generation"] for i in found.values())}


def left_in_tpm():
    """As of somebody who had no time to take anything away."""
    service("kill", "identityd")
    time.sleep(0.5)
    return {what: run("tpm2_getcap", "handles-" + kind).stdout.decode().count("0x")
            for what, kind in (("objects", "transient"), ("sessions", "loaded-session"))}


def main():
    heap, seconds, length = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    pid = int(run(os.path.join(SANDBOX, "bin/service"), "running", "identityd").stdout)
    be_known()
    began, rounds, first = time.monotonic(), [], sum(i["generation"] for i in shown().values())
    while not rounds or time.monotonic() - began + length <= seconds:
        busy(length * 2 / 3)
        rounds.append({**still(pid, heap, length / 3), "at": round(time.monotonic() - began)})
        print(f"soak: {json.dumps(rounds[-1])}", file=sys.stderr, flush=True)
    if int(run(os.path.join(SANDBOX, "bin/service"), "running", "identityd").stdout) != pid:
        raise AssertionError("identityd is another one")
    print(json.dumps({"seconds": round(time.monotonic() - began), "generations-made": rounds[-1]["generation"] - first, **TALLY.counts,
                      "rounds": rounds, "tpm": left_in_tpm()}))


if __name__ == "__main__":
    main()
