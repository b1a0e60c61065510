"""The bridge's end of a connection to the server: a name that nobody can take.

grpcio reports the name of the connecting socket as `context.peer()`. On Linux it is
an abstract one (unix(7)): bound at most once while any holder lives. Elsewhere it is
a path in the private directory, which a process of the same user could unlink and
bind again; the threat model says so.
"""

from __future__ import annotations

import errno
import os
import secrets
import socket
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from grpcsecure.model.listener import MAX_UNIX_PATH
from grpcsecure.tls.bridge.stale_directories import claim, name_prefix, remove_stale

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["InnerDirectory", "connect_inner", "open_inner", "release_inner"]

_HAS_ABSTRACT = sys.platform == "linux"
_RANDOM_BYTES = 16
_SEND_BUFFER = 512 * 1024


def open_inner(server_path: str) -> tuple[socket.socket, str]:
    """Return a socket bound to a fresh name, and the name as grpcio will report it.

    Raises:
        OSError: out of descriptors, mostly.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.setblocking(False)
    # A large message crosses in fewer, larger steps (uploads: a fifth faster). The
    # kernel takes the memory only while the server is behind.
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


def connect_inner(sock: socket.socket, server_path: str) -> bool:
    """Connect without blocking; say whether it worked, False is "try again soon".

    Raises:
        OSError: nobody listens there.
    """
    code = sock.connect_ex(server_path)
    if code in (0, errno.EISCONN):
        return True
    # Linux: the server's backlog is full. Unix sockets have no EINPROGRESS.
    if code == errno.EAGAIN:
        return False
    raise OSError(code, os.strerror(code))


def release_inner(sock: socket.socket, name: str) -> None:
    """End the connection and free what `open_inner` took.

    Shut down first: the launcher holds a second descriptor to keep the name taken
    until the registry has forgotten it.
    """
    with suppress(OSError):  # never connected, or already gone
        sock.shutdown(socket.SHUT_RDWR)
    sock.close()
    if name.startswith("unix:"):
        remove_quietly(name.removeprefix("unix:"))


def remove_quietly(path: str) -> None:
    """Remove a socket's path if it is there."""
    with suppress(OSError):
        os.unlink(path)  # noqa: PTH108 - str in, str out


class InnerDirectory:
    """A private directory for the server's sockets: mode 0700, a short path.

    Making one removes those of dead processes beside it. Use as a context manager, or
    call `close`.

    Raises:
        OSError: there is no place for one; its text is for a reader.
    """

    def __init__(self, base: str | None = None) -> None:
        for parent in (base, os.environ.get("XDG_RUNTIME_DIR"), None, "/tmp"):  # noqa: S108 - a private directory in it
            try:
                path, self._lock = _make_directory(parent)
            except OSError:
                continue
            # Room for a socket's name, of the bridge's ends too.
            if len(os.fsencode(path)) + 16 <= MAX_UNIX_PATH:
                self.path = path
                remove_stale(os.path.dirname(path))  # noqa: PTH120 - str in, str out
                return
            os.close(self._lock)
            os.rmdir(path)  # noqa: PTH106 - str in, str out
        raise OSError(
            "the temporary folders cannot be written, or their paths are too long; set"
            " TMPDIR or XDG_RUNTIME_DIR to a writable folder with a short path"
        )

    def socket_path(self, number: int) -> str:
        """Return the path for the `number`-th listener's server socket."""
        return f"{self.path}/{number}.sock"

    def close(self) -> None:
        """Remove the directory with the sockets in it; harmless twice."""
        remove_directory(self.path)
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _make_directory(parent: str | None) -> tuple[str, int]:
    """Make one that is locked; somebody who tidies up may be faster than the lock."""
    import tempfile

    while True:
        # mkdtemp makes it with mode 0700, owned by us, under a fresh name.
        path = tempfile.mkdtemp(prefix=name_prefix(), dir=parent)
        lock = claim(path)
        if lock is not None:
            return path, lock


def remove_directory(path: str) -> None:
    """Remove a directory of sockets, and nothing that is not a socket."""
    try:
        entries = [*os.scandir(path)]
    except OSError:
        return
    for entry in entries:
        if not entry.is_file(follow_symlinks=False) and not entry.is_dir(
            follow_symlinks=False
        ):
            remove_quietly(entry.path)
    with suppress(OSError):
        os.rmdir(path)  # noqa: PTH106 - str in, str out
