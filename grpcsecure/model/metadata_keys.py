"""Metadata keys with a meaning to gRPC core, which handlers see changed or not at all.

The lists are those of grpcio 1.82 to 1.85, for clients of any kind. A test sends every
name that occurs in the installed grpcio, and compares.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["RESERVED_KEYS", "SINGLE_KEYS", "USER_AGENT", "as_delivered"]

#: Keys that gRPC core removes before a server's handlers see them. Other keys that
#: begin with `grpc-` are passed on.
RESERVED_KEYS = frozenset(
    {
        "content-type",
        "endpoint-load-metrics-bin",
        "grpc-accept-encoding",
        "grpc-encoding",
        "grpc-internal-encoding-request",
        "grpc-message",
        "grpc-server-stats-bin",
        "grpc-status",
        "grpc-tags-bin",
        "grpc-timeout",
        "grpc-trace-bin",
        "grpclb_client_stats",
        "lb-cost-bin",
        "te",
        "x-envoy-peer-metadata",
    }
)

USER_AGENT = "user-agent"

#: Keys of which gRPC core delivers the last value only, if a client sends several.
SINGLE_KEYS = frozenset(
    {
        "grpc-previous-rpc-attempts",
        "grpc-retry-pushback-ms",
        "host",
        "lb-token",
        "traceparent",
        USER_AGENT,
        "x-envoy-auth-failure-mode-allowed",  # not before grpcio 1.83
        "x-forwarded-for",
        "x-forwarded-host",
    }
)


def as_delivered(
    metadata: Iterable[tuple[str, str | bytes]],
) -> tuple[tuple[str, str | bytes], ...]:
    """Return what a server's handlers see of metadata that a client sends."""
    delivered: list[tuple[str, str | bytes]] = []
    for key, value in metadata:
        if key in RESERVED_KEYS:
            continue
        if key in SINGLE_KEYS:
            delivered = [entry for entry in delivered if entry[0] != key]
        delivered.append((key, value))
    return tuple(delivered)
