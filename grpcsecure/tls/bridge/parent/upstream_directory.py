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
    from typing_extensions import Self

__all__ = ["UpstreamDirectory"]


class UpstreamDirectory:
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
