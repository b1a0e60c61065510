"""The whole loading pipeline: takes a source, returns findings or a checked document.

The phases are YAML, includes and variables, profile, schema, model, in this order.
Reads the files that the text refers to (`include`, `${file:PATH}`), and no others.
"""

from __future__ import annotations

import gc
from contextlib import contextmanager
from dataclasses import dataclass, field
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
from grpcsecure.config.referenced_files import FileValues, ReferencedFiles
from grpcsecure.config.schema_check import check_schema
from grpcsecure.config.tree import Entry, Mapping, Node
from grpcsecure.config.variables import Expander
from grpcsecure.config.yaml import parse_yaml
from grpcsecure.quoting import quote

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Mapping as AbcMapping
    from pathlib import Path

    from grpcsecure.config.referenced_files import ReferencedFile
    from grpcsecure.config.source import Source
    from grpcsecure.diagnostics.findings import Finding
    from grpcsecure.model.server_config import ServerConfig

__all__ = ["Parsed", "parse_config", "read_profile_names"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """The result of parsing a source: a document, or the failed phase with findings.

    `failed` is `YAML` (which includes variables and profiles) or `schema`; if it is
    None, `document` is set, and the findings are warnings. They are in the order of
    their places. `sources` has the text of each file by its name, `argument_lines` the
    lines of each that no excerpt shows. `referenced` are the files that were read, and
    `unread` is the number of values of files that were not.
    """

    findings: tuple[Finding, ...]
    document: Document | None = None
    failed: str | None = None
    sources: AbcMapping[str, Source] = field(default_factory=dict)
    argument_lines: AbcMapping[str, frozenset[int]] = field(default_factory=dict)
    referenced: tuple[ReferencedFile, ...] = ()
    unread: int = 0


def parse_config(
    source: Source,
    *,
    profile: str | None,
    environ: AbcMapping[str, str],
    values: FileValues = FileValues.ALL,
) -> Parsed:
    """Parse and check `source`, without reading the files that its values name.

    Args:
        source: the text of the config.
        profile: the profile to apply, or None.
        environ: the variables for `${VAR}`.
        values: which values of `${file:PATH}` to read.

    Raises:
        UsageError: the config has no such profile.
    """
    with _without_gc():
        return _Loading(source, environ, values).parse(profile)


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


class _Loading:
    """The steps from a source to a document, and what each has found."""

    def __init__(
        self, source: Source, environ: AbcMapping[str, str], values: FileValues
    ) -> None:
        self._source = source
        self._sources = {source.name: source}
        self._files = ReferencedFiles(values)
        self._expander = Expander(self._sources, environ, self._files)
        self._findings: list[Finding] = []
        #: The included files, merged.
        self._included_tree: Mapping | None = None
        #: By the name of a file, its lines with arguments of servicers.
        self._hidden: dict[str, frozenset[int]] = {}

    def parse(self, profile: str | None) -> Parsed:
        """Take all steps.

        Raises:
            UsageError: the config has no such profile.
        """
        root, self._findings = parse_yaml(self._source)
        tree = None if root is None else self._apply(root, profile)
        hidden = find_argument_lines(self._source.text, root)
        self._hidden[self._source.name] = hidden
        if root is None or tree is None or self._has_errors():
            return self._result("YAML")
        found = check_schema(tree)
        self._findings += found
        if found:
            return self._result("schema")
        config, found = build_config(tree, directories=self._directories())
        self._findings += found
        if config is None:
            return self._result("schema")
        document = Document(
            source=self._source,
            included=self._included(),
            tree=tree,
            config=config,
            profile=profile,
            is_development=_is_development(root, profile, config),
        )
        return self._result(None, document)

    def _has_errors(self) -> bool:
        return any(finding.is_error for finding in self._findings)

    def _included(self) -> dict[str, Source]:
        name = self._source.name
        return {key: one for key, one in self._sources.items() if key != name}

    def _directories(self) -> dict[str, Path]:
        return {name: source.directory for name, source in self._sources.items()}

    def _result(self, failed: str | None, document: Document | None = None) -> Parsed:
        return Parsed(
            findings=tuple(sorted(self._without_arguments(), key=self._order)),
            document=document,
            failed=failed,
            sources=self._sources,
            argument_lines=self._hidden,
            referenced=self._files.files,
            unread=self._files.unread,
        )

    def _without_arguments(self) -> Iterator[Finding]:
        """Yield the findings without arguments of servicers that they quote."""
        by_file: dict[str, list[Finding]] = {}
        for finding in self._findings:
            file = "" if finding.span is None else finding.span.file
            by_file.setdefault(file, []).append(finding)
        for file, findings in by_file.items():
            if file in self._hidden:
                text = self._sources[file].text
                yield from hide_arguments(findings, text, self._hidden[file])
            else:
                yield from findings

    def _order(self, finding: Finding) -> tuple[bool, str, int, int]:
        span = finding.span
        if span is None:
            return (False, "", 0, 0)
        is_included = span.file != self._source.name
        return (is_included, span.file * is_included, span.line, span.column)

    def _apply(self, root: Mapping, profile: str | None) -> Mapping | None:
        """Replace variables; merge included files, the file, and the chosen profile.

        The other profiles are not expanded: their variables need not be set here.
        """
        chosen = find_profile(root, profile) if profile is not None else None
        entries = _without_extensions(root)
        profiles = entries.pop("profiles", None)
        include = entries.pop("include", None)
        base = Mapping(entries=entries, span=root.span)
        # Names and lists do not depend on variables.
        under: Mapping | None = base
        if include is not None:
            under = self._merge_includes(include, base)
        parts: list[Node] = [base]
        if profile is not None and chosen is not None:
            parts.append(self._read_patch(profile, chosen, under))
        expanded = self._expand(parts)
        if self._has_errors() or expanded is None:
            return None
        tree, *patches = expanded
        if self._included_tree is not None:
            tree = merge_patch(self._included_tree, tree, keeps_idle_nulls=True)
        for patch in patches:
            tree = merge_patch(tree, patch)
        if not isinstance(tree, Mapping):
            return None
        self._check_file_values(tree)
        kept = {} if profiles is None else {"profiles": profiles}
        return Mapping(entries={**tree.entries, **kept}, span=root.span)

    def _check_file_values(self, tree: Mapping) -> None:
        if self._expander.has_file_values:
            from grpcsecure.config.file_values import check_file_values

            self._findings += check_file_values(tree)

    def _merge_includes(self, include: Entry, base: Mapping) -> Mapping | None:
        """Load the included files; return the file over them if they have no errors."""
        from grpcsecure.config.includes import IncludeLoader, merge_over

        loader = IncludeLoader(self._files, self._expander, self._sources, self._hidden)
        self._included_tree = loader.load(include, self._source)
        self._findings += loader.findings
        if self._included_tree is None or self._has_errors():
            return None
        merged, found = merge_over(self._included_tree, base)
        self._findings += found
        return merged

    def _read_patch(self, name: str, chosen: Entry, under: Mapping | None) -> Node:
        """Return the patch of a profile; `under` is what it is applied to, if known."""
        from grpcsecure.config.patched_names import check_patched_names

        self._findings += check_patch(name, chosen)
        patch = chosen.value
        if under is not None:
            subject = f"the profile {quote(name)}"
            self._findings += check_patched_names(subject, patch, under)
        if not isinstance(patch, Mapping):
            return patch
        return Mapping(entries=_without_extensions(patch), span=patch.span)

    def _expand(self, parts: list[Node]) -> list[Node] | None:
        """Return the parts with their variables replaced.

        As one mapping, so that a node shared by both (an alias) is expanded and
        reported only once.
        """
        joined = Mapping(
            entries={str(i): Entry(part.span, part) for i, part in enumerate(parts)},
            span=parts[0].span,
        )
        expanded = self._expander.expand(joined)
        self._findings += self._expander.findings
        if not isinstance(expanded, Mapping):
            return None
        return [entry.value for entry in expanded.entries.values()]


def _without_extensions(root: Mapping) -> dict[str, Entry]:
    """Return the entries of a mapping without `x-…`, which are ignored."""
    return {key: one for key, one in root.entries.items() if not key.startswith("x-")}


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
