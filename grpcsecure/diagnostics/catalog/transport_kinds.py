"""GS320 to GS324: settings of HTTP/2 and TLS that contradict each other."""

from __future__ import annotations

from grpcsecure.diagnostics.findings import Kind, Severity

__all__ = ["OPTION_TWICE", "TOO_MANY_PINGS"]

OPTION_TWICE = Kind(
    code="GS320",
    name="option-twice",
    severity=Severity.ERROR,
    what="A channel option and a key of the config set the same.",
    why="Only one of them can be in force, and a reader may take the other one for it.",
    bad="server: {max_receive_message_size: 16MiB,"
    " channel_options: {grpc.max_receive_message_length: 4194304}}",
    good="server: {max_receive_message_size: 16MiB}",
)

TOO_MANY_PINGS = Kind(
    code="GS321",
    name="too-many-pings",
    severity=Severity.WARNING,
    what="The keepalive settings do not say how often clients may ping. gRPC's own"
    " limit disconnects most clients that do.",
    why="A client that pings more often than it may gets GOAWAY with `too_many_pings`,"
    " and its calls fail. gRPC's own limits are one ping in five minutes, and without a"
    " call one in two hours; most clients with keepalive ping at least once a minute.",
    bad="server: {keepalive: {time: 30s}}",
    good="server: {keepalive: {time: 30s, min_client_interval: 20s,"
    " without_calls: true}}",
)
