"""Checks of listener addresses: conflicts, and unix socket paths that are too long."""

from __future__ import annotations

import os
from ipaddress import ip_address
from typing import TYPE_CHECKING

from grpcsecure.diagnostics.catalog import activation_kinds
from grpcsecure.diagnostics.catalog import listener_kinds as kinds
from grpcsecure.diagnostics.findings import Label
from grpcsecure.model.listener import (
    MAX_UNIX_PATH,
    SystemdAddress,
    TcpAddress,
    UnixAddress,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from grpcsecure.config.document import Document
    from grpcsecure.diagnostics.findings import Finding
    from grpcsecure.model.listener import Address, Listener

__all__ = ["check_addresses"]

_LOCALHOST = frozenset({"127.0.0.1", "::1"})


def check_addresses(document: Document) -> Iterator[Finding]:
    """Find addresses that two listeners share, and socket paths that are too long."""
    seen: list[tuple[str, Address]] = []
    for listener in document.config.listeners:
        place = document.place("listeners", listener.name, "address")
        for name, address in seen:
            if _overlap(address, listener.address):
                first = document.place("listeners", name, "address")
                yield kinds.ADDRESS_CONFLICT(
                    f"`{name}` and `{listener.name}` both listen on {listener.address}",
                    span=place,
                    label=f"taken by `{name}`",
                    secondary=[Label(span=first, text=f"`{name}` listens here")],
                    help="give one of them another port",
                )
                break
        seen.append((listener.name, listener.address))
        if isinstance(listener.address, SystemdAddress) and not listener.is_bridged:
            yield _needs_bridge(document, listener)
        if isinstance(listener.address, UnixAddress):
            length = len(os.fsencode(listener.address.path))
            if length > MAX_UNIX_PATH:
                yield kinds.LONG_SOCKET_PATH(
                    f"the socket path of `{listener.name}` has {length} bytes,"
                    f" at most {MAX_UNIX_PATH} are allowed",
                    span=place,
                    label="too long as an absolute path",
                    help="put the socket into a shorter directory, such as /run",
                )


def _needs_bridge(document: Document, listener: Listener) -> Finding:
    key: tuple[str, ...]
    if listener.tls is None:
        found, key = "is plaintext", ("plaintext",)
        advice = "give it a `tls` block, or the address itself: `127.0.0.1:8080`"
    else:
        found, key = "has engine `grpc`", ("tls", "engine")
        advice = "use `engine: auto`, which takes the bridge for this address"
    return activation_kinds.SYSTEMD_NEEDS_BRIDGE(
        f"listener `{listener.name}` {found}, and cannot serve on {listener.address}",
        span=document.place("listeners", listener.name, "address"),
        label="only the bridge serves on sockets of systemd",
        secondary=[
            Label(
                span=document.place("listeners", listener.name, *key),
                text="served by grpcio",
            )
        ],
        help=advice,
    )


def _overlap(one: Address, other: Address) -> bool:
    if not (isinstance(one, TcpAddress) and isinstance(other, TcpAddress)):
        return one == other
    if one.port != other.port or one.port == 0:
        return False
    # gRPC listens on [::] for 0.0.0.0, too: a wildcard takes both address families.
    return (
        one.is_wildcard
        or other.is_wildcard
        or not _addresses(one.host).isdisjoint(_addresses(other.host))
    )


def _addresses(host: str) -> frozenset[str]:
    """Return the addresses of a host in normalized form: `::1` has many spellings."""
    try:
        ip = ip_address(host)
    except ValueError:
        # The only name with the same meaning on every machine (RFC 6761).
        return _LOCALHOST if host.lower() == "localhost" else frozenset({host.lower()})
    # gRPC also binds an IPv4-mapped IPv6 address for an IPv4 address.
    return frozenset({str(getattr(ip, "ipv4_mapped", None) or ip)})
