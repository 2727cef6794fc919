#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""`idctl metrics` as a collector reads it: by a real parser of OpenMetrics, and by one of Prometheus' older text format, which
node_exporter's textfile collector wants. Runs inside tests/sandbox."""

import os
import unittest

from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as prometheus

from handle import Refused
from lifecycle import SCHEME, Lifecycle, configuration
from sandboxed import SANDBOX, control, idctl, service, wait_until

FAMILIES = {
    "identityd_tpm_ready": "gauge",
    "identityd_certificate_not_before_seconds": "gauge",
    "identityd_certificate_not_after_seconds": "gauge",
    "identityd_renewal_due_seconds": "gauge",
    "identityd_next_attempt_seconds": "gauge",
    "identityd_clock_floor_seconds": "gauge",
    "identityd_crl_next_update_seconds": "gauge",
    "identityd_clock_behind": "gauge",
    "identityd_identity_ready": "gauge",
    "identityd_identity_state": "gauge",
    "identityd_identity_generation": "gauge",
    "identityd_attempts": "counter",
    "identityd_attempts_failed": "counter",
    "identityd_revocation_checks_failed": "counter",
    "identityd_peer_crls_missing": "gauge",
    "identityd_peer_crl_next_update_seconds": "gauge",
    "identityd_peer_crl_fetches_failed": "counter",
    "identityd_access_granted": "counter",
    "identityd_access_refused": "counter",
    "identityd_access_limited": "counter",
    "identityd_signatures": "counter",
    "identityd_requests_refused": "counter",
    "identityd_tpm_errors": "counter",
    "identityd_handles_open": "gauge",
    "identityd_signature_seconds": "histogram",
}
STATES = ["empty", "expired", "misconfigured", "ready", "retired", "revoked", "unavailable"]


class Metrics(Lifecycle):
    def setUp(self):
        super().setUp()
        self.last = {}

    def read(self):
        """{(sample's name, labels…): value}; checks what must hold of every answer."""
        text = idctl("metrics").stdout.decode("ascii")
        self.assertTrue(text.endswith("\n# EOF\n"))
        families = {family.name: family for family in openmetrics(text)}
        self.assertEqual({name: family.type for name, family in families.items()}, FAMILIES)
        values = {}
        for family in families.values():
            self.assertGreater(len(family.documentation), 10, family.name)
            for sample in family.samples:
                key = (sample.name, *sorted(sample.labels.items()))
                self.assertNotIn(key, values)
                values[key] = sample.value
        self.check_histogram(families["identityd_signature_seconds"])
        self.check_states(values)
        for key, value in self.last.items():
            if key[0].endswith(("_total", "_count", "_sum", "_bucket")):
                self.assertGreaterEqual(values[key], value, key)
        older = {(s.name, *sorted(s.labels.items())): s.value for family in prometheus(text) for s in family.samples}
        self.assertEqual(older, values)
        self.last = values
        return values

    def check_histogram(self, family):
        buckets = [(float(s.labels["le"]), s.value) for s in family.samples if s.name.endswith("_bucket")]
        self.assertEqual(buckets, sorted(buckets))
        self.assertEqual([count for _, count in buckets], sorted(count for _, count in buckets))
        self.assertEqual(buckets[-1][0], float("inf"))
        values = {s.name.rpartition("_")[2]: s.value for s in family.samples if not s.labels}
        self.assertEqual(values["count"], buckets[-1][1])
        self.assertGreaterEqual(values["sum"], 0)

    def check_states(self, values):
        """Each identity is in exactly one of all states."""
        names = {dict(key[1:])["identity"] for key in values if key[0] == "identityd_identity_ready"}
        for name in names:
            states = {dict(key[1:])["state"]: value for key, value in values.items()
                      if key[0] == "identityd_identity_state" and dict(key[1:])["identity"] == name}
            self.assertEqual(sorted(states), STATES)
            self.assertEqual(sorted(states.values()), [0] * (len(STATES) - 1) + [1])
            self.assertEqual(states["ready"], values[("identityd_identity_ready", ("identity", name))])

    def of(self, values, name, identity):
        return values.get((name, ("identity", identity)))

    def test_what_is_counted(self):
        one = self.made("one", configuration())
        before = self.read()
        self.assertEqual(self.of(before, "identityd_certificate_not_after_seconds", "one"), int(one.get("NotAfter")) / 1e6)
        self.assertEqual(self.of(before, "identityd_certificate_not_before_seconds", "one"), int(one.get("NotBefore")) / 1e6)
        due = self.of(before, "identityd_renewal_due_seconds", "one")
        self.assertTrue(int(one.get("NotBefore")) / 1e6 < due < int(one.get("NotAfter")) / 1e6)
        self.assertEqual(self.of(before, "identityd_attempts_total", "one"), 1)
        self.assertEqual(self.of(before, "identityd_identity_generation", "one"), 1)
        with one.open("digest") as opened:
            for _ in range(5):
                opened.sign_digest(SCHEME, bytes(32))
            with self.assertRaises(Refused):
                opened.sign_digest(SCHEME, bytes(31))
            after = self.read()
        for name, more in (("signatures_total", 5), ("requests_refused_total", 1), ("signature_seconds_count", 5), ("handles_open", 1)):
            self.assertEqual(after[("identityd_" + name,)] - before[("identityd_" + name,)], more, name)
        self.assertGreater(after[("identityd_signature_seconds_sum",)], before[("identityd_signature_seconds_sum",)])
        wait_until(lambda: self.read()[("identityd_handles_open",)] == before[("identityd_handles_open",)], "the handle to be gone", 60)

    def test_attempts(self):
        one = self.made("one", configuration())
        self.assertIsNone(self.of(self.read(), "identityd_next_attempt_seconds", "one"))
        control("fault", "simplereenroll", "status", "code=503", "retry-after=100")
        self.refused("EnrollmentFailed", one.renew)
        values = self.read()
        self.assertEqual([self.of(values, f"identityd_{n}_total", "one") for n in ("attempts", "attempts_failed")], [2, 1])
        self.assertGreaterEqual(self.of(values, "identityd_next_attempt_seconds", "one"), int(one.get("NextAttempt")) / 1e6 - 1)
        one.renew()
        values = self.read()
        self.assertEqual([self.of(values, f"identityd_{n}_total", "one") for n in ("attempts", "attempts_failed")], [3, 1])
        self.assertEqual(self.of(values, "identityd_identity_generation", "one"), 2)
        self.assertIsNone(self.of(values, "identityd_next_attempt_seconds", "one"))

    def test_tpm_errors(self):
        one = self.made("one", configuration())
        before = self.read()
        self.assertEqual(before[("identityd_tpm_ready",)], 1)
        with one.open("digest") as opened:
            service("stop", "swtpm")
            try:
                with self.assertRaises(Refused):
                    opened.sign_digest(SCHEME, bytes(32))
                wait_until(lambda: self.read()[("identityd_tpm_ready",)] == 0, "the TPM to be gone", 60)
                self.assertEqual(self.of(self.last, "identityd_identity_ready", "one"), 0)
                self.assertGreater(self.last[("identityd_tpm_errors_total",)], before[("identityd_tpm_errors_total",)])
            finally:
                service("start", "swtpm")
        wait_until(lambda: self.read()[("identityd_tpm_ready",)] == 1, "the TPM to be back", 60)
        one.wait("ready", 60)

    def test_odd_names(self):
        """The oddest that may be; what may not be is no identity, and in no label."""
        odd = ["0", "a.b-c_d..e", "x" * 64]
        for name in odd:
            self.made(name, configuration(), state=None)
        for name in ('quo"te', "Capital", "new\nline", "back\\slash"):
            path = f"{SANDBOX}/etc/identities/{name}.conf"
            with open(path, "w", encoding="utf-8") as file:
                file.write(configuration())
            self.addCleanup(os.unlink, path)
        self.made("broken", "[Identity]\nNonsense=yes\n", state=None)
        for name in odd:
            self.identity(name).wait("ready", 60)
        values = self.read()
        names = {dict(key[1:])["identity"] for key in values if key[0] == "identityd_identity_ready"}
        self.assertEqual(names, {"demo", "demo-data", "broken", *odd})
        self.assertEqual(values[("identityd_identity_state", ("identity", "broken"), ("state", "misconfigured"))], 1)
        self.assertIsNone(self.of(values, "identityd_certificate_not_after_seconds", "broken"))

    def test_no_bus_no_metrics(self):
        """A collector that is told nothing keeps no old figures: nothing on standard output, and a status."""
        result = idctl("metrics", check=False, env=dict(os.environ, DBUS_SYSTEM_BUS_ADDRESS="unix:path=/nonexistent"))
        self.assertNotEqual(result.returncode, 0)
        self.assertEqual(result.stdout, b"")
        self.assertNotEqual(result.stderr, b"")


if __name__ == "__main__":
    unittest.main()
