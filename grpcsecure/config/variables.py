"""Replaces `${VAR}` in values by variables, and `${file:PATH}` by the text of files.

Knows nodes, and the environment and files that the caller passes. Invariant: the result
has the same shape as the input. A variable changes the value of a scalar and nothing
else: its value is never parsed as YAML. The text of a file is never read as a number.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from grpcsecure.config.referenced_files import FileValues, ReferencedFiles
from grpcsecure.config.scalars import (
    Value,
    describe_legacy,
    is_usable_number,
    resolve,
)
from grpcsecure.config.tree import Entry, Mapping, Node, Scalar, Sequence
from grpcsecure.diagnostics.catalog import syntax_kinds as kinds
from grpcsecure.diagnostics.findings import Span
from grpcsecure.diagnostics.lines import split_lines
from grpcsecure.quoting import quote

if TYPE_CHECKING:
    from collections.abc import Mapping as AbcMapping

    from grpcsecure.config.source import Source
    from grpcsecure.diagnostics.findings import Finding

__all__ = ["MAX_EXPANDED", "Expander", "expand_variables"]

#: Total size limit of all replaced values, in characters: the limit of a whole config.
MAX_EXPANDED = 8 * 1024 * 1024

#: Most findings of one run: beyond this number, they repeat one mistake.
MAX_FINDINGS = 1000

#: `$$`, or `${` up to its `}` if it has one.
_REFERENCE = re.compile(r"\$\$|\$\{([^}]*)(\}?)")
#: A value without any of these has no variable, in no spelling.
_FIRST = re.compile(r"[${%]")
_VARIABLE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::([-?])(.*))?", re.DOTALL)
#: `${file:-…}` is a variable of that name with a default.
_FILE = re.compile(r"file:([^-?].*)", re.DOTALL)


def expand_variables(
    root: Node, *, source: Source, environ: AbcMapping[str, str]
) -> tuple[Node, list[Finding]]:
    """Return `root` with its variables replaced, and the findings about them.

    As in the shell, `:-` and `:?` treat an empty variable like one that is not set.
    """
    expander = Expander({source.name: source}, environ, ReferencedFiles())
    return expander.expand(root), expander.findings


class _Word(NamedTuple):
    """The text that takes the place of one `${…}`, and where it comes from."""

    text: str
    from_environ: bool = False
    from_file: bool = False
    is_unknown: bool = False


class Expander:
    """Expands the trees of one config; nodes without variables stay the same objects.

    Args:
        sources: the files of the config, by the names that spans use. Others may be
            added to it while this object is in use.
        environ: the variables for `${VAR}`.
        files: reads the files for `${file:PATH}`.
    """

    def __init__(
        self,
        sources: AbcMapping[str, Source],
        environ: AbcMapping[str, str],
        files: ReferencedFiles,
    ) -> None:
        self.findings: list[Finding] = []
        #: Whether a value came from a file, or would have.
        self.has_file_values = False
        #: Whether the nodes are arguments of a servicer.
        self._is_argument = False
        self._environ = environ
        self._files = files
        self._sources = sources
        self._lines: dict[str, list[str]] = {}
        #: The scalar located last, and the places of its dollar signs (a cache).
        self._dollars: tuple[Node | None, list[tuple[int, int]]] = (None, [])
        self._room = MAX_EXPANDED
        #: Results by the id of the node: a node shared by aliases is expanded once.
        #: The node is kept in the value, so that its id is not reused.
        self._done: dict[tuple[int, bool], tuple[Node, Node]] = {}

    def expand(self, node: Node) -> Node:
        """Return `node` with its variables replaced."""
        if isinstance(node, Scalar) and not _FIRST.search(node.text):
            return node
        # Only in that does the result depend on where the node is.
        key = (id(node), self._may_be_missing)
        known = self._done.get(key)
        if known is not None:
            return known[1]
        result: Node
        if isinstance(node, Scalar):
            result = self._expand_scalar(node)
        elif isinstance(node, Sequence):
            result = self._expand_sequence(node)
        else:
            result = self._expand_mapping(node)
        self._done[key] = (node, result)
        return result

    def _expand_sequence(self, node: Sequence) -> Sequence:
        items = tuple(self.expand(item) for item in node.items)
        if all(new is old for new, old in zip(items, node.items, strict=True)):
            return node
        return Sequence(items=items, span=node.span)

    def _expand_mapping(self, node: Mapping) -> Mapping:
        changed: dict[str, Entry] = {}
        for key, entry in node.entries.items():
            around, self._is_argument = (
                self._is_argument,
                self._is_argument or (key == "with"),
            )
            value = self.expand(entry.value)
            self._is_argument = around
            if value is not entry.value:
                changed[key] = Entry(entry.key, value)
        if not changed:
            return node
        return Mapping(entries={**node.entries, **changed}, span=node.span)

    def _expand_scalar(self, node: Scalar) -> Scalar:
        from grpcsecure.config.foreign_variables import find_foreign

        foreign = find_foreign(node.text, node.span, is_argument=self._is_argument)
        if foreign is not None and len(self.findings) < MAX_FINDINGS:
            self.findings.append(foreign)
        parts: list[str] = []
        words: list[_Word] = []
        end = 0
        before = len(self.findings)
        for match in _REFERENCE.finditer(node.text):
            if len(self.findings) >= MAX_FINDINGS:
                return node
            parts.append(node.text[end : match.start()])
            end = match.end()
            if match[0] == "$$":
                parts.append("$")
                continue
            word = self._replace(node, match)
            words.append(word)
            self._room -= len(word.text)
            parts.append(word.text)
        if not end:
            return node
        parts.append(node.text[end:])
        text = "".join(parts) if self._room >= 0 else self._refuse_size(node)
        if len(self.findings) > before:
            return node
        if any(word.from_file for word in words):
            return self._from_file(node, text, words)
        value = self._resolve(node, text) if words else text
        from_environ = any(word.from_environ for word in words)
        return replace(node, value=value, text=text, from_variable=from_environ)

    def _from_file(self, node: Scalar, text: str, words: list[_Word]) -> Scalar:
        """Return a value with the text of a file in it, which is always text."""
        from grpcsecure.config.file_values import placeholder

        self.has_file_values = True
        is_unknown = any(word.is_unknown for word in words)
        return replace(
            node,
            value=placeholder(node) if is_unknown else text,
            from_variable=True,
            from_file=True,
            is_unknown=is_unknown,
        )

    def _replace(self, node: Scalar, match: re.Match[str]) -> _Word:
        """Return the replacement of one `${…}`."""
        inner, closing = match[1], match[2]
        file = _FILE.fullmatch(inner) if closing else None
        if file is not None and "${" not in inner:
            return self._read(node, match, file[1].replace("$$", "$"))
        parsed = _VARIABLE.fullmatch(inner) if closing else None
        if parsed is None or "${" in (parsed[3] or ""):
            self._report_malformed(node, match, inner, is_closed=bool(closing))
            return _Word("")
        name, operator, word = parsed[1], parsed[2], parsed[3] or ""
        value = self._environ.get(name)
        if value or (value is not None and operator is None):
            return _Word(self._checked(value, name, node, match), from_environ=True)
        if operator == "-":
            return _Word(word.replace("$$", "$"))
        self._report_unset(node, match, name, word, is_empty=value is not None)
        return _Word("")

    def _read(self, node: Scalar, match: re.Match[str], path: str) -> _Word:
        """Return the text of the file at `path`, relative to the file that names it."""
        from grpcsecure.config.file_values import read_file_value

        if self._files.values is FileValues.NONE:
            return self._unknown()
        directory = self._sources[node.span.file].directory
        text = read_file_value(
            path, self._files, directory=directory, span=self._place(node, match)
        )
        if isinstance(text, str):
            return _Word(text, from_file=True)
        if self._may_be_missing:
            return self._unknown()
        self.findings.append(text)
        return _Word("")

    @property
    def _may_be_missing(self) -> bool:
        """Whether the files of the values at this place may be missing."""
        values = self._files.values
        return self._is_argument and values is FileValues.ARGUMENTS_IF_THERE

    def _unknown(self) -> _Word:
        self._files.unread += 1
        return _Word("", from_file=True, is_unknown=True)

    def _checked(
        self, value: str, name: str, node: Scalar, match: re.Match[str]
    ) -> str:
        try:
            value.encode()
        except UnicodeEncodeError:
            self.findings.append(
                kinds.UNUSABLE_VARIABLE(
                    f"the variable {quote(name)} is not UTF-8 text",
                    span=self._place(node, match),
                    help="set it to text",
                )
            )
            return ""
        return value

    def _refuse_size(self, node: Scalar) -> str:
        if not any(f.kind is kinds.UNUSABLE_VARIABLE for f in self.findings):
            self.findings.append(
                kinds.UNUSABLE_VARIABLE(
                    "the values of the variables are larger than 8 MiB in all",
                    span=node.span,
                    help="pass large values in files",
                )
            )
        return ""

    def _resolve(self, node: Scalar, text: str) -> Value:
        """Resolve the text of a scalar after replacement; a quoted scalar stays text.

        The result is never null: in a profile, null removes a key of the file, and an
        empty variable must not be able to do that.
        """
        if not node.is_plain:
            return text
        value = resolve(text)
        self._check_reading(node, text, value)
        return text if value is None else value

    def _check_reading(self, node: Scalar, text: str, value: object) -> None:
        """Report a value that YAML parsers read differently, without showing it."""
        if isinstance(value, int | float) and not is_usable_number(value):
            self.findings.append(
                kinds.UNUSABLE_NUMBER(
                    f"{quote(node.text)} becomes a number beyond 64 bits",
                    span=node.span,
                    help="set a smaller number, or quote the value if text is meant",
                )
            )
        legacy = describe_legacy(text)
        if legacy is not None:
            self.findings.append(
                kinds.AMBIGUOUS_SCALAR(
                    f"the value of {quote(node.text)} is read differently by YAML 1.1"
                    " and YAML 1.2",
                    span=node.span,
                    label=f"{legacy} in YAML 1.1",
                    help=f'quote it if text is meant: "{node.text[:40]}"',
                )
            )

    def _report_unset(
        self,
        node: Scalar,
        match: re.Match[str],
        name: str,
        message: str,
        *,
        is_empty: bool,
    ) -> None:
        state = "empty" if is_empty else "not set"
        self.findings.append(
            kinds.UNSET_VARIABLE(
                f"the variable {quote(name)} is {state}",
                span=self._place(node, match),
                label=quote(message).strip("`") if message else "and has no default",
                help=f"set `{name[:40]}`, or write a default: `${{{name[:40]}:-…}}`",
            )
        )

    def _report_malformed(
        self, node: Scalar, match: re.Match[str], inner: str, *, is_closed: bool
    ) -> None:
        advice = (
            "write `${VAR}`, `${VAR:-default}`, `${VAR:?message}` or `${file:PATH}`;"
            " `$$` is a dollar"
        )
        if not is_closed:
            label = "`}` is missing"
        elif "${" in inner:
            label = "variables cannot be nested"
        elif inner == "file:":
            label = "the path of the file is missing"
        elif inner.startswith("{"):
            label = "an expression of GitHub Actions, which only its own files have"
        elif re.match(r"[A-Za-z_][A-Za-z0-9_]*[-?=+]", inner):
            label = "a `:` is missing after the name"
        else:
            label = "not the name of a variable"
        self.findings.append(
            kinds.MALFORMED_VARIABLE(
                "a `${` does not begin a variable",
                span=self._place(node, match),
                label=label,
                help=advice,
            )
        )

    def _place(self, node: Scalar, match: re.Match[str]) -> Span:
        """Return the place in the file of a match in the value.

        Escapes and folded lines shift characters, but keep the order of `$`: the n-th
        `$` of the value is the n-th one of the source text. If an escape produces a
        `$`, the counts differ, and the place is that of the whole value.
        """
        file = node.span.file
        if file not in self._lines:
            self._lines[file] = split_lines(self._sources[file].text)
        lines = self._lines[file]
        if self._dollars[0] is not node:
            self._dollars = (node, _written_dollars(lines, node.span))
        written = self._dollars[1]
        if len(written) != node.text.count("$"):
            return node.span
        line, column = written[node.text.count("$", 0, match.start())]
        is_whole = lines[line - 1].startswith(match[0], column - 1)
        end = column + (len(match[0]) if is_whole else len("${"))
        return Span(file, line, column, line, end)


def _written_dollars(lines: list[str], span: Span) -> list[tuple[int, int]]:
    """Return line and column, from 1, of each `$` within `span`."""
    return [
        (number, column)
        for number in range(span.line, min(span.end_line, len(lines)) + 1)
        for column, character in enumerate(lines[number - 1], 1)
        if character == "$"
        and (number, column) >= (span.line, span.column)
        and (number, column) < (span.end_line, span.end_column)
    ]
