"""`include`: other files of the config, merged by RFC 7396 before the file itself.

Invariants: an included file only adds and changes (no null in it removes a key), a list
of it is never replaced without a word, and the number of files is bounded.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from grpcsecure.config import include_findings as wrong
from grpcsecure.config.argument_lines import find_argument_lines
from grpcsecure.config.patched_names import check_patched_names
from grpcsecure.config.profiles import check_kept_keys, is_null, merge_patch
from grpcsecure.config.source import MAX_BYTES, STDIN, Source, decode_source
from grpcsecure.config.tree import Entry, Mapping, Scalar, Sequence
from grpcsecure.config.yaml import MAX_NODES, parse_yaml
from grpcsecure.config.yaml_findings import too_many_values
from grpcsecure.diagnostics.catalog import profile_kinds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from grpcsecure.config.profiles import ReplacedList
    from grpcsecure.config.referenced_files import ReferencedFiles
    from grpcsecure.config.tree import Node
    from grpcsecure.config.tree import Path as KeyPath
    from grpcsecure.config.variables import Expander
    from grpcsecure.diagnostics.findings import Finding

__all__ = ["MAX_DEPTH", "MAX_INCLUDES", "IncludeLoader", "merge_over"]

#: Files that include one another, in a chain.
MAX_DEPTH = 16

#: Files that a config includes, with those that these include.
MAX_INCLUDES = 100

#: Keys that only the config of a server has.
_OWN = ("profiles", "production")

#: Longest path that Linux opens.
_LONGEST_PATH = 4095


class _Link(NamedTuple):
    """A file in a chain of includes: which file it is, and how it is called."""

    real: str
    name: str


class IncludeLoader:
    """Loads the files that a config includes, and those that these include.

    Args:
        files: reads the files.
        expander: replaces variables.
        sources: the files of the config by name; included ones are added to it.
        hidden: by name, the lines of each file with servicers' arguments; likewise.
    """

    def __init__(
        self,
        files: ReferencedFiles,
        expander: Expander,
        sources: dict[str, Source],
        hidden: dict[str, frozenset[int]],
    ) -> None:
        self.findings: list[Finding] = []
        self._files = files
        self._expander = expander
        self._sources = sources
        self._hidden = hidden
        #: What the file at each path stands for; None if it has errors.
        self._done: dict[Path, Node | None] = {}
        self._count = 0
        self._size = 0

    def load(self, include: Entry, source: Source) -> Mapping | None:
        """Return the files that `include` of a config names, merged in their order."""
        path = source.path
        chain = [] if path is None else [_Link(os.path.realpath(path), source.name)]
        merged = self._merge_all(include, source, chain)
        if not isinstance(merged, Mapping):
            return None
        if _has_more_values(merged, MAX_NODES):
            self.findings.append(too_many_values(MAX_NODES, include.key))
            return None
        return merged

    def _merge_all(
        self, include: Entry, source: Source, chain: list[_Link]
    ) -> Node | None:
        merged: Node | None = None
        for item in self._read_list(include):
            tree = self._load_one(item, source, chain)
            if tree is not None:
                merged = tree if merged is None else self._merge(merged, tree)
        return merged

    def _merge(self, target: Node, patch: Node) -> Node:
        replaced: list[ReplacedList] = []
        merged = merge_patch(target, patch, replaced=replaced)
        self.findings += _report_replaced(replaced)
        return merged

    def _read_list(self, include: Entry) -> Iterator[Scalar]:
        """Yield the paths in `include`; a malformed one is a finding."""
        value = include.value
        if not isinstance(value, Sequence):
            self.findings.append(wrong.not_a_list(include))
            return
        if not value.items:
            self.findings.append(wrong.empty_list(include))
        for index, item in enumerate(value.items):
            known = len(self._expander.findings)
            expanded = self._expander.expand(item)
            if len(self._expander.findings) > known:
                continue  # a variable that is not set
            if not isinstance(expanded, Scalar) or not isinstance(expanded.value, str):
                self.findings.append(wrong.not_text(index, item))
            elif expanded.from_file:
                self.findings.append(wrong.value_of_file(index, item))
            elif not _is_path(expanded.value):
                self.findings.append(wrong.not_a_path(index, item))
            else:
                yield expanded

    def _load_one(
        self, item: Scalar, source: Source, chain: list[_Link]
    ) -> Node | None:
        """Return the tree of an included file, with those that it includes."""
        text = str(item.value)
        path = Path(_without_dots(os.path.join(source.directory, text)))  # noqa: PTH118 - which drops no `..`
        link = _Link(os.path.realpath(path), _spell(source, text))
        starts = [i for i, one in enumerate(chain) if one.real == link.real]
        if starts:
            names = [one.name for one in (*chain[starts[0] :], link)]
            self.findings.append(wrong.circle(item.span, names))
            return None
        if path not in self._done:
            self._done[path] = None
            included = self._read(item, path, link.name, depth=len(chain))
            if included is not None:
                self._done[path] = self._parse(included, [*chain, link])
        return self._done[path]

    def _read(
        self, item: Scalar, path: Path, name: str, *, depth: int
    ) -> Source | None:
        self._count += 1
        if self._count > MAX_INCLUDES:
            if self._count == MAX_INCLUDES + 1:
                problem = f"the config includes more than {MAX_INCLUDES} files"
                self.findings.append(wrong.too_many(item.span, problem))
            return None
        if depth > MAX_DEPTH:
            problem = f"includes are nested deeper than {MAX_DEPTH} files"
            self.findings.append(wrong.too_many(item.span, problem))
            return None
        data = self._files.read(path, MAX_BYTES)
        if isinstance(data, str):
            self.findings.append(wrong.unreadable(item, path, data))
            return None
        self._size += len(data)
        if self._size > MAX_BYTES:
            self.findings.append(wrong.too_large(item.span))
            return None
        included = decode_source(data, name=name, directory=path.parent)
        if isinstance(included, Source):
            return included
        self.findings.append(included)
        return None

    def _parse(self, included: Source, chain: list[_Link]) -> Node | None:
        root, findings = parse_yaml(included)
        self.findings += findings
        self._sources[included.name] = included
        self._hidden[included.name] = find_argument_lines(included.text, root)
        if root is None:
            return None
        entries = {k: e for k, e in root.entries.items() if not k.startswith("x-")}
        include = entries.pop("include", None)
        below = None if include is None else self._merge_all(include, included, chain)
        own = Mapping(entries=entries, span=root.span)
        self.findings += _check_included(own, included.name)
        expanded = self._expander.expand(own)
        return expanded if below is None else self._merge(below, expanded)


def merge_over(included: Mapping, own: Mapping) -> tuple[Mapping, list[Finding]]:
    """Return a config merged over what it includes, and the findings about that.

    Args:
        included: what the files in its `include` hold.
        own: the file itself, without its profiles.
    """
    findings = [*check_kept_keys("the file", own)]
    findings += [
        finding
        for finding in check_patched_names("the file", own, included)
        # A file adds names of its own to those that it shares.
        if finding.kind is not profile_kinds.SIMILAR_NEW_NAME
    ]
    replaced: list[ReplacedList] = []
    merged = merge_patch(included, own, replaced=replaced, keeps_idle_nulls=True)
    findings += _report_replaced(replaced)
    assert isinstance(merged, Mapping)  # noqa: S101 - a mapping patches a mapping
    return Mapping(entries=merged.entries, span=own.span), findings


def _spell(source: Source, text: str) -> str:
    """Return the name of an included file, as seen from where the config was named."""
    folder = "" if source.name == STDIN else os.path.dirname(source.name)  # noqa: PTH120 - as written
    name = _without_dots(os.path.join(folder, text))  # noqa: PTH118 - likewise
    return f"./{name}" if name in ("-", STDIN) else name


def _without_dots(path: str) -> str:
    """Return a path without `..`, unless one leads back over a link."""
    tidy = os.path.normpath(path)
    return tidy if os.path.realpath(tidy) == os.path.realpath(path) else path


def _is_path(text: str) -> bool:
    """Whether text is a path, with the bounds that the schema has for paths."""
    is_short = 0 < len(text) <= _LONGEST_PATH
    return (
        is_short
        and "-----BEGIN" not in text
        and min(text) >= " "
        and "\x7f" not in text
    )


def _check_included(own: Mapping, name: str) -> Iterator[Finding]:
    """Find what an included file may not have."""
    for key in _OWN:
        if key in own.entries:
            yield wrong.misplaced_key(key, own.entries[key].key, name)
    version = own.entries.get("version")
    if version is not None and not _is_version(version.value):
        yield wrong.foreign_version(version.value.span)
    yield from _find_nulls(own, ())


def _is_version(node: Node) -> bool:
    return is_null(node) or (isinstance(node, Scalar) and node.text == "1")


def _find_nulls(node: Mapping, path: KeyPath) -> Iterator[Finding]:
    for key, entry in node.entries.items():
        here = (*path, key)
        if here[0] in _OWN:
            continue
        if is_null(entry.value):
            yield wrong.null_key(here, entry.key)
        elif isinstance(entry.value, Mapping):
            yield from _find_nulls(entry.value, here)


def _report_replaced(replaced: list[ReplacedList]) -> Iterator[Finding]:
    for one in replaced:
        if one.new.key != one.old.key:  # else of a file that is included twice
            yield wrong.replaced_list(one)


def _has_more_values(root: Node, limit: int) -> bool:
    """Whether a tree has more values and keys than `limit`, with aliases replaced."""
    count = 0
    stack: list[Node] = [root]
    while stack and count <= limit:
        node = stack.pop()
        if isinstance(node, Sequence):
            stack.extend(node.items)
            count += len(node.items)
        elif isinstance(node, Mapping):
            stack.extend(entry.value for entry in node.entries.values())
            count += 2 * len(node.entries)
    return count > limit
