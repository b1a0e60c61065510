"""The messages of the control channel, as typed values that become frames and back.

Each message has one function that writes it and one that reads it. The readers check
every field, since the bridge is exposed to the network.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeVar

from grpcsecure.model.listener import TlsVersion
from grpcsecure.model.modes import ClientCertificateMode
from grpcsecure.tls.bridge.ipc.framing import VERSION, Frame, FrameKind, ProtocolError
from grpcsecure.tls.bridge.ipc.refusal import Refusal, RefusalKind
from grpcsecure.tls.handshake_result import HandshakeResult
from grpcsecure.tls.openssl.settings import ContextMaterial, ContextSettings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["ListenOrder", "PeerMessage"]

_T = TypeVar("_T")


class ListenOrder(NamedTuple):
    """Order to serve a listener on one more socket, which the frame carries."""

    listener: str
    settings: ContextSettings
    upstream_path: str
    max_connections: int | None = None


class PeerMessage(NamedTuple):
    """A completed handshake; `name` has to be registered before it is used."""

    connection: int
    name: str
    result: HandshakeResult


def _field(frame: Frame, key: str, kind: type[_T]) -> _T:
    value = frame.fields.get(key)
    if type(value) is not kind:
        raise ProtocolError(f"a {frame.kind.name} frame with a bad `{key}`")
    return value


def _optional(frame: Frame, key: str, kind: type[_T]) -> _T | None:
    return None if frame.fields.get(key) is None else _field(frame, key, kind)


def _integers(frame: Frame, key: str) -> list[int]:
    values = _field(frame, key, list)
    if not all(type(value) is int for value in values):
        raise ProtocolError(f"a {frame.kind.name} frame with a bad `{key}`")
    return values


def _texts(frame: Frame, key: str) -> tuple[str, ...]:
    values = _field(frame, key, list)
    if not all(type(value) is str for value in values):
        raise ProtocolError(f"a {frame.kind.name} frame with a bad `{key}`")
    return tuple(values)


def write_hello() -> Frame:
    """Write the bridge's first frame."""
    return Frame(FrameKind.HELLO, {"version": VERSION})


def check_hello(frame: Frame) -> None:
    """Check the bridge's first frame.

    Raises:
        ProtocolError: the bridge has another version of the protocol.
    """
    if frame.kind is not FrameKind.HELLO or _field(frame, "version", int) != VERSION:
        raise ProtocolError("the bridge has another version of the protocol")


def write_listen(order: ListenOrder) -> Frame:
    """Write an order to serve a listener; to be sent with one of its sockets."""
    return Frame(
        FrameKind.LISTEN,
        {
            "listener": order.listener,
            "mode": order.settings.mode.value,
            "min_version": order.settings.min_version.value,
            "timeout": float(order.settings.handshake_timeout),
            "ciphers": [*order.settings.ciphers],
            "groups": [*order.settings.groups],
            "upstream": order.upstream_path,
            "max_connections": order.max_connections,
        },
    )


def read_listen(frame: Frame) -> ListenOrder:
    """Read `write_listen`."""
    try:
        mode = ClientCertificateMode(_field(frame, "mode", str))
        version = TlsVersion(_field(frame, "min_version", str))
    except ValueError:
        raise ProtocolError("a LISTEN frame with an unknown mode or version") from None
    settings = ContextSettings(
        mode=mode,
        min_version=version,
        handshake_timeout=_field(frame, "timeout", float),
        ciphers=_texts(frame, "ciphers"),
        groups=_texts(frame, "groups"),
    )
    return ListenOrder(
        _field(frame, "listener", str),
        settings,
        _field(frame, "upstream", str),
        _optional(frame, "max_connections", int),
    )


def write_material(order: int, materials: Mapping[str, ContextMaterial]) -> Frame:
    """Write the material of all listeners for one swap, with their private keys."""
    listeners = []
    blobs: list[bytes] = []
    for name, material in materials.items():
        listeners.append(
            [
                name,
                material.generation,
                material.client_ca is not None,
                len(material.crls),
                len(material.further),
                dict(material.names),
            ]
        )
        blobs += (material.certificate_chain, material.private_key)
        if material.client_ca is not None:
            blobs.append(material.client_ca)
        blobs += material.crls
        for pair in material.further:
            blobs += pair
    return Frame(
        FrameKind.MATERIAL, {"order": order, "listeners": listeners}, tuple(blobs)
    )


def read_material(frame: Frame) -> tuple[int, dict[str, ContextMaterial]]:
    """Read `write_material`."""
    blobs = iter(frame.blobs)
    materials = {}
    try:
        for name, generation, has_ca, crls, further, names in _field(
            frame, "listeners", list
        ):
            materials[str(name)] = ContextMaterial(
                generation=int(generation),
                certificate_chain=next(blobs),
                private_key=next(blobs),
                client_ca=next(blobs) if has_ca else None,
                crls=tuple(next(blobs) for _ in range(crls)),
                further=tuple((next(blobs), next(blobs)) for _ in range(further)),
                names=_read_names(names, count=1 + further),
            )
    except (ValueError, TypeError, StopIteration, RuntimeError):
        raise ProtocolError("a MATERIAL frame with a wrong number of blobs") from None
    return _field(frame, "order", int), materials


def _read_names(names: object, *, count: int) -> dict[str, int]:
    """Return the number of the certificate for each name.

    Raises:
        ValueError: a number is not that of a certificate.
    """
    if not isinstance(names, dict):
        raise TypeError("names")
    table = {str(name): int(number) for name, number in names.items()}
    if not all(0 <= number < count for number in table.values()):
        raise ValueError("a number of a certificate")
    return table


def write_prepared(order: int) -> Frame:
    """Write that the material was accepted and waits for `write_commit`."""
    return Frame(FrameKind.PREPARED, {"order": order})


def write_commit(order: int) -> Frame:
    """Write the order to use the prepared material; ignored if that was rejected."""
    return Frame(FrameKind.COMMIT, {"order": order})


def read_order(frame: Frame) -> int:
    """Read `write_commit`."""
    return _field(frame, "order", int)


def write_swapped(order: int) -> Frame:
    """Write that the material is in force for the next handshakes."""
    return Frame(FrameKind.SWAPPED, {"order": order})


def write_rejected(order: int, reason: str) -> Frame:
    """Write that the material was rejected; the previous material stays in force."""
    return Frame(FrameKind.REJECTED, {"order": order, "reason": reason})


def read_answer(frame: Frame) -> tuple[int, str | None]:
    """Read `write_prepared`, `write_swapped` (no reason) or `write_rejected`."""
    rejected = frame.kind is FrameKind.REJECTED
    reason = _field(frame, "reason", str) if rejected else None
    return _field(frame, "order", int), reason


def write_peer(message: PeerMessage) -> Frame:
    """Write a completed handshake; to be sent with a descriptor of the named socket."""
    result = message.result
    leaf = () if result.certificate is None else (result.certificate,)
    return Frame(
        FrameKind.PEER,
        {
            "id": message.connection,
            "name": message.name,
            "listener": result.listener,
            "address": result.address,
            "generation": result.generation,
            "verified": result.verified,
            "reason": result.unverified_reason,
            "code": result.unverified_code,
            "version": result.tls_version,
            "sni": result.server_name,
            "resumed": result.resumed,
            "group": result.group,
        },
        (*leaf, *result.chain),
    )


def read_peer(frame: Frame) -> PeerMessage:
    """Read `write_peer`.

    Raises:
        ProtocolError: a field is missing or of another type, or fields contradict each
            other, such as a verified peer without a certificate.
    """
    leaf, *chain = frame.blobs or (None,)
    result = HandshakeResult(
        listener=_field(frame, "listener", str),
        address=_field(frame, "address", str),
        generation=_field(frame, "generation", int),
        certificate=leaf,
        chain=tuple(chain),
        verified=_field(frame, "verified", bool),
        unverified_reason=_optional(frame, "reason", str),
        unverified_code=_optional(frame, "code", int),
        tls_version=_field(frame, "version", str),
        server_name=_optional(frame, "sni", str),
        resumed=_field(frame, "resumed", bool),
        group=_optional(frame, "group", str),
    )
    if result.verified and (leaf is None or result.unverified_reason is not None):
        raise ProtocolError("a PEER frame whose fields contradict each other")
    return PeerMessage(_field(frame, "id", int), _field(frame, "name", str), result)


def write_ids(kind: FrameKind, connections: Iterable[int]) -> Frame:
    """Write connection numbers: REGISTERED or CLOSE to the bridge, ENDED from it."""
    return Frame(kind, {"ids": [*connections]})


def read_ids(frame: Frame) -> Sequence[int]:
    """Read `write_ids`."""
    return _integers(frame, "ids")


def write_refusal(refusal: Refusal) -> Frame:
    """Write a refused handshake."""
    return Frame(
        FrameKind.REFUSED,
        {
            "listener": refusal.listener,
            "address": refusal.address,
            "kind": refusal.kind.value,
            "reason": refusal.reason,
            "code": refusal.verify_code,
            "subject": refusal.subject,
            "issuer": refusal.issuer,
            "left_out": refusal.left_out,
        },
    )


def read_refusal(frame: Frame) -> Refusal:
    """Read `write_refusal`."""
    try:
        kind = RefusalKind(_field(frame, "kind", str))
    except ValueError:
        raise ProtocolError("a REFUSED frame of an unknown kind") from None
    return Refusal(
        listener=_field(frame, "listener", str),
        address=_field(frame, "address", str),
        kind=kind,
        reason=_field(frame, "reason", str),
        verify_code=_optional(frame, "code", int),
        subject=_optional(frame, "subject", str),
        issuer=_optional(frame, "issuer", str),
        left_out=_field(frame, "left_out", int),
    )


def write_failed(reason: str) -> Frame:
    """Write the bridge's last frame: it has to end because of an error."""
    return Frame(FrameKind.FAILED, {"reason": reason})


def read_failed(frame: Frame) -> str:
    """Read `write_failed`."""
    return _field(frame, "reason", str)
