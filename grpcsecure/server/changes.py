"""What differs between two snapshots, in words for the line of a reload."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grpcsecure.frozen import replace

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from grpcsecure.model.peer import Certificate
    from grpcsecure.server.snapshot import Snapshot
    from grpcsecure.tls.material import Material

__all__ = ["describe_changes"]

_SERIAL_ENDS = 4


def describe_changes(old: Snapshot, new: Snapshot) -> list[str]:
    """Return what changed, a part each; an empty list is the same meaning."""
    return [*_materials(old, new), *_policy(old, new)]


def _materials(old: Snapshot, new: Snapshot) -> Iterator[str]:
    for name, material in new.materials.items():
        before = old.materials[name]
        if replace(before, generation=material.generation) != material:
            yield f"{name}: {', '.join(_material(before, material))}"


def _material(old: Material, new: Material) -> Iterator[str]:
    before, after = old.chain[0], new.chain[0]
    if before != after:
        yield (
            f"certificate {after.subject}"
            f" (serial {_serial(before)} -> {_serial(after)},"
            f" expires {after.not_after:%Y-%m-%d %H:%M} UTC)"
        )
    elif old.chain != new.chain:
        yield "certificate chain"
    if old.private_key != new.private_key and before == after:
        yield "private key"
    if old.client_cas != new.client_cas:
        yield f"client CAs ({_difference(old.client_cas, new.client_cas)})"
    if old.crls != new.crls:
        yield "revocation lists"


def _serial(certificate: Certificate) -> str:
    digits = f"{certificate.serial_number:x}"
    if len(digits) <= 2 * _SERIAL_ENDS:
        return digits
    return f"{digits[:_SERIAL_ENDS]}..{digits[-_SERIAL_ENDS:]}"


def _difference(old: Iterable[Certificate], new: Iterable[Certificate]) -> str:
    before, after = [*old], [*new]
    parts = [f"+ {ca.subject}" for ca in after if ca not in before]
    parts += [f"- {ca.subject}" for ca in before if ca not in after]
    return ", ".join(parts) or "in another order"


def _policy(old: Snapshot, new: Snapshot) -> Iterator[str]:
    before, after = old.config, new.config
    if before.identities != after.identities:
        yield "identities"
    if before.authorization != after.authorization:
        yield "authorization"
    if old.pins != new.pins:
        yield "registered certificates"
    if before.server.error_detail is not after.server.error_detail:
        yield "error_detail"
