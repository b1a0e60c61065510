"""Finds the lines of a config that hold servicers' arguments, which may be secrets.

No excerpt shows these lines, and no message a value from them. They are found in the
tree, which knows aliases and profiles, and in the text, since a config that is not YAML
has no tree. In case of doubt a line counts: too little of a config is shown rather than
a password.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from grpcsecure.config.tree import Mapping, Sequence
from grpcsecure.diagnostics.lines import split_lines
from grpcsecure.quoting import quote

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from grpcsecure.config.tree import Node
    from grpcsecure.diagnostics.findings import Finding, Span

__all__ = ["find_argument_lines", "hide_arguments"]

#: Keys of a service whose values are no secrets. A secret may well be below any other
#: key: `with` misspelled, or an argument without `with`.
_SHOWN_KEYS = frozenset(
    {"servicer", "interceptor", "sees", "register", "start", "close"}
)

_KEY = re.compile(r"""(?<![\w.$/-])(["']?)with\1[ \t]*:(?=\s|$)""")
_ALIAS = re.compile(r"(?<!\S)\*([^\s,\[\]{}]+)")
_ANCHOR = re.compile(r"(?<!\S)&([^\s,\[\]{}]+)")
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"|' + r"'[^']*'")
#: Characters of a line above which its quotes are not looked for.
_LONG = 10_000
_COMMENT = re.compile(r"(?:^|\s)#.*")


def find_argument_lines(text: str, root: Mapping | None) -> frozenset[int]:
    """Return the numbers of the lines with arguments of servicers.

    Args:
        text: the text of a config.
        root: its tree, with all profiles; None if it could not be parsed.
    """
    found = _lines_in_text(split_lines(text))
    if root is not None:
        for value in _arguments_in_tree(root):
            for span in _spans(value):
                found.update(range(span.line, span.end_line + 1))
    return frozenset(found)


def hide_arguments(
    findings: Iterable[Finding], text: str, numbers: frozenset[int]
) -> list[Finding]:
    """Return the findings without the values that they quote from these lines."""
    lines = split_lines(text)
    return [_hide(finding, lines, numbers) for finding in findings]


def _arguments_in_tree(root: Mapping) -> Iterator[Node]:
    """Yield the values of services and interceptors that may be secrets.

    Those of all profiles are among them.
    """
    trees: list[Node] = [root]
    profiles = _value(root, "profiles")
    if isinstance(profiles, Mapping):
        trees += [entry.value for entry in profiles.entries.values()]
    for tree in trees:
        server = _value(tree, "server")
        interceptors = None if server is None else _value(server, "interceptors")
        for item in (*_items(_value(tree, "services")), *_items(interceptors)):
            if isinstance(item, Mapping):
                for key, entry in item.entries.items():
                    if key not in _SHOWN_KEYS:
                        yield entry.value


def _items(node: Node | None) -> Iterable[Node]:
    return node.items if isinstance(node, Sequence) else ()


def _value(node: Node, key: str) -> Node | None:
    if isinstance(node, Mapping) and key in node.entries:
        return node.entries[key].value
    return None


def _spans(node: Node) -> Iterator[Span]:
    """Yield the places of all scalars and keys below a node.

    The place of a mapping itself ends where the next token begins, which may be the
    key after it.
    """
    if isinstance(node, Mapping):
        for entry in node.entries.values():
            yield entry.key
            yield from _spans(entry.value)
    elif isinstance(node, Sequence):
        for item in node.items:
            yield from _spans(item)
    else:
        yield node.span


def _lines_in_text(lines: list[str]) -> set[int]:
    """Return the lines that follow a key `with`, and those of the anchors it uses."""
    found: set[int] = set()
    for number, line in enumerate(lines, 1):
        # A key within the value of another has been covered with it: each line is read
        # once, however many keys there are.
        if number not in found:
            for match in _KEY.finditer(line):
                found.update(_block(lines, number, match.end(), match.start()))
    names = {name for each in found for name in _ALIAS.findall(_bare(lines[each - 1]))}
    if names:
        for number, line in enumerate(lines, 1):
            if number in found:
                continue
            for match in _ANCHOR.finditer(line):
                if match[1] in names:
                    found.update(_block(lines, number, match.end(), _indent(line)))
    return found


def _block(lines: list[str], number: int, after: int, column: int) -> Iterator[int]:
    """Yield the lines of a value that begins in a line after a key in `column`.

    It lasts as long as brackets are open, and as lines are indented further than the
    key. A key among others in a line, as in `{servicer: …, with: …}`, counts as far to
    the left as its line.
    """
    first = lines[number - 1]
    rest = _bare(first[after:])
    if rest.strip():
        yield number
    if first[:column].strip(" -?"):
        column = _indent(first)
    depth = _depth(rest)
    for following in range(number + 1, len(lines) + 1):
        line = lines[following - 1]
        is_below = _indent(line) > column or line[column:].startswith("- ")
        if line.strip() and depth <= 0 and not is_below:
            return
        depth += _depth(_bare(line))
        if line.strip():
            yield following


def _bare(line: str) -> str:
    """Return a line without its comment; quoted text becomes `""`."""
    if len(line) > _LONG:
        return line  # a search for quotes that have no end takes long
    return _COMMENT.sub("", _QUOTED.sub('""', line))


def _depth(text: str) -> int:
    return sum((c in "[{") - (c in "]}") for c in text)


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def _hide(finding: Finding, lines: list[str], numbers: frozenset[int]) -> Finding:
    span = finding.span
    if span is None or span.line not in numbers or span.end_line != span.line:
        return finding
    line = lines[span.line - 1] if span.line <= len(lines) else ""
    text = line[span.column - 1 : span.end_column - 1]
    if not text or line[span.end_column - 1 :].lstrip().startswith(":"):
        return finding  # the name of an argument
    return replace(
        finding,
        message=_without(text, finding.message),
        label=_without(text, finding.label),
        notes=tuple(_without(text, note) for note in finding.notes),
        help=None if finding.help is None else _without(text, finding.help),
    )


def _without(text: str, message: str) -> str:
    """Return a message in which a value that it quotes is `…`."""
    bare = text[1:-1] if text[:1] in "\"'" and len(text) > 1 else text
    for value in (text, bare):
        message = message.replace(quote(value), "`…`").replace(f"`{value}`", "`…`")
        for length in (len(value), 60, 40):
            message = message.replace(f'"{value[:length]}"', '"…"')
    return message
