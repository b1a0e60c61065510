"""What a listener's mode and the clock make of the certificate a peer presented.

Pure: the handshake's result, the mode and the time come in. Fails closed: a peer is
verified only if nothing at all speaks against it, now and not at the handshake.
"""

from __future__ import annotations

from datetime import datetime, timezone
from functools import lru_cache
from typing import TYPE_CHECKING

from grpcsecure.errors import CertificateError
from grpcsecure.frozen import frozen
from grpcsecure.model.peer import (
    AnonymousPeer,
    Certificate,
    ClaimedPeer,
    VerifiedPeer,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from grpcsecure.model.modes import ClientCertificateMode
    from grpcsecure.model.peer import Peer

__all__ = ["code_of", "judge", "read_presented", "why_unverified"]

_LEAF = "x509_pem_cert"
_CHAIN = "x509_pem_cert_chain"

#: Connections whose text is kept as values, and the text that is kept at most: what
#: follows the leaf is whatever the peer likes to send.
_CACHE_SIZE = 1024
_MAX_CACHED = 16 * 1024

#: The X509_V_ERR numbers of what a certificate's dates can have against it.
_CODES = {"certificate is not yet valid": 9, "certificate has expired": 10}

_LATEST = datetime.max.replace(tzinfo=timezone.utc)
_EARLIEST = datetime.min.replace(tzinfo=timezone.utc)


def judge(
    auth_context: Mapping[str, Iterable[bytes]],
    *,
    mode: ClientCertificateMode,
    listener: str,
    address: str,
    now: datetime,
) -> Peer:
    """Return the peer of a call on a TLS listener with engine `grpc`.

    Args:
        auth_context: what grpcio says about the connection; its PEM is believed,
            since the handshake proved possession of the key.
        mode: the listener's; whether gRPC verified the chain depends on it alone.
        listener: the listener's name.
        address: of the peer, in gRPC's spelling.
        now: the moment of the call, aware.
    """
    leaf = _only(auth_context.get(_LEAF))
    # A mode that does not ask has no certificate to go by, whatever is in there.
    if leaf is None or not mode.asks:
        return AnonymousPeer(listener=listener, address=address)
    presented = _present(leaf, _only(auth_context.get(_CHAIN)) or b"")
    reason = presented.problem or why_unverified(
        presented.certificate, mode=mode, now=now
    )
    if reason is None:
        return VerifiedPeer(
            listener=listener,
            address=address,
            certificate=presented.certificate,
            chain=presented.chain,
        )
    return ClaimedPeer(
        listener=listener,
        address=address,
        certificate=presented.certificate,
        chain=presented.chain,
        unverified_reason=reason,
        unverified_code=code_of(reason),
    )


def code_of(reason: str | None) -> int | None:
    """Return OpenSSL's number for a reason that has to do with dates, else None."""
    return None if reason is None else _CODES.get(reason)


def why_unverified(
    certificate: Certificate, *, mode: ClientCertificateMode, now: datetime
) -> str | None:
    """Say why a certificate that passed the handshake does not count, or None.

    A connection outlives its certificate, and a resumed session is never verified
    again: gRPC goes on serving both, so that the dates are asked at each call.
    """
    if not mode.verifies:
        return f"`{mode.value}` does not verify certificates"
    return certificate.why_not_in_force(now)


@frozen(kw_only=False)
class _Presented:
    """A leaf and its chain as values; `problem` says why they are not."""

    certificate: Certificate
    chain: tuple[bytes, ...] = ()
    problem: str | None = None


def _only(values: Iterable[bytes] | None) -> bytes | None:
    return next(iter(values), None) if values is not None else None


def _present(leaf: bytes, chain: bytes) -> _Presented:
    if len(leaf) + len(chain) > _MAX_CACHED:
        return _parse(leaf, chain)
    return _cached_parse(leaf, chain)


def _parse(leaf: bytes, chain: bytes) -> _Presented:
    from grpcsecure.tls.peer import parse_pem_certificates

    try:
        (der,) = parse_pem_certificates(leaf)
        ders = parse_pem_certificates(chain)
    except (CertificateError, ValueError) as error:
        return _Presented(_unreadable(leaf), problem=str(error))
    certificate, problem = read_presented(der)
    return _Presented(certificate, ders, problem)


def read_presented(der: bytes) -> tuple[Certificate, str | None]:
    """Return a certificate that passed a handshake, and why it is unreadable, or None.

    TLS may accept what we cannot read. Somebody did present a certificate, so this is
    no anonymous peer; it has no name, and no date on which it counts.
    """
    from grpcsecure.tls.peer import parse_certificate

    try:
        return parse_certificate(der), None
    except CertificateError as error:
        return _unreadable(der), str(error)


_cached_parse = lru_cache(maxsize=_CACHE_SIZE)(_parse)


def _unreadable(leaf: bytes) -> Certificate:
    return Certificate(
        der=leaf,
        subject="",
        issuer="",
        serial_number=0,
        not_before=_LATEST,
        not_after=_EARLIEST,
        fingerprint="",
        public_key="",
    )
