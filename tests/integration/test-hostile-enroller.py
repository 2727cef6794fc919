#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""An enroller that was taken over: whatever it asks for and brings, identityd says what was wrong, lives on, keeps the generation that
is in use, and the next attempt of an honest one works. Runs inside tests/sandbox --clocks."""

import contextlib
import os
import socket
import tempfile
import threading
import time
import unittest

import dbus

import enroller
from enroller import (AFTER, BINDING, CACERTS, CHAIN, CREATE_REQUEST, EKU, FAILURE, ISSUED, JOB, KEY_TYPE, LATER, PROGRESS, RESULT, SERVER,
                      SIGN_TLS12, SIGN_TRANSCRIPT, STEP, TEXT, TLS, Enroller, Gone, issue, memfd, pkcs7, tlv, u8, u32)
from handle import SCHEMES, certificate_verify
from lifecycle import SCHEME, USUAL, Lifecycle, configuration
from sandboxed import CA, ERROR, NAME, SANDBOX, log, pem_to_der, read, run, time_passes, verifies, wait_until

P256 = SCHEMES[SCHEME]
OTHER_KEYS = {"ecdsa-p384": 1, "rsa-2048": 2, "rsa-3072": 3}
TLS_CLIENT, TLS_SERVER = "1.3.6.1.5.5.7.3.2", "1.3.6.1.5.5.7.3.1"
ISSUED_MAX, CACERTS_MAX, CHAIN_MAX, PAYLOAD_MAX = 256 << 10, 1 << 20, 256 << 10, 64 << 10  # common/job-protocol.h, packet.h
WEEK = 7 * 86400
UNFIT = ("EnrollmentFailed", "InvalidArgument", "PurposeViolation")
OURS = "its own words, which are not the ones that count"


def pid_of_daemon():
    return int(read(SANDBOX + "/pids/identityd").split()[0])


def open_files():
    return len(os.listdir(f"/proc/{pid_of_daemon()}/fd"))


def transcript(leaf):
    """What a client of TLS 1.2 signs that shows this certificate."""
    def message(kind, body):
        return bytes([kind]) + len(body).to_bytes(3, "big") + body

    def vector(body):
        return len(body).to_bytes(3, "big") + body
    hello = b"\x03\x03" + b"r" * 32 + b"\0"
    return b"".join((message(1, hello + b"\0\x02\xc0\x2b\x01\0"), message(2, hello + b"\xc0\x2b\0"), message(11, vector(vector(b"s"))),
                     message(13, b"\x01\x40\0\x02\x04\x03\0\0"), message(14, b""), message(11, vector(vector(leaf))),
                     message(16, b"\x03pub")))


class Hostile(Lifecycle):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.addClassCleanup(lambda: cls().forget("one"))
        cls().configure("one", configuration())
        cls.one = cls.identity("one")
        cls.one.wait("ready")
        cls.one.settle()
        cls.enroller = Enroller()
        cls.enroller.__enter__()
        cls.addClassCleanup(cls.enroller.__exit__)
        cls.pid = pid_of_daemon()

    def setUp(self):
        super().setUp()
        self.enroller.behaviour = enroller.honest

    def attempt(self, behaviour, method="Enroll", identity=None, **options):
        """The error of an attempt at an enroller that behaves so: its name and text; None if there was none."""
        options = {k.replace("_", "-"): dbus.Boolean(v) for k, v in options.items()}
        self.enroller.behaviour = behaviour
        try:
            (identity or self.one).call(method, dbus.Dictionary(options, signature="sv"), signature="a{sv}")
        except dbus.DBusException as error:
            return error.get_dbus_name().removeprefix(ERROR), error.get_dbus_message()
        finally:
            self.enroller.settle()
        return None

    def renewal(self, behaviour):
        """An attempt that has a key to authenticate with."""
        return self.attempt(behaviour, "Renew")

    def fresh(self, behaviour, identity=None):
        """An attempt that has none, and begins with a new key."""
        return self.attempt(behaviour, identity=identity, new_key=True)

    def lives(self, identity, generation):
        self.assertEqual(pid_of_daemon(), self.pid)
        os.kill(self.pid, 0)
        self.assertEqual((identity.state(), identity.generation()), ("ready", generation))
        with identity.open("data-raw" if identity.name == "two" else "digest") as opened:
            self.verify(identity.certificate(), SCHEME, b"lives on", opened.sign_message(SCHEME, b"lives on"))

    def hostile(self, cases, attempt=None, identity=None, error=("EnrollmentFailed",)):
        """Each {name: (behaviour, words of the text)} is refused, and does no harm."""
        identity = identity or self.one
        for name, (behaviour, *words) in cases.items():
            with self.subTest(name):
                generation, anchors = identity.generation(), list(identity.get("Anchors"))
                refusal = (attempt or self.fresh)(behaviour)
                self.assertIsNotNone(refusal, "it was taken")
                self.assertIn(refusal[0], error, refusal)
                for word in words:
                    self.assertIn(word, refusal[1])
                self.assertEqual(identity.get("LastError"), refusal[1])
                self.lives(identity, generation)
                self.assertEqual(list(identity.get("Anchors")), anchors)
                self.assertIsNone(self.fresh(enroller.honest, identity), "an honest one")
                self.lives(identity, generation + 1)
                self.assertEqual(identity.get("LastError"), "")


class Questions(Hostile):
    @staticmethod
    def refused(kind, payload=b"", scheme=0):
        """Asks for that, wants a refusal that says something, and gives up in words of its own."""
        def behaviour(connection):
            status, text = connection.ask(kind, payload, scheme)
            if status == 0 or not text:
                raise AssertionError(f"it was given what it asked for: {kind:#x} {payload!r} {scheme:#x}")
            connection.failure(OURS)
        return behaviour

    @staticmethod
    def ends(kind, payload=b"", scheme=0, before=lambda connection: None, fds=()):
        """Asks for that, and wants to be closed without an answer."""
        def behaviour(connection):
            before(connection)
            connection.send(kind, payload, fds, scheme=scheme)
            with contextlib.suppress(Gone):
                connection.receive()
                raise AssertionError("it was answered")
        return behaviour

    def test_requests(self):
        def request(connection):
            connection.request()

        def linked(connection, times):
            for number in range(times):
                connection.request(tlv(BINDING, bytes([number]) * 32))
        self.hostile({
            "twice": (self.ends(CREATE_REQUEST, before=request), "asked for something"),
            "a challengePassword of its own choice": (self.ends(CREATE_REQUEST, tlv(BINDING, b"open sesame!!")), "asked for something"),
            "more linked ones than there are": (
                self.ends(CREATE_REQUEST, tlv(BINDING, bytes(32)), before=lambda connection: linked(connection, 4)), "asked for something"),
            "one without a link, after one with": (
                self.ends(CREATE_REQUEST, before=lambda connection: linked(connection, 1)), "asked for something"),
            "an unknown type of key": (self.ends(CREATE_REQUEST, tlv(KEY_TYPE, u8(200))), "asked for something"),
            "a type of key that is cut": (self.ends(CREATE_REQUEST, tlv(KEY_TYPE, b"")), "asked for something"),
            "more usages than there are": (self.ends(CREATE_REQUEST, tlv(EKU, TLS_CLIENT) * 17), "asked for something"),
            "something unknown beside": (self.ends(CREATE_REQUEST, tlv(99, b"x")), "asked for something"),
            "a field that is cut": (self.ends(CREATE_REQUEST, tlv(EKU, TLS_CLIENT)[:-1]), "asked for something"),
            "a descriptor": (self.ends(CREATE_REQUEST, fds=[memfd(b"x")]), "malformed"),
            "a usage that is not given": (self.refused(CREATE_REQUEST, tlv(EKU, "1.3.6.1.5.5.7.3.8")), "1.3.6.1.5.5.7.3.8"),
            "any usage": (self.refused(CREATE_REQUEST, tlv(EKU, "2.5.29.37.0")), "2.5.29.37.0"),
            "one that is given, and one that is not": (
                self.refused(CREATE_REQUEST, tlv(EKU, TLS_CLIENT) + tlv(EKU, "1.3.6.1.5.5.7.3.3")), "1.3.6.1.5.5.7.3.3"),
            "no usage at all": (self.refused(CREATE_REQUEST, tlv(EKU, "tls\x1b[31m\nx")), "extended key usage"),
        })

    def test_another_key(self):
        self.hostile({name: (self.refused(CREATE_REQUEST, tlv(KEY_TYPE, u8(number))), name, "Algorithm=")
                      for name, number in OTHER_KEYS.items()})

    def test_tls_for_data(self):
        """An identity that signs data gets no certificate of a TLS peer."""
        two = self.made("two", configuration(access="data-raw"))
        self.hostile({usage: (self.refused(CREATE_REQUEST, tlv(EKU, usage)), "data-raw") for usage in (TLS_CLIENT, TLS_SERVER)},
                     lambda behaviour: self.fresh(behaviour, two), two)

    def test_a_request_although_one_was_given(self):
        def asks(connection):
            connection.request()
            connection.failure()

        def again(connection):
            self.assertIn("request", connection.job)
            self.refused(CREATE_REQUEST)(connection)
        self.assertEqual(self.fresh(asks)[0], "EnrollmentFailed")
        self.hostile({"given": (again, "although it was given one")}, self.attempt)

    def test_signatures(self):
        """Of the key that it authenticates with it gets what TLS 1.3 needs of a client, a few times."""
        hashes = [bytes([number]) * size for number, size in enumerate((32, 48, 32, 48))]

        def four(connection):
            certificate = pem_to_der(read(f"{SANDBOX}/run/one/chain.pem"))[0]
            for transcript in hashes:
                status, signature = connection.ask(SIGN_TRANSCRIPT, transcript, P256)
                self.assertEqual(status, 0, signature)
                self.assertTrue(verifies(certificate, SCHEME, certificate_verify("client", transcript), signature))
        self.hostile({
            "a fifth": (self.ends(SIGN_TRANSCRIPT, bytes(32), P256, four), "asked for something"),
            "a digest": (self.ends(SIGN_TLS12, bytes(32), P256), "asked for something"),
            "of an unknown scheme": (self.ends(SIGN_TRANSCRIPT, bytes(32), 0x7777), "asked for something"),
            "of no scheme": (self.ends(SIGN_TRANSCRIPT, bytes(32), 0), "asked for something"),
            "of another key's scheme": (self.refused(SIGN_TRANSCRIPT, bytes(32), 0x0804), "rsa_pss_rsae_sha256"),
            "of another curve's scheme": (self.refused(SIGN_TRANSCRIPT, bytes(48), 0x0503), "ecdsa_secp384r1_sha384"),
            **{f"of {size} bytes": (self.refused(SIGN_TRANSCRIPT, bytes(size), P256), "transcript hash")
               for size in (0, 31, 33, 64, 130, PAYLOAD_MAX)},
        }, self.renewal, error=UNFIT)

    def test_signatures_without_a_key(self):
        """Who authenticates with a password signs nothing."""
        self.hostile({"a transcript": (self.refused(SIGN_TRANSCRIPT, bytes(32), P256), "no key")}, error=UNFIT)

    def test_tls12(self):
        """With AllowTLS12= of TLS 1.2 handshakes in which the certificate that authenticates is shown, and of nothing else."""
        two = self.made("two", configuration(enrollment=f"{USUAL}\nAuthenticate=identity:demo\nAllowTLS12=yes", access="data-raw"))
        demo = transcript(self.demo.certificate())
        others = {"a digest": bytes(32), "nothing": b"", "a message": b"hello", "another's": transcript(b"x" * 500), "more": demo + b"x",
                  "less": demo[:-1], "a long one": bytes(PAYLOAD_MAX)}
        self.hostile({name: (self.refused(SIGN_TLS12, message, P256), "no TLS 1.2 handshake with the CA") for name, message in others.items()},
                     lambda behaviour: self.fresh(behaviour, two), two, UNFIT)

        def right(connection):
            certificate = pem_to_der(read(f"{SANDBOX}/run/demo/chain.pem"))[0]
            status, signature = connection.ask(SIGN_TLS12, transcript(certificate), P256)
            self.assertEqual(status, 0, signature)
            self.assertTrue(verifies(certificate, SCHEME, transcript(certificate), signature))
            connection.failure()
        self.assertIn("as the test wants it", self.fresh(right, two)[1])


class Results(Hostile):
    def with_result(self, payload, *fds, ask=True):
        def behaviour(connection):
            if ask:
                connection.request()
            connection.send(RESULT, payload, [fd() if callable(fd) else fd for fd in fds])
        return behaviour

    def issued(self, make):
        """A result with what `make` makes of the request."""
        def behaviour(connection):
            connection.result(make(connection.request()))
        return behaviour

    def with_more(self, more, *fds):
        """The right certificate, and something beside it."""
        def behaviour(connection):
            connection.result(issue(connection.request()), more, fds)
        return behaviour

    def foreign_root(self):
        key, root = SANDBOX + "/foreign.key", SANDBOX + "/foreign.pem"
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=foreign", "-days", "2",
            "-keyout", key, "-out", root)
        return key, root

    def by_foreign_root(self, request):
        key, root = self.foreign_root()
        with tempfile.NamedTemporaryFile() as file:
            file.write(request)
            file.flush()
            leaf = run("openssl", "x509", "-req", "-inform", "DER", "-in", file.name, "-CA", root, "-CAkey", key, "-days", "1",
                       "-set_serial", "77", "-copy_extensions", "copyall").stdout.decode()
        return pkcs7(leaf + read(root))

    @staticmethod
    def chain_of(name):
        return pkcs7(read(f"{SANDBOX}/run/{name}/chain.pem"))

    def test_certificates(self):
        self.hostile({
            "of another CA": (self.issued(self.by_foreign_root), "issue"),
            "of somebody else": (self.issued(lambda _: self.chain_of("demo")), "key"),
            "of the key before": (self.issued(lambda _: self.chain_of("one")), "key"),
            "the CA's own": (self.issued(lambda _: pkcs7(read(CA + "/intermediate.pem") + read(CA + "/root.pem"))), "key"),
        }, error=("CertificateRejected",))
        self.hostile({
            "none": (self.with_result(b""), "without a certificate"),
            "none, with a word of who says so": (self.with_result(tlv(SERVER, "https://ca.example") + tlv(TLS, "TLS1.3")), "without a certificate"),
        })
        self.hostile({
            "an empty PKCS#7": (self.issued(lambda _: pkcs7("")), "enrolment"),
            "nothing": (self.issued(lambda _: b""), "enrolment"),
            "rubbish": (self.issued(lambda _: os.urandom(500)), "enrolment"),
            "one that is cut": (self.issued(lambda request: issue(request)[:-40]), "enrolment"),
            "cacerts of rubbish": (self.with_more(tlv(CACERTS, u8(1)), memfd(b"rubbish")), "cacerts"),
        }, error=("EnrollmentFailed", "CertificateRejected"))

    def test_renewal(self):
        self.hostile({
            "the present chain again": (lambda connection: connection.result(self.chain_of("one")), "without having asked for a request"),
            "somebody else's": (lambda connection: connection.result(self.chain_of("demo")), "without having asked for a request"),
            "the present chain for a request": (self.issued(lambda _: self.chain_of("one")), "that is to be renewed"),
            "somebody else's for a request": (self.issued(lambda _: self.chain_of("demo")), "key"),
        }, lambda behaviour: self.attempt(behaviour, "Renew", rotate_key=False), error=("CertificateRejected", "EnrollmentFailed"))

    def test_foreign_anchors(self):
        """A root that nobody vouches for does no harm, and is not believed."""
        anchors = list(self.one.get("Anchors"))
        root = pkcs7(read(self.foreign_root()[1]) + read(CA + "/intermediate.pem"))
        for chain in (b"", b"rubbish", read(CA + "/server.pem").encode()):
            generation = self.one.generation()
            self.assertIsNone(self.fresh(self.with_more(tlv(CACERTS, u8(1)) + (tlv(CHAIN, u8(2)) if chain else b""), memfd(root),
                                                        *([memfd(chain)] if chain else []))))
            self.lives(self.one, generation + 1)
            self.assertEqual(list(self.one.get("Anchors")), anchors)

    def test_descriptors(self):
        """Nothing but memfds that change no more, of the size that is agreed, as many as are named; none is kept open."""
        pipe, unread = os.pipe(), os.pipe()
        os.write(unread[1], b"x" * 4096)
        sockets, regular = socket.socketpair(), open(__file__, "rb")  # pylint: disable=consider-using-with
        others = {"a pipe that never ends": pipe[0], "a pipe that holds something": unread[0], "the writing end": pipe[1],
                  "a socket": sockets[0].fileno(), "a file": regular.fileno(), "a directory": os.open("/", os.O_RDONLY),
                  "endless zeros": os.open("/dev/zero", os.O_RDONLY), "a path": os.open("/", os.O_PATH), "events": os.eventfd(0)}
        sealed = memfd(b"x")
        writer = os.open(f"/proc/self/fd/{sealed}", os.O_WRONLY) if os.access(f"/proc/self/fd/{sealed}", os.W_OK) else None
        field = tlv(ISSUED, u8(0))
        cases = {name: (self.with_result(field, fd, ask=False), "malformed") for name, fd in others.items()}
        cases |= {name + " that nobody asked for": (self.with_result(tlv(TLS, "x"), fd, ask=False), "malformed") for name, fd in list(others.items())[:1]}
        cases |= {name: (self.with_result(payload, *fds, ask=False), "agreed") for name, payload, *fds in (
            ("not sealed", field, memfd(b"x", 0)), ("sealed against little", field, memfd(b"x", enroller.SEALS & ~1 & ~8)),
            ("too large", field, memfd(size=ISSUED_MAX + 1)), ("much too large", field, memfd(size=1 << 40)),
            ("too large for cacerts", tlv(CACERTS, u8(0)), memfd(size=CACERTS_MAX + 1)),
            ("too large for a chain", tlv(CHAIN, u8(0)), memfd(size=CHAIN_MAX + 1)),
            ("missing", field), ("another index", tlv(ISSUED, u8(1)), memfd(b"x")), ("index 255", tlv(ISSUED, u8(255)), memfd(b"x")),
            ("an index of two bytes", tlv(ISSUED, b"\0\0"), memfd(b"x")), ("an index of none", tlv(ISSUED, b""), memfd(b"x")),
            ("named twice", field + field, memfd(b"x")), ("two", field + tlv(ISSUED, u8(1)), memfd(b"x"), memfd(b"x")),
            *([("for writing only", field, writer)] if writer is not None else []))}
        cases["five"] = (self.with_result(field, *[memfd(b"x") for _ in range(5)], ask=False), "malformed")
        for kind in (PROGRESS, FAILURE):
            cases[f"with a packet of type {kind:#x}"] = (
                lambda connection, kind=kind: connection.send(kind, tlv(STEP if kind == PROGRESS else TEXT, "x"), [memfd(b"x")]), "malformed")
        with self.one.open("digest"):
            before = open_files()
        self.hostile(cases)
        with self.one.open("digest"):
            wait_until(lambda: open_files() <= before, "the descriptors to be closed", 10)
        for closing in (sockets[0], sockets[1], regular):
            closing.close()
        for fd in (*pipe, *unread, sealed):
            os.close(fd)

    def test_fields(self):
        later = tlv(LATER, u32(60))
        self.hostile({
            "later and issued": (self.with_more(later), "agreed"),
            "a time of three bytes": (self.with_result(tlv(LATER, b"abc"), ask=False), "agreed"),
            "a head that is cut": (self.with_more(tlv(SERVER, "https://ca.example") + b"\x35\x00\x01"), "agreed"),
            "a value that is cut": (self.with_more(tlv(TLS, "TLS1.3")[:-1]), "agreed"),
            "a length of 4 GiB": (self.with_more(b"\x35\x00\xff\xff\xff\xff"), "agreed"),
            "two servers": (self.with_more(tlv(SERVER, "https://a") * 2), "agreed"),
            "a server of 3000 characters": (self.with_more(tlv(SERVER, "a" * 3000)), "agreed"),
            "a server with a NUL": (self.with_more(tlv(SERVER, b"a\0b")), "agreed"),
        })

    def test_packets_after_the_result(self):
        """The first one counts, and nothing that follows."""
        for name, kind, payload in (("another", RESULT, tlv(TLS, "x")), ("a failure", FAILURE, tlv(TEXT, "after all")),
                                    ("a question", CREATE_REQUEST, b""), ("a signature", SIGN_TRANSCRIPT, bytes(32)),
                                    ("an unknown one", 0x44, b"x" * 1000)):
            with self.subTest(name):
                def behaviour(connection, kind=kind, payload=payload):
                    connection.result(issue(connection.request()))
                    with contextlib.suppress(Gone):
                        for _ in range(20):
                            connection.send(kind, payload, scheme=P256)
                    connection.closed()
                generation = self.one.generation()
                self.assertIsNone(self.fresh(behaviour))
                self.lives(self.one, generation + 1)
                self.assertEqual(self.one.get("LastError"), "")

    def test_much_later(self):
        """Whoever is told to come back in 136 years still comes within the life of what it has; whoever is to come at once waits a second."""
        for seconds in ((1 << 32) - 1, 0):
            generation, now = self.one.generation(), time.time()
            self.assertIsNone(self.fresh(self.with_result(tlv(LATER, u32(seconds)))))
            self.lives(self.one, generation)
            self.assertEqual(self.one.get("Activity"), "waiting")
            ahead = int(self.one.get("NextAttempt")) / 1e6 - now
            self.assertGreater(ahead, 0)
            self.assertLess(ahead, int(self.one.get("NotAfter")) / 1e6 - now)
            self.assertIsNone(self.fresh(enroller.honest))
            wait_until(lambda: self.one.get("Activity") == "idle", "the end of it")
            self.one.settle()

    def test_failure_of_136_years(self):
        def behaviour(connection):
            connection.failure("come back", more=tlv(AFTER, u32((1 << 32) - 1)))
        now = time.time()
        self.hostile({"Retry-After": (behaviour, "come back")})
        self.fresh(behaviour)
        self.assertLessEqual(int(self.one.get("NextAttempt")) / 1e6 - now, WEEK + 60)
        self.assertIsNone(self.fresh(enroller.honest))


class Packets(Hostile):
    @staticmethod
    def raw(*packets):
        def behaviour(connection):
            for packet in packets:
                connection.raw(packet)
            connection.closed()
        return behaviour

    @staticmethod
    def sends(*arguments, **options):
        def behaviour(connection):
            connection.send(*arguments, **options)
            connection.closed()
        return behaviour

    def test_shapes(self):
        self.hostile({
            "nothing": (lambda connection: None, "without a result"),
            "three bytes": (self.raw(b"abc"), "malformed"),
            "another version": (self.sends(PROGRESS, tlv(STEP, "x"), version=2), "malformed"),
            "what is reserved": (self.sends(PROGRESS, tlv(STEP, "x"), reserved=1), "malformed"),
            "too long": (self.sends(PROGRESS, tlv(STEP, "x") + bytes(PAYLOAD_MAX)), "malformed"),
            "a job": (self.sends(JOB, tlv(1, u8(1))), "unknown type"),
            "an answer": (self.sends(CREATE_REQUEST | enroller.ANSWER, b"x"), "unknown type"),
            "an unknown type": (self.sends(0x7f), "unknown type"),
            "progress without a step": (self.sends(PROGRESS), "progress"),
            "progress of an unknown kind": (self.sends(PROGRESS, tlv(99, "x")), "progress"),
            "a step of 1000 characters": (self.sends(PROGRESS, tlv(STEP, "x" * 1000)), "progress"),
            "a failure without a text": (self.sends(FAILURE), "agreed"),
            "a failure that is cut": (self.sends(FAILURE, tlv(TEXT, "x")[:-1]), "agreed"),
            "a failure with a NUL": (self.sends(FAILURE, tlv(TEXT, b"a\0b")), "agreed"),
            "a failure of 10 KB": (self.sends(FAILURE, tlv(TEXT, "x" * 10000)), "agreed"),
            "a word that is half a byte": (self.sends(FAILURE, tlv(TEXT, "x") + tlv(enroller.RETRY, b"")), "agreed"),
        })

    def test_progress_without_end(self):
        def behaviour(connection):
            sent = 0
            with contextlib.suppress(Gone):
                for sent in range(1000):
                    connection.send(PROGRESS, tlv(STEP, "simpleenroll"))
                raise AssertionError("1000 reports were taken")
            connection.closed()
        self.hostile({"1000 reports": (behaviour, "progress", "simpleenroll")})

    def test_words_that_act(self):
        """Neither a log line nor a terminal takes them for more than words, and the bus takes them."""
        forged = "\nidentityd: one: ready → revoked"
        for name, text in (("controls", f"a\x1b[31mb\x07\r{forged}"), ("C1", "a\u009b31mb"), ("direction", "a\u202eb"),
                           ("no UTF-8", b"a\xff\xfeb\xc3")):
            for where in ("failure", "step"):
                with self.subTest(name, where=where):
                    def behaviour(connection, where=where, text=text):
                        if where == "failure":
                            connection.failure(text)
                        else:
                            connection.send(PROGRESS, tlv(STEP, text))
                    begins, generation = len(log("identityd")), self.one.generation()
                    refusal = self.fresh(behaviour)
                    self.assertEqual(refusal[0], "EnrollmentFailed")
                    self.lives(self.one, generation)
                    for said in (refusal[1], str(self.one.get("LastError")), log("identityd")[begins:].replace("\n", "")):
                        self.assertNotRegex(said, "[\x00-\x1f\x7f-\x9f\u202a-\u202e]")
                    self.assertIn("a", refusal[1])
                    self.assertNotIn(forged, log("identityd")[begins:])
        self.assertIsNone(self.fresh(enroller.honest))


class Zz(Hostile):
    """The last, since the clock is elsewhere afterwards."""

    def test_silence(self):
        """Five minutes, and not one that is longer for a report now and then."""
        waiting = threading.Event()

        def behaviour(connection):
            connection.send(PROGRESS, tlv(STEP, "cacerts"))
            waiting.set()
            connection.closed(60)

        def pass_by():
            waiting.wait(30)
            for seconds in (200, 301):
                time_passes(seconds)
                run("busctl", "--system", "call", NAME, "/org/identityd1", NAME + ".Manager", "ListIdentities")
        passing = threading.Thread(target=pass_by)
        passing.start()
        began = time.monotonic()
        self.hostile({"nothing": (behaviour, "300 seconds", "cacerts")})
        passing.join()
        self.assertLess(time.monotonic() - began, 30)


if __name__ == "__main__":
    unittest.main()
