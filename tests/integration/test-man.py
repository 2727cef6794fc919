#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The manual pages against the code: every verb and option of idctl and identityd-proxy is in its page and nothing else is; every
D-Bus member and error is in org.identityd1(5) with its signature; the completion knows every verb."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree

SOURCE, IDCTL, PROXY = (sys.argv[1:4] + [None])[:3]  # idctl finds the proxy where the build has it
COMMON = {"help", "quiet", "no-ask-password"}
OPTION_LINE = re.compile(r"^ +(?:-(\w) )? *--([a-z-]+)(?: ([A-Z][A-Z:_]*))? ", re.M)
OPTION_ENTRY = re.compile(r"^(?:\*-(\w)\*, )?\*--([a-z-]+)\*(?: _([A-Z:_]+)_)?$", re.M)


def read(*path):
    with open(os.path.join(SOURCE, *path), encoding="utf-8") as file:
        return file.read()


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def part(page, heading, level):
    """What is below a heading, up to the next one of its level or above."""
    match = re.search(r"^%s %s\n(.*?)(?=^#{1,%d} |\Z)" % ("#" * level, re.escape(heading), level), page, re.M | re.S)
    return match.group(1) if match else None


def help_options(text):
    return {name: (letter or None, argument or None) for letter, name, argument in OPTION_LINE.findall(text)}


def page_options(text):
    return {name: (letter or None, argument or None) for letter, name, argument in OPTION_ENTRY.findall(text)}


class Idctl(unittest.TestCase):
    def setUp(self):
        self.page = read("man", "idctl.1.scd")
        self.verbs = re.findall(r"^  ([a-z][a-z-]+) ", run(IDCTL, "--help"), re.M)
        self.assertGreater(len(self.verbs), 10)

    def test_verbs(self):
        self.assertEqual(sorted(self.verbs), sorted(re.findall(r"^## (.*)$", part(self.page, "VERBS", 1), re.M)))

    def own_verbs(self):
        """All but the one that is another program."""
        return [verb for verb in self.verbs if verb != "proxy"]

    def helpful_verbs(self):
        return self.verbs if PROXY else self.own_verbs()

    def test_options(self):
        for verb in self.own_verbs():
            with self.subTest(verb=verb):
                options = help_options(run(IDCTL, verb, "--help"))
                self.assertLessEqual(COMMON, set(options))
                own = {name: value for name, value in options.items() if name not in COMMON}
                section = part(self.page, verb, 2)
                self.assertEqual(own, page_options(section))
                synopsis = section.strip().split("\n\n")[0]
                self.assertEqual(set(own), set(re.findall(r"\*--([a-z-]+)\*", synopsis)))
                common = {name: options[name] for name in COMMON}
                documented = page_options(part(self.page, "OPTIONS", 1))
                self.assertEqual(common, {name: documented[name] for name in COMMON})

    def test_global_options(self):
        documented = set(page_options(part(self.page, "OPTIONS", 1)))
        self.assertEqual(documented - COMMON | {"help"}, set(help_options(run(IDCTL, "--help"))))

    def test_positional_arguments(self):
        for verb in self.helpful_verbs():
            with self.subTest(verb=verb):
                first = run(IDCTL, verb, "--help").splitlines()[0]
                wanted = set(re.findall(r"[A-Z][A-Z:]+", first.replace("[OPTIONS]", "")))
                synopsis = part(self.page, verb, 2).strip().split("\n\n")[0]
                self.assertLessEqual(wanted, set(re.findall(r"_([A-Z:]+)_", synopsis)))

    def test_completion(self):
        text = read("idctl", "completion", "idctl")
        known = re.search(r'compgen -W "(.*?)"', text, re.S).group(1).split()
        self.assertEqual(sorted(w for w in known if not w.startswith("-")), sorted(self.verbs))
        with_value = set()
        for verb in self.helpful_verbs():
            with_value |= {"--" + n for n, (_, argument) in help_options(run(IDCTL, verb, "--help")).items() if argument}
        for option in with_value:
            self.assertEqual(len(re.findall(r"%s\b(?!-)" % option, text)), 2, option)

    def complete(self, *words):
        script = ("source '%s'; idctl() { '%s' \"$@\"; }; COMP_WORDS=(idctl \"$@\"); COMP_CWORD=$#; _idctl; "
                  "printf '%%s\\n' \"${COMPREPLY[@]}\"" % (os.path.join(SOURCE, "idctl/completion/idctl"), IDCTL))
        return subprocess.run(["bash", "-c", script, "bash", *words], check=True, capture_output=True, text=True).stdout.split()

    def test_completing(self):
        self.assertEqual(self.complete("re"), ["renew", "request", "retire", "reload", "reset-clock"])
        self.assertEqual(self.complete("sign", "--s"), ["--scheme"])
        self.assertEqual(self.complete("sign", "--scheme", "ecdsa_secp2"), ["ecdsa_secp256r1_sha256"])
        self.assertIn(os.path.join(SOURCE, "man/idctl.1.scd"), self.complete("sign", "x", os.path.join(SOURCE, "man/idc")))
        self.assertEqual(self.complete("list", "x"), [])


@unittest.skipUnless(PROXY, "identityd-proxy is not built")
class Proxy(unittest.TestCase):
    def setUp(self):
        self.page = read("man", "identityd-proxy.8.scd")
        self.help = run(PROXY, "--help")

    def test_options(self):
        options = help_options(self.help)
        self.assertGreater(len(options), 15)
        self.assertEqual(options, page_options(part(self.page, "OPTIONS", 1)))
        synopsis = part(self.page, "SYNOPSIS", 1)
        self.assertEqual(set(options) - {"help", "quiet"}, set(re.findall(r"\*--([a-z-]+)\*", synopsis)))

    def test_positional_arguments(self):
        self.assertTrue(self.help.startswith("identityd-proxy [OPTIONS] IDENTITY\n"), self.help)
        self.assertIn("_IDENTITY_", part(self.page, "SYNOPSIS", 1))

    def test_verb(self):
        """idctl proxy is the program: one table of options."""
        self.assertEqual(run(IDCTL, "proxy", "--help"), self.help)

    def test_ranges(self):
        """Each number is taken from the least to the most that the page has, and no further."""
        for option, text in re.findall(r"^\*--([a-z-]+)\* _(?:NUMBER|BYTES|SECONDS)_\n((?:\t.*\n)+)", self.page, re.M):
            with self.subTest(option):
                text = " ".join(text.split())
                found = re.search(r"from (\d+) to (\d+)", text)
                least, most = map(int, found.groups()) if found else (0, int(re.search(r"up to (\d+); 0 for ever", text).group(1)))
                for value, good in ((least - 1, False), (least, True), (most, True), (most + 1, False)):
                    words = [PROXY, "--connect=localhost:1", "--listen=/nowhere/socket", "--max-connections=1", f"--{option}={value}", "x"]
                    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
                    self.assertEqual("a whole number from" in done.stderr, not good, done.stderr)


class Configuration(unittest.TestCase):
    """Every key that the tables of the configuration reader have is in its page, in its section, and nothing else is."""

    def compare(self, source, page):
        code = re.findall(r'^    \{ "(\w+)", "([\w-]+)", parse_', read("daemon", "config", source), re.M)
        self.assertGreater(len(code), 5)
        text = read("man", page)
        documented = []
        for section in re.findall(r"^# \[(\w+)\] SECTION$", text, re.M):
            keys = re.findall(r"^\*([\w-]+)=\*$", part(text, "[%s] SECTION" % section, 1), re.M)
            documented += [(section, key) for key in keys]
        self.assertEqual(code, documented)
        # As it is shown, too: whoever copies a section's name from there in other letters is refused.
        if shutil.which("scdoc"):
            shown = subprocess.run(["scdoc"], input=text, check=True, capture_output=True, text=True).stdout
            self.assertEqual(set(re.findall(r"^\.SH \[(\w+)\]", shown, re.M)), {section for section, _ in code})

    def test_identity(self):
        self.compare("identity-config.c", "identity.conf.5.scd")

    def test_daemon(self):
        self.compare("daemon-config.c", "identityd.conf.5.scd")

    def test_examples_load(self):
        with tempfile.TemporaryDirectory() as directory:
            for page in ("identity.conf.5.scd", "identityd.conf.5.scd"):
                for path, text in re.findall(r"^```\n# /(?:usr/lib|etc)/identityd/(\S+)\n(.*?)^```", read("man", page), re.M | re.S):
                    path = os.path.join(directory, path)
                    os.makedirs(os.path.dirname(path), exist_ok=True)
                    with open(path, "w", encoding="utf-8") as file:
                        file.write(text)
            self.assertEqual(sorted(os.listdir(os.path.join(directory, "identities"))), ["factory.conf", "gateway.conf", "mqtt.conf"])
            environment = dict(os.environ, CONFIGURATION_DIRECTORY=directory, RUNTIME_DIRECTORY=directory + "/run")
            done = subprocess.run([IDCTL, "check", "--config"], capture_output=True, text=True, check=False, env=environment)
            self.assertIn("mqtt", done.stdout)
            self.assertNotIn(".conf:", done.stdout + done.stderr)  # where complaints stand


class Bus(unittest.TestCase):
    PAGE_METHOD = re.compile(r"^\*(\w+)\*\((.*?)\)(?: -> (.*))?$", re.M)
    PAGE_PROPERTY = re.compile(r"\*(\w+)\* ([a-z(){}]+)")

    def setUp(self):
        self.page = read("man", "org.identityd1.5.scd")

    def interface(self, name):
        root = xml.etree.ElementTree.fromstring(read("dbus", "org.identityd1.%s.xml" % name))
        methods, properties = {}, {}
        for method in root.findall("interface/method"):
            arguments = {"in": [], "out": []}
            for argument in method.findall("arg"):
                arguments[argument.get("direction")].append("%s %s" % (argument.get("type"), argument.get("name")))
            methods[method.get("name")] = (", ".join(arguments["in"]), ", ".join(arguments["out"]))
        for item in root.findall("interface/property"):
            properties[item.get("name")] = item.get("type")
        return methods, properties

    def check(self, name, heading):
        methods, properties = self.interface(name)
        section = part(self.page, heading, 1)
        documented = {m: (i, o or "") for m, i, o in self.PAGE_METHOD.findall(part(section, "Methods", 2))}
        self.assertEqual(methods, {m: (i, o) for m, (i, o) in documented.items()})
        lines = [line for line in part(section, "Properties", 2).splitlines() if line.startswith("*")]
        self.assertEqual(properties, dict(self.PAGE_PROPERTY.findall("\n".join(lines))))

    def test_manager(self):
        self.check("Manager", "THE MANAGER OBJECT")

    def test_identity(self):
        self.check("Identity", "IDENTITY OBJECTS")

    def test_errors(self):
        code = set(re.findall(r'IDENTITYD_ERROR_PREFIX "(\w+)"', read("common", "failure.c")))
        self.assertEqual(code, set(re.findall(r"\*org\.identityd1\.Error\.(\w+)\*", self.page)))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
