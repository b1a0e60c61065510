"""What of a changed config a running server cannot take over.

Pure: two configs in, the keys in between out. Whatever is not named here is applied
live, so that a setting which is forgotten here would be half-applied: the tests go
through all keys of the model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from grpcsecure.model.listener import Listener, TlsSettings
    from grpcsecure.model.server import ServerConfig

    KeyPath = tuple[str, ...]

__all__ = ["keys_that_need_a_restart"]

#: Attributes of the model that stay as they are, by the keys of the config. The files
#: of key material, identities, rules and `error_detail` are not among them.
_SERVER = (
    "runtime",
    "threads",
    "switch_interval",
    "max_concurrent_rpcs",
    "shutdown_grace",
    "import_paths",
    "reflection",
    "health",
    "channel_options",
)
_RELOAD = ("interval", "events")
_LISTENER = (
    "address",
    "services",
    "max_connection_age",
    "max_connection_age_grace",
)
_TLS = ("client_certificate", "min_version", "handshake_timeout")


def keys_that_need_a_restart(old: ServerConfig, new: ServerConfig) -> Iterator[KeyPath]:
    """Yield the keys whose values differ and cannot change while the server runs."""
    if old.services != new.services:
        yield ("services",)
    for key in _SERVER:
        if getattr(old.server, key) != getattr(new.server, key):
            yield ("server", key)
    for key in _RELOAD:
        if getattr(old.reload, key) != getattr(new.reload, key):
            yield ("reload", key)
    before = {listener.name: listener for listener in old.listeners}
    after = {listener.name: listener for listener in new.listeners}
    for name in before.keys() - after.keys():
        yield ("listeners", name)
    for name, listener in after.items():
        if name in before:
            yield from _listener(before[name], listener)
        else:
            yield ("listeners", name)


def _listener(old: Listener, new: Listener) -> Iterator[KeyPath]:
    path = ("listeners", new.name)
    for key in _LISTENER:
        if getattr(old, key) != getattr(new, key):
            yield (*path, key)
    if old.tls is None or new.tls is None:
        if old.tls is not new.tls:
            yield (*path, "tls")
    else:
        for key in _tls(old.tls, new.tls):
            yield (*path, "tls", key)


def _tls(old: TlsSettings, new: TlsSettings) -> Iterator[str]:
    changed = [key for key in _TLS if getattr(old, key) != getattr(new, key)]
    yield from changed
    if old.engine_in_use is not new.engine_in_use and not changed:
        # `engine: auto` takes another one because of a key that is live by itself.
        yield "engine" if old.engine is not new.engine else "crl"
