# SPDX-License-Identifier: LGPL-2.1-or-later
"""Certificate policies, which nobody asks for but the certificates: RFC 5280 §6.1, as RFC 9618 corrects it."""

import der
from made import ANY_POLICY, ca, leaf

A, B, C, D = "1.3.6.1.4.1.32473.1", "1.3.6.1.4.1.32473.2", "1.3.6.1.4.1.32473.3", "1.3.6.1.4.1.32473.4"
EXPLICIT, ANY, MAPPING = "RFC 5280 §6.1.5 (g)", "RFC 5280 §6.1.3 (d) (2)", "RFC 5280 §6.1.4 (b)"


def cases(add):
    root = ca("CN=root")

    def chain(name, verdict, section, *above, anchor=None, **end):
        """Issuers from the top, as arguments of ca(); then the leaf's."""
        issuers = [anchor or root]
        for i, more in enumerate(above):
            more = dict(more)
            above_name = issuers[-1].name if more.pop("self_issued", False) else f"CN=int {i}"
            issuers.append(ca(above_name, issuers[-1], key=f"int {i}", **more))
        subject = issuers[-1].name if end.pop("self_issued", False) else "CN=leaf"
        add(name, verdict, section, [leaf(issuers[-1], subject, key="leaf", **end), *issuers[:0:-1]], [issuers[0]])

    demand = {"require": 0}
    chain("none", "good", EXPLICIT, {})
    chain("some-and-none-demanded", "good", EXPLICIT, {"policy": [A]}, policy=[B])
    chain("demanded-and-there", "good", EXPLICIT, {"policy": [A], **demand}, policy=[A])
    chain("demanded-and-not-there", "constraint", EXPLICIT, {"policy": [A], **demand})
    chain("demanded-and-another", "constraint", EXPLICIT, {"policy": [A], **demand}, policy=[B])
    chain("demanded-and-one-of-two", "good", EXPLICIT, {"policy": [A, B], **demand}, policy=[B, C])
    chain("demanded-and-missing-above", "constraint", EXPLICIT, {}, {"policy": [A], **demand}, policy=[A])
    chain("demanded-by-the-leaf", "constraint", "RFC 5280 §6.1.5 (b)", {}, require=0)
    chain("demanded-by-the-leaf-and-there", "good", "RFC 5280 §6.1.5 (b)", {"policy": [A]}, policy=[A], require=0)
    chain("demanded-by-the-anchor-counts-not", "good", "RFC 5280 §6.1.1 (d)", {}, anchor=ca("CN=r", require=0))
    # How many certificates may come before a policy is demanded.
    chain("skip-one-and-a-leaf-with-one", "constraint", "RFC 5280 §6.1.5 (a)", {"require": 1}, policy=[A])
    chain("skip-one-and-both-have-one", "good", "RFC 5280 §6.1.5 (a)", {"require": 1, "policy": [A]}, policy=[A])
    chain("skip-one-used-up", "constraint", "RFC 5280 §6.1.4 (i)", {"require": 1}, {})
    chain("skip-one-and-a-leaf", "constraint", "RFC 5280 §6.1.5 (a)", {"require": 1})
    chain("skip-two-and-a-leaf", "good", "RFC 5280 §6.1.5 (a)", {"require": 2})
    chain("skip-two-used-up", "constraint", "RFC 5280 §6.1.5 (a)", {"require": 2}, {})
    chain("skip-five", "good", "RFC 5280 §6.1.4 (i)", {"require": 5}, {}, {})
    chain("skip-is-lowered-below", "constraint", "RFC 5280 §6.1.4 (i)", {"require": 5}, {"require": 0})
    chain("skip-is-not-raised-below", "constraint", "RFC 5280 §6.1.4 (i)", {"require": 1}, {"require": 5})
    chain("skip-self-issued-is-not-counted", "good", "RFC 5280 §6.1.4 (h)", {"require": 2}, {"self_issued": True})
    chain("skip-self-issued-leaf-is-counted", "constraint", "RFC 5280 §6.1.5 (a)", {"require": 1}, self_issued=True)
    chain("skip-larger-than-a-byte", "good", "RFC 5280 §6.1.4 (i)", {"require": 256}, {})
    chain("skip-128", "good", "RFC 5280 §6.1.4 (i)", {"require": 128}, {})
    # anyPolicy
    chain("any-stands-for-all", "good", ANY, {"policy": [ANY_POLICY], **demand}, policy=[A])
    chain("any-in-the-leaf", "good", ANY, {"policy": [A], **demand}, policy=[ANY_POLICY])
    chain("any-throughout", "good", ANY, {"policy": [ANY_POLICY], **demand}, policy=[ANY_POLICY])
    chain("any-and-another", "good", ANY, {"policy": [A], **demand}, {"policy": [ANY_POLICY]}, policy=[A])
    chain("any-does-not-widen", "constraint", ANY, {"policy": [A], **demand}, {"policy": [ANY_POLICY]}, policy=[B])
    chain("any-inhibited", "constraint", "RFC 5280 §6.1.4 (j)", {"policy": [A], "inhibit_any": 0, **demand}, policy=[ANY_POLICY])
    chain("any-inhibited-above-itself", "good", "RFC 5280 §6.1.4 (j)", {"policy": [ANY_POLICY], "inhibit_any": 0, **demand}, policy=[A])
    chain("any-inhibited-after-one", "good", "RFC 5280 §6.1.4 (j)", {"policy": [A], "inhibit_any": 1, **demand}, policy=[ANY_POLICY])
    chain("any-inhibited-after-one-used-up", "constraint", "RFC 5280 §6.1.4 (j)", {"policy": [A], "inhibit_any": 1, **demand},
          {"policy": [ANY_POLICY]}, policy=[ANY_POLICY])
    chain("any-inhibited-self-issued-may", "good", "RFC 5280 §6.1.3 (d) (2)", {"policy": [A], "inhibit_any": 0, **demand},
          {"policy": [ANY_POLICY], "self_issued": True}, policy=[A])
    chain("any-inhibited-self-issued-leaf-may-not", "constraint", "RFC 5280 §6.1.3 (d) (2)",
          {"policy": [A], "inhibit_any": 0, **demand}, policy=[ANY_POLICY], self_issued=True)
    chain("any-inhibited-and-none-demanded", "good", EXPLICIT, {"policy": [A], "inhibit_any": 0}, policy=[ANY_POLICY])
    # mappings
    chain("mapped", "good", MAPPING, {"policy": [A], "mapping": [(A, B)], **demand}, policy=[B])
    chain("mapped-away", "constraint", MAPPING, {"policy": [A], "mapping": [(A, B)], **demand}, policy=[A])
    chain("mapped-twice", "good", MAPPING, {"policy": [A], "mapping": [(A, B)], **demand}, {"policy": [B], "mapping": [(B, C)]}, policy=[C])
    chain("mapped-to-two", "good", MAPPING, {"policy": [A], "mapping": [(A, B), (A, C)], **demand}, policy=[C])
    chain("mapped-two-to-one", "good", MAPPING, {"policy": [A, B], "mapping": [(A, C), (B, C)], **demand}, policy=[C])
    chain("mapped-another", "constraint", MAPPING, {"policy": [A], "mapping": [(B, C)], **demand}, policy=[C])
    chain("mapped-from-any-policy-in-force", "good", MAPPING, {"policy": [ANY_POLICY], "mapping": [(A, B)], **demand}, policy=[B])
    chain("mapped-beside-any-policy-in-force", "good", MAPPING, {"policy": [ANY_POLICY], "mapping": [(A, B)], **demand}, policy=[C])
    chain("mapping-inhibited", "constraint", MAPPING, {"policy": [A], "inhibit_mapping": 0, **demand},
          {"policy": [A], "mapping": [(A, B)]}, policy=[B])
    chain("mapping-inhibited-removes-the-policy", "constraint", "RFC 5280 §6.1.4 (b) (2)", {"policy": [A], "inhibit_mapping": 0, **demand},
          {"policy": [A], "mapping": [(A, B)]}, policy=[A])
    chain("mapping-inhibited-leaves-others", "good", "RFC 5280 §6.1.4 (b) (2)", {"policy": [A, C], "inhibit_mapping": 0, **demand},
          {"policy": [A, C], "mapping": [(A, B)]}, policy=[C])
    chain("mapping-inhibited-after-one", "good", MAPPING, {"policy": [A], "inhibit_mapping": 1, **demand},
          {"policy": [A], "mapping": [(A, B)]}, policy=[B])
    chain("mapping-inhibited-in-the-same-certificate", "good", MAPPING,
          {"policy": [A], "inhibit_mapping": 0, "mapping": [(A, B)], **demand}, policy=[B])
    chain("mapping-inhibited-self-issued-is-not-counted", "good", MAPPING, {"policy": [A], "inhibit_mapping": 1, **demand},
          {"policy": [A], "self_issued": True}, {"policy": [A], "mapping": [(A, B)]}, policy=[B])
    chain("mapped-from-any", "constraint", "RFC 5280 §6.1.4 (a)", {"policy": [A], "mapping": [(ANY_POLICY, A)]}, policy=[A])
    chain("mapped-to-any", "constraint", "RFC 5280 §6.1.4 (a)", {"policy": [A], "mapping": [(A, ANY_POLICY)]}, policy=[A])
    # RFC 9618: what would be two to the power of the length as a tree.
    double = {"policy": [A, B], "mapping": [(A, A), (A, B), (B, A), (B, B)]}
    chain("mappings-that-double", "good", "RFC 9618 §3", {**double, **demand}, *[double] * 7, policy=[A])
    many = [f"1.3.6.1.4.1.32473.9.{i}" for i in range(65)]
    chain("sixty-five-policies", "work", "policy.c POLICIES_MAX", {"policy": many[:64], **demand}, policy=many)
    chain("sixty-four-policies", "good", "policy.c POLICIES_MAX", {"policy": many[:64], **demand}, policy=many[:64])
    # Not as RFC 5280 §4.2.1.4 to §4.2.1.14 have it.
    policy_twice = der.sequence(*[der.sequence(der.oid(A))] * 2)
    chain("policy-twice", "constraint", "RFC 5280 §4.2.1.4", {}, extensions=[("policies", False, policy_twice)])
    for name, kind, value, section, verdict in (
            ("no-policy-in-the-extension", "policies", der.sequence(), "RFC 5280 §4.2.1.4", "constraint"),
            ("no-mapping-in-the-extension", "mappings", der.sequence(), "RFC 5280 §4.2.1.5", "constraint"),
            ("no-constraint-in-the-extension", "policy-constraints", der.sequence(), "RFC 5280 §4.2.1.11", "constraint"),
            ("negative-skip", "policy-constraints", der.sequence(b"\x80\x01\xff"), "RFC 5280 §4.2.1.11", "constraint"),
            ("empty-skip", "policy-constraints", der.sequence(b"\x80\x00"), "RFC 5280 §4.2.1.11", "constraint"),
            ("skip-with-a-zero-before-it", "policy-constraints", der.sequence(b"\x80\x02\x00\x00"), "X.690 §8.3.2", "constraint"),
            ("skip-twice", "policy-constraints", der.sequence(b"\x80\x01\x00\x80\x01\x05"), "X.690 §8.9", "constraint"),
            ("skips-in-the-wrong-order", "policy-constraints", der.sequence(b"\x81\x01\x00\x80\x01\x05"), "X.690 §8.9", "constraint"),
            ("negative-inhibit-any", "inhibit-any", der.integer(-1), "RFC 5280 §4.2.1.14", "constraint"),
            ("inhibit-any-that-is-no-number", "inhibit-any", der.boolean(True), "RFC 5280 §4.2.1.14", "no-path")):
        chain(name, verdict, section, {"extensions": [(kind, True, value)]})
    chain("inhibit-any-with-a-zero-before-it", "no-path", "X.690 §8.3.2", {"extensions": [("inhibit-any", True, b"\x02\x02\x00\x00")]})
