"""Builds `identities` and `authorization` of the model from the tree.

Knows how names and values of the policy are spelled; what they match is decided in
`policy`.
"""

from __future__ import annotations

import glob
from functools import partial
from typing import TYPE_CHECKING

from grpcsecure.config.parts import Part, items_of, texts_of, value_of
from grpcsecure.config.tree import Sequence
from grpcsecure.config.wording import is_from_file, is_from_variable, is_unknown
from grpcsecure.model.authorization import (
    AuditLevel,
    AuditSettings,
    Authorization,
    Criterion,
    Effect,
    Identity,
    LogFormat,
    Matcher,
    MatcherKind,
    MetadataCondition,
    PolicyTest,
    Rule,
)
from grpcsecure.model.name_patterns import (
    parse_dns_pattern,
    parse_email,
    parse_ip,
    parse_metadata_value,
    parse_sha256,
    parse_spiffe_pattern,
    parse_subject,
    parse_uri_pattern,
)

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Callable, Iterable

    from grpcsecure.config.parts import Reader
    from grpcsecure.config.tree import Node, Path

__all__ = ["build_authorization", "build_identities"]

_KINDS = {kind.value: kind for kind in MatcherKind}


def build_identities(reader: Reader, top: Part) -> tuple[Identity, ...]:
    """Return the identities of a config, in file order."""
    identities = top.part("identities")
    return tuple(
        Identity(name, _matchers(reader, node, ("identities", name)))
        for name, node in (identities.items() if identities else ())
    )


def build_authorization(reader: Reader, part: Part) -> Authorization:
    """Return the model of the `authorization` block."""
    tests = part.node("tests")
    audit = {
        **reader.given(part, audit=AuditLevel, audit_format=LogFormat),
        **reader.given_paths(part, "audit_file"),
    }
    return Authorization(
        **reader.given(part, default=Effect),
        rules=tuple(_rule(reader, name, rule) for name, rule in part.parts("rules")),
        tests=tuple(
            _test(reader, Part(item, (*part.path, "tests", index)))
            for index, item in enumerate(items_of(tests))
        ),
        audit=AuditSettings(**{_AUDIT[key]: value for key, value in audit.items()}),
    )


#: The keys about the audit, each with the name of its field in `AuditSettings`.
_AUDIT = {"audit": "level", "audit_file": "file", "audit_format": "format"}


def _matchers(reader: Reader, node: Node, path: Path) -> tuple[Matcher, ...]:
    if isinstance(node, Sequence):
        return tuple(
            _matcher(reader, Part(item, (*path, index)))
            for index, item in enumerate(node.items)
        )
    return (_matcher(reader, Part(node, path)),)


def _matcher(reader: Reader, part: Part) -> Matcher:
    return Matcher(tuple(_criterion(reader, part, *item) for item in part.items()))


def _criterion(reader: Reader, part: Part, key: str, node: Node) -> Criterion:
    kind = _KINDS[key]
    parse = _PARSERS.get(kind)
    if kind is MatcherKind.CERTIFICATES:
        value = _absolute(str(value_of(node)), reader.directory_of(node))
    else:
        value = str(value_of(node))
        if parse is not None:
            reader.parsed(node, (*part.path, key), parse)
    return Criterion(
        kind, value, is_hidden=is_from_file(node), is_unknown=is_unknown(node)
    )


def _absolute(pattern: str, directory: pathlib.Path) -> str:
    """Return a path or glob pattern as an absolute one.

    The directory of its file is escaped in a glob: it may have a name such as `[old]`.
    """
    if glob.has_magic(pattern):
        directory = type(directory)(glob.escape(str(directory)))
    return str(directory / pattern)


#: Parsers that check more precisely than the patterns of the schema.
_PARSERS: dict[MatcherKind, Callable[[str], object]] = {
    MatcherKind.SPIFFE: parse_spiffe_pattern,
    MatcherKind.URI: parse_uri_pattern,
    MatcherKind.DNS: parse_dns_pattern,
    MatcherKind.EMAIL: parse_email,
    MatcherKind.IP: parse_ip,
    MatcherKind.SUBJECT: parse_subject,
    MatcherKind.FINGERPRINT: parse_sha256,
    MatcherKind.PUBLIC_KEY: parse_sha256,
}


def _rule(reader: Reader, name: str, part: Part) -> Rule:
    effect = Effect.ALLOW if part.node("allow") else Effect.DENY
    listeners = part.node("listeners")
    return Rule(
        name=name,
        effect=effect,
        identities=texts_of(part.node(effect.value)),
        methods=texts_of(part.node("methods")),
        listeners=None if listeners is None else texts_of(listeners),
        metadata=_conditions(reader, part),
        **reader.given(part, enforce=bool),
    )


def _conditions(reader: Reader, part: Part) -> tuple[MetadataCondition, ...]:
    metadata = part.part("metadata")
    if metadata is None:
        return ()
    for key, node in metadata.items():
        for index, item in enumerate(items_of(node)):
            _check_metadata(reader, key, item, (*metadata.path, key, index))
    return tuple(
        MetadataCondition(
            key,
            texts_of(node),
            _hidden(items_of(node)),
            is_unknown=any(map(is_unknown, items_of(node))),
        )
        for key, node in metadata.items()
    )


def _hidden(nodes: Iterable[Node]) -> frozenset[str]:
    """Return the values that came from variables or files."""
    return frozenset(str(value_of(node)) for node in nodes if is_from_variable(node))


def _test(reader: Reader, part: Part) -> PolicyTest:
    caller = part.node("as")
    listener = part.node("listener")
    metadata = part.part("metadata")
    entries = tuple(metadata.items()) if metadata else ()
    for key, node in entries:
        _check_metadata(reader, key, node, (*part.path, "metadata", key))
    return PolicyTest(
        # The only text that the schema allows here is `anonymous`.
        caller=None
        if caller is None or value_of(caller) is not None
        else _matcher(reader, Part(caller, (*part.path, "as"))),
        call=str(value_of(part.node("call"))),
        **reader.given(part, expect=Effect),
        listener=None if listener is None else str(value_of(listener)),
        metadata=tuple((key, str(value_of(node))) for key, node in entries),
        hidden=frozenset(key for key, node in entries if is_from_variable(node)),
        is_unknown=any(is_unknown(node) for _, node in entries),
    )


def _check_metadata(reader: Reader, key: str, node: Node, path: Path) -> None:
    """Report a value that a `-bin` key cannot have: gRPC sends bytes as base64."""
    reader.parsed(node, path, partial(parse_metadata_value, key))
