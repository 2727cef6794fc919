# SPDX-License-Identifier: LGPL-2.1-or-later
"""For tests of the OpenSSL provider inside tests/sandbox: its configuration file as it is shipped, and identities."""

import os
import re

from sandboxed import CA, EST, SANDBOX, Case, read

USER = os.getuid()


def published(identity, name):
    return f"{SANDBOX}/run/{identity}/{name}"


def key(identity):
    return published(identity, "key.pem")


def chain(identity):
    return published(identity, "chain.pem")


def shipped_configuration(module, path):
    """Writes the configuration file as it is installed, for the module of this build."""
    text, count = re.subn(r"(?m)^module = .*/identityd\.so$", f"module = {module}", read(os.environ["OPENSSL_CNF"]))
    assert count == 1
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


class ProviderCase(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.plain_configuration = shipped_configuration(os.environ["PLAIN_OPENSSL_PROVIDER"], SANDBOX + "/plain.cnf")

    @classmethod
    def add(cls, name, algorithm="ecdsa-p256", more="", **access):
        """One more identity, ready. access: tls_client=user, …; the user of this test unless given."""
        rules = "".join(f"{purpose.replace('_', '-')}=user:{USER if rule is True else rule}\n" for purpose, rule in access.items())
        text = (f"[Identity]\nSubject=CN=%d,O=identityd sandbox,OU={name}\nSubjectAltName=dns:localhost ip:127.0.0.1\n"
                f"[Key]\nAlgorithm={algorithm}\n[Enrollment]\nProtocol=est\nServer={EST}/{name}\nAnchors={CA}/root.pem\n"
                f"ServerAnchors={CA}/server.pem\nAuthenticate=credential:enrollment-password\nUser=demo\n{more}[Access]\n{rules}")
        cls.configure(cls, name, text)
        return cls.identity(name)

    @classmethod
    def add_ready(cls, *arguments, **access):
        identity = cls.add(*arguments, **access)
        identity.wait("ready", 60)
        return identity
