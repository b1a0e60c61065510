"""YAML text to nodes with places: PyYAML's events, composed by our own rules.

Only events are taken from PyYAML: its objects, tags and YAML 1.1 readings never come
into being. Invariant: the tree has bounded depth and size, also with all its aliases
replaced, and every value in it is text, a number, a boolean or null.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from grpcsecure.config.characters import find_unseen
from grpcsecure.config.scalars import describe_legacy, is_usable_number, resolve
from grpcsecure.config.tree import Entry, Mapping, Node, Scalar, Sequence
from grpcsecure.config.yaml_errors import explain_syntax
from grpcsecure.diagnostics.catalog import syntax as kinds
from grpcsecure.diagnostics.model import Finding, Label, Span, quote

if TYPE_CHECKING:
    from grpcsecure.config.source import Source

__all__ = ["MAX_DEPTH", "MAX_NODES", "parse_yaml"]

#: Levels of nesting; the deepest config there is has ten.
MAX_DEPTH = 64

#: Values and keys, with every alias replaced: twenty times a config of 10,000 lines.
MAX_NODES = 400_000

#: libyaml where PyYAML has it: eight times faster.
FASTEST_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def parse_yaml(
    source: Source, *, loader: Any = FASTEST_LOADER
) -> tuple[Mapping | None, list[Finding]]:
    """Return the root mapping of `source`, or None, and all that is wrong with it.

    A tree beside findings is fit for looking for more mistakes, not for serving.
    """
    findings = list(find_unseen(source))
    if findings:
        return None, findings
    composer = _Composer(source, loader, findings)
    try:
        root = composer.compose_root()
    except _StopError:
        root = None
    except yaml.MarkedYAMLError as error:
        root = None
        findings.append(
            explain_syntax(
                source,
                problem=error.problem or "",
                place=_position(error.problem_mark or error.context_mark),
                opened=_position(error.context_mark),
            )
        )
    except yaml.YAMLError as error:
        root = None
        findings.append(explain_syntax(source, problem=str(error)))
    return root, findings


def _position(mark: Any) -> tuple[int, int] | None:
    return (mark.line, mark.column) if mark else None


class _StopError(Exception):
    """The rest of the file cannot be read; why is among the findings."""


class _Composer:
    """Builds nodes from events; findings collect on the way."""

    def __init__(self, source: Source, loader: Any, findings: list[Finding]) -> None:
        self._source = source
        self._file = source.name
        self._events = loader(source.text)
        self._next = self._events.get_event
        self._findings = findings
        self._depth = 0
        self._count = 0
        #: Anchor to node, number of nodes in it, and height.
        self._anchors: dict[str, tuple[Node, int, int]] = {}
        self._open_anchors: set[str] = set()
        #: Height of the node composed last.
        self._height = 0

    def compose_root(self) -> Mapping | None:
        """Return the only document's mapping."""
        try:
            return self._compose_stream()
        finally:
            self._events.dispose()

    def _compose_stream(self) -> Mapping | None:
        self._next()  # the start of the stream
        start = self._next()
        if isinstance(start, yaml.StreamEndEvent):
            self._report_empty()
            return None
        self._check_directives(start)
        root = self._compose(self._next())
        self._next()  # the end of the document
        after = self._next()
        if not isinstance(after, yaml.StreamEndEvent):
            self._findings.append(
                kinds.SEVERAL_DOCUMENTS(
                    "the file has more than one YAML document",
                    span=self._span(after),
                    label="a second document begins here",
                    help="keep one document; for variants of it, use `profiles`",
                )
            )
        return self._checked_root(root)

    def _checked_root(self, root: Node) -> Mapping | None:
        if isinstance(root, Mapping):
            return root
        if isinstance(root, Scalar) and root.value is None and root.is_plain:
            self._report_empty()
            return None
        what = "a list" if isinstance(root, Sequence) else "a single value"
        start = root.span
        self._findings.append(
            kinds.WRONG_TYPE(
                f"the config is {what}; a mapping is expected",
                span=Span(
                    self._file, start.line, start.column, start.line, start.column + 1
                ),
                label="keys such as `version:` are expected",
                help="start from `version: 1`, `services:` and `listeners:`",
            )
        )
        return None

    def _report_empty(self) -> None:
        self._findings.append(
            kinds.EMPTY_CONFIG(
                "the config is empty",
                span=Span(self._file, 1, 1, 1, 1),
                help="start from `version: 1`, `services:` and `listeners:`",
            )
        )

    def _check_directives(self, event: Any) -> None:
        if event.version in (None, (1, 2)):
            return
        version = ".".join(map(str, event.version))
        self._findings.append(
            kinds.INVALID_YAML(
                f"the file asks for the rules of YAML {version}",
                span=self._span(event),
                label="configs are read by the rules of YAML 1.2",
                help="remove the `%YAML` line",
            )
        )

    def _compose(self, event: Any) -> Node:
        if isinstance(event, yaml.AliasEvent):
            return self._compose_alias(event)
        self._add(1, event)
        before = self._count
        if event.anchor:
            self._open_anchors.add(event.anchor)
        if event.tag is not None:
            self._report_tag(event)
        node: Node
        if isinstance(event, yaml.ScalarEvent):
            node = self._compose_scalar(event)
        else:
            node = self._compose_collection(event)
        if event.anchor:
            self._open_anchors.discard(event.anchor)
            size = self._count - before + 1
            self._anchors[event.anchor] = (node, size, self._height)
        return node

    def _add(self, count: int, event: Any) -> None:
        self._count += count
        if self._count > MAX_NODES:
            self._findings.append(
                kinds.TOO_MANY_VALUES(
                    f"the config has more than {MAX_NODES:,} values",
                    span=self._span(event),
                    label="counted with every alias replaced",
                    help="write fewer values, and no aliases of aliases",
                )
            )
            raise _StopError

    def _compose_alias(self, event: Any) -> Node:
        name = event.anchor
        if name in self._anchors:
            node, size, height = self._anchors[name]
            self._add(size, event)
            self._check_depth(height, event)
            self._height = height
            return node
        self._add(1, event)
        self._height = 0
        span = self._span(event)
        if name in self._open_anchors:
            finding = kinds.RECURSIVE_ALIAS(
                f"the alias {quote('*' + name)} refers to a value that contains it",
                span=span,
                help="write the value out",
            )
        else:
            finding = kinds.UNKNOWN_ALIAS(
                f"the alias {quote('*' + name)} refers to no anchor",
                span=span,
                label=f"no `&{name[:40]}` before this place",
                help="quote the value if it is text that begins with `*`",
            )
        self._findings.append(finding)
        return Scalar(value="", text="", span=span)

    def _compose_scalar(self, event: Any) -> Scalar:
        self._height = 0
        text: str = event.value
        span = self._span(event)
        if event.style:
            self._check_text(text, span)
            return Scalar(value=text, text=text, span=span)
        value = resolve(text)
        if value is not text:
            self._check_number(value, text, span)
        legacy = describe_legacy(text)
        if legacy is not None:
            self._findings.append(_ambiguous(text, value, legacy, span))
        return Scalar(value=value, text=text, span=span, is_plain=True)

    def _check_number(self, value: object, text: str, span: Span) -> None:
        if isinstance(value, int | float) and not is_usable_number(value):
            self._findings.append(
                kinds.UNUSABLE_NUMBER(
                    f"{quote(text)} is no finite number of 64 bits",
                    span=span,
                    help="write a smaller number, or quote it if text is meant",
                )
            )

    def _check_text(self, text: str, span: Span) -> None:
        """Refuse halves of UTF-16 pairs, which an escape such as `\\ud800` can make."""
        if not text.isascii() and any("\ud800" <= c <= "\udfff" for c in text):
            self._findings.append(
                kinds.INVALID_YAML(
                    "an escape stands for half a character",
                    span=span,
                    help="write the character itself",
                )
            )

    def _compose_collection(self, event: Any) -> Node:
        self._depth += 1
        self._check_depth(0, event)
        node = (
            self._compose_mapping(event)
            if isinstance(event, yaml.MappingStartEvent)
            else self._compose_sequence(event)
        )
        self._depth -= 1
        self._height += 1
        return node

    def _check_depth(self, height: int, event: Any) -> None:
        if self._depth + height > MAX_DEPTH:
            self._findings.append(
                kinds.NESTING_TOO_DEEP(
                    f"values are nested deeper than {MAX_DEPTH} levels",
                    span=self._span(event),
                    help="no key of a config is nested so deep",
                )
            )
            raise _StopError

    def _compose_sequence(self, start: Any) -> Sequence:
        items: list[Node] = []
        height = 0
        event = self._next()
        while not isinstance(event, yaml.SequenceEndEvent):
            items.append(self._compose(event))
            height = max(height, self._height)
            event = self._next()
        self._height = height
        last = items[-1].span if items else None
        return Sequence(items=tuple(items), span=self._span_to_end(start, event, last))

    def _compose_mapping(self, start: Any) -> Mapping:
        entries: dict[str, Entry] = {}
        height = 0
        last: Span | None = None
        event = self._next()
        while not isinstance(event, yaml.MappingEndEvent):
            key = self._compose(event)
            value = self._compose(self._next())
            height = max(height, self._height)
            last = value.span
            self._add_entry(entries, key, value)
            event = self._next()
        self._height = height
        return Mapping(entries=entries, span=self._span_to_end(start, event, last))

    def _add_entry(self, entries: dict[str, Entry], key: Node, value: Node) -> None:
        if not isinstance(key, Scalar) or not isinstance(key.value, str):
            self._findings.append(_non_text_key(key))
        elif key.is_plain and key.value == "<<":
            self._findings.append(
                kinds.MERGE_KEY(
                    "the merge key `<<` is not supported",
                    span=key.span,
                    label="YAML 1.2 has no merge key",
                    help="write the keys out, or use a profile",
                )
            )
        elif key.value in entries:
            self._findings.append(_duplicate_key(key, entries[key.value]))
        else:
            entries[key.value] = Entry(key.span, value)

    def _report_tag(self, event: Any) -> None:
        self._findings.append(
            kinds.EXPLICIT_TAG(
                f"the tag {quote(_short_tag(event.tag))} is not allowed",
                span=self._span(event),
                label="values carry no tags",
                help="remove the tag, and quote the value if text is meant",
            )
        )

    def _span(self, event: Any) -> Span:
        start, end = event.start_mark, event.end_mark
        return Span(
            self._file, start.line + 1, start.column + 1, end.line + 1, end.column + 1
        )

    def _span_to_end(self, start: Any, end: Any, last: Span | None) -> Span:
        """The span of a collection; a block one ends with its last value.

        PyYAML ends it at whatever comes next, after blank lines and comments.
        """
        first = start.start_mark
        if start.flow_style or last is None:
            mark = end.end_mark
            return Span(
                self._file,
                first.line + 1,
                first.column + 1,
                mark.line + 1,
                mark.column + 1,
            )
        return Span(
            self._file, first.line + 1, first.column + 1, last.end_line, last.end_column
        )


def _ambiguous(text: str, value: object, legacy: str, span: Span) -> Finding:
    now = "text" if isinstance(value, str) else "a number"
    advice = f'quote it: "{text}"'
    if legacy == "a boolean":
        boolean = "true" if text.lower() in ("y", "yes", "on") else "false"
        advice += f", or write `{boolean}`"
    elif now == "a number":
        advice += ", or write the number in plain decimal digits"
    return kinds.AMBIGUOUS_SCALAR(
        f"{quote(text)} is read differently by YAML 1.1 and YAML 1.2",
        span=span,
        label=f"{legacy} in YAML 1.1, {now} in YAML 1.2",
        help=advice,
    )


def _non_text_key(key: Node) -> Finding:
    if not isinstance(key, Scalar):
        what = "a mapping" if isinstance(key, Mapping) else "a list"
        return kinds.NON_TEXT_KEY(
            f"a key is {what}; text is expected",
            span=key.span,
            help="quote the key if it is text; quote `{{…}}` too",
        )
    return kinds.NON_TEXT_KEY(
        f"the key {quote(key.text)} is not text",
        span=key.span,
        label="YAML reads it as a number, a boolean or nothing",
        help=f'quote it: "{key.text[:40]}"'
        if key.text
        else "write a key before the `:`",
    )


def _duplicate_key(key: Scalar, first: Entry) -> Finding:
    return kinds.DUPLICATE_KEY(
        f"duplicate key {quote(key.value)}",
        span=key.span,
        label="written again here",
        secondary=[Label(span=first.key, text="first written here")],
        help="keep one of the two",
    )


def _short_tag(tag: str) -> str:
    """The tag as people write it: `!!int` for `tag:yaml.org,2002:int`."""
    core = "tag:yaml.org,2002:"
    return "!!" + tag[len(core) :] if tag.startswith(core) else tag
