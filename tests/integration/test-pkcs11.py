#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The PKCS#11 module with programs that people have: pkcs11-tool, p11tool, gnutls-cli, ssh, p11-kit. Beside a fake identityd."""

import os
import shutil
import subprocess
import tempfile
import unittest

BUILD = os.environ["BUILD"]
MODULE = os.environ["PKCS11_MODULE"]
WITH_FAKE = os.path.join(BUILD, "tests/integration/with-fake-identityd")
HANDSHAKES = os.path.join(BUILD, "tests/integration/handshake-client")
TOKEN = "pkcs11:token=identityd"


def needs(program):
    return unittest.skipUnless(shutil.which(program), f"{program} is not installed")


class Programs(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory(prefix="idp11.")

    def tearDown(self):
        self.directory.cleanup()

    def run_beside(self, script, options=(), status=0):
        """What the script wrote."""
        environment = dict(os.environ, SCRATCH=self.directory.name, M=MODULE, HANDSHAKES=HANDSHAKES, T=TOKEN)
        process = subprocess.run([WITH_FAKE, *options, "bash", "-euc", script], env=environment, capture_output=True,
                                 text=True, timeout=100)
        self.assertEqual(process.returncode, status, process.stdout + process.stderr)
        return process.stdout + process.stderr

    @needs("pkcs11-tool")
    def test_pkcs11_tool_lists(self):
        output = self.run_beside("pkcs11-tool --module $M -L; pkcs11-tool --module $M -O")
        self.assertIn("token label        : identityd", output)
        for text in ("label:      demo\n", "label:      demo-p384\n", "label:      demo-rsa\n", "DN: CN=Fake CA"):
            self.assertIn(text, output)
        self.assertNotIn("label:      empty", output)

    @needs("pkcs11-tool")
    def test_pkcs11_tool_signs(self):
        for identity, mechanism, arguments, digest in (
                ("demo", "ECDSA-SHA256", "--signature-format openssl", "sha256"),
                ("demo-p384", "ECDSA-SHA384", "--signature-format openssl", "sha384"),
                ("demo-rsa", "SHA256-RSA-PKCS", "", "sha256")):
            output = self.run_beside(f"""
                echo text > $SCRATCH/text
                id=$(printf {identity} | od -An -tx1 | tr -d ' \n') # the name is the ID; --sign knows no label
                pkcs11-tool --module $M --id $id --sign -m {mechanism} {arguments} -i $SCRATCH/text -o $SCRATCH/sig
                pkcs11-tool --module $M --label {identity} --read-object --type cert -o $SCRATCH/cert
                openssl x509 -inform der -in $SCRATCH/cert -noout -pubkey > $SCRATCH/pub
                openssl dgst -{digest} -verify $SCRATCH/pub -signature $SCRATCH/sig $SCRATCH/text""")
            self.assertIn("Verified OK", output)

    @needs("pkcs11-tool")
    def test_pkcs11_tool_test(self):
        """It ends at the RSA key, with which it signs a SHA-1 DigestInfo: identityd does that for nobody."""
        output = self.run_beside("pkcs11-tool --module $M --test 2>&1 || true")
        self.assertRegex(output, r"C_SignFinal failed: rv = CKR_DATA_INVALID|No errors")
        self.assertIn("C_SeedRandom() and C_GenerateRandom():", output)
        self.assertIn("seems to be OK", output)

    @needs("p11tool")
    def test_p11tool(self):
        output = self.run_beside("""
            p11tool --provider $M --list-tokens
            p11tool --provider $M --list-all $T
            for key in demo demo-p384 demo-rsa; do p11tool --provider $M --test-sign "$T;object=$key;type=private"; done
            p11tool --provider $M --export-chain "$T;object=demo;type=cert" > $SCRATCH/chain
            openssl verify -CAfile $FAKE/ca.pem -untrusted $SCRATCH/chain $SCRATCH/chain""")
        self.assertEqual(output.count("Verifying against public key in the token... ok"), 3)
        self.assertIn("chain: OK", output)

    @needs("gnutls-cli")
    def test_gnutls_cli(self):
        """It sends the one certificate that its URL names, no issuers (its own loading of keys): the server knows those."""
        for version in ("-tls1_3", "-tls1_2"):
            output = self.run_beside(f"""
                openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout $SCRATCH/key -out $SCRATCH/cert \
                    -subj /CN=server -days 2 2>/dev/null
                cat $FAKE/ca.pem $FAKE/demo.pem > $SCRATCH/anchors
                : > $SCRATCH/server
                openssl s_server -accept 127.0.0.1:0 {version} -Verify 3 -verify_return_error -CAfile $SCRATCH/anchors \
                    -cert $SCRATCH/cert -key $SCRATCH/key -naccept 1 -rev < /dev/null > $SCRATCH/server 2>&1 &
                until port=$(sed -n 's/^ACCEPT 127.0.0.1:\\([0-9][0-9]*\\)$/\\1/p' $SCRATCH/server) && [ -n "$port" ]; do sleep 0.02; done
                (echo hello; sleep 0.3) | gnutls-cli --provider $M --insecure --port $port 127.0.0.1 \
                    --x509certfile "$T;object=demo;type=cert" --x509keyfile "$T;object=demo;type=private"
                wait $!""")
            self.assertIn("olleh", output)

    @needs("javac")
    def test_java(self):
        """SunPKCS11 signs with each kind of key, RSA in TLS 1.3 too."""
        source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "TlsClient.java")
        output = self.run_beside(f"""
            javac -d $SCRATCH {source}
            printf 'name = identityd\nlibrary = %s\n' "$M" > $SCRATCH/token.cfg
            openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout $SCRATCH/key -out $SCRATCH/cert \
                -subj /CN=server -days 2 2>/dev/null
            for identity in demo demo-p384 demo-rsa; do
                for version in 2 3; do
                    : > $SCRATCH/server
                    openssl s_server -accept 127.0.0.1:0 -tls1_$version -Verify 3 -verify_return_error -CAfile $FAKE/ca.pem \
                        -cert $SCRATCH/cert -key $SCRATCH/key -naccept 1 -rev < /dev/null > $SCRATCH/server 2>&1 &
                    until port=$(sed -n 's/^ACCEPT 127.0.0.1:\\([0-9][0-9]*\\)$/\\1/p' $SCRATCH/server) && [ -n "$port" ]; do sleep 0.02; done
                    echo "$identity TLSv1.$version $(java -cp $SCRATCH TlsClient $SCRATCH/token.cfg $identity $port TLSv1.$version)"
                    wait $!
                done
            done""")
        for identity in ("demo", "demo-p384", "demo-rsa"):
            for version in ("TLSv1.2", "TLSv1.3"):
                self.assertIn(f"{identity} {version} olleh\n", output)

    @needs("ssh-keygen")
    def test_ssh(self):
        """ssh-keygen lists the keys, those of the identities alone, and ssh-agent signs with one."""
        output = self.run_beside("""
            ssh-keygen -D $M > $SCRATCH/keys
            sed 's/[^ ]* [^ ]* */key of /' $SCRATCH/keys
            grep ' demo$' $SCRATCH/keys > $SCRATCH/demo.pub
            eval $(ssh-agent -P "$(dirname $(readlink -f $M))/*" -s) > $SCRATCH/agent
            trap 'kill $SSH_AGENT_PID' EXIT
            SSH_ASKPASS_REQUIRE=force SSH_ASKPASS=/bin/true ssh-add -s $M
            echo text > $SCRATCH/text
            ssh-keygen -Y sign -n file -f $SCRATCH/demo.pub $SCRATCH/text
            ssh-keygen -Y check-novalidate -n file -s $SCRATCH/text.sig < $SCRATCH/text""")
        self.assertIn("Good \"file\" signature with ECDSA key", output)
        self.assertEqual(sorted(line for line in output.splitlines() if line.startswith("key of ")),
                         ["key of demo", "key of demo-p384", "key of demo-rsa"])

    @needs("p11tool")
    def test_absent(self):
        """Without identityd: a slot without a token, at once, and no crash."""
        output = self.run_beside("""
            export DBUS_SYSTEM_BUS_ADDRESS=unix:path=/nonexistent
            p11tool --provider $M --list-tokens; p11tool --provider $M --list-all $T || echo status $?""")
        self.assertNotIn("identityd", output.replace("identityd'", ""))


if __name__ == "__main__":
    unittest.main()
