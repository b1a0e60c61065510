"""A simulated handshake: whether a listener would let a client certificate in.

For `explain`: the check is the one of real handshakes, but no key is proved. Invariant:
a certificate that could not be checked is not let in as verified.
"""

from __future__ import annotations

from calendar import timegm
from dataclasses import dataclass
from typing import TYPE_CHECKING

from grpcsecure.model.listener import Engine
from grpcsecure.tls.handshake_result import NOT_CHECKED, HandshakeResult
from grpcsecure.tls.openssl.settings import ContextMaterial

if TYPE_CHECKING:
    from datetime import datetime

    from grpcsecure.model.listener import Listener
    from grpcsecure.tls.material import Material

__all__ = ["SimulatedHandshake", "simulate_handshake"]

_UNREADABLE = "the certificate cannot be read"


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedHandshake:
    """The outcome: the reason of a refusal, or the result of the handshake.

    With neither, the listener does not ask for a certificate: the caller is anonymous.
    """

    refusal: str | None = None
    result: HandshakeResult | None = None


def simulate_handshake(
    listener: Listener,
    material: Material | None,
    leaf: bytes,
    chain: tuple[bytes, ...],
    *,
    now: datetime,
) -> SimulatedHandshake:
    """Return the outcome of a handshake in which a client presents a certificate.

    the mode             unusable   not verified   verified
    does not ask         anonymous  anonymous      anonymous
    does not verify      refused    let in         let in
    verifies             refused    refused        let in

    Args:
        listener: where the client connects.
        material: of the listener; None in plaintext.
        leaf: the client's certificate (DER).
        chain: what it sends after it, the same.
        now: the moment of the handshake, aware.
    """
    tls = listener.tls
    if tls is None or material is None or not tls.client_certificate.asks:
        return SimulatedHandshake()
    from grpcsecure.tls.openssl.chain_check import CertificateCheck
    from grpcsecure.tls.openssl.verify_callback import UNUSABLE

    # grpcio's own TLS does not ask how strong a client's key is.
    any_strength = tls.engine_in_use is Engine.GRPC
    check = CertificateCheck(ContextMaterial.of(material), any_strength=any_strength)
    outcome = check.run(leaf, chain, at=timegm(now.utctimetuple()))
    reason, code = outcome.reason, outcome.code
    if reason in UNUSABLE:
        return SimulatedHandshake(refusal=reason)
    if material.client_ca is None:
        reason, code = NOT_CHECKED, None
    elif reason is None and not outcome.verified:
        reason = _UNREADABLE
    if reason is not None and tls.client_certificate.verifies:
        return SimulatedHandshake(refusal=reason)
    return SimulatedHandshake(
        result=HandshakeResult(
            listener=listener.name,
            certificate=leaf,
            chain=chain,
            verified=reason is None,
            unverified_reason=reason,
            unverified_code=code,
        )
    )
