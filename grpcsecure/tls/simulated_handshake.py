"""A simulated handshake: whether a listener would let a client certificate in.

For `explain`: the checks are those of the listener's engine, but no key is proved.
Invariant: a certificate that could not be checked is not let in as verified.
"""

from __future__ import annotations

from calendar import timegm
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from grpcsecure.errors import CertificateError
from grpcsecure.model.listener import Engine, TlsVersion
from grpcsecure.tls.chain_verdict import CheckResult
from grpcsecure.tls.engine_model import (
    MAX_MESSAGE,
    NO_TICKET,
    TICKET_LIMIT,
    KeyOffer,
    client_key_support,
    describe_refused_key,
)
from grpcsecure.tls.handshake_result import NOT_CHECKED, HandshakeResult
from grpcsecure.tls.openssl.settings import ContextMaterial
from grpcsecure.tls.recheck import load_check
from grpcsecure.tls.verify_errors import UNUSABLE

if TYPE_CHECKING:
    from datetime import datetime

    from grpcsecure.model.listener import Listener
    from grpcsecure.tls.material import Material

__all__ = ["SimulatedHandshake", "simulate_handshake", "simulate_handshakes"]

_UNREADABLE = "the certificate cannot be read"
_NOT_LOADED = "the client CA or a CRL does not load"


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedHandshake:
    """The outcome: the reason of a refusal, or the result of the handshake.

    With neither, the caller is anonymous: the listener does not ask for a certificate,
    or the client presents none, for the reason in `withheld`. `versions` are the TLS
    versions of the listener in which this is the outcome.
    """

    refusal: str | None = None
    withheld: str | None = None
    result: HandshakeResult | None = None
    versions: tuple[TlsVersion, ...] = ()


def simulate_handshakes(
    listener: Listener,
    material: Material | None,
    leaf: bytes,
    chain: tuple[bytes, ...],
    *,
    now: datetime,
) -> tuple[SimulatedHandshake, ...]:
    """Return the different outcomes in the TLS versions of a listener, newest first.

    The arguments are those of `simulate_handshake`.
    """
    found: list[SimulatedHandshake] = []
    for version in () if listener.tls is None else listener.tls.versions:
        one = simulate_handshake(
            listener, material, leaf, chain, now=now, version=version
        )
        same = next((each for each in found if replace(each, versions=()) == one), None)
        if same is None:
            found.append(replace(one, versions=(version,)))
        else:
            known = (*same.versions, version)
            found[found.index(same)] = replace(same, versions=known)
    return tuple(found) or (SimulatedHandshake(),)


def simulate_handshake(  # noqa: PLR0913 - a handshake has as many parts
    listener: Listener,
    material: Material | None,
    leaf: bytes,
    chain: tuple[bytes, ...],
    *,
    now: datetime,
    version: TlsVersion = TlsVersion.TLS_1_3,
) -> SimulatedHandshake:
    """Return the outcome of a handshake in which a client presents a certificate.

    the mode             key not offered   unusable   not verified   verified
    does not ask         anonymous         anonymous  anonymous      anonymous
    does not verify      anonymous         refused    let in         let in
    verifies             anonymous         refused    refused        let in
    requires             refused           refused    as above       let in

    Args:
        listener: where the client connects.
        material: of the listener; None in plaintext.
        leaf: the client's certificate (DER).
        chain: the certificates that it sends after its own, the same.
        now: the moment of the handshake, aware.
        version: the TLS version.
    """
    tls = listener.tls
    if tls is None or material is None or not tls.client_certificate.asks:
        return SimulatedHandshake()
    engine = tls.engine_in_use
    offer = client_key_support(engine, leaf)[version]
    if offer is not KeyOffer.ACCEPTED:
        words = describe_refused_key(engine, leaf, version)
        if offer is KeyOffer.REFUSED:
            return SimulatedHandshake(refusal=words)
        if listener.requires:
            return SimulatedHandshake(refusal=f"no client certificate: {words}")
        return SimulatedHandshake(withheld=words)
    too_long = _why_too_long(engine, version, (leaf, *chain))
    if too_long is not None:
        return SimulatedHandshake(refusal=too_long)
    outcome = _check(material, engine, leaf, chain, now)
    return _judged(listener, material, leaf, chain, outcome)


def _judged(
    listener: Listener,
    material: Material,
    leaf: bytes,
    chain: tuple[bytes, ...],
    outcome: CheckResult,
) -> SimulatedHandshake:
    """Return the outcome for a certificate that arrived and was checked."""
    reason, code = outcome.reason, outcome.code
    if reason in UNUSABLE:
        return SimulatedHandshake(refusal=reason)
    if material.client_ca is None:
        reason, code = NOT_CHECKED, None
    elif reason is None and not outcome.verified:
        reason = _UNREADABLE
    verifies = listener.tls is not None and listener.tls.client_certificate.verifies
    if reason is not None and verifies:
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


def _check(
    material: Material,
    engine: Engine,
    leaf: bytes,
    chain: tuple[bytes, ...],
    now: datetime,
) -> CheckResult:
    try:
        check = load_check(ContextMaterial.of(material), engine, any_strength=False)
    except CertificateError:
        return CheckResult(False, _NOT_LOADED)
    return check.run(leaf, chain, at=timegm(now.utctimetuple()))


def _why_too_long(
    engine: Engine, version: TlsVersion, sent: tuple[bytes, ...]
) -> str | None:
    """Return why a client cannot send so many bytes of certificates, or None."""
    # Each has a length of three bytes, and all of them together; in TLS 1.3 also
    # extensions, and all a context (RFC 8446, section 4.4.2).
    each, whole = (5, 4) if version is TlsVersion.TLS_1_3 else (3, 3)
    size = sum(map(len, sent))
    if size + each * len(sent) + whole > MAX_MESSAGE:
        return "its certificates are longer than a handshake message may be"
    is_native = engine is Engine.GRPC and version is TlsVersion.TLS_1_3
    if is_native and TICKET_LIMIT < size <= NO_TICKET:
        return (
            f"its certificates have {size} bytes, more than the {TICKET_LIMIT} with"
            " which engine grpc serves clients that take session tickets"
        )
    return None
