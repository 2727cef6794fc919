#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Our own suite: chains written by made.py, each with what a verifier must say of it, why, and where that is written. As a program
it lists them. A case that is refused names the kind of the refusal (verify.h), so that one that is refused for something else
shows; "unreadable" is a leaf that is no certificate."""

import base64

import made
import table_der
import table_names
import table_paths
import table_policies
import table_revocation

GROUPS = {"path": table_paths.cases, "name": table_names.cases, "policy": table_policies.cases, "der": table_der.cases,
          "revocation": table_revocation.cases}


def pem(kind, der):
    return f"-----BEGIN {kind}-----\n" + base64.encodebytes(der).decode() + f"-----END {kind}-----\n"


def encoded(certificate):
    return certificate.der if isinstance(certificate, made.Certificate) else certificate


class Case:
    """`chain`: the leaf first; what follows in any order, as a peer may send it."""

    def __init__(self, name, verdict, section, chain, anchors, *, crls=(), staple=None, now=made.NOW, **question):
        self.name, self.verdict, self.section = name, verdict, section
        self.question = {
            "certificates": [base64.b64encode(encoded(certificate)).decode() for certificate in chain],
            "anchors": "".join(pem("CERTIFICATE", encoded(certificate)) for certificate in anchors),
            "crls": "".join(pem("X509 CRL", crl) for crl in crls), "now": now, **question,
        }
        if staple:
            self.question["staple"] = base64.b64encode(staple).decode()


def table():
    """All cases, in the order in which they are written; the same each time."""
    cases = []
    for group, make in GROUPS.items():
        make(lambda name, *parts, group=group, **more: cases.append(Case(f"{group}::{name}", *parts, **more)))
    names = [case.name for case in cases]
    assert len(set(names)) == len(names), sorted(name for name in names if names.count(name) > 1)
    return cases


if __name__ == "__main__":
    for one in table():
        print(f"{one.name:56} {one.verdict:11} {one.section}")
