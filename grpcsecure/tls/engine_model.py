"""The client certificates that each engine can verify, as tables and questions.

Measured on grpcio 1.85.3 (BoringSSL) and, for the bridge, OpenSSL 4.0 as cryptography
50.0 has it; `tests/integration/test_engine_model.py` holds each row to the wire. The
path to a client CA is not in the tables: `tls.boringssl` has BoringSSL's rules, and for
the bridge OpenSSL itself is asked.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from grpcsecure.model.listener import Engine, TlsVersion
from grpcsecure.tls.boringssl.signatures import is_supported_key
from grpcsecure.tls.der import DerError, read_public_key
from grpcsecure.tls.key_kinds import kind_of_key

if TYPE_CHECKING:
    from collections.abc import Mapping

    from grpcsecure.tls.key_kinds import KeyKind

__all__ = [
    "CHAINS",
    "CLIENT_KEYS",
    "MAX_MESSAGE",
    "MEASURED_WITH",
    "NO_TICKET",
    "TICKET_LIMIT",
    "KeyOffer",
    "client_key_support",
    "describe_refused_key",
    "offers_of",
]

#: The releases that the tables were measured with, by engine.
MEASURED_WITH = {
    Engine.GRPC: "grpcio 1.85.3",
    Engine.BRIDGE: "OpenSSL 4.0.3 (cryptography 50.0.2)",
}

#: Bytes of leaf and chain (DER) between which gRPC's own TLS ends a TLS 1.3 connection
#: right after the handshake, of clients that take session tickets: the tickets contain
#: the chain, and two of them do not fit gRPC's buffer. Above, BoringSSL sends none: it
#: would have more than 65,535 bytes.
TICKET_LIMIT, NO_TICKET = 8432, 65_250

#: Bytes of the longest message with certificates that either engine reads.
MAX_MESSAGE = 100 * 1024


class KeyOffer(Enum):
    """The effect of the type of a client's key."""

    ACCEPTED = "accepted"
    #: The client presents its certificate, and the handshake fails.
    REFUSED = "refused"
    #: The server's request lists no algorithm for the key: the client presents no
    #: certificate. A mode that requires one refuses the client; otherwise it is
    #: anonymous.
    NOT_OFFERED = "not offered"


class _KeyRow(NamedTuple):
    """The effect of a type of key, by engine and TLS version."""

    grpc_1_2: KeyOffer
    grpc_1_3: KeyOffer
    bridge_1_2: KeyOffer
    bridge_1_3: KeyOffer

    def by_version(self, engine: Engine) -> Mapping[TlsVersion, KeyOffer]:
        offers = self[:2] if engine is Engine.GRPC else self[2:]
        return dict(zip(TlsVersion, offers, strict=True))


_YES, _NO, _ABSENT = KeyOffer.ACCEPTED, KeyOffer.REFUSED, KeyOffer.NOT_OFFERED

#: A type of key that neither engine knows.
_UNKNOWN = _KeyRow(_NO, _NO, _NO, _NO)

#: Types of client keys; the columns are those of `_KeyRow`.
CLIENT_KEYS: Mapping[str, _KeyRow] = {
    "RSA": _KeyRow(_YES, _YES, _YES, _YES),
    "P-256": _KeyRow(_YES, _YES, _YES, _YES),
    "P-384": _KeyRow(_YES, _YES, _YES, _YES),
    "P-521": _KeyRow(_YES, _ABSENT, _YES, _YES),
    "Ed25519": _KeyRow(_ABSENT, _ABSENT, _YES, _YES),
    "Ed448": _KeyRow(_ABSENT, _ABSENT, _YES, _YES),
    "RSA-PSS": _KeyRow(_ABSENT, _ABSENT, _YES, _YES),
    "ML-DSA-44": _KeyRow(_ABSENT, _ABSENT, _ABSENT, _YES),
    "ML-DSA-65": _KeyRow(_ABSENT, _ABSENT, _ABSENT, _YES),
    "ML-DSA-87": _KeyRow(_ABSENT, _ABSENT, _ABSENT, _YES),
    "P-192": _KeyRow(_NO, _ABSENT, _NO, _ABSENT),
    "P-224": _KeyRow(_NO, _ABSENT, _NO, _ABSENT),
    "secp256k1": _KeyRow(_NO, _ABSENT, _NO, _ABSENT),
    "brainpoolP256r1": _KeyRow(_NO, _ABSENT, _NO, _YES),
    "brainpoolP384r1": _KeyRow(_NO, _ABSENT, _NO, _YES),
    "brainpoolP512r1": _KeyRow(_NO, _ABSENT, _NO, _YES),
}


class ChainRow(NamedTuple):
    """A chain, and which engine lets its client in where that has to be verified."""

    presents: str
    grpc: bool
    bridge: bool


#: Chains that the engines judge differently, and some that are often asked about. The
#: table is for the docs; the rules are in `tls.boringssl` and in OpenSSL.
CHAINS = (
    ChainRow("a leaf or intermediate signed with SHA-1", True, False),
    ChainRow("one signed with SHA-3", False, True),
    ChainRow("one signed with RSA-PSS, the salt as long as the hash", True, True),
    ChainRow("the same with another salt (the default of `openssl`)", False, True),
    ChainRow("the key of the CA is RSA with 1024 bits", True, False),
    ChainRow("it is Ed25519, P-224, P-384, P-521 or ML-DSA", True, True),
    ChainRow("it is Ed448, secp256k1, brainpool, DSA or of type RSA-PSS", False, True),
    ChainRow("an IP constraint, and an IP address inside it", False, True),
    ChainRow("a DNS constraint `.a.test`, and the name `b.a.test`", True, True),
    ChainRow("a DNS constraint `.a.test`, and the name `a.test`", False, False),
    ChainRow("a URI constraint `a.test`, and `spiffe://a.test/x`", True, True),
    ChainRow("a URI constraint, and a `urn:` name", False, False),
    ChainRow("an excluded DNS name `b.a.test`, and `*.a.test`", False, True),
    ChainRow("an e-mail constraint, and a quoted address inside it", False, True),
    ChainRow("a certificate policy is required, and missing", False, True),
    ChainRow("extensions in a leaf of X.509 version 1", False, True),
    ChainRow("nsCertType `server` without extended key usage", True, False),
    ChainRow("a CA with the extended key usage `serverAuth` alone", True, False),
    ChainRow("a CA with an unknown critical extension", True, False),
    ChainRow("a CA of path length 0 above an intermediate", True, False),
    ChainRow("an intermediate of path length 0 above another", False, False),
    ChainRow("a CA whose key usage lacks keyCertSign", False, False),
    ChainRow("a CA of X.509 version 1", True, True),
    ChainRow("a serial number of 0, negative, or of 30 bytes", True, True),
    ChainRow(
        "an authority key identifier with the CA's name, not its serial", False, False
    ),
)


def client_key_support(
    engine: Engine, certificate: bytes
) -> Mapping[TlsVersion, KeyOffer]:
    """Return the effect of a client's key in each TLS version.

    Args:
        engine: of the listener, `grpc` or `bridge`.
        certificate: the client's (DER).
    """
    offers = offers_of(engine, _kind_of(certificate))
    if engine is not Engine.GRPC or _is_supported(certificate):
        return offers
    # The type is offered, but BoringSSL does not parse the key: an RSA key without
    # parameters, or with a long exponent.
    return {
        version: KeyOffer.REFUSED if offer is KeyOffer.ACCEPTED else offer
        for version, offer in offers.items()
    }


def offers_of(engine: Engine, kind: KeyKind | None) -> Mapping[TlsVersion, KeyOffer]:
    """Return the effect of a type of key in each TLS version."""
    row = _UNKNOWN if kind is None else CLIENT_KEYS.get(kind.name, _UNKNOWN)
    return row.by_version(engine)


def describe_refused_key(
    engine: Engine, certificate: bytes, version: TlsVersion
) -> str:
    """Return why an engine does not accept a client's key, as the end of a sentence."""
    kind = _kind_of(certificate)
    offer = client_key_support(engine, certificate)[version]
    name = "its key" if kind is None else f"its {kind} key"
    who = f"engine {engine.value} ({MEASURED_WITH[engine]})"
    if offer is KeyOffer.NOT_OFFERED:
        return f"{who} offers no algorithm for {name}"
    return f"{who} does not accept {name}"


def _is_supported(certificate: bytes) -> bool:
    try:
        return is_supported_key(read_public_key(certificate))
    except DerError:
        return False


def _kind_of(certificate: bytes) -> KeyKind | None:
    try:
        return kind_of_key(read_public_key(certificate))
    except DerError:
        return None
