#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A bus peer in identityd's place, for what the real one does rarely or never: slow answers, a CA that makes one wait, text
with control characters, errors from the bus itself. What an identity does follows from its name. With the real daemon
everything else is tested in the sandbox."""

import sys

import dbus
import dbus.mainloop.glib
import dbus.service
from gi.repository import GLib

MANAGER = "org.identityd1.Manager"
IDENTITY = "org.identityd1.Identity"
PROPERTIES = "org.freedesktop.DBus.Properties"
NAMES = ["broken", "denied", "empty", "evil", "gone", "pending", "ready", "slow"]


class Error(dbus.DBusException):
    def __init__(self, name, text):
        super().__init__(text)
        self._dbus_error_name = name


def identity_error(word, text):
    return Error("org.identityd1.Error." + word, text)


def byte_arrays(list_of_bytes):
    return dbus.Array([dbus.ByteArray(b) for b in list_of_bytes], signature="ay")


# As an identity has them: one that is well, one that has ended, one that never came.
PEER_CRLS = [
    ("http://crl.example/good.crl", "CN=good", 1700000000000000, 4000000000000000, 3900000000000000, ""),
    ("http://crl.example/late.crl", "CN=late", 1600000000000000, 1700000000000000, 3900000000000000, "status 503"),
    ("http://crl.example/never.crl", "", 0, 0, 0, "no such \x1b[31mhost"),
]


class Identity(dbus.service.Object):
    def __init__(self, bus, name, chain):
        super().__init__(bus, "/org/identityd1/identity/" + name)
        self.name = name
        ready = name not in ("empty", "slow", "pending")
        u64 = dbus.UInt64
        self.values = {
            "Name": name, "State": "ready" if ready else "empty", "Activity": "idle",
            "LastError": "bad\x1b[31mthing\x07 ü" if name == "evil" else "",
            "ReadyByItself": dbus.Boolean(name != "pending"),
            "Generation": dbus.UInt32(3 if ready else 0), "Subject": "CN=" + name if ready else "",
            "SerialNumber": "0a1b" if ready else "", "Issuer": "CN=Lab" if ready else "",
            "NotBefore": u64(1700000000000000 if ready else 0), "NotAfter": u64(4000000000000000 if ready else 0),
            "NextAttempt": u64(0), "NextRenewal": u64(3900000000000000 if ready else 0),
            "ClockFloor": u64(1700000000000000), "ClockSource": "the CRL of CN=root",
            "KeyAlgorithm": "ecdsa-p256", "PublicKey": dbus.ByteArray(b""),
            "Certificates": byte_arrays(chain[:1] if ready else []), "Anchors": byte_arrays(chain[1:]),
            "PeerCRLs": dbus.Array([(url, issuer, u64(begin), u64(end), u64(fetch), error) for url, issuer, begin, end, fetch, error in
                                    (PEER_CRLS if name == "evil" else [])], signature="(ssttts)")}
        if name == "broken":
            del self.values["KeyAlgorithm"]

    @dbus.service.method(PROPERTIES, in_signature="s", out_signature="a{sv}")
    def GetAll(self, interface):
        return self.values

    @dbus.service.signal(PROPERTIES, signature="sa{sv}as")
    def PropertiesChanged(self, interface, changed, invalidated):
        pass

    def change(self, **values):
        self.values.update(values)
        self.PropertiesChanged(IDENTITY, values, [])

    def refuse_if_told(self):
        if self.name == "denied":
            raise identity_error("AccessDenied", "only an administrator may do this to denied.")

    @dbus.service.method(IDENTITY, in_signature="a{sv}", async_callbacks=("done", "failed"))
    def Enroll(self, options, done, failed):
        self.refuse_if_told()
        if self.name == "pending":
            self.change(Activity="waiting", NextAttempt=dbus.UInt64(4100000000000000))
            return done()
        if self.name == "gone":
            sys.exit(0)
        if self.name != "slow":
            return failed(identity_error("EnrollmentFailed", "enrolment of %s: options %s" % (self.name, sorted(
                (str(k), bool(v)) for k, v in options.items()))))
        self.change(Activity="enrolling")

        def finish():
            self.change(Activity="idle", State="ready", Generation=dbus.UInt32(1), SerialNumber="01",
                        NotAfter=dbus.UInt64(4000000000000000))
            done()
        GLib.timeout_add(1500, finish)

    Renew = dbus.service.method(IDENTITY, in_signature="a{sv}", async_callbacks=("done", "failed"))(
        lambda self, options, done, failed: failed(identity_error("EnrollmentFailed", "renewal: options %s" % sorted(
            (str(k), bool(v)) for k, v in options.items()))))
    Renew.__name__ = "Renew"

    @dbus.service.method(IDENTITY, in_signature="a{sv}", out_signature="ay")
    def CreateRequest(self, options):
        return dbus.ByteArray(b"\x30\x01\x00" if options.get("new-key") else b"\x30\x00")

    @dbus.service.method(IDENTITY, in_signature="aay")
    def InstallCertificate(self, chain):
        raise identity_error("CertificateRejected", "got %s" % " ".join(str(len(c)) for c in chain))

    @dbus.service.method(IDENTITY)
    def Retire(self):
        self.refuse_if_told()
        self.change(State="retired", Generation=dbus.UInt32(0), NotAfter=dbus.UInt64(0))

    @dbus.service.method(IDENTITY)
    def ResetClock(self):
        self.refuse_if_told()
        self.values.update(ClockSource="the build of identityd")


class Manager(dbus.service.Object):
    def __init__(self, bus, chain):
        super().__init__(bus, "/org/identityd1")
        self.identities = {name: Identity(bus, name, chain) for name in NAMES}

    @dbus.service.method(MANAGER, in_signature="s", out_signature="o")
    def GetIdentity(self, name):
        if name not in self.identities:
            raise identity_error("NoSuchIdentity", "there is no identity \"%s\"." % name)
        return dbus.ObjectPath("/org/identityd1/identity/" + name)

    @dbus.service.method(MANAGER, out_signature="a(sosstt)")
    def ListIdentities(self):
        return [(n, "/org/identityd1/identity/" + n, i.values["State"], i.values["Activity"], i.values["NotAfter"],
                 i.values["NextRenewal"]) for n, i in sorted(self.identities.items())]

    @dbus.service.method(MANAGER)
    def Reload(self):
        raise Error("org.freedesktop.DBus.Error.InteractiveAuthorizationRequired", "polkit says no.")

    @dbus.service.method(MANAGER, out_signature="s")
    def Metrics(self):
        return "# EOF\n"

    @dbus.service.method(PROPERTIES, in_signature="ss", out_signature="v")
    def Get(self, interface, name):
        return {"Version": "9", "DeviceId": "ab", "TpmState": "ready", "TpmProblem": "", "TpmVendor": "Fake", "TpmFirmware": ""}[name]


def main():
    dbus.mainloop.glib.DBusGMainLoop(set_as_default=True)
    bus = dbus.SystemBus()
    manager = Manager(bus, [open(path, "rb").read() for path in sys.argv[1:]])
    name = dbus.service.BusName("org.identityd1", bus)
    GLib.MainLoop().run()
    del manager, name


if __name__ == "__main__":
    main()
