"""A private directory for the unix sockets on which the grpcio servers listen."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from grpcsecure.model.listener import MAX_UNIX_PATH
from grpcsecure.tls.bridge.ipc.socket_files import remove_directory
from grpcsecure.tls.bridge.parent.stale_directories import (
    claim,
    name_prefix,
    remove_stale,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Self

__all__ = ["UpstreamDirectory"]


class UpstreamDirectory:
    """A private directory for the server's sockets: mode 0700, a short path.

    It is in `base`, `$XDG_RUNTIME_DIR`, `$TMPDIR` or `/tmp`, the first that is usable.
    Creating one also removes those of dead processes beside it. Use it as a context
    manager, or call `close`.

    Raises:
        OSError: there is no place for one; the text is human-readable.
    """

    def __init__(self, base: str | None = None) -> None:
        for parent in _parents(base):
            try:
                path, self._lock = _make_directory(parent)
            except OSError:
                continue
            # Leave room for the names of sockets, including the bridge's.
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
        """Remove the directory and the sockets in it; harmless twice."""
        remove_directory(self.path)
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _parents(base: str | None) -> Iterator[str]:
    # `tempfile` would also try the current directory, and others that no page names.
    environ = os.environ
    named = (base, environ.get("XDG_RUNTIME_DIR"), environ.get("TMPDIR"), "/tmp")  # noqa: S108 - a private directory in it
    for path in named:
        if path:
            yield os.path.abspath(path)  # noqa: PTH100 - str in, str out


def _make_directory(parent: str) -> tuple[str, int]:
    """Create a directory and lock it.

    Tries again if another process removed the directory before it was locked.
    """
    import tempfile

    while True:
        # mkdtemp creates it with mode 0700, owned by this user, with a fresh name.
        path = tempfile.mkdtemp(prefix=name_prefix(), dir=parent)
        lock = claim(path)
        if lock is not None:
            return path, lock
