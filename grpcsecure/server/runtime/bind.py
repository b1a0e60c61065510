"""Binds a listener's address; on failure finds out the reason.

grpcio reports every failure as `Failed to bind to address`, be it a taken port or TLS
material that it rejects. Trying the same address with a plain socket distinguishes the
two.
"""

from __future__ import annotations

import os
import socket
import stat
from typing import TYPE_CHECKING

from grpcsecure.errors import BindError
from grpcsecure.model.listener import TcpAddress, UnixAddress

if TYPE_CHECKING:
    from collections.abc import Callable

    from grpcsecure.model.listener import Address, Listener

__all__ = ["bind", "refuse_live_socket"]


def bind(listener: Listener, add_port: Callable[[str], int]) -> int:
    """Bind the listener's address with `add_port`; return the port.

    Raises:
        BindError: the address is taken, not permitted or not one of this machine, or
            gRPC refused the TLS material; the message says which.
    """
    address = listener.address
    if isinstance(address, UnixAddress):
        refuse_live_socket(listener, address)
    try:
        return add_port(_target(address))
    except RuntimeError as error:
        reason = _why_not(address)
        if reason is None and listener.tls is not None:
            reason = "the address is free, but gRPC refused the TLS settings"
        raise BindError(
            f"listener `{listener.name}` cannot listen on {address}: {reason or error}"
        ) from error


def _target(address: Address) -> str:
    """Return the address in gRPC's notation: `unix:` is a URI, so % is escaped."""
    text = str(address)
    return text.replace("%", "%25") if isinstance(address, UnixAddress) else text


def refuse_live_socket(listener: Listener, address: UnixAddress) -> None:
    """Raise if a process listens on the path: gRPC would silently replace its socket.

    Raises:
        BindError: a process listens there, or the path is not a socket.
    """
    path = os.fspath(address.path)
    try:
        mode = os.lstat(path).st_mode
    except OSError:
        return  # no such file; if the directory is at fault, binding reports it
    if not stat.S_ISSOCK(mode):
        reason = "the path exists and is not a socket"
    elif _answers(path):
        reason = "another process listens there"
    else:
        return  # the socket of a dead process: gRPC replaces it
    raise BindError(f"listener `{listener.name}` cannot listen on {address}: {reason}")


def _answers(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return False
        except OSError:
            return True  # full backlog or no permission: a process may listen there
        return True


def _why_not(address: Address) -> str | None:
    """Bind the address with a plain socket; return the error, None on success."""
    try:
        if isinstance(address, TcpAddress):
            _try_tcp(address)
        else:
            _try_folder(address)
    except OSError as error:
        return (error.strerror or str(error)).lower()
    return None


def _try_tcp(address: TcpAddress) -> None:
    for family, kind, protocol, _, target in socket.getaddrinfo(
        address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    ):
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(target)
            probe.listen(1)  # with SO_REUSEADDR two may bind, but only one may listen


def _try_folder(address: UnixAddress) -> None:
    with os.scandir(address.path.parent):
        pass
    if not os.access(address.path.parent, os.W_OK):
        raise PermissionError(None, "no permission to create a socket in the folder")
