"""Checks of the names of a server, and of several certificates of a listener.

One certificate of several is selected by the name that the client asks for.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING

from grpcsecure.checking.key_files.file_uses import key_pair_places, written_at
from grpcsecure.diagnostics.catalog import name_choice_kinds as kinds
from grpcsecure.diagnostics.findings import Label
from grpcsecure.diagnostics.suggest import did_you_mean
from grpcsecure.model.listener import Engine
from grpcsecure.quoting import quote
from grpcsecure.tls.name_selection import (
    compile_names,
    find_shadowed,
    fold_name,
    names_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from grpcsecure.config.document import Document
    from grpcsecure.diagnostics.findings import Finding, Span
    from grpcsecure.model.listener import Listener
    from grpcsecure.model.peer import Certificate

__all__ = ["check_name_choice"]

#: How many names a message lists.
_MOST = 3


def check_name_choice(
    document: Document, chains: Mapping[Path, Sequence[Certificate]]
) -> Iterator[Finding]:
    """Find names without a certificate, and certificates without a client.

    Listeners with a certificate that cannot be read are left out.

    Args:
        document: the config.
        chains: the server certificates of each file that could be read.
    """
    for listener in document.config.listeners:
        tls = listener.tls
        if tls is None or not (tls.server_names or len(tls.key_pairs) > 1):
            continue
        if all(pair.certificate in chains for pair in tls.key_pairs):
            leaves = [chains[pair.certificate][0] for pair in tls.key_pairs]
            yield from _Choice(document, listener, leaves).check()


class _Choice:
    """The certificates of one listener, and which of them a client gets."""

    def __init__(
        self, document: Document, listener: Listener, leaves: Sequence[Certificate]
    ) -> None:
        assert listener.tls is not None  # noqa: S101 - as the caller has checked
        self._document = document
        self._tls = listener.tls
        self._path = ("listeners", listener.name, "tls")
        self._leaves = leaves
        self._table = compile_names(leaves)
        self._places = [
            (*place, "certificate")
            for place, _ in key_pair_places(listener.name, listener.tls)
        ]

    def check(self) -> Iterator[Finding]:
        for index, name in enumerate(self._tls.server_names):
            yield from self._check_name(index, name)
        for number in range(1, len(self._leaves)):
            yield from self._check_use(number)
        if self._tls.engine_in_use is Engine.GRPC and len(self._leaves) > 1:
            yield from self._check_engine()

    def _check_name(self, index: int, name: str) -> Iterator[Finding]:
        place = self._document.place(*self._path, "server_names", index)
        number = self._find(name)
        if number is None:
            guess = did_you_mean(name, sorted(self._table))
            whole = "any certificate" if len(self._leaves) > 1 else "the certificate"
            yield kinds.UNCOVERED_NAME(
                f"{quote(name)} is not in {whole} of listener `{self._path[1]}`",
                span=place,
                label=guess or "clients that dial it refuse the server",
                secondary=[
                    Label(span=self._span(each), text=_list_names(leaf))
                    for each, leaf in enumerate(self._leaves)
                ],
                help=f"write the name alone: {quote(_host_in(name))}"
                if _host_in(name) != name
                else "have a certificate issued with this name, or remove it here",
            )
        elif number and _is_seldom_sent(name) and not self._is_in_first(name):
            yield kinds.NAME_NOT_SENT(
                f"{quote(name)} is not in the first certificate of listener"
                f" `{self._path[1]}`",
                span=place,
                label="not every client that dials it sends it",
                secondary=[
                    Label(span=self._span(0), text="presented without a name"),
                    Label(span=self._span(number), text="the certificate with it"),
                ],
                help="have it added to the first certificate, or put this one first",
            )

    def _find(self, name: str) -> int | None:
        """Return the number of the certificate that a client for `name` gets."""
        folded = fold_name(_spell_address(name) or name)
        found = self._table.get(folded)
        if found is None and not folded.startswith("*."):
            found = self._table.get(f"*.{folded.partition('.')[2]}")
        return found

    def _is_in_first(self, name: str) -> bool:
        return fold_name(_spell_address(name) or name) in names_of(self._leaves[0])

    def _check_use(self, number: int) -> Iterator[Finding]:
        """Find names of a certificate that an earlier one has, or no other names."""
        names = [*names_of(self._leaves[number])]
        taken = {
            name: self._table[name] for name in names if self._table[name] != number
        }
        shown = written_at(self._document, self._places[number])
        owners = [
            Label(span=self._span(each), text="presented for it")
            for each in sorted(set(taken.values()))
        ]
        if len(taken) == len(names):
            yield kinds.NEVER_PRESENTED(
                f"the certificate in {shown} is never presented",
                span=self._span(number),
                label="each of its names is in an earlier certificate"
                if names
                else "it has no name that clients could ask for",
                secondary=owners,
                help="remove it from `certificates`"
                if names
                else "have it issued again with the names that clients dial",
            )
        elif taken:
            yield kinds.NAME_IN_TWO_CERTIFICATES(
                f"{_list(taken)} in {shown} is in an earlier certificate as well"
                if len(taken) == 1
                else f"{_list(taken)} in {shown} are in an earlier certificate as well",
                span=self._span(number),
                label="not presented for it" if len(taken) == 1 else "not presented",
                secondary=owners,
                help="have each name issued in one certificate",
            )

    def _check_engine(self) -> Iterator[Finding]:
        seen = set()
        for name, chosen, taken in find_shadowed(self._leaves):
            if (chosen, taken) in seen:
                continue
            seen.add((chosen, taken))
            label, advice = _explain_shadow(name, chosen, taken)
            yield kinds.SHADOWED_NAME(
                f"engine `grpc` does not present the certificate in"
                f" {written_at(self._document, self._places[chosen])} for"
                f" {quote(name)}",
                span=self._span(chosen),
                label=label,
                secondary=[
                    Label(span=self._span(taken), text=f"presented for {quote(name)}")
                ],
                help=advice,
            )

    def _span(self, number: int) -> Span:
        return self._document.place(*self._places[number])


def _explain_shadow(name: str, chosen: int, taken: int) -> tuple[str, str]:
    """Return label and help for a name for which gRPC presents another certificate."""
    bridge = "use `engine: bridge`"
    if not chosen:  # the default
        label = "gRPC selects another one by its common name"
        return label, "have the other one issued again with the names that clients dial"
    if name.startswith("*.") and name.count(".") == 1:
        return "gRPC knows no wildcard with two labels", bridge
    label = "listed after one that matches"
    return label, f"put it before the other one, or {bridge}" if taken else bridge


def _spell_address(name: str) -> str | None:
    """Return an IP address in the spelling of certificates, or None for a name."""
    try:
        return str(ip_address(name))
    except ValueError:
        return None


def _host_in(name: str) -> str:
    """Return the host of a URL, or of a name with a port."""
    host = name.rpartition("://")[2].partition("/")[0]
    return host.partition(":")[0] if host.count(":") == 1 else host


def _is_seldom_sent(name: str) -> bool:
    return _spell_address(name) is not None or "." not in name


def _list_names(leaf: Certificate) -> str:
    return f"is for {_list(names_of(leaf))}"


def _list(names: Iterator[str] | Mapping[str, int]) -> str:
    spelled = [quote(name) for name in names]
    more = len(spelled) - _MOST
    if more > 0:
        spelled[_MOST:] = [f"{more} more"]
    return " and ".join(filter(None, [", ".join(spelled[:-1]), *spelled[-1:]]))
