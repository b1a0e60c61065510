"""The config to explain, loaded as `serve` loads it, with the positions in its file.

Makes no decisions: it holds the snapshot by which a server would decide.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from grpcsecure.checking.pipeline import Phase, load_config
from grpcsecure.checking.rules.methods import service_of
from grpcsecure.config.referenced_files import FileValues
from grpcsecure.config.tree import Entry, Mapping, Scalar, Sequence, plain
from grpcsecure.diagnostics.ignore import make_report
from grpcsecure.errors import ConfigError
from grpcsecure.model.authorization import HIDDEN
from grpcsecure.policy.patterns import PatternKind, parse_method_pattern
from grpcsecure.server.services.inventory import served_services
from grpcsecure.server.snapshot import build_snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Mapping as AbcMapping
    from datetime import datetime

    from grpcsecure.checking.pipeline import Loaded
    from grpcsecure.config.document import Document
    from grpcsecure.config.source import Source
    from grpcsecure.config.tree import Node
    from grpcsecure.diagnostics.findings import Span
    from grpcsecure.model.authorization import Rule
    from grpcsecure.model.listener import Listener
    from grpcsecure.model.server_config import ServerConfig
    from grpcsecure.server.snapshot import Snapshot

__all__ = ["LoadedConfig", "load_for_explain"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedConfig:
    """A config without errors, its snapshot and the methods of its listeners.

    `methods` are the paths that each listener serves. If `knows_methods` is false there
    may be more, so every method is assumed to exist.
    """

    document: Document
    snapshot: Snapshot
    methods: AbcMapping[str, tuple[str, ...]]
    knows_methods: bool = True

    @property
    def config(self) -> ServerConfig:
        """The checked config."""
        return self.document.config

    @property
    def rule_count(self) -> int:
        """The number of rules."""
        authorization = self.config.authorization
        return 0 if authorization is None else len(authorization.rules)

    def listener(self, name: str) -> Listener:
        """Return a listener by its name."""
        return next(one for one in self.config.listeners if one.name == name)

    def exists(self, method: str, listener: str) -> bool:
        """Whether a listener serves a method; true if its methods are not known."""
        return not self.knows_methods or method in self.methods[listener]

    def place_of(self, rule: Rule | None) -> Span:
        """Return the position of a rule in the config; None stands for the default."""
        if rule is not None:
            return self.document.key("authorization", "rules", rule.name)
        if self.config.authorization is None:
            return self.document.tree.span
        return self.document.key("authorization", "default")

    def place_of_tls(self, listener: str, key: str) -> Span:
        """Return the position of a key of a listener's `tls` block in the config."""
        return self.document.key("listeners", listener, "tls", key)

    def written(self, *path: str) -> object:
        """Return the value at a path of the config, as plain Python; None if absent.

        The text of a file is hidden.
        """
        node: Node = self.document.tree
        for key in path:
            if not isinstance(node, Mapping) or key not in node.entries:
                return None
            node = node.entries[key].value
        return plain(_without_file_values(node))


def _without_file_values(node: Node) -> Node:
    if isinstance(node, Scalar):
        return replace(node, value=HIDDEN) if node.from_file else node
    if isinstance(node, Sequence):
        items = tuple(map(_without_file_values, node.items))
        return Sequence(items=items, span=node.span)
    entries = {
        key: Entry(entry.key, _without_file_values(entry.value))
        for key, entry in node.entries.items()
    }
    return Mapping(entries=entries, span=node.span)


def load_for_explain(  # noqa: PLR0913 - the inputs, and the parts to load
    source: Source,
    *,
    profile: str | None,
    environ: AbcMapping[str, str],
    now: datetime,
    with_services: bool,
    with_files: bool = True,
) -> LoadedConfig:
    """Load and check a config, up to its services.

    Args:
        source: the text of the config.
        profile: name of the profile to apply, or None.
        environ: where `${VAR}` is looked up.
        now: the time for checks of certificates, timezone-aware.
        with_services: whether to import the servicers and read their methods.
        with_files: whether to read certificates, keys and CRLs. Without them, only
            questions about synthetic callers without a fingerprint have an answer.

    Raises:
        ConfigError: the config has errors, so a server would refuse it.
        UsageError: no such profile.
    """
    loaded = load_config(
        source,
        profile=profile,
        environ=environ,
        now=now,
        last=Phase.SERVICES if with_services else Phase.FILES,
        files=with_files,
        values=FileValues.ARGUMENTS_IF_THERE,
    )
    if loaded.failed is not None or loaded.document is None:
        raise ConfigError(make_report(loaded.draft(complete=False)))
    return _build(loaded, loaded.document, with_services=with_services)


def _build(loaded: Loaded, document: Document, *, with_services: bool) -> LoadedConfig:
    config = document.config
    served = served_services(config, loaded.services)
    knows_methods = with_services and served is not None
    if served is None:
        served = served_services(config, ())
    every = [
        (one.name, method)
        for one in served or ()
        if one.path is not None  # None: a built-in service that is turned off
        for method in one.full_methods
    ]
    if not knows_methods:
        # Methods that rules name in full are likely to exist; others are not known.
        every += [(service_of(method), method) for method in _named(config)]
    return LoadedConfig(
        document=document,
        snapshot=build_snapshot(
            config,
            loaded.materials,
            pins=loaded.fingerprints,
            generation=1,
        ),
        methods={
            listener.name: tuple(
                sorted({m for service, m in every if listener.serves(service)})
            )
            for listener in config.listeners
        },
        knows_methods=knows_methods,
    )


def _named(config: ServerConfig) -> Iterator[str]:
    """Yield the methods that rules name in full."""
    rules = () if config.authorization is None else config.authorization.rules
    for rule in rules:
        for text in rule.methods:
            pattern = parse_method_pattern(text)
            if pattern.kind is PatternKind.EXACT:
                yield pattern.text
