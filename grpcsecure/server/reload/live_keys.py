"""Finds the changed config keys that need a restart: all keys not listed in `LIVE`.

Pure: two configs in, the keys that differ out. A key that is missing in `LIVE` needs a
restart, so that a new setting is never half applied.
"""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from grpcsecure.model.listener import Listener, TlsSettings
    from grpcsecure.model.server_config import ServerConfig

    KeyPath = tuple[str, ...]

__all__ = ["LIVE", "keys_that_need_a_restart"]

#: The keys that a reload applies, and the effect of each; `*` is any listener.
#: docs/rotation.md describes them.
LIVE = {
    "identities": "the next call of each client is decided by the new identities",
    "authorization": "the next call is decided by the new rules; its tests run first",
    "production": "decides which findings reject the reload",
    "logging.levels": "the next record; a logger not named any more has its own level",
    "server.error_detail": "the error text that the next refused caller receives",
    "listeners.*.tls.certificate": "the next handshake presents it",
    "listeners.*.tls.private_key": "the next handshake uses it",
    "listeners.*.tls.certificates": "the next handshake presents one of them",
    "listeners.*.tls.server_names": "decides which findings reject the reload",
    "listeners.*.tls.client_ca": "the next handshake, and the next call of each client",
    "listeners.*.tls.crl": "the next handshake, and the next call of each client",
}


def keys_that_need_a_restart(old: ServerConfig, new: ServerConfig) -> Iterator[KeyPath]:
    """Yield the keys whose values differ and cannot change while the server runs."""
    for key in _changed(old, new):
        if key in ("server", "reload", "logging"):
            before, after = getattr(old, key), getattr(new, key)
            yield from _not_live((key,), _changed(before, after))
        elif key == "listeners":
            yield from _listeners(old, new)
        else:
            yield from _not_live((), [key])


def _listeners(old: ServerConfig, new: ServerConfig) -> Iterator[KeyPath]:
    before = {listener.name: listener for listener in old.listeners}
    after = {listener.name: listener for listener in new.listeners}
    for name in before.keys() ^ after.keys():
        yield ("listeners", name)
    for name in before.keys() & after.keys():
        yield from _listener(before[name], after[name])


def _listener(old: Listener, new: Listener) -> Iterator[KeyPath]:
    path = ("listeners", new.name)
    for key in _changed(old, new):
        if key == "tls" and old.tls is not None and new.tls is not None:
            changed = _changed_tls(old.tls, new.tls)
            yield from _not_live((*path, "tls"), changed)
            if old.tls.engine_in_use is not new.tls.engine_in_use:
                yield from _engine(path, changed)
        else:
            yield from _not_live(path, [key])


def _changed_tls(old: TlsSettings, new: TlsSettings) -> list[str]:
    """Return the keys that differ; `engine` only if a different engine would serve."""
    return [
        key
        for key in _changed(old, new)
        if key != "engine" or old.engine_in_use is not new.engine_in_use
    ]


def _engine(path: KeyPath, changed: list[str]) -> Iterator[KeyPath]:
    """Yield the live key by which `engine: auto` would choose another engine.

    Where a key that needs a restart has changed as well, that key is named instead.
    """
    tls = (*path, "tls")
    if all(_is_live((*tls, key)) for key in changed):
        yield (*tls, "crl")


def _changed(old: Any, new: Any) -> list[str]:
    return [
        field.name
        for field in fields(old)
        if getattr(old, field.name) != getattr(new, field.name)
    ]


def _not_live(block: KeyPath, keys: list[str]) -> Iterator[KeyPath]:
    for key in keys:
        path = (*block, key)
        if not _is_live(path):
            yield path


def _is_live(path: KeyPath) -> bool:
    pattern = ("listeners", "*", *path[2:]) if path[0] == "listeners" else path
    return ".".join(pattern) in LIVE
