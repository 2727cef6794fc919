# SPDX-License-Identifier: LGPL-2.1-or-later
"""A lab CA of a test's own, and curl and openssl to speak to it."""

import base64
import os
import shutil
import subprocess
import tempfile
import time

LAB_CA = os.environ["LAB_CA"]


def run(*words, check=True, data=None):
    result = subprocess.run(words, input=data, capture_output=True, check=False)
    if check and result.returncode != 0:
        raise AssertionError(f"{' '.join(words)}: {result.returncode}\n{result.stdout.decode(errors='replace')}"
                             f"{result.stderr.decode(errors='replace')}")
    return result


def openssl(*words, data=None, check=True):
    return run("openssl", *words, data=data, check=check)


class Answer:
    """Status, headers (lower case) and body of one HTTP answer; status 0 and curl's exit code when there was none."""

    def __init__(self, result):
        self.code = result.returncode
        self.error = result.stderr.decode(errors="replace")
        head, _, self.body = result.stdout.partition(b"\r\n\r\n")
        while self.body.startswith(b"HTTP/") or head.startswith(b"HTTP/1.1 100"):
            head, _, self.body = self.body.partition(b"\r\n\r\n")
        lines = head.decode(errors="replace").split("\r\n")
        self.status = int(lines[0].split()[1]) if len(lines[0].split()) > 1 else 0
        self.headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:])}

    def certificates(self):
        """The PEM certificates of a certs-only PKCS#7 in base64."""
        der = base64.b64decode(b"".join(self.body.split()), validate=True)
        text = openssl("pkcs7", "-inform", "DER", "-print_certs", data=der).stdout.decode()
        end = "-----END CERTIFICATE-----\n"
        return ["-----BEGIN" + part.rsplit("-----BEGIN", 1)[1] + end for part in text.split(end) if "-----BEGIN CERT" in part]


class LabCa:
    def __init__(self, *options, directory=None):
        self.base = tempfile.mkdtemp(prefix="lab.")
        self.directory = directory or os.path.join(self.base, "ca")
        self.options = options
        self.process = None
        self.start()

    def path(self, name):
        return os.path.join(self.directory, name)

    def scratch(self, name):
        return os.path.join(self.base, name)

    def read(self, name):
        with open(self.path(name), encoding="utf-8") as file:
            return file.read()

    def complaints(self):
        with open(self.scratch("stderr"), encoding="utf-8") as file:
            return file.read()

    def start(self):
        users = self.scratch("users")
        with open(users, "w", encoding="utf-8") as file:
            file.write("demo:secret\n")
        self.errors = open(self.scratch("stderr"), "ab")
        options = [users if option == "@users" else option for option in self.options]
        self.process = subprocess.Popen([LAB_CA, "serve", self.directory, *options], stderr=self.errors, stdout=self.errors)
        end = time.monotonic() + 20
        while not os.path.exists(self.path("ready")):
            if self.process.poll() is not None or time.monotonic() > end:
                raise AssertionError("the lab CA does not start: " + self.complaints())
            time.sleep(0.02)
        self.url = self.read("est-url").strip()

    def stop(self):
        """Ends it; its exit status must be 0, which a sanitizer's report would spoil."""
        self.process.terminate()
        status = self.process.wait(20)
        self.errors.close()
        if status != 0:
            raise AssertionError(f"the lab CA ended with {status}:\n" + self.complaints())

    def close(self):
        try:
            if self.process.poll() is None:
                self.stop()
        finally:
            shutil.rmtree(self.base)

    def control(self, *words, check=True):
        return run(LAB_CA, "control", self.directory, *words, check=check)

    def log(self, operation):
        return [line for line in self.read("log").splitlines() if line.split()[1] == operation]

    # ---- a client ----

    def curl(self, *words, anchors=None):
        return Answer(run("curl", "-sS", "-i", "--max-time", "20", "--noproxy", "*", "--cacert",
                          anchors or self.path("server.pem"), *words, check=False))

    def get(self, operation, *words):
        return self.curl(*words, f"{self.url}/{operation}")

    def request(self, name, subject="/CN=device/O=Example", san="DNS:device.example,URI:urn:example:device", key=None,
                algorithm="ec", extra=()):
        """Makes NAME.key (unless there is a key) and NAME.der; returns the base64 body."""
        if key is None:
            key = self.scratch(name + ".key")
            kind = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"] if algorithm == "ec" else \
                ["-algorithm", "RSA", "-pkeyopt", f"rsa_keygen_bits:{algorithm}"]
            openssl("genpkey", *kind, "-out", key)
        options = ["-addext", "subjectAltName=" + san] if san else []
        for line in extra:
            options += ["-addext", line]
        openssl("req", "-new", "-key", key, "-subj", subject, *options, "-outform", "DER", "-out", self.scratch(name + ".der"))
        with open(self.scratch(name + ".der"), "rb") as file:
            body = base64.encodebytes(file.read())
        with open(self.scratch(name + ".b64"), "wb") as file:
            file.write(body)
        return body

    def post(self, operation, name, *words):
        return self.curl("-H", "Content-Type: application/pkcs10", "--data-binary", "@" + self.scratch(name + ".b64"), *words,
                         f"{self.url}/{operation}")

    def enroll(self, name, **options):
        """A first enrolment by HTTP authentication: leaves NAME.key and NAME.pem."""
        self.request(name, **options)
        answer = self.post("simpleenroll", name, "-u", "demo:secret")
        if answer.status != 200:
            raise AssertionError(f"simpleenroll: {answer.status} {answer.body!r} {answer.error}")
        pem = answer.certificates()
        self.save(name, pem[0])
        return pem[0]

    def save(self, name, pem):
        with open(self.scratch(name + ".pem"), "w", encoding="utf-8") as file:
            file.write(pem)

    def identity(self, name, key=None):
        """curl's options for TLS with NAME's certificate."""
        return ["--cert", self.scratch(name + ".pem"), "--key", self.scratch((key or name) + ".key")]

    def verify(self, pem, *words, root="root.pem", intermediate="intermediate.pem"):
        """openssl's verdict: its complete output and whether it is good."""
        self.save("verified", pem)
        result = openssl("verify", "-CAfile", self.path(root), "-untrusted", self.path(intermediate), *words,
                         self.scratch("verified.pem"), check=False)
        return result.returncode == 0, (result.stdout + result.stderr).decode()


def field(pem, *words):
    return openssl("x509", "-noout", *words, data=pem.encode()).stdout.decode().strip()


def serial(pem):
    return field(pem, "-serial").partition("=")[2]
