"""Parses YAML text to a tree with places: PyYAML's events, composed by our own rules.

PyYAML provides only events; its object construction, tags and YAML 1.1 resolution are
not used. Invariant: the tree has bounded depth and size even with all aliases replaced,
and every value in it is text, a number, a boolean or null.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from grpcsecure.config import yaml_findings as wrong
from grpcsecure.config.characters import find_odd_space, find_unseen
from grpcsecure.config.scalars import describe_legacy, is_usable_number, resolve
from grpcsecure.config.tree import Entry, Mapping, Node, Scalar, Sequence
from grpcsecure.diagnostics.findings import Span
from grpcsecure.diagnostics.lines import split_lines

if TYPE_CHECKING:
    from typing import TypeAlias

    from grpcsecure.config.source import Source
    from grpcsecure.diagnostics.findings import Finding

    #: PyYAML's classes. Its stubs make every mark optional; events always have both.
    Event: TypeAlias = Any
    Loader: TypeAlias = Any
    Mark: TypeAlias = Any

__all__ = ["MAX_DEPTH", "MAX_FINDINGS", "MAX_NODES", "parse_yaml"]

#: Levels of nesting; the deepest valid config has ten.
MAX_DEPTH = 64

#: Values and keys, with every alias replaced: five times a config of 10,000 lines.
MAX_NODES = 200_000

#: Most findings of one run: beyond this number, they repeat one mistake.
MAX_FINDINGS = 1000

#: libyaml if PyYAML was built with it: it is four times faster.
FASTEST_LOADER: Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def parse_yaml(
    source: Source, *, loader: Loader = FASTEST_LOADER
) -> tuple[Mapping | None, list[Finding]]:
    """Return the root mapping of `source` or None, and all findings about its YAML.

    If there are findings, the tree may be used to look for more mistakes only, not to
    serve.
    """
    findings = list(find_unseen(source))
    if findings:
        return None, findings
    try:
        return _Composer(source, loader, findings).compose_root(), findings
    except _StopError:
        pass
    except yaml.MarkedYAMLError as error:
        if "nesting depth" in f"{error.problem}" and loader is not yaml.SafeLoader:
            # Newer libyaml scans ahead and stops at its own depth limit, which is far
            # above MAX_DEPTH. The pure Python parser reaches our check first.
            return parse_yaml(source, loader=yaml.SafeLoader)
        finding = _explain(source, error)
        # A template that follows `{{ … }}` with more text is found twice.
        if finding.message not in {one.message for one in findings}:
            findings.append(finding)
    except yaml.YAMLError as error:
        findings.append(_explain(source, error))
    return None, findings


def _explain(source: Source, error: yaml.YAMLError) -> Finding:
    from grpcsecure.config.yaml_errors import explain_syntax

    if not isinstance(error, yaml.MarkedYAMLError):
        return explain_syntax(source, problem=str(error))
    return explain_syntax(
        source,
        problem=f"{error.problem or ''} {error.context or ''}",
        place=_position(error.problem_mark),
        opened=_position(error.context_mark),
    )


def _position(mark: Mark) -> tuple[int, int] | None:
    return (mark.line, mark.column) if mark else None


class _StopError(Exception):
    """The rest of the file cannot be parsed; the reason is among the findings."""


class _Composer:
    """Builds nodes from events and collects findings."""

    def __init__(self, source: Source, loader: Loader, findings: list[Finding]) -> None:
        self._source = source
        self._file = source.name
        self._parser = loader(source.text)
        self._next = self._parser.get_event
        self._findings = findings
        self._depth = 0
        #: Height of the last composed node.
        self._height = 0
        self._count = 0
        #: By anchor: the node, the number of nodes in it, and its height.
        self._anchors: dict[str, tuple[Node, int, int]] = {}
        self._open_anchors: set[str] = set()

    def compose_root(self) -> Mapping | None:
        """Return the root of the only document if it is a mapping, or None."""
        try:
            root = self._compose_document()
        finally:
            self._parser.dispose()
        if isinstance(root, Mapping):
            return root
        if root is None or (isinstance(root, Scalar) and root.value is None):
            self._findings.append(wrong.empty_config(self._file))
        else:
            self._findings.append(wrong.wrong_root(root))
        return None

    def _compose_document(self) -> Node | None:
        self._next()  # the start of the stream
        start = self._next()
        if isinstance(start, yaml.StreamEndEvent):
            return None
        if start.version not in (None, (1, 2)):
            self._findings.append(
                wrong.foreign_version(start.version, self._span(start))
            )
        root = self._compose(self._next())
        self._next()  # the end of the document
        after = self._next()
        if not isinstance(after, yaml.StreamEndEvent):
            self._findings.append(wrong.several_documents(self._span(after)))
        return root

    def _compose(self, event: Event) -> Node:
        if isinstance(event, yaml.AliasEvent):
            return self._compose_alias(event)
        before = self._count
        self._add(1, event)
        if event.tag is not None:
            self._findings.append(wrong.explicit_tag(event.tag, self._span(event)))
        anchor = event.anchor
        if anchor:
            self._open_anchors.add(anchor)
        node = (
            self._compose_scalar(event)
            if isinstance(event, yaml.ScalarEvent)
            else self._compose_collection(event)
        )
        if anchor:
            self._open_anchors.discard(anchor)
            self._anchors[anchor] = (node, self._count - before, self._height)
        return node

    def _add(self, count: int, event: Event) -> None:
        self._count += count
        if self._count > MAX_NODES:
            self._findings.append(wrong.too_many_values(MAX_NODES, self._span(event)))
            raise _StopError
        if len(self._findings) > MAX_FINDINGS:
            raise _StopError

    def _compose_alias(self, event: Event) -> Node:
        name = event.anchor
        # An open anchor takes precedence: its name may have been an earlier value's.
        known = None if name in self._open_anchors else self._anchors.get(name)
        if known is not None:
            node, size, self._height = known
            self._add(size, event)
            self._check_depth(event)
            return node
        self._add(1, event)
        self._height = 0
        span = self._span(event)
        is_open = name in self._open_anchors
        report = wrong.recursive_alias if is_open else wrong.unknown_alias
        self._findings.append(report(name, span))
        return Scalar(value="", text="", span=span)

    def _compose_scalar(self, event: Event) -> Scalar:
        self._height = 0
        text: str = event.value
        span = self._span(event)
        if event.style:
            if not text.isascii() and any("\ud800" <= c <= "\udfff" for c in text):
                self._findings.append(wrong.half_character(span))
            return Scalar(value=text, text=text, span=span)
        value = resolve(text)
        if value is not text:
            self._check_number(value, text, span)
        if not text.isascii():
            odd = find_odd_space(text)
            if odd is not None:
                self._findings.append(wrong.odd_space(text, odd, span))
        legacy = describe_legacy(text)
        if legacy is not None:
            self._findings.append(wrong.ambiguous_scalar(text, value, legacy, span))
        return Scalar(value=value, text=text, span=span, is_plain=True)

    def _check_number(self, value: object, text: str, span: Span) -> None:
        if isinstance(value, int | float) and not is_usable_number(value):
            self._findings.append(wrong.unusable_number(text, span))

    def _compose_collection(self, event: Event) -> Node:
        self._depth += 1
        self._height = 0
        self._check_depth(event)
        node = (
            self._compose_mapping(event)
            if isinstance(event, yaml.MappingStartEvent)
            else self._compose_sequence(event)
        )
        self._depth -= 1
        self._height += 1
        return node

    def _check_depth(self, event: Event) -> None:
        if self._depth + self._height > MAX_DEPTH:
            self._findings.append(wrong.nesting_too_deep(MAX_DEPTH, self._span(event)))
            raise _StopError

    def _compose_sequence(self, start: Event) -> Sequence:
        items: list[Node] = []
        height = 0
        end: Span | None = None
        event = self._next()
        while not isinstance(event, yaml.SequenceEndEvent):
            item = self._compose(event)
            items.append(item)
            height = max(height, self._height)
            end = self._span(event) if isinstance(event, yaml.AliasEvent) else item.span
            event = self._next()
        self._height = height
        return Sequence(items=tuple(items), span=self._enclosing(start, event, end))

    def _compose_mapping(self, start: Event) -> Mapping:
        entries: dict[str, Entry] = {}
        height = 0
        end: Span | None = None
        event = self._next()
        while not isinstance(event, yaml.MappingEndEvent):
            key = self._compose(event)
            height = max(height, self._height)
            last = self._next()
            value = self._compose(last)
            height = max(height, self._height)
            end = self._span(last) if isinstance(last, yaml.AliasEvent) else value.span
            self._add_entry(entries, key, value)
            event = self._next()
        self._height = height
        return Mapping(entries=entries, span=self._enclosing(start, event, end))

    def _add_entry(self, entries: dict[str, Entry], key: Node, value: Node) -> None:
        if isinstance(key, Mapping) and self._is_template(key):
            self._findings.append(wrong.template(key.span))
        elif not isinstance(key, Scalar) or not isinstance(key.value, str):
            self._findings.append(wrong.non_text_key(key))
        elif key.is_plain and key.value == "<<":
            self._findings.append(wrong.merge_key(key.span))
        elif key.value in entries:
            self._findings.append(wrong.duplicate_key(key, entries[key.value]))
        else:
            entries[key.value] = Entry(key.span, value)
            self._explain_by_key(key.value, value)

    def _is_template(self, key: Mapping) -> bool:
        """Whether a mapping as key is the inner one of `{{ … }}`."""
        line = split_lines(self._source.text)[key.span.line - 1]
        return line[key.span.column - 2 : key.span.column] == "{{"

    def _explain_by_key(self, key: str, value: Node) -> None:
        """Let the last finding, if it is about this value, say what the key takes."""
        last = self._findings[-1] if self._findings else None
        if last is not None and last.span == value.span and isinstance(value, Scalar):
            self._findings[-1] = wrong.with_key(last, key, value.text)

    def _span(self, event: Event) -> Span:
        start, end = event.start_mark, event.end_mark
        return Span(
            self._file, start.line + 1, start.column + 1, end.line + 1, end.column + 1
        )

    def _enclosing(self, start: Event, end: Event, last: Span | None) -> Span:
        """Return the span of a collection; a block collection ends at its last value.

        PyYAML ends it at the next token, after blank lines and comments.
        """
        first, mark = start.start_mark, end.end_mark
        line, column = mark.line + 1, mark.column + 1
        if last is not None and not start.flow_style:
            line, column = last.end_line, last.end_column
        return Span(self._file, first.line + 1, first.column + 1, line, column)
