"""The arguments of gRPC core for the server of a listener, from the config."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grpcsecure.model.transport import (
    LISTENER_ARGUMENTS,
    SERVER_ARGUMENTS,
    Compression,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from grpcsecure.model.listener import Listener
    from grpcsecure.model.server_config import ServerSettings

__all__ = ["channel_arguments"]

#: The highest value of an argument: 24 days in milliseconds.
_MAX_VALUE = 2**31 - 1

#: GRPC_COMPRESS_LEVEL: gRPC selects an algorithm that the client accepts, the first or
#: the last of gzip and deflate.
_LEVELS = {Compression.NONE: 0, Compression.GZIP: 1, Compression.DEFLATE: 3}


def channel_arguments(
    settings: ServerSettings, listener: Listener
) -> list[tuple[str, int | str]]:
    """Return the arguments of the listener's server.

    Those of grpcsecure come before `channel_options`: of two arguments with the same
    name gRPC takes the first.
    """
    # With SO_REUSEPORT two servers could share a port by accident: the kernel would
    # distribute the connections between them.
    arguments: list[tuple[str, int | str]] = [("grpc.so_reuseport", 0)]
    if listener.tls is not None:
        timeout = _value("_ms", listener.tls.handshake_timeout)
        arguments.append(("grpc.server_handshake_timeout_ms", timeout))
    arguments += _given(settings, SERVER_ARGUMENTS)
    arguments += _given(listener, _listener_arguments(listener))
    return [*arguments, *settings.channel_options]


def _listener_arguments(listener: Listener) -> dict[tuple[str, ...], tuple[str, ...]]:
    """Return the keys that grpcio enforces; the bridge counts its own connections."""
    by_bridge = ("limits", "max_connections") if listener.is_bridged else ()
    return {key: names for key, names in LISTENER_ARGUMENTS.items() if key != by_bridge}


def _given(
    block: object, arguments: Mapping[tuple[str, ...], tuple[str, ...]]
) -> Iterator[tuple[str, int]]:
    for path, names in arguments.items():
        value: object = block
        for attribute in path:
            value = getattr(value, attribute)
        if value is None:
            continue
        # Of compression the level alone: see `SERVER_ARGUMENTS`.
        for name in names[:1] if isinstance(value, Compression) else names:
            yield name, _value(name, value)


def _value(name: str, value: object) -> int:
    if isinstance(value, Compression):
        return _LEVELS[value]
    assert isinstance(value, int | float)  # noqa: S101 - the model has no others
    if name.endswith("_ms"):
        return max(1, min(round(value * 1000), _MAX_VALUE))
    return int(value)
