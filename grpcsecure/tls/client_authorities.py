"""CAs that can verify no client on an engine, and why.

The engine's own check is asked about a synthetic leaf that names the CA as its issuer
and has a signature that cannot be right. If that signature is the first error, the CA
is usable. Errors that depend on the names in a leaf are not found this way.
"""

from __future__ import annotations

from calendar import timegm
from datetime import timedelta
from typing import TYPE_CHECKING

from grpcsecure.errors import CertificateError
from grpcsecure.model.listener import Engine
from grpcsecure.tls.boringssl.parsed_certificate import parse_certificate
from grpcsecure.tls.boringssl.path import BAD_SIGNATURE
from grpcsecure.tls.boringssl.strict_der import BIT_STRING, INTEGER, SEQUENCE, encode
from grpcsecure.tls.der import DerError, read_all
from grpcsecure.tls.openssl.settings import ContextMaterial
from grpcsecure.tls.pem import render_pem
from grpcsecure.tls.recheck import load_check

if TYPE_CHECKING:
    from datetime import datetime

    from grpcsecure.tls.der import Element

__all__ = ["why_not_verifiable"]

_UNREADABLE = "BoringSSL cannot parse it, and gRPC ignores it and every CA after it"
_NOT_LOADED = "OpenSSL cannot load it"

#: Algorithms for signatures by the object identifier of the key's type; the others,
#: such as Ed25519, are their own algorithm. All with SHA-256, and RSA-PSS with a salt
#: of 32 bytes.
_ALGORITHMS = {
    bytes.fromhex("2a864886f70d010101"): bytes.fromhex(
        "300d06092a864886f70d01010b0500"
    ),
    bytes.fromhex("2a8648ce3d0201"): bytes.fromhex("300a06082a8648ce3d040302"),
    bytes.fromhex("2a8648ce380401"): bytes.fromhex("300b0609608648016503040302"),
    bytes.fromhex("2a864886f70d01010a"): bytes.fromhex(
        "304106092a864886f70d01010a3034a00f300d06096086480165030402010500a11c301a06092a"
        "864886f70d010108300d06096086480165030402010500a203020120"
    ),
}

#: The key of the leaf: the base point of P-256.
_LEAF_KEY = bytes.fromhex(
    "3059301306072a8648ce3d020106082a8648ce3d030107034200046b17d1f2e12c4247f8bce6e563a4"
    "40f277037d812deb33a0f4a13945d898c2964fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315e"
    "cecbb6406837bf51f5"
)

#: The numbers 1 and 1, as ECDSA encodes them.
_SIGNATURE = bytes.fromhex("3006020101020101")

_DAY = timedelta(days=1)
_GENERALIZED_TIME = 0x18
_CONTEXT = 0x80


def why_not_verifiable(engine: Engine, authority: bytes, now: datetime) -> str | None:
    """Return why a CA verifies no client on an engine now, or None.

    Args:
        engine: of the listener, `grpc` or `bridge`.
        authority: the CA's certificate (DER).
        now: the time, aware.
    """
    if engine is Engine.GRPC:
        try:
            parse_certificate(authority)
        except DerError:
            return _UNREADABLE
    material = ContextMaterial(
        generation=0,
        certificate_chain=b"",
        private_key=b"",
        client_ca=render_pem("CERTIFICATE", [authority]),
    )
    try:
        check = load_check(material, engine, any_strength=False)
        leaf = _leaf_of(authority, now)
    except (CertificateError, DerError):
        return _NOT_LOADED
    outcome = check.run(leaf, (), at=timegm(now.utctimetuple()))
    return None if outcome.code == BAD_SIGNATURE else outcome.reason


def _leaf_of(authority: bytes, now: datetime) -> bytes:
    """Return a leaf that names a CA as its issuer, with a wrong signature."""
    (certificate,) = read_all(authority)
    body = [*read_all(next(read_all(certificate.value)).value)]
    if not body[0].tag & _CONTEXT:
        body.insert(0, body[0])  # version 1 has no field for it
    subject, key = body[5], body[6]
    algorithm = _algorithm_for(key)
    dates = (_date(now - _DAY), _date(now + _DAY))
    parts = (
        encode(INTEGER, b"\1"),
        algorithm,
        subject.whole,
        encode(SEQUENCE, b"".join(dates)),
        encode(SEQUENCE, b""),
        _LEAF_KEY,
    )
    signed = encode(SEQUENCE, b"".join(parts))
    signature = encode(BIT_STRING, b"\0" + _SIGNATURE)
    return encode(SEQUENCE, signed + algorithm + signature)


def _algorithm_for(key: Element) -> bytes:
    kind = next(read_all(next(read_all(key.value)).value))
    own = encode(SEQUENCE, kind.whole)
    return _ALGORITHMS.get(kind.value, own)


def _date(moment: datetime) -> bytes:
    return encode(_GENERALIZED_TIME, moment.strftime("%Y%m%d%H%M%SZ").encode())
