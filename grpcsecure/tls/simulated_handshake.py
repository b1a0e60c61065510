"""What a handshake of a listener would make of a certificate, without one.

For explaining: the check is the handshake's own, only that nobody proves possession of
the key. Invariant: what could not be checked is not let in as verified.
"""

from __future__ import annotations

from calendar import timegm
from dataclasses import dataclass
from typing import TYPE_CHECKING

from grpcsecure.model.listener import Engine
from grpcsecure.tls.openssl.handshake_result import NOT_CHECKED
from grpcsecure.tls.openssl.settings import ContextMaterial
from grpcsecure.tls.verify import present_checked

if TYPE_CHECKING:
    from datetime import datetime

    from grpcsecure.model.listener import Listener
    from grpcsecure.tls.material import Material
    from grpcsecure.tls.verify import Presented

__all__ = ["SimulatedHandshake", "simulate_handshake"]

_UNREADABLE = "the certificate cannot be read"


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedHandshake:
    """What a handshake would leave: a refusal in words, or what was presented.

    Neither of them: the listener does not ask, and the caller is anonymous.
    """

    refusal: str | None = None
    presented: Presented | None = None


def simulate_handshake(
    listener: Listener,
    material: Material | None,
    leaf: bytes,
    chain: tuple[bytes, ...],
    *,
    now: datetime,
) -> SimulatedHandshake:
    """Return what becomes of a client that presents a certificate.

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
    presented = present_checked(
        leaf, chain, verified=reason is None, reason=reason, code=code
    )
    return SimulatedHandshake(presented=presented)
