"""What becomes of the findings of a check before they are shown.

Production first, then ignores (of warnings only), then `--strict`: an ignored warning
is no error in strict mode, and what production refuses cannot be ignored.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from grpcsecure.diagnostics.catalog import CATALOG, tool_kinds
from grpcsecure.diagnostics.comments import find_ignore_comments
from grpcsecure.diagnostics.lookup import find_kind, nearest_finding
from grpcsecure.diagnostics.model import Span
from grpcsecure.errors import UsageError
from grpcsecure.quoting import quote

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from grpcsecure.diagnostics.model import Finding, Report

__all__ = ["Draft", "Ignores", "make_report", "make_reports"]


class Ignores:
    """The codes of `--ignore`, as codes or kebab names.

    Raises:
        UsageError: no kind of finding has that code or name.
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        self.codes: tuple[str, ...] = tuple(dict.fromkeys(map(_known_code, names)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A report before `make_reports`.

    Args:
        report: all findings, in any order.
        production: the config says `production: true`.
        complete: no phase was left out on request (`--syntax-only`).
        all_profiles: no profile of the file was left out of this run.
    """

    report: Report
    production: bool = False
    complete: bool = True
    all_profiles: bool = True


def make_report(draft: Draft) -> Report:
    """Return the one report of `serve` and embedding, where there are no options."""
    return make_reports([draft])[0]


def make_reports(
    drafts: Sequence[Draft], *, ignores: Ignores | None = None, strict: bool = False
) -> tuple[Report, ...]:
    """Return the reports as they are shown: severities final, sorted by place.

    All at once, because an ignore is unused only if no config and no profile of the
    run has anything for it; one that a phase or profile left out may have had is not
    called unused.
    """
    ledgers = [_Ledger(draft, ignores or Ignores()) for draft in drafts]
    settled = {request for ledger in ledgers for request in ledger.settled()}
    reports: list[Report] = []
    for ledger in ledgers:
        # What the command line asked in vain is told once, at the end.
        unused = [
            request
            for request in ledger.requests
            if request not in settled
            and (request.span is not None or ledger is ledgers[-1])
        ]
        settled.update(unused)
        reports.append(ledger.report(unused, strict=strict))
    return tuple(reports)


@dataclass(frozen=True, slots=True)
class _IgnoreRequest:
    """One code that one comment, or the command line (no span), asks to ignore."""

    code: str
    span: Span | None = None


class _Ledger:
    """The findings of one draft, and which ignores met them."""

    def __init__(self, draft: Draft, ignores: Ignores) -> None:
        self._draft = draft
        self._ignores = ignores
        self._at: dict[tuple[str, int, str], _IgnoreRequest] = {}
        self._global = {code: _IgnoreRequest(code) for code in ignores.codes}
        self._kept: list[Finding] = []
        self._about = list(self._read_comments())
        self._met: set[_IgnoreRequest] = set()
        self._refused: dict[_IgnoreRequest, Finding] = {}
        for finding in draft.report.findings:
            self._enter(finding.judged(production=draft.production))

    @property
    def requests(self) -> tuple[_IgnoreRequest, ...]:
        """All that this draft was asked to ignore."""
        return (*self._at.values(), *self._global.values())

    def settled(self) -> Iterator[_IgnoreRequest]:
        """Yield what met a finding, and what might have if all had been checked."""
        partial = not self._draft.complete or bool(self._draft.report.not_run)
        for request in self.requests:
            other_profile = request.span is not None and not self._draft.all_profiles
            # An ignore of this very kind of finding is never called unused: it meets
            # what is only found out at the end.
            is_own = request.code == tool_kinds.UNUSED_IGNORE.code
            if request in self._met or partial or other_profile or is_own:
                yield request

    def report(self, unused: Iterable[_IgnoreRequest], *, strict: bool) -> Report:
        """Return the report, with what there is to say about ignores."""
        about = [
            *self._about,
            *(_refused(request, finding) for request, finding in self._refused.items()),
            *(_unused(request) for request in unused),
        ]
        kept = self._kept + [f for f in about if not self._requests_for(f)]
        if strict:
            kept = [finding.as_error() for finding in kept]
        subject = self._draft.report.subject
        kept.sort(key=lambda finding: _place(finding, subject))
        return replace(self._draft.report, findings=tuple(kept))

    def _read_comments(self) -> Iterator[Finding]:
        """Fill the table of comments; yield those that cannot be understood."""
        for file, text in self._draft.report.sources.items():
            for comment in find_ignore_comments(text):
                span = Span(
                    file,
                    comment.line,
                    comment.column,
                    comment.line,
                    comment.end_column,
                )
                if not comment.names:
                    yield _malformed(span)
                for name in comment.names:
                    kind = find_kind(name)
                    if kind is None:
                        yield _unknown(name, span)
                    else:
                        place = (file, comment.target, kind.code)
                        self._at.setdefault(place, _IgnoreRequest(kind.code, span))

    def _enter(self, finding: Finding) -> None:
        requests = self._requests_for(finding)
        if finding.is_error:
            self._refused.update(dict.fromkeys(requests, finding))
            self._kept.append(finding)
        elif not requests:
            self._kept.append(finding)
        self._met.update(requests)

    def _requests_for(self, finding: Finding) -> list[_IgnoreRequest]:
        requests = []
        if finding.code in self._global:
            requests.append(self._global[finding.code])
        if finding.span is not None:
            place = (finding.span.file, finding.span.line, finding.code)
            if place in self._at:
                requests.append(self._at[place])
        return requests


def _place(finding: Finding, subject: str) -> tuple[object, ...]:
    """The config as a whole first, then its own file, then the others by name."""
    span = finding.span
    if span is None:
        return (0, "", 0, 0, finding.code, finding.message)
    rank = 1 if span.file == subject else 2
    return (rank, span.file, span.line, span.column, finding.code, finding.message)


def _known_code(name: str) -> str:
    kind = find_kind(name)
    if kind is None:
        hint = _hint(name)
        raise UsageError(f"no finding has the code or name {quote(name)}; {hint}")
    return kind.code


def _hint(name: str) -> str:
    """Return words that hold the nearest valid code or name."""
    meant = nearest_finding(name)
    if meant in CATALOG:
        return f"the nearest code is `{meant}` ({CATALOG[meant].name})"
    return "codes look like `GS311`" if meant is None else f"did you mean `{meant}`?"


def _refused(request: _IgnoreRequest, finding: Finding) -> Finding:
    return tool_kinds.UNUSED_IGNORE(
        f"the ignore of `{request.code}` does not apply: {_here(finding)} is an error",
        span=request.span,
        label="only warnings can be ignored",
        help=f"mend the {finding.kind.name} and remove the ignore",
    )


def _here(finding: Finding) -> str:
    if finding.severity is finding.kind.severity:
        return "it"
    return "in production it"


def _unused(request: _IgnoreRequest) -> Finding:
    if request.span is None:
        return tool_kinds.UNUSED_IGNORE(
            f"nothing matches `--ignore {request.code}`", help="leave the option out"
        )
    return tool_kinds.UNUSED_IGNORE(
        f"nothing matches the ignore of `{request.code}`",
        span=request.span,
        label=f"no {request.code} here",
        help="remove the comment",
    )


def _unknown(name: str, span: Span) -> Finding:
    return tool_kinds.UNUSED_IGNORE(
        f"no finding has the code or name {quote(name)}",
        span=span,
        label=_hint(name),
        help="take the code from the brackets of a finding",
    )


def _malformed(span: Span) -> Finding:
    return tool_kinds.UNUSED_IGNORE(
        "an ignore comment names no code",
        span=span,
        label="nothing is ignored",
        help="write the code in brackets: `# grpcsecure: ignore[GS311]`",
    )
