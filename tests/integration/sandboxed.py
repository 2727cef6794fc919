# SPDX-License-Identifier: LGPL-2.1-or-later
"""For tests that run inside tests/sandbox: the daemon over D-Bus, the lab CA's switches, openssl."""

import json
import os
import struct
import subprocess
import tempfile
import time
import unittest

import dbus
import dbus.bus

from handle import Handle

SANDBOX = os.environ["SANDBOX"]
CA = os.environ["SANDBOX_CA"]
LAB_CA = os.environ["LAB_CA"]
NAME = "org.identityd1"
ERROR = "org.identityd1.Error."


def run(*words, check=True, data=None, **arguments):
    result = subprocess.run(words, input=data, capture_output=True, check=False, **arguments)
    if check and result.returncode != 0:
        raise AssertionError(f"{' '.join(words)}: {result.returncode}\n{result.stdout.decode(errors='replace')}"
                             f"{result.stderr.decode(errors='replace')}")
    return result


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def wait_until(condition, what, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds} s in vain for {what}\n" + "\n".join(line for line in log("identityd").splitlines()[-8:] if "digest=user" not in line))
        time.sleep(0.05)


def log(service):
    path = f"{SANDBOX}/log/{service}.log"
    return read(path) if os.path.exists(path) else ""


EST = read(CA + "/est-url").strip()


def service(verb, name):
    listened = log(name).count("Listening on")
    run(os.path.join(SANDBOX, "bin/service"), verb, name)
    if verb in ("start", "restart") and name in ("enroller", "fetch"):
        wait_until(lambda: log(name).count("Listening on") > listened, name + "'s socket")


def time_passes(seconds):
    """All of identityd's clocks go that far ahead of ours (tests/sandbox --clocks); it looks at them when it is called next."""
    with open(SANDBOX + "/time-passes", "r+b") as file:
        file.write(struct.pack("=q", int(seconds)))


def control(*words):
    """A command to the lab CA."""
    return run(LAB_CA, "control", CA, *words).stdout.decode()


def requests(operation):
    """The lab CA's log lines of an operation."""
    return [line for line in read(CA + "/log").splitlines() if line.split()[1] == operation]


def sign_request(der, *options):
    """The lab CA signs a PKCS#10 by hand; PEM certificates."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(der)
        file.flush()
        return run(LAB_CA, "sign", CA, "--csr", file.name, *options).stdout.decode()


def pem_to_der(pem):
    """All certificates of a PEM text."""
    blocks = pem.split("-----END CERTIFICATE-----")[:-1]
    return [run("openssl", "x509", "-outform", "DER", data=(b + "-----END CERTIFICATE-----\n").encode()).stdout for b in blocks]


def field(der, *words):
    return run("openssl", "x509", "-inform", "DER", "-noout", *words, data=bytes(der)).stdout.decode().strip()


class Identity:
    """One identity on the bus."""

    def __init__(self, bus, name):
        self.bus, self.name = bus, name

    def path(self):
        return str(self.bus.get_object(NAME, "/org/identityd1", introspect=False).GetIdentity(
            self.name, dbus_interface=NAME + ".Manager"))

    def _object(self):
        return self.bus.get_object(NAME, self.path(), introspect=False)

    def get(self, name):
        return self._object().Get(NAME + ".Identity", name, dbus_interface="org.freedesktop.DBus.Properties")

    def call(self, method, *arguments, signature=None, timeout=120):
        return self._object().get_dbus_method(method, NAME + ".Identity")(*arguments, signature=signature, timeout=timeout)

    def enroll(self, **options):
        options = {k.replace("_", "-"): dbus.Boolean(v) for k, v in options.items()}
        self.call("Enroll", dbus.Dictionary(options, signature="sv"), signature="a{sv}")

    def settle(self):
        """Until a certificate issued now ends later than the present one: its times have whole seconds."""
        time.sleep(max(0, int(self.get("NotBefore")) / 1e6 + 1.02 - time.time()))

    def renew(self, **options):
        self.settle()
        options = {k.replace("_", "-"): dbus.Boolean(v) for k, v in options.items()}
        self.call("Renew", dbus.Dictionary(options, signature="sv"), signature="a{sv}")

    def create_request(self, **options):
        options = {k.replace("_", "-"): dbus.Boolean(v) for k, v in options.items()}
        return bytes(self.call("CreateRequest", dbus.Dictionary(options, signature="sv"), signature="a{sv}"))

    def install(self, certificates):
        self.call("InstallCertificate", [dbus.ByteArray(c) for c in certificates], signature="aay")

    def sign(self, scheme, message, framing="raw"):
        return bytes(self.call("Sign", framing, scheme, dbus.ByteArray(message), signature="ssay"))

    def open(self, purpose, options=None):
        descriptor = self.call("OpenCredential", purpose, dbus.Dictionary(options or {}, signature="sv"), signature="sa{sv}")
        return Handle(descriptor.take())

    def state(self):
        return str(self.get("State"))

    def generation(self):
        return int(self.get("Generation"))

    def certificate(self):
        return bytes(self.get("Certificates")[0])

    def wait(self, state, seconds=30):
        wait_until(lambda: self.state_or_none() == state, f"{self.name} to be {state}, not {self.state_or_none()}", seconds)

    def state_or_none(self):
        try:
            return self.state()
        except dbus.DBusException:
            return None


class Case(unittest.TestCase):
    """A test beside a running daemon; `self.demo` and `self.data` are its identities."""

    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.connect()

    @classmethod
    def connect(cls):
        cls.bus = dbus.bus.BusConnection(os.environ["DBUS_SYSTEM_BUS_ADDRESS"])
        cls.demo, cls.data = Identity(cls.bus, "demo"), Identity(cls.bus, "demo-data")

    @classmethod
    def identity(cls, name):
        return Identity(cls.bus, name)

    @classmethod
    def manager(cls, method, *arguments, signature=None):
        return cls.bus.get_object(NAME, "/org/identityd1", introspect=False).get_dbus_method(method, NAME + ".Manager")(
            *arguments, signature=signature, timeout=60)

    @classmethod
    def manager_property(cls, name):
        return cls.bus.get_object(NAME, "/org/identityd1", introspect=False).Get(
            NAME + ".Manager", name, dbus_interface="org.freedesktop.DBus.Properties")

    def refused(self, error, function, *arguments, **options):
        """Wants org.identityd1.Error.ERROR; returns its text."""
        with self.assertRaises(dbus.DBusException) as caught:
            function(*arguments, **options)
        self.assertEqual(caught.exception.get_dbus_name(), error if "." in error else ERROR + error,
                         caught.exception.get_dbus_message())
        return caught.exception.get_dbus_message()

    def configure(self, name, text):
        """Writes an identity's configuration, or removes it for None, and has it read."""
        path = f"{SANDBOX}/etc/identities/{name}.conf"
        if text is None:
            os.unlink(path)
        else:
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
        self.manager("Reload")

    def verify(self, certificate, scheme, message, signature):
        """Wants openssl to take the signature of the message."""
        self.assertTrue(verifies(certificate, scheme, message, signature), f"openssl refuses the {scheme} signature")


def verifies(certificate, scheme, message, signature):
    digest = scheme.rsplit("_", 1)[1]
    options = ["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest"] if "_pss_" in scheme else []
    with tempfile.TemporaryDirectory() as directory:
        key, file, detached = (os.path.join(directory, n) for n in ("key", "message", "signature"))
        with open(key, "w", encoding="utf-8") as f:
            f.write(field(certificate, "-pubkey"))
        with open(file, "wb") as f:
            f.write(message)
        with open(detached, "wb") as f:
            f.write(signature)
        return run("openssl", "dgst", "-" + digest, "-verify", key, *options, "-signature", detached, file,
                   check=False).returncode == 0


def verify_chain(certificates, root=None):
    """openssl's verdict on a chain, DER, leaf first, to the lab CA's root: '' or its complaint."""
    with tempfile.TemporaryDirectory() as directory:
        names = []
        for i, der in enumerate(certificates):
            names.append(os.path.join(directory, str(i)))
            run("openssl", "x509", "-inform", "DER", "-out", names[-1], data=bytes(der))
        chain = os.path.join(directory, "chain")
        with open(chain, "w", encoding="utf-8") as file:
            file.write("".join(read(name) for name in names[1:]))
        untrusted = ["-untrusted", chain] if names[1:] else []
        result = run("openssl", "verify", "-CAfile", root or CA + "/root.pem", *untrusted, names[0], check=False)
        return "" if result.returncode == 0 else result.stderr.decode()


def idctl(*words, check=True, **arguments):
    return run("idctl", *words, check=check, **arguments)


def idctl_json(*words):
    return json.loads(idctl(*words, "--json").stdout)
