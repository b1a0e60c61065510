"""GS340: sockets that systemd passes."""

from __future__ import annotations

from grpcsecure.diagnostics.findings import Kind, Severity

__all__ = ["SYSTEMD_NEEDS_BRIDGE"]

SYSTEMD_NEEDS_BRIDGE = Kind(
    code="GS340",
    name="systemd-needs-bridge",
    severity=Severity.ERROR,
    what="A listener that is not bridged has the address `systemd:NAME`.",
    why="Only the bridge can serve on sockets that systemd has opened: grpcio opens its"
    " listening sockets itself.",
    bad="listeners: {public: {address: 'systemd:public', tls: {engine: grpc}}}",
    good="listeners: {public: {address: 'systemd:public'}}",
)
