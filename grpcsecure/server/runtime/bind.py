"""Binds a listener's address; on failure finds out the reason.

grpcio reports every failure as `Failed to bind to address`, be it a taken port or TLS
material that it rejects. Trying the same address with a plain socket first, and with
gRPC without TLS after a failure, distinguishes the two. It reports nothing if it
listens on a part of the addresses only, so the sockets are compared with what was asked
for.
"""

from __future__ import annotations

import os
import socket
import stat
from functools import partial
from typing import TYPE_CHECKING

from grpcsecure.errors import BindError
from grpcsecure.model.listener import SystemdAddress, TcpAddress, UnixAddress
from grpcsecure.server.runtime.listening_addresses import (
    ListeningSockets,
    describe_error,
    find_missing,
    resolve,
    try_all,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from grpcsecure.model.listener import Listener

__all__ = ["bind", "refuse_live_socket"]


def bind(listener: Listener, add_port: Callable[[str], int]) -> int:
    """Bind the listener's address with `add_port`; return the port.

    Raises:
        BindError: the address, or a part of it, is taken, not permitted or not one of
            this machine, or gRPC refused the TLS material; the message says which.
    """
    address = listener.address
    if isinstance(address, TcpAddress):
        return _bind_tcp(listener, address, add_port)
    if isinstance(address, SystemdAddress):  # a finding, for who checks the config
        raise _error(listener, "only the bridge serves on sockets of systemd")
    refuse_live_socket(listener, address)
    # `unix:` is a URI in gRPC's notation, so % is escaped.
    target = str(address).replace("%", "%25")
    return _add(listener, target, add_port, partial(_try_folder, address))


def _bind_tcp(
    listener: Listener, address: TcpAddress, add_port: Callable[[str], int]
) -> int:
    """Bind every address of the host, all with the same port.

    They are resolved here and not by gRPC, so that both engines have the same ones.
    """
    try:
        endpoints = resolve(address)
        port = address.port
        if port == 0 and len(endpoints) > 1:
            port = try_all(endpoints, 0)
    except OSError as error:
        raise _error(listener, describe_error(error, address)) from error
    # gRPC serves both families on a socket of the second.
    served = endpoints[-1:] if address.is_wildcard else endpoints
    before = ListeningSockets()
    for endpoint in served:
        target = f"{endpoint}:{port}"
        attempted = endpoints if address.is_wildcard else (endpoint,)
        port = _add(listener, target, add_port, partial(try_all, attempted, port))
    missing = find_missing(endpoints, port, before.added(port))
    if missing is not None:
        raise _error(listener, missing)
    return port


def _add(
    listener: Listener,
    target: str,
    add_port: Callable[[str], int],
    attempt: Callable[[], object],
) -> int:
    """Bind one address; `attempt` finds out, without gRPC, if that is possible.

    It comes first, since gRPC core prints lines of its own if it cannot bind.
    """
    try:
        attempt()
    except OSError as obstacle:
        raise _error(listener, describe_error(obstacle, listener.address)) from obstacle
    try:
        return add_port(target)
    except RuntimeError as error:
        reason = str(error)
        if listener.tls is not None and _can_bind(target):
            reason = "the address is free, but gRPC refused the TLS settings"
        raise _error(listener, reason) from error


def _error(listener: Listener, reason: str) -> BindError:
    return BindError(
        f"listener `{listener.name}` cannot listen on {listener.address}: {reason}"
    )


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
    raise _error(listener, reason)


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


def _can_bind(target: str) -> bool:
    """Whether gRPC can bind the address without TLS."""
    # Imported late: only needed after a failure.
    from concurrent.futures import ThreadPoolExecutor

    import grpc

    server = grpc.server(ThreadPoolExecutor(1), options=[("grpc.so_reuseport", 0)])
    try:
        server.add_insecure_port(target)
    except RuntimeError:
        return False
    finally:
        server.start()  # gRPC frees the ports only of a server that was started
        server.stop(0).wait()
    return True


def _try_folder(address: UnixAddress) -> None:
    with os.scandir(address.path.parent):
        pass
    if not os.access(address.path.parent, os.W_OK):
        raise PermissionError(None, "no permission to create a socket in the folder")
