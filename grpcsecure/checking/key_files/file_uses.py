"""Collects the files that a config names, with their roles and all their places.

Several listeners often share one certificate: a problem of it is reported once, at the
first place, with labels at the others.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, NamedTuple

from grpcsecure.config.tree import Mapping, Scalar, Sequence
from grpcsecure.diagnostics.findings import Label
from grpcsecure.diagnostics.lines import split_lines
from grpcsecure.quoting import quote

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from grpcsecure.config.document import Document
    from grpcsecure.config.tree import Node
    from grpcsecure.config.tree import Path as KeyPath
    from grpcsecure.diagnostics.findings import Finding, Kind, Span
    from grpcsecure.model.listener import KeyPair, TlsSettings

    _ClientCas = tuple[tuple[str | None, Path], ...]
    _Combination = tuple[_ClientCas, tuple[Path, ...]]

__all__ = [
    "FileUse",
    "FileUses",
    "RevocationUse",
    "gather_uses",
    "key_pair_places",
    "written_at",
]

#: The roles of files, and the keys of a `tls` block that name those of the server.
_ROLES = ("certificate", "private_key", "client_ca", "crl")
_OF_SERVER = frozenset({"certificate", "private_key", "certificates"})


class FileUse(NamedTuple):
    """A file in one role; `shown` is its path as written, in backticks.

    Relative paths start at `base`. `engines` are those of the listeners that use it, by
    name; for client CAs and lists, of those that request client certificates.
    """

    path: Path
    shown: str
    places: tuple[Span, ...]
    engines: tuple[str, ...] = ()
    base: Path | None = None

    @property
    def on_engines(self) -> str:
        """The end of a message about clients: " on engine `grpc`", or nothing."""
        names = " and ".join(f"`{name}`" for name in self.engines)
        return f" on engine {names}" if names else ""

    def report(  # noqa: PLR0913 - the parts of a finding
        self,
        kind: Kind,
        message: str,
        *,
        label: str,
        secondary: Iterable[Label] = (),
        notes: Iterable[str] = (),
        help: str | None = None,  # noqa: A002 - the word on the screen
    ) -> Finding:
        """Return a finding at the first place that names the file."""
        others = [Label(span=place, text="also used here") for place in self.places[1:]]
        return kind(
            message,
            span=self.places[0],
            label=label,
            secondary=[*secondary, *others],
            notes=notes,
            help=help,
        )


class RevocationUse(NamedTuple):
    """A combination of `client_ca` and `crl` files, as used by one or more listeners.

    Several files of client CAs are those of trust domains. `keys` are the places of
    `crl` in these listeners, `listeners` is their number.
    """

    client_cas: tuple[FileUse, ...]
    crls: tuple[FileUse, ...]
    keys: tuple[Span, ...]
    listeners: int


class FileUses(NamedTuple):
    """All files of a config by role, and the combinations of them.

    `pairs` are certificates with their private keys. `revocations` only has listeners
    that request client certificates. `only_cas` are the `client_ca` files of listeners
    that do not name the same file in `crl`.
    """

    certificates: tuple[FileUse, ...]
    private_keys: tuple[FileUse, ...]
    client_cas: tuple[FileUse, ...]
    crls: tuple[FileUse, ...]
    pairs: tuple[tuple[FileUse, FileUse], ...]
    revocations: tuple[RevocationUse, ...]
    only_cas: tuple[FileUse, ...]

    @property
    def paths(self) -> Iterator[Path]:
        """All files; a file with several roles occurs more than once."""
        every = (self.certificates, self.private_keys, self.client_cas, self.crls)
        for use in itertools.chain.from_iterable(every):
            yield use.path


def gather_uses(document: Document) -> FileUses:
    """Return the files that the TLS listeners of `document` name."""
    gathered = _Gathered(document)
    for listener in document.config.listeners:
        if listener.tls is not None:
            gathered.add(listener.name, listener.tls)
    return gathered.uses()


class _Gathered:
    """Collects the key paths of each file, and the listeners of each combination."""

    def __init__(self, document: Document) -> None:
        self._document = document
        #: The engine of each listener, and the same or "" if it requests no client
        #: certificates.
        self._engines: dict[str, str] = {}
        self._for_clients: dict[str, str] = {}
        self._keys: dict[str, dict[Path, list[KeyPath]]] = {key: {} for key in _ROLES}
        self._pairs: dict[KeyPair, list[KeyPath]] = {}
        self._revocations: dict[_Combination, list[str]] = {}
        self._only_cas: dict[Path, list[KeyPath]] = {}

    def add(self, name: str, tls: TlsSettings) -> None:
        """Record the files of a listener."""
        asks = tls.client_certificate.asks
        self._engines[name] = tls.engine_in_use.value
        self._for_clients[name] = tls.engine_in_use.value if asks else ""
        for place, pair in key_pair_places(name, tls):
            self._record("certificate", pair.certificate, (*place, "certificate"))
            self._record("private_key", pair.private_key, (*place, "private_key"))
            self._pairs.setdefault(pair, []).append(place)
        for domain, path in tls.client_ca_files:
            self._record("client_ca", path, _below(name, *_client_ca_key(domain)))
        for index, path in enumerate(tls.crl):
            self._record("crl", path, _below(name, "crl", index))
        if tls.client_ca_files and tls.crl and tls.client_certificate.asks:
            combined = (tls.client_ca_files, tls.crl)
            self._revocations.setdefault(combined, []).append(name)
        for domain, path in tls.client_ca_files:
            if path not in tls.crl:
                place = _below(name, *_client_ca_key(domain))
                self._only_cas.setdefault(path, []).append(place)

    def _record(self, role: str, path: Path, key: KeyPath) -> None:
        self._keys[role].setdefault(path, []).append(key)

    def uses(self) -> FileUses:
        """Return all recorded files."""
        certificates, private_keys, client_cas, crls = (
            tuple(itertools.starmap(self._use, self._keys[role].items()))
            for role in _ROLES
        )
        return FileUses(
            certificates=certificates,
            private_keys=private_keys,
            client_cas=client_cas,
            crls=crls,
            pairs=tuple(
                (
                    self._use(pair.certificate, [(*p, "certificate") for p in places]),
                    self._use(pair.private_key, [(*p, "private_key") for p in places]),
                )
                for pair, places in self._pairs.items()
            ),
            revocations=tuple(
                self._revocation(*files, names)
                for files, names in self._revocations.items()
            ),
            only_cas=tuple(itertools.starmap(self._use, self._only_cas.items())),
        )

    def _revocation(
        self, client_cas: _ClientCas, crls: tuple[Path, ...], names: list[str]
    ) -> RevocationUse:
        keys = (self._document.key(*_below(name, "crl")) for name in names)
        return RevocationUse(
            client_cas=tuple(
                self._use(
                    path, [_below(name, *_client_ca_key(domain)) for name in names]
                )
                for domain, path in client_cas
            ),
            crls=tuple(
                self._use(path, [_below(name, "crl", index) for name in names])
                for index, path in enumerate(crls)
            ),
            keys=tuple(dict.fromkeys(keys)),
            listeners=len(names),
        )

    def _use(self, path: Path, keys: list[KeyPath]) -> FileUse:
        spans = (self._document.place(*key) for key in keys)
        used = {str(key[1]) for key in keys}
        by_name = self._engines if keys[0][3] in _OF_SERVER else self._for_clients
        return FileUse(
            path=path,
            shown=written_at(self._document, keys[0]),
            base=self._document.source_of(*keys[0]).directory,
            # Places that are shared by a YAML alias count once.
            places=tuple(dict.fromkeys(spans)),
            engines=tuple(sorted({by_name[name] for name in used} - {""})),
        )


def key_pair_places(
    listener: str, tls: TlsSettings
) -> Iterator[tuple[KeyPath, KeyPair]]:
    """Yield each server certificate with its key, and the mapping that has both."""
    if not tls.certificates:
        yield _below(listener), tls.key_pairs[0]
    for index, pair in enumerate(tls.certificates):
        yield _below(listener, "certificates", index), pair


def _client_ca_key(domain: str | None) -> KeyPath:
    """Return the key of a file with client CAs; None is the only one of a listener."""
    return ("client_ca",) if domain is None else ("client_ca", domain)


def _below(listener: str, *key: str | int) -> KeyPath:
    return ("listeners", listener, "tls", *key)


def written_at(document: Document, path: KeyPath) -> str:
    """Return a path as written in the config, with its variables not replaced."""
    node = _scalar(document.tree, path)
    if not node.from_variable:
        return quote(node.text)
    span = node.span
    line = split_lines(document.source_of(*path).text)[span.line - 1]
    end = span.end_column - 1 if span.end_line == span.line else len(line)
    return quote(line[span.column - 1 : end].strip("\"'"))


def _scalar(node: Node, path: KeyPath) -> Scalar:
    for step in path:
        if isinstance(node, Sequence) and isinstance(step, int):
            node = node.items[step]
        else:
            assert isinstance(node, Mapping)  # noqa: S101 - guaranteed by the schema
            node = node.entries[str(step)].value
    assert isinstance(node, Scalar)  # noqa: S101 - likewise
    return node
