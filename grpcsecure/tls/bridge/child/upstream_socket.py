"""The bridge's socket towards the server, bound to an unguessable name.

grpcio reports the name of the connecting socket as `context.peer()`. On Linux it is
an abstract name (unix(7)), which no second socket can bind while the first one is open.
Elsewhere it is a path in the private directory, which a process of the same user could
unlink and bind again; the threat model mentions that.
"""

from __future__ import annotations

import errno
import os
import secrets
import socket
import sys
from contextlib import suppress

from grpcsecure.tls.bridge.ipc.socket_files import remove_quietly

__all__ = ["connect_upstream", "open_upstream", "release_upstream"]

_HAS_ABSTRACT = sys.platform == "linux"
_RANDOM_BYTES = 16
_SEND_BUFFER = 512 * 1024


def open_upstream(server_path: str) -> tuple[socket.socket, str]:
    """Return a socket bound to a fresh name, and the name as grpcio will report it.

    Raises:
        OSError: usually, the process is out of descriptors.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.setblocking(False)
    # A large message is sent in fewer, larger parts (uploads: a fifth faster). The
    # kernel uses the memory only while the server is slower than the client.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
    unguessable = secrets.token_hex(_RANDOM_BYTES)
    try:
        if _HAS_ABSTRACT:
            name = f"grpcsecure-{unguessable}"
            sock.bind(f"\0{name}")
            return sock, f"unix-abstract:{name}"
        path = os.path.join(os.path.dirname(server_path), unguessable[:12])  # noqa: PTH118, PTH120 - str in, str out
        sock.bind(path)
    except OSError:
        sock.close()
        raise
    return sock, f"unix:{path}"


def connect_upstream(sock: socket.socket, server_path: str) -> bool:
    """Connect without blocking; return False if it has to be tried again soon.

    Raises:
        OSError: no server listens there.
    """
    code = sock.connect_ex(server_path)
    if code in (0, errno.EISCONN):
        return True
    # Linux: the server's backlog is full. Unix sockets have no EINPROGRESS.
    if code == errno.EAGAIN:
        return False
    raise OSError(code, os.strerror(code))


def release_upstream(sock: socket.socket, name: str) -> None:
    """Close the connection and release the name that `open_upstream` bound.

    Shut down first: the server process has a second descriptor of the socket, which
    guards the name until it has been removed from the registry.
    """
    with suppress(OSError):  # never connected, or already gone
        sock.shutdown(socket.SHUT_RDWR)
    sock.close()
    if name.startswith("unix:"):
        remove_quietly(name.removeprefix("unix:"))
