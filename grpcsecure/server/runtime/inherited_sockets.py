"""Listening sockets that systemd has opened and passed on: sd_listen_fds(3).

systemd keeps them open, so that clients wait in their queues while the server restarts.
"""

from __future__ import annotations

import os
import socket
import stat
from functools import cache
from pathlib import Path

from grpcsecure.model.listener import TcpAddress, UnixAddress

__all__ = ["InheritedSockets", "describe_socket", "inherited_sockets"]

#: The first descriptor that is passed, SD_LISTEN_FDS_START.
_FIRST = 3

_VARIABLES = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID")

#: The name of a descriptor that has none: systemd's own word.
_UNNAMED = "unknown"


class InheritedSockets:
    """The descriptors that were passed to this process, by their names.

    They stay open as long as the process runs, so that a program can load its server
    again. They and the variables about them are not passed on to child processes.
    """

    def __init__(self) -> None:
        pid, count, names, _ = (os.environ.pop(name, "") for name in _VARIABLES)
        self._by_name: dict[str, list[int]] = {}
        self._used: set[str] = set()
        #: Why there are none at all.
        self._why_none = "systemd has passed no sockets to this process"
        if not (count.isascii() and count.isdecimal()):
            return
        if pid != str(os.getpid()):
            self._why_none += (
                f": they are meant for process {pid}, and not {os.getpid()}"
            )
            return
        given = names.split(":") if names else []
        for index in range(int(count)):
            name = given[index] if index < len(given) else _UNNAMED
            try:
                os.set_inheritable(_FIRST + index, False)
            except OSError:
                break  # not open: there are fewer
            self._by_name.setdefault(name, []).append(_FIRST + index)

    @property
    def unused(self) -> list[str]:
        """The names of descriptors that no listener has used."""
        return [name for name in self._by_name if name not in self._used]

    def open(self, name: str) -> tuple[socket.socket, ...]:
        """Return the listening sockets that have this name.

        Raises:
            ValueError: there is none, or it is not a listening stream socket; the
                message says why.
        """
        if not self._by_name:
            raise ValueError(self._why_none)
        descriptors = self._by_name.get(name, [])
        if not descriptors:
            passed = ", ".join(f"`{each}`" for each in self._by_name)
            raise ValueError(f"systemd has passed no socket of that name, but {passed}")
        self._used.add(name)
        for descriptor in descriptors:
            reason = _why_unusable(descriptor)
            if reason is not None:
                raise ValueError(f"descriptor {descriptor} is not {reason}")
        return tuple(socket.socket(fileno=os.dup(each)) for each in descriptors)


@cache
def inherited_sockets() -> InheritedSockets:
    """Return the sockets that were passed to this process.

    The first call takes them over; it has to come before child processes are started.
    """
    return InheritedSockets()


def _why_unusable(descriptor: int) -> str | None:
    if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
        return "a socket"
    with socket.socket(fileno=os.dup(descriptor)) as sock:
        if sock.family not in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX):
            return "a TCP or unix socket"
        if sock.type != socket.SOCK_STREAM:
            return "a stream socket"
        if not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            return "listening"
    return None


def describe_socket(sock: socket.socket) -> str:
    """Return the address that a socket listens on: `host:port` or `unix:/path`."""
    name = sock.getsockname()
    if sock.family != socket.AF_UNIX:
        return str(TcpAddress(name[0], name[1]))
    path = name if isinstance(name, str) else "@" + os.fsdecode(name[1:])
    return str(UnixAddress(Path(path)))
