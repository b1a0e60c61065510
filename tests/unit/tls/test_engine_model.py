"""Tests of the model of the engines: types of keys, and what it says of odd ones.

`tests/integration/test_engine_model.py` holds it to handshakes.
"""

from __future__ import annotations

import pytest
from support.forged_certificates import (
    ML_DSA,
    issued,
    new_key,
    oid,
    pss_info,
    public_info,
    root,
    seq,
)

from grpcsecure.model.listener import Engine, TlsVersion
from grpcsecure.tls.der import DerError, read_all
from grpcsecure.tls.engine_model import (
    CLIENT_KEYS,
    KeyOffer,
    client_key_support,
    describe_refused_key,
)
from grpcsecure.tls.key_kinds import kind_of_key

CA = root()
KINDS = [
    kind
    for kind in CLIENT_KEYS
    if "RSA" not in kind and (kind in ML_DSA or "ML-DSA" not in kind)
]


@pytest.mark.parametrize("kind", KINDS)
def test_kind_is_read_from_the_key(kind):
    """By the names of the table."""
    assert str(kind_of_key(public_info(new_key(kind)))) == kind


def test_rsa_has_a_length():
    """Of both types of RSA keys."""
    key = new_key("RSA 1024")
    assert str(kind_of_key(public_info(key))) == "RSA 1024"
    assert str(kind_of_key(pss_info(key))) == "RSA-PSS 1024"


@pytest.mark.parametrize("data", [b"", b"0\0", b"junk", seq(seq(), b"\x03\1\0")])
def test_what_is_no_key_raises(data):
    """Malformed input has no kind."""
    with pytest.raises(DerError):
        kind_of_key(data)


def test_unknown_type_of_key_is_refused():
    """With its object identifier as the name."""
    (_, public) = read_all(next(read_all(public_info(new_key("P-256")))).value)
    odd = issued(CA, info=seq(seq(oid("1.2.3.4")), public.whole)).der()
    for engine in (Engine.GRPC, Engine.BRIDGE):
        assert set(client_key_support(engine, odd).values()) == {KeyOffer.REFUSED}
        words = describe_refused_key(engine, odd, TlsVersion.TLS_1_3)
        assert words.endswith("does not accept its 1.2.3.4 key")


def test_bytes_that_are_no_certificate_are_refused():
    """Without a name for the key."""
    assert set(client_key_support(Engine.GRPC, b"").values()) == {KeyOffer.REFUSED}
    words = describe_refused_key(Engine.GRPC, b"", TlsVersion.TLS_1_2)
    assert words.endswith("does not accept its key")
