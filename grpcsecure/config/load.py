"""The whole loading pipeline: takes a source, returns findings or a checked document.

The phases are YAML, variables, profile, schema, model, in this order. Reads neither
files nor the environment: the caller passes both.
"""

from __future__ import annotations

import gc
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from grpcsecure.config.argument_lines import find_argument_lines, hide_arguments
from grpcsecure.config.build import build_config
from grpcsecure.config.document import Document
from grpcsecure.config.profiles import (
    check_patch,
    find_profile,
    merge_patch,
    profile_names,
    sets_production,
)
from grpcsecure.config.schema_check import check_schema
from grpcsecure.config.tree import Entry, Mapping, Node
from grpcsecure.config.variables import expand_variables
from grpcsecure.config.yaml import parse_yaml

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Mapping as AbcMapping

    from grpcsecure.config.source import Source
    from grpcsecure.diagnostics.findings import Finding
    from grpcsecure.model.server_config import ServerConfig

__all__ = ["Parsed", "parse_config", "read_profile_names"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """The result of parsing a source: a document, or the failed phase with findings.

    `failed` is `YAML` (which includes variables and profiles) or `schema`; if it is
    None, `document` is set, and the findings are warnings. They are in the order of
    their places. `argument_lines` are the lines of the source that no excerpt shows.
    """

    findings: tuple[Finding, ...]
    document: Document | None = None
    failed: str | None = None
    argument_lines: frozenset[int] = frozenset()


def parse_config(
    source: Source, *, profile: str | None, environ: AbcMapping[str, str]
) -> Parsed:
    """Parse and check `source`, without reading any of the files that it names.

    Args:
        source: the text of the config.
        profile: the profile to apply, or None.
        environ: the variables for `${VAR}`.

    Raises:
        UsageError: the config has no such profile.
    """
    with _without_gc():
        return _parse(source, profile=profile, environ=environ)


@contextmanager
def _without_gc() -> Iterator[None]:
    """Disable garbage collection while the block runs.

    A tree is large and has no cycles: for ten thousand rules, repeated collections take
    a third of the loading time.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _parse(
    source: Source, *, profile: str | None, environ: AbcMapping[str, str]
) -> Parsed:
    root, findings = parse_yaml(source)
    tree = None
    if root is not None:
        tree, found = _apply(root, source=source, profile=profile, environ=environ)
        findings += found
    hidden = find_argument_lines(source.text, root)
    if any(finding.is_error for finding in findings) or tree is None:
        return _failed("YAML", findings, source, hidden)
    found = check_schema(tree)
    if found:
        return _failed("schema", [*findings, *found], source, hidden)
    config, found = build_config(tree, directory=source.directory)
    if config is None:
        return _failed("schema", [*findings, *found], source, hidden)
    document = Document(
        source=source,
        tree=tree,
        config=config,
        profile=profile,
        is_development=_is_development(root, profile, config),
    )
    warnings = tuple(hide_arguments(findings, source.text, hidden))
    return Parsed(findings=warnings, document=document, argument_lines=hidden)


def read_profile_names(source: Source) -> tuple[str, ...]:
    """Return the names of the profiles in `source`; none if it cannot be parsed."""
    root, _ = parse_yaml(source)
    return profile_names(root) if root is not None else ()


def _is_development(
    root: Mapping | None, profile: str | None, config: ServerConfig
) -> bool:
    """Whether the profile itself says `production: false`.

    A file that says so, or says nothing, does not count: its profiles inherit it, and
    one of them may be meant for production.
    """
    if root is None or profile is None or config.production:
        return False
    return sets_production(find_profile(root, profile))


def _apply(
    root: Mapping,
    *,
    source: Source,
    profile: str | None,
    environ: AbcMapping[str, str],
) -> tuple[Mapping | None, list[Finding]]:
    """Replace the variables of the file and of the chosen profile, then merge the two.

    The other profiles are not expanded: their variables need not be set here.
    """
    chosen = find_profile(root, profile) if profile is not None else None
    entries = dict(root.entries)
    profiles = entries.pop("profiles", None)
    base = Mapping(entries=entries, span=root.span)
    parts: list[Node] = [base]
    findings: list[Finding] = []
    if profile is not None and chosen is not None:
        from grpcsecure.config.patched_names import check_patched_names

        findings += check_patch(profile, chosen)
        findings += check_patched_names(profile, chosen.value, base)
        parts.append(chosen.value)
    # One mapping, so that a node shared by both (an alias) is expanded and reported
    # only once.
    joined = Mapping(
        entries={str(i): Entry(root.span, part) for i, part in enumerate(parts)},
        span=root.span,
    )
    expanded, found = expand_variables(joined, source=source, environ=environ)
    findings += found
    is_bad = any(finding.is_error for finding in findings)
    if is_bad or not isinstance(expanded, Mapping):
        return None, findings
    tree: Node | None = None
    for entry in expanded.entries.values():
        tree = entry.value if tree is None else merge_patch(tree, entry.value)
    if not isinstance(tree, Mapping):
        return None, findings
    if profiles is not None:
        tree = Mapping(entries={**tree.entries, "profiles": profiles}, span=tree.span)
    return tree, findings


def _failed(
    phase: str, findings: list[Finding], source: Source, hidden: frozenset[int]
) -> Parsed:
    in_order = sorted(hide_arguments(findings, source.text, hidden), key=_order)
    return Parsed(findings=tuple(in_order), failed=phase, argument_lines=hidden)


def _order(finding: Finding) -> tuple[int, int]:
    return (finding.span.line, finding.span.column) if finding.span else (0, 0)
