"""Registered (pinned) certificates: the files that the config's patterns match.

Each file is read once. A problem with a file is returned as data, not raised:
`checking` decides whether it matters, `policy` what a pin grants.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from grpcsecure.errors import CertificateError
from grpcsecure.model.peer import Certificate
from grpcsecure.tls.files import FileForm, read_files
from grpcsecure.watch.digest import expand
from grpcsecure.watch.raw_file import UnreadableFile

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from grpcsecure.tls.files import FileContent

__all__ = ["PinFile", "Pins", "load_pins"]


class PinFile(NamedTuple):
    """A file of registered certificates, and its problem as human-readable text."""

    certificates: tuple[Certificate, ...] = ()
    problem: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pins:
    """The files that each pattern matches, in order, and their certificates."""

    matches: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)
    files: Mapping[Path, PinFile] = field(default_factory=dict, repr=False)

    def certificates(self, pattern: str) -> tuple[tuple[Path, Certificate], ...]:
        """Return the certificates that a pattern matches, each with its file."""
        return tuple(
            (path, certificate)
            for path in self.matches[pattern]
            for certificate in self.files[path].certificates
        )

    @property
    def fingerprints(self) -> dict[str, frozenset[str]]:
        """The fingerprints of the certificates of each pattern, for `policy`."""
        return {
            pattern: frozenset(one.fingerprint for _, one in self.certificates(pattern))
            for pattern in self.matches
        }


def load_pins(patterns: Iterable[str]) -> Pins:
    """Read the files that `patterns` (absolute) match now; never fails."""
    matches = {pattern: expand(pattern) for pattern in dict.fromkeys(patterns)}
    contents = read_files(path for paths in matches.values() for path in paths)
    files = {path: _parse(content) for path, content in contents.items()}
    return Pins(matches=matches, files=files)


def _parse(content: FileContent) -> PinFile:
    if isinstance(content, UnreadableFile):
        missing = content.is_missing
        reason = "does not exist" if missing else f"cannot be read: {content.reason}"
        return PinFile(problem=reason)
    if content.form is FileForm.DER:
        return _read_binary(content.der)
    found = content.certificates()
    good = tuple(entry for entry in found if isinstance(entry, Certificate))
    for entry in found:
        if not isinstance(entry, Certificate):
            # The other blocks are not used alone: a deny rule must not lose the
            # certificate of the broken one.
            return PinFile(
                problem=f"has a broken block at its line {entry.line}: {entry.problem}"
            )
    problem = None if good else "holds no certificate"
    return PinFile(certificates=good, problem=problem)


def _read_binary(der: bytes) -> PinFile:
    """Parse one certificate in DER, which Windows and some devices export."""
    from grpcsecure.tls.certificate import parse_certificate

    try:
        return PinFile(certificates=(parse_certificate(der),))
    except CertificateError as error:
        return PinFile(problem=f"holds no certificate: {error}")
