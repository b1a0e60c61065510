"""Which certificate of a listener a client gets, by the name that it asks for (SNI).

Both engines choose alike: a name that is in a certificate before a wildcard, then the
first certificate in the list. gRPC core takes the first certificate that matches in any
way; where that is another one, `find_shadowed` finds it. The choice is never a decision
on trust: with any certificate, the mode and the client CAs are those of the listener.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from grpcsecure.model.peer import Certificate

__all__ = [
    "ShadowedName",
    "choose",
    "compile_names",
    "find_shadowed",
    "fold_name",
    "names_of",
]


class ShadowedName(NamedTuple):
    """A name for which gRPC core presents certificate `taken`, not `chosen`."""

    name: str
    chosen: int
    taken: int


def fold_name(name: str) -> str:
    """Return a name in the one spelling that is compared: no case, no dot at its end.

    Only ASCII letters have a case in host names (RFC 4343).
    """
    return name.encode("latin-1", "replace").lower().decode("latin-1").removesuffix(".")


def names_of(leaf: Certificate) -> Iterator[str]:
    """Yield the names by which a certificate is chosen.

    RFC 6066 has no addresses in SNI, but some clients send them.
    """
    for name in dict.fromkeys(map(fold_name, (*leaf.dns, *leaf.ips))):
        if name:
            yield name


def compile_names(leaves: Iterable[Certificate]) -> dict[str, int]:
    """Return the number of the certificate for each name, counted from 0."""
    table: dict[str, int] = {}
    for number, leaf in enumerate(leaves):
        for name in names_of(leaf):
            table.setdefault(name, number)
    return table


def choose(table: Mapping[str, int], name: str | None) -> int:
    """Return the number of the certificate for a client that asks for `name`.

    Args:
        table: from `compile_names`.
        name: the name as sent, or None; one that is unknown has the default, which is
            the first certificate.
    """
    if name is None:
        return 0
    folded = fold_name(name)
    if folded in table:
        return table[folded]
    _, dot, parent = folded.partition(".")
    # A wildcard stands for one label (RFC 9525, section 6.3).
    return table.get(f"*.{parent}", 0) if dot else 0


def find_shadowed(leaves: Sequence[Certificate]) -> Iterator[ShadowedName]:
    """Yield the names for which gRPC core presents another certificate.

    It takes the first certificate that matches, by a wildcard or not, and knows no
    wildcard for names of two labels. Measured with grpcio 1.82 and 1.85.
    """
    entries = [tuple(_entries_in_grpc(leaf)) for leaf in leaves]
    table = compile_names(leaves)
    for name in dict.fromkeys(itertools.chain.from_iterable(entries)):
        asked = f"?.{name[2:]}" if name.startswith("*.") else name
        chosen = choose(table, asked)
        taken = next(
            (number for number, known in enumerate(entries) if _matches(asked, known)),
            0,
        )
        if taken != chosen:
            yield ShadowedName(name, chosen, taken)


def _matches(asked: str, entries: Collection[str]) -> bool:
    """Whether gRPC core finds a name among the names of a certificate."""
    _, _, parent = asked.partition(".")
    return asked in entries or ("." in parent and f"*.{parent}" in entries)


def _entries_in_grpc(leaf: Certificate) -> Iterator[str]:
    """Yield the names that gRPC core reads: without any, the common name."""
    yield from names_of(leaf)
    if not (leaf.dns or leaf.ips or leaf.uris or leaf.emails) and leaf.common_name:
        yield fold_name(leaf.common_name)
