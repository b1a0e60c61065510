"""The files to watch for a config: itself, those that it refers to, key files, pins."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from grpcsecure.config.source import STDIN, read_source
from grpcsecure.model.authorization import MatcherKind
from grpcsecure.tls.material import material_paths
from grpcsecure.watch.digest import WatchSet, digest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from grpcsecure.config.referenced_files import ReferencedFile
    from grpcsecure.config.source import Source
    from grpcsecure.model.server_config import ServerConfig
    from grpcsecure.watch.digest import Digest

__all__ = ["pin_patterns", "take_digest", "watch_set"]


def watch_set(
    name: str, config: ServerConfig | None, referenced: Iterable[ReferencedFile] = ()
) -> WatchSet:
    """Return the config file and all files that the config names.

    Args:
        name: the name of the config's source; standard input is not a file.
        config: the config, or None if it cannot be read.
        referenced: the files that the config's text refers to.
    """
    files = [] if name == STDIN else [Path(name).absolute()]
    files += [one.path for one in referenced]
    patterns: tuple[str, ...] = ()
    if config is not None:
        for listener in config.listeners:
            if listener.tls is not None:
                files += material_paths(listener.tls)
        patterns = tuple(dict.fromkeys(pin_patterns(config)))
    return WatchSet(files=tuple(dict.fromkeys(files)), patterns=patterns)


def pin_patterns(config: ServerConfig) -> Iterator[str]:
    """Yield the patterns of registered certificates, those of tests last."""
    tests = config.authorization.tests if config.authorization is not None else ()
    matchers = [
        *(matcher for identity in config.identities for matcher in identity.matchers),
        *(test.caller for test in tests if test.caller is not None),
    ]
    for matcher in matchers:
        for criterion in matcher.criteria:
            if criterion.kind is MatcherKind.CERTIFICATES:
                yield criterion.value


def take_digest(
    watched: WatchSet, source: Source, referenced: Iterable[ReferencedFile] = ()
) -> Digest:
    """Return the digest of the files; must be called before reading the key files.

    The config itself, and the files that its text refers to, have been read already. If
    one has changed since, the digest marks its state as unknown, so that the change
    will be noticed.
    """
    seen = digest(watched)
    changed = {one.path: "" for one in referenced if one.has_changed()}
    if source.name != STDIN and read_source(source.name) != source:
        changed[Path(source.name).absolute()] = ""
    return replace(seen, states={**seen.states, **changed}) if changed else seen
