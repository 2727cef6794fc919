#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the running daemon answers to Introspect against dbus/*.xml: every member, argument and annotation, both ways. Run it
inside tests/sandbox. Without a bus, `--self-test` breaks each part of the reference and wants it noticed."""

import os
import subprocess
import sys
import unittest
import xml.etree.ElementTree as ET

SOURCE = os.environ.get("SOURCE") or os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
STANDARD = {"org.freedesktop.DBus.Peer", "org.freedesktop.DBus.Introspectable", "org.freedesktop.DBus.Properties"}
# The specification's default, which may be written or left out.
DEFAULT_ANNOTATIONS = {("org.freedesktop.DBus.Property.EmitsChangedSignal", "true")}


def annotations(element):
    return frozenset((a.get("name"), a.get("value")) for a in element.findall("annotation")) - DEFAULT_ANNOTATIONS


def arguments(element, default):
    return tuple((a.get("direction", default), a.get("type"), a.get("name")) for a in element.findall("arg"))


def members(interface):
    """Every member of an interface, comparable: in an order of their own, since only names count."""
    found = {}
    for element in interface:
        name = element.get("name")
        if element.tag == "method":
            found["method " + name] = (arguments(element, "in"), annotations(element))
        elif element.tag == "signal":
            found["signal " + name] = (arguments(element, "out"), annotations(element))
        elif element.tag == "property":
            found["property " + name] = (element.get("type"), element.get("access"), annotations(element))
        elif element.tag == "annotation":
            found["annotation " + name] = element.get("value")
    return found


def reference(name):
    return ET.parse(os.path.join(SOURCE, "dbus", "org.identityd1.%s.xml" % name)).getroot().find("interface")


def introspect(path):
    command = ["busctl", "--system", "--json=off", "call", "org.identityd1", path, "org.freedesktop.DBus.Introspectable",
               "Introspect"]
    answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    assert answer.startswith('s "') and answer.endswith('"'), answer[:80]
    text = answer[3:-1].encode().decode("unicode_escape").encode("latin-1").decode()
    return ET.fromstring(text[text.index("<node"):])


class Introspection(unittest.TestCase):
    maxDiff = None

    def compare(self, path, name, others):
        root = introspect(path)
        interfaces = {i.get("name"): i for i in root.findall("interface")}
        self.assertEqual(set(interfaces) - STANDARD, {"org.identityd1." + name} | others)
        self.assertEqual(members(interfaces["org.identityd1." + name]), members(reference(name)))

    def test_manager(self):
        self.compare("/org/identityd1", "Manager", {"org.freedesktop.DBus.ObjectManager"})

    def test_every_identity(self):
        children = [n.get("name") for n in introspect("/org/identityd1/identity").findall("node")]
        self.assertIn("demo", children)
        self.assertIn("demo_2ddata", children)
        for child in children:
            with self.subTest(identity=child):
                self.compare("/org/identityd1/identity/" + child, "Identity", set())


class SelfTest(unittest.TestCase):
    """The comparison sees each kind of difference."""

    def test_differences_are_seen(self):
        for name in ("Manager", "Identity"):
            whole = members(reference(name))
            self.assertEqual(whole, members(reference(name)))
            for path, change in ((".", lambda e: e.remove(e[0])),
                                 ("method/arg", lambda e: e.set("type", "x")),
                                 ("method/arg", lambda e: e.set("name", "other")),
                                 ("method/arg[@direction='out']", lambda e: e.set("direction", "in")),
                                 ("property", lambda e: e.set("type", "x")),
                                 ("property", lambda e: e.set("access", "readwrite")),
                                 ("property", lambda e: e.append(ET.Element("annotation", {
                                     "name": "org.freedesktop.DBus.Property.EmitsChangedSignal", "value": "false"})))):
                broken = reference(name)
                change(broken.find(path))
                self.assertNotEqual(whole, members(broken))
            same = reference(name)
            same.find("property[last()]").append(ET.Element("annotation", {
                "name": "org.freedesktop.DBus.Property.EmitsChangedSignal", "value": "true"}))
            self.assertEqual(whole, members(same))


if __name__ == "__main__":
    self_test = "--self-test" in sys.argv
    unittest.main(argv=sys.argv[:1], defaultTest="SelfTest" if self_test else "Introspection")
