"""Which files a config names, what for, and everywhere it does so.

Several listeners often share one certificate: what is wrong with it is one mistake,
reported at the first place, with labels at the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from grpcsecure.config.tree import Mapping, Scalar
from grpcsecure.diagnostics.lines import split_lines
from grpcsecure.diagnostics.model import Label, quote
from grpcsecure.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from grpcsecure.config.load import Document
    from grpcsecure.diagnostics.model import Finding, Kind, Span

__all__ = ["FileUse", "FileUses", "gather_uses"]


@frozen
class FileUse:
    """A file in one role; `shown` is its path as the config writes it, in backticks."""

    path: Path
    shown: str
    places: tuple[Span, ...]

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
        """Make a finding at the first place that names the file."""
        others = [Label(span=place, text="named here too") for place in self.places[1:]]
        return kind(
            message,
            span=self.places[0],
            label=label,
            secondary=[*secondary, *others],
            notes=notes,
            help=help,
        )


@frozen
class FileUses:
    """All files of a config, by role; `pairs` are a certificate and its key."""

    certificates: tuple[FileUse, ...]
    private_keys: tuple[FileUse, ...]
    client_cas: tuple[FileUse, ...]
    pairs: tuple[tuple[FileUse, FileUse], ...]

    @property
    def paths(self) -> Iterator[Path]:
        """Every file, some of them more than once."""
        for use in (*self.certificates, *self.private_keys, *self.client_cas):
            yield use.path


def gather_uses(document: Document) -> FileUses:
    """Return the files that the TLS listeners of `document` name."""
    listeners = [x for x in document.config.listeners if x.tls is not None]
    certificates: dict[Path, list[str]] = {}
    private_keys: dict[Path, list[str]] = {}
    client_cas: dict[Path, list[str]] = {}
    pairs: dict[tuple[Path, Path], list[str]] = {}
    for listener in listeners:
        tls, name = listener.tls, listener.name
        assert tls is not None  # noqa: S101 - for mypy
        certificates.setdefault(tls.certificate, []).append(name)
        private_keys.setdefault(tls.private_key, []).append(name)
        pairs.setdefault((tls.certificate, tls.private_key), []).append(name)
        if tls.client_ca is not None:
            client_cas.setdefault(tls.client_ca, []).append(name)

    def use(key: str, path: Path, names: list[str]) -> FileUse:
        spans = (document.place("listeners", name, "tls", key) for name in names)
        return FileUse(
            path=path,
            shown=_written(document, names[0], key),
            # Places that a YAML alias shares are one place.
            places=tuple(dict.fromkeys(spans)),
        )

    return FileUses(
        certificates=tuple(use("certificate", *item) for item in certificates.items()),
        private_keys=tuple(use("private_key", *item) for item in private_keys.items()),
        client_cas=tuple(use("client_ca", *item) for item in client_cas.items()),
        pairs=tuple(
            (
                use("certificate", certificate, names),
                use("private_key", private_key, names),
            )
            for (certificate, private_key), names in pairs.items()
        ),
    )


def _written(document: Document, listener: str, key: str) -> str:
    """Return the path as it stands in the file, with its variables unreplaced."""
    node = _scalar(document, "listeners", listener, "tls", key)
    if not node.from_variable:
        return quote(node.text)
    span = node.span
    line = split_lines(document.source.text)[span.line - 1]
    end = span.end_column - 1 if span.end_line == span.line else len(line)
    return quote(line[span.column - 1 : end].strip("\"'"))


def _scalar(document: Document, *path: str) -> Scalar:
    node = document.tree.entries[path[0]].value
    for step in path[1:]:
        assert isinstance(node, Mapping)  # noqa: S101 - the schema has seen to it
        node = node.entries[step].value
    assert isinstance(node, Scalar)  # noqa: S101 - likewise
    return node
