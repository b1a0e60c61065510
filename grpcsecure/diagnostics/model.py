"""Findings as data: a code, a place, a message and one thing to do.

Knows nothing of configs or terminals. Invariant: nothing in a finding came from a
private key; text from a file goes through `quote` first.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import TYPE_CHECKING

from grpcsecure.frozen import field, frozen, replace

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = [
    "Case",
    "Finding",
    "Kind",
    "Label",
    "Report",
    "Severity",
    "Span",
    "holds_key_text",
    "quote",
]


class Severity(Enum):
    """Error: `serve` would refuse. Warning: works, but probably not as meant."""

    ERROR = "error"
    WARNING = "warning"


@frozen(kw_only=False)
class Span:
    """A stretch of one file; lines and columns are 1-based, the end is exclusive."""

    file: str
    line: int
    column: int
    end_line: int
    end_column: int


@frozen
class Label:
    """A remark at a place."""

    span: Span
    text: str


@frozen
class Kind:
    """One row of the catalogue: everything that all findings of a code share.

    `what` states the mistake, `why` its consequence; `bad` and `good` are YAML
    fragments, merged over a working config when the catalogue is tested. With
    `production`, the warning is an error in a config that says `production: true`.
    """

    code: str
    name: str
    severity: Severity
    what: str
    why: str
    bad: str = ""
    good: str = ""
    production: bool = False

    def __call__(  # noqa: PLR0913 - the parts of a finding, all but one optional
        self,
        message: str,
        *,
        span: Span | None = None,
        label: str = "",
        secondary: Iterable[Label] = (),
        notes: Iterable[str] = (),
        help: str | None = None,  # noqa: A002 - the word on the screen
    ) -> Finding:
        """Make a finding of this kind at `span` (None: the config as a whole)."""
        return Finding(
            kind=self,
            severity=self.severity,
            message=message,
            span=span,
            label=label,
            secondary=tuple(secondary),
            notes=tuple(notes),
            help=help,
        )


@frozen
class Finding:
    """One reported problem."""

    kind: Kind
    severity: Severity
    message: str
    span: Span | None
    label: str
    secondary: tuple[Label, ...]
    notes: tuple[str, ...]
    help: str | None

    @property
    def code(self) -> str:
        """The code of its kind, such as `GS102`."""
        return self.kind.code

    @property
    def is_error(self) -> bool:
        """Whether `serve` would refuse."""
        return self.severity is Severity.ERROR

    def judged(self, *, production: bool) -> Finding:
        """The same finding, an error if this is what production refuses."""
        return self.as_error() if production and self.kind.production else self

    def as_error(self) -> Finding:
        """The same finding as an error (`production: true`, `--strict`)."""
        return replace(self, severity=Severity.ERROR)


@frozen
class Case:
    """A test that a config has; a finding of `code` at its place means it failed."""

    name: str
    span: Span
    code: str


@frozen
class Report:
    """The findings of one config, in the order of their places.

    `sources` has the text of each file by the name its spans use; `not_run` names
    the phases that did not run because `failed` found errors. `cases` are the tests of
    the config that were run, in its order.
    """

    subject: str
    findings: tuple[Finding, ...]
    sources: Mapping[str, str] = field(default_factory=dict, repr=False)
    not_run: tuple[str, ...] = ()
    failed: str | None = None
    profile: str | None = None
    cases: tuple[Case, ...] = ()

    @property
    def errors(self) -> int:
        """How many findings are errors."""
        return sum(finding.is_error for finding in self.findings)

    @property
    def warnings(self) -> int:
        """How many findings are warnings."""
        return len(self.findings) - self.errors


_MAX_QUOTED = 60

#: A DER object in base64 begins with M (a SEQUENCE is 0x30: RFC 5915, RFC 5958).
_BASE64_OF_DER = r"(?<![A-Za-z0-9+/])M[A-Za-z0-9+/]{39,}"
#: A line from the middle of a PEM block has 64 characters (RFC 7468). Digests in hex
#: and long paths do too, but not capitals, small letters past f, and digits at once.
_PEM_LINE = (
    r"(?m)^[ \t\"'|>-]*(?=[^\n]*[A-Z])(?=[^\n]*[g-z])(?=[^\n]*\d)"
    r"[A-Za-z0-9+/]{64,}={0,2}[ \t\r\"']*$"
)


def holds_key_text(text: str) -> bool:
    """Whether `text` has in it what may be a private key: PEM, or base64 of DER.

    People paste a key where its path belongs. Certificates look the same, and a
    doubt is decided against showing.
    """
    return (
        "-----BEGIN" in text
        or "-----END" in text
        or re.search(_BASE64_OF_DER, text) is not None
        or re.search(_PEM_LINE, text) is not None
    )


def quote(value: object) -> str:
    """Return `value` in backticks, fit for a message.

    Control characters are escaped and long text is cut. Text that may be a key is not
    shown at all: people paste a private key where its path belongs.
    """
    text = value if isinstance(value, str) else repr(value)
    if "-----BEGIN" in text:
        return "`-----BEGIN …` (PEM text, not shown)"
    if holds_key_text(text):
        return "`…` (looks like a key, not shown)"
    text = text[: _MAX_QUOTED + 1]
    text = "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode() for c in text
    )
    if len(text) > _MAX_QUOTED:
        text = f"{text[:_MAX_QUOTED]}…"
    return f"`{text}`"
