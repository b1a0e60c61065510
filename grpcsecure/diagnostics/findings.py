"""Findings as data: a code, a place, a message and advice.

Knows nothing of configs or terminals. Invariant: no text of a finding came from a
private key; text from a file goes through `quoting.quote` first.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = [
    "Case",
    "Coverage",
    "Finding",
    "Kind",
    "Label",
    "Report",
    "Severity",
    "Span",
]


class Severity(Enum):
    """Error: `serve` would refuse. Warning: it works, but probably not as intended."""

    ERROR = "error"
    WARNING = "warning"


class Span(NamedTuple):
    """A range of text in a file; lines and columns are 1-based, the end exclusive."""

    file: str
    line: int
    column: int
    end_line: int
    end_column: int


class Label(NamedTuple):
    """A text that is shown at a place."""

    span: Span
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of finding: the row of the catalogue that all findings of a code share.

    `what` states the mistake, `why` its consequence. `bad` and `good` are YAML
    fragments, which tests of the catalogue merge over a working config. If `production`
    is true, the warning becomes an error in a config with `production: true`. A reload
    with a finding that `applies_on_reload` is applied and warns, also in production: a
    CA, list or registered certificate that lets no client in must not keep its
    predecessor in force.
    """

    code: str
    name: str
    severity: Severity
    what: str
    why: str
    bad: str = ""
    good: str = ""
    production: bool = False
    applies_on_reload: bool = False

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
        """Whether `serve` would refuse the config."""
        return self.severity is Severity.ERROR

    def judged(self, *, production: bool, reloading: bool = False) -> Finding:
        """Return the finding with the severity that it has in this case."""
        if reloading and self.kind.applies_on_reload:
            return replace(self, severity=Severity.WARNING)
        return self.as_error() if production and self.kind.production else self

    def as_error(self) -> Finding:
        """Return the finding as an error (`production: true`, `--strict`)."""
        return replace(self, severity=Severity.ERROR)


class Case(NamedTuple):
    """A test in a config; it failed if there is a finding of `code` at its place."""

    name: str
    span: Span
    code: str


class Coverage(NamedTuple):
    """The parts of a config that a check covered, and those that it left out.

    `phases` and `left_out` are phases that read more than the config itself: those that
    ran without errors, and those left out on request. `profiles` are the profiles of
    the file that no report of this run is about. `tests_left_out` counts the policy
    tests that need a file, `values_left_out` the values of `${file:PATH}` that were not
    read; `lacks_tests` is whether the rules have no tests at all.
    """

    phases: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    profiles: tuple[str, ...] = ()
    tests_left_out: int = 0
    values_left_out: int = 0
    lacks_tests: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The findings of one config, in the order of their places.

    `sources` has the text of each file by the name that spans use, and `argument_lines`
    the numbers of its lines that excerpts must not show. `not_run` names the
    phases that did not run because the phase `failed` found errors. `cases` are the
    tests of the config that were run, in the order of the file. `coverage` is None if
    the check ended with an error. `is_development` is whether the profile itself says
    `production: false`.
    """

    subject: str
    findings: tuple[Finding, ...]
    sources: Mapping[str, str] = field(default_factory=dict, repr=False)
    argument_lines: Mapping[str, frozenset[int]] = field(default_factory=dict)
    not_run: tuple[str, ...] = ()
    failed: str | None = None
    profile: str | None = None
    cases: tuple[Case, ...] = ()
    coverage: Coverage | None = None
    is_development: bool = False

    @property
    def errors(self) -> int:
        """The number of errors."""
        return sum(finding.is_error for finding in self.findings)

    @property
    def warnings(self) -> int:
        """The number of warnings."""
        return len(self.findings) - self.errors

    @property
    def tolerated(self) -> int:
        """The number of warnings that are errors with `production: true`."""
        return sum(f.kind.production and not f.is_error for f in self.findings)
