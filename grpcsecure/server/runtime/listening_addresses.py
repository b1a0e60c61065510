"""The addresses that a listener should listen on, and those that a process does.

For a wildcard gRPC listens on both address families. If one of them is taken, it
listens on the other alone and reports success; for a name it does the same. So names
are resolved here, for both engines, and what was asked for is compared with the sockets
that exist then.
"""

from __future__ import annotations

import os
import socket
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from grpcsecure.descriptor_reserve import RESERVE
from grpcsecure.model.listener import TcpAddress

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from grpcsecure.model.listener import Address

__all__ = [
    "Endpoint",
    "ListeningSockets",
    "describe_error",
    "find_missing",
    "open_all",
    "resolve",
    "try_all",
]

#: Descriptors that are looked at where the system does not list them.
_DESCRIPTORS = range(1024)

#: Descriptors that looking takes: a listener is bound again while clients hold many.
_AT_ONCE = 4


class Endpoint(NamedTuple):
    """An address of one family, as `socket.bind` takes it without the port."""

    family: socket.AddressFamily
    host: str
    scope: int = 0

    def target(self, port: int) -> tuple[str, int] | tuple[str, int, int, int]:
        """Return the address that `socket.bind` takes."""
        if self.family == socket.AF_INET:
            return self.host, port
        return self.host, port, 0, self.scope

    def __str__(self) -> str:
        if self.family == socket.AF_INET:
            return self.host
        scope = f"%{socket.if_indextoname(self.scope)}" if self.scope else ""
        return f"[{self.host}{scope}]"


#: The wildcard addresses; a socket of the second may serve both families.
_ANY_IPV4 = Endpoint(socket.AF_INET, "0.0.0.0")  # noqa: S104 - compared, not bound
_ANY_IPV6 = Endpoint(socket.AF_INET6, "::")
_LOOPBACK_IPV6 = Endpoint(socket.AF_INET6, "::1")

#: Attempts to find a port that is free at several addresses.
_PORT_TRIES = 8


def resolve(address: TcpAddress) -> tuple[Endpoint, ...]:
    """Return the addresses to listen on: those of a name, or of both families.

    IPv6 addresses of a name are left out on a machine without IPv6.

    Raises:
        OSError: the name has no address.
    """
    if address.is_wildcard:
        found = [_ANY_IPV4, _ANY_IPV6]
    elif address.host.lower() == "localhost":
        # Both, whatever the system's list of hosts says (RFC 6761, 6.3).
        found = [Endpoint(socket.AF_INET, "127.0.0.1"), _LOOPBACK_IPV6]
    else:
        found = _look_up(address)
    usable = [e for e in found if e.family == socket.AF_INET or _has_ipv6()]
    return tuple(usable or found)


def _look_up(address: TcpAddress) -> list[Endpoint]:
    name = address.host
    found = socket.getaddrinfo(
        # A text is encoded by IDNA, whose tables take time to import.
        name.encode() if name.isascii() else name,
        address.port,
        type=socket.SOCK_STREAM,
        flags=socket.AI_PASSIVE,
    )
    endpoints = (
        Endpoint(family, str(target[0]).partition("%")[0], *map(int, target[3:]))
        for family, _, _, _, target in found
    )
    return [*dict.fromkeys(endpoints)]


def _has_ipv6() -> bool:
    """Whether the machine has IPv6, by the same test as in gRPC core."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(_LOOPBACK_IPV6.target(0))
    except OSError:
        return False
    return True


def open_all(
    endpoints: Sequence[Endpoint], port: int, *, backlog: int
) -> tuple[socket.socket, ...]:
    """Return a listening socket for each address, all with the same port.

    Port 0 becomes one that is free at all of them.

    Raises:
        OSError: an address is taken, not permitted or not one of this machine; its
            `filename` is that address.
    """
    for _ in range(_PORT_TRIES if port == 0 else 0):
        # The port that is free at the first address may be taken at the next.
        with suppress(OSError):
            return _open_each(endpoints, 0, backlog)
    return _open_each(endpoints, port, backlog)


def _open_each(
    endpoints: Sequence[Endpoint], port: int, backlog: int
) -> tuple[socket.socket, ...]:
    opened: list[socket.socket] = []
    for endpoint in endpoints:
        try:
            opened.append(_open(endpoint, port, backlog))
        except OSError as error:
            for sock in opened:
                sock.close()
            raise OSError(error.errno, error.strerror, str(endpoint)) from error
        port = opened[0].getsockname()[1]
    return tuple(opened)


def _open(endpoint: Endpoint, port: int, backlog: int) -> socket.socket:
    """Return a listening socket for one address, of its family alone."""
    sock = socket.socket(endpoint.family)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if endpoint.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(endpoint.target(port))
        sock.listen(backlog)  # with SO_REUSEADDR two may bind, but only one may listen
    except OSError:
        sock.close()
        raise
    return sock


def try_all(endpoints: Sequence[Endpoint], port: int) -> int:
    """Listen on all addresses for a moment, and return the port.

    Raises:
        OSError: as `open_all`.
    """
    opened = open_all(endpoints, port, backlog=1)
    port = opened[0].getsockname()[1]
    for sock in opened:
        sock.close()
    return port


def describe_error(error: OSError, address: Address) -> str:
    """Return the reason in the words of the system, as the end of a message.

    The address at fault is named if it is not written in the config.
    """
    reason = (error.strerror or str(error)).lower()
    at = error.filename
    is_clear = at is None or not isinstance(address, TcpAddress)
    return (
        reason if is_clear or str(address).startswith(f"{at}:") else f"{reason}: {at}"
    )


def find_missing(
    endpoints: Sequence[Endpoint], port: int, bound: frozenset[Endpoint]
) -> str | None:
    """Return which of the addresses is not in `bound`, and why; None if all are."""
    missing = [endpoint for endpoint in endpoints if endpoint not in bound]
    if not missing:
        return None
    reason = "not listened on"
    try:
        try_all(missing[:1], port)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
    rest = " and ".join(sorted(map(str, bound))) or "no address"
    return f"{reason}: {missing[0]}; gRPC would listen on {rest} only"


class ListeningSockets:
    """The listening TCP sockets of this process from its creation on.

    gRPC does not return its sockets, so they are found among the descriptors.
    """

    def __init__(self) -> None:
        with RESERVE.lent(_AT_ONCE):
            self._before = {inode for inode, _, _ in _listening()}

    def added(self, port: int) -> frozenset[Endpoint]:
        """Return the addresses of a port that sockets since then listen on."""
        with RESERVE.lent(_AT_ONCE):
            return frozenset(
                endpoint
                for inode, endpoint, bound in _listening()
                if bound == port and inode not in self._before
            )


def _listening() -> Iterator[tuple[int, Endpoint, int]]:
    """Yield the inode, address and port of each listening TCP socket."""
    for descriptor in _descriptors():
        with suppress(OSError):  # another thread has closed it
            status = os.fstat(descriptor)
            if stat.S_ISSOCK(status.st_mode):
                with _borrow(descriptor) as sock:
                    for endpoint, port in _endpoints(sock):
                        yield status.st_ino, endpoint, port


def _descriptors() -> list[int]:
    try:
        return [int(path.name) for path in Path("/dev/fd").iterdir()]
    except OSError:
        return [*_DESCRIPTORS]


def _borrow(descriptor: int) -> socket.socket:
    """Return a second descriptor of a socket, whose flags stay as they are."""
    is_blocking = os.get_blocking(descriptor)
    copy = os.dup(descriptor)
    try:
        sock = socket.socket(fileno=copy)
    except OSError:
        os.close(copy)
        raise
    # Both descriptors share the flag, which `socket.setdefaulttimeout` has changed.
    os.set_blocking(copy, is_blocking)
    return sock


def _endpoints(sock: socket.socket) -> Iterator[tuple[Endpoint, int]]:
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    if not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        return
    host, port, *rest = sock.getsockname()
    if sock.family == socket.AF_INET:
        yield Endpoint(socket.AF_INET, host), port
    elif host.startswith("::ffff:"):
        yield Endpoint(socket.AF_INET, host.removeprefix("::ffff:")), port
    else:
        yield Endpoint(socket.AF_INET6, host.partition("%")[0], *rest[1:]), port
        if host == "::" and not sock.getsockopt(
            socket.IPPROTO_IPV6, socket.IPV6_V6ONLY
        ):
            yield _ANY_IPV4, port
