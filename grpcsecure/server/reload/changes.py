"""Human-readable differences between two snapshots, for the log line of a reload."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from grpcsecure.model.authorization import Authorization, Identity, Rule
    from grpcsecure.model.peer import Certificate
    from grpcsecure.server.snapshot import Snapshot
    from grpcsecure.tls.material import Material, ServerPair

    _TrustDomains = Mapping[str, tuple[Certificate, ...]] | None

__all__ = ["describe_changes"]

_SERIAL_ENDS = 4

#: How many rules or identities the line names.
_MOST_NAMED = 5


def describe_changes(old: Snapshot, new: Snapshot) -> list[str]:
    """Return one text per change; an empty list means that nothing changed."""
    return [*_materials(old, new), *_policy(old, new), *_levels(old, new)]


def _materials(old: Snapshot, new: Snapshot) -> Iterator[str]:
    for name, material in new.materials.items():
        before = old.materials[name]
        if replace(before, generation=material.generation) != material:
            yield f"{name}: {', '.join(_material(before, material))}"


def _material(old: Material, new: Material) -> Iterator[str]:
    if len(old.pairs) == len(new.pairs):
        for before, after in zip(old.pairs, new.pairs, strict=True):
            yield from _server_pair(before, after)
    else:
        yield f"certificates ({_leaves(old.leaves, new.leaves)})"
    if old.client_cas != new.client_cas:
        yield f"client CAs ({_difference(old.client_cas, new.client_cas)})"
    if old.trust_domains != new.trust_domains:
        yield f"trust domains ({_domains(old.trust_domains, new.trust_domains)})"
    if old.crls != new.crls:
        yield "revocation lists"


def _server_pair(old: ServerPair, new: ServerPair) -> Iterator[str]:
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


def _leaves(old: Sequence[Certificate], new: Sequence[Certificate]) -> str:
    """List the server certificates that were added (+) or removed (-)."""
    parts = [
        f"+ {leaf.subject} (serial {_serial(leaf)},"
        f" expires {leaf.not_after:%Y-%m-%d %H:%M} UTC)"
        for leaf in new
        if leaf not in old
    ]
    parts += [
        f"- {leaf.subject} (serial {_serial(leaf)})" for leaf in old if leaf not in new
    ]
    return ", ".join(parts) or f"{len(old)} -> {len(new)}"


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


def _domains(old: _TrustDomains, new: _TrustDomains) -> str:
    """List the trust domains that were added (+), removed (-), or got other CAs (~)."""
    if new is None:
        return "none any more: any client CA vouches for any of them"
    before = old or {}
    parts = [f"- {name}" for name in before if name not in new]
    for name, cas in new.items():
        if name not in before:
            parts.append(f"+ {name}")
        elif before[name] != cas:
            parts.append(f"~ {name}")
    return ", ".join(parts)


def _policy(old: Snapshot, new: Snapshot) -> Iterator[str]:
    before, after = old.config, new.config
    if before.identities != after.identities:
        yield f"identities ({_named(before.identities, after.identities)})"
    if before.authorization != after.authorization:
        parts = _authorization(before.authorization, after.authorization)
        yield f"authorization ({', '.join(parts)})"
    if old.pins != new.pins:
        yield f"registered certificates ({_counted(old.pins, new.pins)})"
    if before.server.error_detail is not after.server.error_detail:
        yield f"error_detail {after.server.error_detail.value}"


def _levels(old: Snapshot, new: Snapshot) -> Iterator[str]:
    before, after = old.config.logging.levels, new.config.logging.levels
    if before != after:
        changed = [
            f"{name} {after[name].value}"
            for name in after
            if before.get(name) is not after[name]
        ]
        changed += [f"- {name}" for name in before if name not in after]
        yield f"log levels ({', '.join(changed[:_MOST_NAMED])})"


def _authorization(
    old: Authorization | None, new: Authorization | None
) -> Iterator[str]:
    if new is None:
        yield "none any more: every call is allowed"
    elif old is None:
        yield f"default {new.default.value}, {_named((), new.rules)}"
    else:
        if old.default is not new.default:
            yield f"default {old.default.value} -> {new.default.value}"
        if old.rules != new.rules:
            yield _named(old.rules, new.rules)
        if old.audit != new.audit:
            yield "audit"
        if old.tests != new.tests:
            yield "tests"


def _named(
    old: Sequence[Identity] | Sequence[Rule], new: Sequence[Identity] | Sequence[Rule]
) -> str:
    """List the names that were added (+), removed (-) or changed (~)."""
    before, after = ({one.name: one for one in some} for some in (old, new))
    parts = [f"- {name}" for name in before if name not in after]
    for name, one in after.items():
        if name not in before:
            parts.append(f"+ {name}")
        elif before[name] != one:
            parts.append(f"~ {name}")
    if len(parts) > _MOST_NAMED:
        parts[_MOST_NAMED:] = [f"and {len(parts) - _MOST_NAMED} more"]
    return ", ".join(parts) or "in another order"


def _counted(
    old: Mapping[str, frozenset[str]], new: Mapping[str, frozenset[str]]
) -> str:
    before, after = (frozenset[str]().union(*pins.values()) for pins in (old, new))
    if before == after:
        return "moved"
    return f"+ {len(after - before)}, - {len(before - after)}"
