"""A fake bridge: another process of the same user that connects to the server's socket.

It can read the names in /proc, connect to the socket behind the bridge, and bind its
own socket to any free name.
"""

from __future__ import annotations

import re
import socket
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

__all__ = [
    "FakeBridge",
    "bridged_names",
    "child_processes",
    "fake_bridge",
    "upstream_sockets",
]

#: __SO_ACCEPTCON in the column of flags (proc_net(5)).
_LISTENING = "00010000"

_NAME = "@grpcsecure-"


def _unix_sockets():
    """Yield flags, inode and name of every unix socket that has a name."""
    for line in Path("/proc/net/unix").read_text().splitlines()[1:]:
        columns = line.split(maxsplit=7)
        if len(columns) == 8:
            yield columns[3], columns[6], columns[7]


def upstream_sockets(pid):
    """Return the paths of the sockets behind the bridge of a process, in order."""
    links = []
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            links.append(str(descriptor.readlink()))
        except FileNotFoundError:
            continue  # closed meanwhile
    return sorted(
        name
        for flags, inode, name in _unix_sockets()
        if flags == _LISTENING
        and f"socket:[{inode}]" in links
        and re.search(r"/grpcsecure-[^/]+/\d+\.sock$", name)
    )


def bridged_names():
    """Return the abstract names of bridged connections, which every user can read."""
    return {name[1:] for _, _, name in _unix_sockets() if name.startswith(_NAME)}


def child_processes(pid):
    """Return the process ids of a process's children."""
    lists = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for each in lists for child in each.read_text().split()]


class FakeBridge:
    """Forwards a plaintext gRPC client to a server's socket, from a chosen name.

    Args:
        path: the path of the server's socket.
        name: the name to bind to; None for no name.

    Raises:
        OSError: the name is taken.
    """

    def __init__(self, path, name=None):
        self.end = socket.socket(socket.AF_UNIX)
        try:
            if name is not None:
                self.end.bind(name)
            self.end.connect(path)
            self._front = socket.create_server(("127.0.0.1", 0))
        except OSError:
            self.end.close()
            raise
        self.target = f"127.0.0.1:{self._front.getsockname()[1]}"
        Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        accepted, _ = self._front.accept()
        back = Thread(target=self._copy, args=(self.end, accepted), daemon=True)
        back.start()
        self._copy(accepted, self.end)
        back.join()
        accepted.close()

    @staticmethod
    def _copy(source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the other direction ended first

    def close(self):
        """End the connection."""
        self._front.close()
        self.end.close()


@contextmanager
def fake_bridge(path, name=None):
    """Run a fake bridge while the block runs."""
    opened = FakeBridge(path, name)
    try:
        yield opened
    finally:
        opened.close()
