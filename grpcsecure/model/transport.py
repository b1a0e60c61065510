"""The model of HTTP/2 settings: keepalive, compression and limits of a listener.

Each has its argument of gRPC core. None stands for a key that the config does not have:
gRPC's own value, or one of `channel_options`, is then in force. The blocks are named
tuples: every command imports them, and a dataclass takes longer to create.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

__all__ = [
    "LISTENER_ARGUMENTS",
    "SERVER_ARGUMENTS",
    "Compression",
    "Keepalive",
    "Limits",
]


class Compression(Enum):
    """The compression of responses, for clients that accept it."""

    NONE = "none"
    DEFLATE = "deflate"
    GZIP = "gzip"


class Keepalive(NamedTuple):
    """The `server.keepalive` block: HTTP/2 pings; durations are in seconds."""

    time: float | None = None
    timeout: float | None = None
    without_calls: bool | None = None
    min_client_interval: float | None = None
    max_ping_strikes: int | None = None


class Limits(NamedTuple):
    """The `limits` block of a listener; None sets no limit."""

    max_connections: int | None = None
    max_calls: int | None = None
    max_calls_per_connection: int | None = None


#: The arguments of gRPC core that a key below `server` sets, by its path there.
SERVER_ARGUMENTS: dict[tuple[str, ...], tuple[str, ...]] = {
    ("max_receive_message_size",): ("grpc.max_receive_message_length",),
    ("max_send_message_size",): ("grpc.max_send_message_length",),
    # With the algorithm alone, gRPC compresses also for clients that do not accept it.
    ("compression",): (
        "grpc.default_compression_level",
        "grpc.default_compression_algorithm",
    ),
    ("keepalive", "time"): ("grpc.keepalive_time_ms",),
    # The first alone closes no connection: the second is a minute by default.
    ("keepalive", "timeout"): (
        "grpc.keepalive_timeout_ms",
        "grpc.http2.ping_timeout_ms",
    ),
    ("keepalive", "without_calls"): ("grpc.keepalive_permit_without_calls",),
    ("keepalive", "min_client_interval"): (
        "grpc.http2.min_ping_interval_without_data_ms",
    ),
    ("keepalive", "max_ping_strikes"): ("grpc.http2.max_ping_strikes",),
}

#: The same for keys below a listener.
LISTENER_ARGUMENTS: dict[tuple[str, ...], tuple[str, ...]] = {
    ("max_connection_age",): ("grpc.max_connection_age_ms",),
    ("max_connection_age_grace",): ("grpc.max_connection_age_grace_ms",),
    ("limits", "max_connections"): ("grpc.max_allowed_incoming_connections",),
    ("limits", "max_calls_per_connection"): ("grpc.max_concurrent_streams",),
}
