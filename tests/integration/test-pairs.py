#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Programs load chain.pem and key.pem again and again while the identity is renewed with new keys, and never find two that do
not belong together. Runs inside tests/sandbox. PAIR_RENEWALS= and PAIR_LOADS= (in all) make it longer than it is in a whole run."""

import os
import shutil
import subprocess
import unittest

from openssl_provider import ProviderCase, chain, key, published, shipped_configuration
from sandboxed import SANDBOX, read, run, wait_until

CLIENT = os.path.join(os.environ["BUILD"], "tests/integration/pair-client")
RENEWALS = int(os.environ.get("PAIR_RENEWALS", "4"))
LOADS = int(os.environ.get("PAIR_LOADS", "200"))

# Each says "N loads M failures" when its input ends, and what failed.
PYTHON = """
import select, ssl, sys
chain, key = sys.argv[1:]
loads = failures = 0
while not select.select([sys.stdin], [], [], 0)[0]:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(chain, key)
    except Exception as error:
        failures += 1
        print(error)
    loads += 1
print(f"{loads} loads {failures} failures")
"""
NODE = """
const tls = require('tls'), fs = require('fs'), [chain, key] = process.argv.slice(1);
let loads = 0, failures = 0, ended = false;
process.stdin.on('end', () => { ended = true; }).resume();
const load = () => {
  if (ended) { console.log(`${loads} loads ${failures} failures`); return; }
  const files = loads % 2 ? { key: fs.readFileSync(key), cert: fs.readFileSync(chain) }
                          : { cert: fs.readFileSync(chain), key: fs.readFileSync(key) };
  try { tls.createSecureContext(files); } catch (error) { failures++; console.log(error.message); }
  loads++;
  setImmediate(load);
};
load();
"""
# s_client loads both before it finds that nobody listens there.
OPENSSL = """
loads=0 failures=0
while ! read -r -t 0; do
    said=$(openssl s_client -connect 127.0.0.1:1 -cert "$1" -key "$2" 2>&1)
    case $said in *"onnection refused"*) ;; *) failures=$((failures + 1)); echo "$said" ;; esac
    loads=$((loads + 1))
done
echo "$loads loads $failures failures"
"""


class Pairs(ProviderCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.watched = shipped_configuration(os.environ["OPENSSL_PROVIDER"], SANDBOX + "/watched.cnf")

    def begin(self, *words, configuration=None):
        process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                   env={**os.environ, "OPENSSL_CONF": configuration or self.plain_configuration})
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def opened(self):
        """Handles that were opened so far: programs that load make progress."""
        text = run("idctl", "metrics").stdout.decode()
        return sum(float(line.split()[1]) for line in text.splitlines() if line.startswith("identityd_access_granted_total"))

    def test_in_loops(self):
        loops = {"C": self.begin(CLIENT, "loop", chain("demo"), key("demo"), configuration=self.watched),
                 "Python": self.begin("/usr/bin/python3", "-c", PYTHON, chain("demo"), key("demo")),
                 "openssl": self.begin("bash", "-c", OPENSSL, "bash", chain("demo"), key("demo"))}
        if shutil.which("node"):
            loops["Node.js"] = self.begin("node", "--openssl-shared-config", "-e", NODE, chain("demo"), key("demo"))
        begun = self.opened()
        for number in range(1, RENEWALS + 1):
            self.demo.renew(rotate_key=True)
            # Each load opens a handle at least once, so that this many are loads.
            wait_until(lambda: self.opened() - begun >= 2 * LOADS * number / RENEWALS, "the programs to load", 120)  # pylint: disable=cell-var-from-loop
        total = 0
        for name, process in loops.items():
            out, _ = process.communicate(timeout=60)
            said = out.splitlines()
            loads, failures = (int(word) for word in (said or [""])[-1].split()[::2]) if said else (0, -1)
            print(f"{name}: {said[-1:]}")
            self.assertEqual(failures, 0, f"{name}:\n" + "\n".join(said[:20]))
            self.assertGreater(loads, RENEWALS, name)
            total += loads
        self.assertGreaterEqual(total, LOADS)

    def between(self, first, second, change):
        process = self.begin(CLIENT, "between", first, second, configuration=self.watched)
        self.assertEqual(process.stdout.readline(), "first\n")
        change()
        out, _ = process.communicate("\n", timeout=60)
        return out

    def renew(self):
        self.demo.renew(rotate_key=True)

    def renew_twice(self):
        self.renew()
        self.renew()

    def test_between_the_two_files(self):
        """Exactly there, once and twice, in either order, and with the key file that names no generation."""
        files = {"key": key("demo"), "current": published("demo", "current.pem")}
        for name, file in files.items():
            for change in (self.renew, self.renew_twice):
                with self.subTest(name, change=change.__name__):
                    self.assertEqual(self.between(chain("demo"), file, change), "pair\n")
                    self.assertEqual(self.between(file, chain("demo"), change), "pair\n")

    def test_another_identity_s(self):
        other = self.add_ready("other", tls_client=True)
        for first, second in ((chain("other"), key("demo")), (key("demo"), chain("other"))):
            said = self.between(first, second, self.renew)
            self.assertNotIn("pair\n", said)
        self.assertIn("mismatch", self.between(chain("other"), key("demo"), lambda: None))
        self.assertEqual(self.between(chain("other"), key("other"), lambda: other.renew(rotate_key=True)), "pair\n")

    def test_gone(self):
        """A copy of key.pem, and what a program keeps of it in memory, age; the error says what to do, and that helps."""
        old, certificate = SANDBOX + "/old.pem", SANDBOX + "/chain.pem"
        for source, copy in ((key("demo"), old), (chain("demo"), certificate)):
            shutil.copy(source, copy)
        generation = self.demo.generation()
        self.renew()
        self.assertEqual(self.between(certificate, old, lambda: None), "pair\n")
        for _ in range(4):
            self.renew()
        said = self.between(certificate, old, lambda: None)
        self.assertIn(f"the key file is of generation {generation}, which does not sign any more; the current one is {generation + 5}", said)
        self.assertIn("Read chain.pem and key.pem of /run/identityd/demo again", said)
        self.assertEqual(self.between(chain("demo"), key("demo"), lambda: None), "pair\n")

    def test_one_file(self):
        """identity.pem has both, of one generation, whenever it is read."""
        script = "import ssl, sys; ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(sys.argv[1])"
        environment = {**os.environ, "OPENSSL_CONF": self.plain_configuration}
        before = read(published("demo", "identity.pem"))
        run("/usr/bin/python3", "-c", script, published("demo", "identity.pem"), env=environment)
        self.renew()
        after = read(published("demo", "identity.pem"))
        self.assertEqual(after, read(key("demo")) + read(chain("demo")))
        for text in (before, after):
            copy = SANDBOX + "/identity.pem"
            with open(copy, "w", encoding="utf-8") as file:
                file.write(text)
            run("/usr/bin/python3", "-c", script, copy, env=environment)


if __name__ == "__main__":
    unittest.main(verbosity=2)
