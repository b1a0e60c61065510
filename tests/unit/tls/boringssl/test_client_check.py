"""Tests of the check of clients as engine `grpc` makes it.

`tests/integration/test_engine_model.py` compares it with handshakes.
"""

from __future__ import annotations

from calendar import timegm
from contextlib import suppress
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.engine_corpus import CORPUS
from support.forged_certificates import (
    CA_USAGE,
    DAY,
    NOW,
    authority_key,
    basic,
    date,
    issued,
    name,
    new_key,
    root,
    seq,
    subject_key,
    usage,
)

from grpcsecure.tls.boringssl.client_check import NativeCheck
from grpcsecure.tls.boringssl.parsed_certificate import parse_certificate
from grpcsecure.tls.der import DerError

AT = timegm(NOW.utctimetuple())
CA = root()
LEAF = issued(CA)
CHECK = NativeCheck([CA.der()])


def run(anchors, leaf, chain=(), at=AT):
    """Return the reason that a client is refused, or None."""
    check = NativeCheck([each.der() for each in anchors])
    return check.run(leaf.der(), [each.der() for each in chain], at=at).reason


def test_leaf_of_a_ca_is_verified():
    """Without a reason, and with `verified`."""
    assert CHECK.run(LEAF.der(), (), at=AT) == (True, None, None)


def test_dates_count_by_the_second():
    """The last second that a certificate names does not count any more."""
    end = timegm((NOW + 30 * DAY).utctimetuple())
    assert run([CA], LEAF, at=end - 1) is None
    assert run([CA], LEAF, at=end) == "certificate has expired"
    assert run([CA], LEAF, at=AT - 2 * 86400) == "certificate is not yet valid"


def test_reasons_are_those_of_openssl():
    """BoringSSL calls each of these "unable to get local issuer certificate"."""
    stranger = root("stranger")
    no_ca = issued(CA, "no CA", key=new_key("P-256", 3), extensions=(usage(0x80),))
    signer = root("self-signed", extensions=(basic(), usage(0x84)))
    assert run([stranger], signer) == "self-signed certificate"
    assert run([stranger], LEAF, [CA]) == "self-signed certificate in certificate chain"
    assert run([stranger], LEAF) == "unable to get local issuer certificate"
    assert run([CA], issued(no_ca), [no_ca]) == "invalid CA certificate"


@pytest.mark.parametrize("others", [0, 20])
@pytest.mark.parametrize("reverse", [False, True])
def test_renewed_ca_verifies_in_any_order(others, reverse):
    """The server gives gRPC no expired CA where there is a valid one of its name."""
    old, new = root("again", not_after=date(-0.5)), root("again")
    same = [new, old] if reverse else [old, new]
    more = [root(f"other {number}") for number in range(others)]
    assert run([*same, *more], issued(new)) is None


@pytest.mark.parametrize("others", [0, 20])
def test_two_keys_of_one_name(others):
    """Key identifiers tell them apart; without, the last to expire is the first.

    Above 16 CAs the order is not known: the client of either is verified.
    """
    more = [root(f"other {number}") for number in range(others)]
    twins = [
        root(
            "twin",
            key=new_key("P-256", number),
            not_after=date(10 + number),
            extensions=(basic(), usage(CA_USAGE), subject_key(b"%d" % number)),
        )
        for number in (5, 6)
    ]
    for number, twin in zip((5, 6), twins, strict=True):
        pointer = authority_key(b"%d" % number)
        leaf = issued(twin)
        leaf = leaf.but(extensions=(*leaf.extensions, pointer))
        assert run([*twins, *more], leaf) is None
    assert run([*twins, *more], issued(twins[1])) is None
    reason = None if others else "certificate signature failure"
    assert run([*twins, *more], issued(twins[0])) == reason


def test_cas_after_one_that_cannot_be_parsed_do_not_count():
    """As in gRPC, which stops reading there."""
    broken = root("broken", version=4)
    assert run([CA, broken], LEAF) is None
    assert run([broken, CA], LEAF) is not None


def test_key_usage_without_signing_is_refused_whatever_the_path():
    """Also if no client CA knows the certificate."""
    silent = issued(CA, extensions=(usage(0x08),))
    assert run([CA], silent) == "key usage bit incorrect"
    assert run([root("stranger")], silent) == "key usage bit incorrect"


def test_unreadable_common_name_is_refused():
    """GRPC cannot show such a name to the server."""
    odd = issued(CA, subject=name(("2.5.4.3", 0x30, b"")))
    assert run([CA], odd) == "invalid or inconsistent certificate extension"


@cache
def samples():
    """Return certificates with every extension, and odd ones."""
    kinds = CORPUS["encodings"], CORPUS["extensions"]
    return [case.client.leaf for kind in kinds for case in kind()][::5]


@pytest.mark.properties
@settings(max_examples=1000, deadline=None)
@given(
    st.deferred(lambda: st.sampled_from(samples())),
    st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 255)), max_size=3),
    st.integers(0, 1 << 16),
)
def test_hostile_bytes_are_refused_and_raise_nothing(der, changes, cut):
    """Damaged certificates, as leaf, as intermediate and as CA."""
    data = bytearray(der)
    for place, byte in changes:
        data[place % len(data)] = byte
    damaged = bytes(data[: cut % len(data)] if cut % 5 == 0 else data)
    with suppress(DerError):
        parse_certificate(damaged)
    for anchors, leaf, chain in (
        ([CA.der()], damaged, ()),
        ([damaged], LEAF.der(), ()),
        ([CA.der()], LEAF.der(), (damaged,)),
        ([damaged, CA.der()], damaged, (damaged, damaged)),
    ):
        NativeCheck(anchors).run(leaf, chain, at=AT)


def test_no_bytes_are_no_certificate():
    """The empty certificate, and one of empty sequences."""
    for der in (b"", seq(), seq(seq(), seq(), b"\x03\x01\0")):
        assert not CHECK.run(der, (), at=AT).verified
