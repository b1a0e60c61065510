"""Applies `production: true`, ignores and `--strict` to the findings of a check.

Production comes first, then ignores (of warnings only), then `--strict`: an ignored
warning is not an error in strict mode, and a warning that production turns into an
error cannot be ignored. A profile that itself says `production: false` keeps the
warnings that production turns into errors, in strict mode too: they are its purpose.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from grpcsecure.diagnostics.catalog import tool_kinds
from grpcsecure.diagnostics.comments import find_ignore_comments
from grpcsecure.diagnostics.findings import Span
from grpcsecure.errors import UsageError
from grpcsecure.quoting import quote

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from grpcsecure.diagnostics.findings import Finding, Report

__all__ = ["Draft", "Ignores", "make_report", "make_reports"]


class Ignores:
    """The findings of `--ignore`, given by code or kebab name.

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
        production: the config has `production: true`.
        reloading: the config is to replace that of a running server.
        complete: no phase was skipped on request (`--syntax-only`).
        all_profiles: this run checks every profile of the file.
    """

    report: Report
    production: bool = False
    reloading: bool = False
    complete: bool = True
    all_profiles: bool = True


def make_report(draft: Draft) -> Report:
    """Return the only report, without options: for `serve` and for embedding."""
    return make_reports([draft])[0]


def make_reports(
    drafts: Sequence[Draft], *, ignores: Ignores | None = None, strict: bool = False
) -> tuple[Report, ...]:
    """Return the final reports: severities are final, findings are sorted by place.

    Takes all drafts at once, because an ignore is unused only if it matches no finding
    of any config and profile of the run. An ignore is not reported as unused if a
    skipped phase or profile, or another config that includes its file, could have a
    finding for it.
    """
    filters = [_Filter(draft, ignores or Ignores()) for draft in drafts]
    done = {request for each in filters for request in each.used_or_uncertain()}
    reports: list[Report] = []
    for each in filters:
        # An unused ignore of the command line is reported once, in the last report.
        unused = [
            request
            for request in each.requests
            if request not in done and (request.span is not None or each is filters[-1])
        ]
        done.update(unused)
        reports.append(each.report(unused, strict=strict))
    return tuple(reports)


class _IgnoreRequest(NamedTuple):
    """A code to ignore, from a comment or from the command line (no span)."""

    code: str
    span: Span | None = None


class _Filter:
    """Filters the findings of one draft, and records which ignores matched."""

    def __init__(self, draft: Draft, ignores: Ignores) -> None:
        self._draft = draft
        self._ignores = ignores
        self._at: dict[tuple[str, int, str], _IgnoreRequest] = {}
        self._global = {code: _IgnoreRequest(code) for code in ignores.codes}
        self._kept: list[Finding] = []
        self._about = list(self._read_comments())
        self._matched: set[_IgnoreRequest] = set()
        #: Ignores that matched an error, which cannot be ignored.
        self._refused: dict[_IgnoreRequest, Finding] = {}
        for finding in draft.report.findings:
            self._add(
                finding.judged(production=draft.production, reloading=draft.reloading)
            )

    @property
    def requests(self) -> tuple[_IgnoreRequest, ...]:
        """All ignores that apply to this draft."""
        return (*self._at.values(), *self._global.values())

    def used_or_uncertain(self) -> Iterator[_IgnoreRequest]:
        """Yield ignores that matched, or might have matched in a complete check."""
        partial = not self._draft.complete or bool(self._draft.report.not_run)
        for request in self.requests:
            other_profile = request.span is not None and not self._draft.all_profiles
            # An included file may have it for another config that includes it.
            subject = self._draft.report.subject
            is_shared = request.span is not None and request.span.file != subject
            # An ignore of `unused-ignore` itself is never reported as unused: the
            # findings that it matches are only made at the end.
            is_own = request.code == tool_kinds.UNUSED_IGNORE.code
            if (
                request in self._matched
                or partial
                or other_profile
                or is_shared
                or is_own
            ):
                yield request

    def report(self, unused: Iterable[_IgnoreRequest], *, strict: bool) -> Report:
        """Return the report, including the findings about ignores."""
        about = [
            *self._about,
            *(_refused(request, finding) for request, finding in self._refused.items()),
            *(_unused(request) for request in unused),
        ]
        kept = self._kept + [f for f in about if not self._requests_for(f)]
        if strict:
            kept = [self._strict(finding) for finding in kept]
        subject = self._draft.report.subject
        kept.sort(key=lambda finding: _place(finding, subject))
        return replace(self._draft.report, findings=tuple(kept))

    def _strict(self, finding: Finding) -> Finding:
        is_tolerated = self._draft.report.is_development and finding.kind.production
        return finding if is_tolerated else finding.as_error()

    def _read_comments(self) -> Iterator[Finding]:
        """Fill the table of ignore comments; yield findings about invalid ones."""
        from grpcsecure.diagnostics.lookup import find_kind

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

    def _add(self, finding: Finding) -> None:
        requests = self._requests_for(finding)
        if finding.is_error:
            self._refused.update(dict.fromkeys(requests, finding))
            self._kept.append(finding)
        elif not requests:
            self._kept.append(finding)
        self._matched.update(requests)

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
    """Return the sort key: the config as a whole, then its file, then other files."""
    span = finding.span
    if span is None:
        return (0, "", 0, 0, finding.code, finding.message)
    rank = 1 if span.file == subject else 2
    return (rank, span.file, span.line, span.column, finding.code, finding.message)


def _known_code(name: str) -> str:
    from grpcsecure.diagnostics.lookup import find_kind

    kind = find_kind(name)
    if kind is None:
        hint = _hint(name)
        raise UsageError(f"no finding has the code or name {quote(name)}; {hint}")
    return kind.code


def _hint(name: str) -> str:
    """Return a phrase that suggests the nearest valid code or name."""
    from grpcsecure.diagnostics.catalog import CATALOG
    from grpcsecure.diagnostics.lookup import nearest_finding

    meant = nearest_finding(name)
    if meant in CATALOG:
        return f"the nearest code is `{meant}` ({CATALOG[meant].name})"
    return "codes look like `GS311`" if meant is None else f"did you mean `{meant}`?"


def _refused(request: _IgnoreRequest, finding: Finding) -> Finding:
    return tool_kinds.UNUSED_IGNORE(
        f"the ignore of `{request.code}` does not apply: {_here(finding)} is an error",
        span=request.span,
        label="only warnings can be ignored",
        help=f"fix the {finding.kind.name} and remove the ignore",
    )


def _here(finding: Finding) -> str:
    if finding.severity is finding.kind.severity:
        return "it"
    return "in production it"


def _unused(request: _IgnoreRequest) -> Finding:
    if request.span is None:
        return tool_kinds.UNUSED_IGNORE(
            f"nothing matches `--ignore {request.code}`", help="remove the option"
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
