"""Findings as data: a code, a place, a message and one thing to do.

Knows nothing of configs or terminals. Invariant: nothing in a finding came from a
private key; text from a file goes through `quoting.quote` first.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TYPE_CHECKING

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
]


class Severity(Enum):
    """Error: `serve` would refuse. Warning: works, but probably not as meant."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of one file; lines and columns are 1-based, the end is exclusive."""

    file: str
    line: int
    column: int
    end_line: int
    end_column: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """A remark at a place."""

    span: Span
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
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


@dataclass(frozen=True, slots=True, kw_only=True)
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A test that a config has; a finding of `code` at its place means it failed."""

    name: str
    span: Span
    code: str


@dataclass(frozen=True, slots=True, kw_only=True)
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
