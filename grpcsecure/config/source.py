"""Reads the text of a config from a file, a pipe or standard input.

Knows bytes and encodings, not YAML. Invariant: reading ends for every kind of file,
and takes no more memory than the limit.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from grpcsecure.descriptor_reserve import RESERVE
from grpcsecure.diagnostics.catalog import syntax_kinds as syntax
from grpcsecure.diagnostics.catalog import tool_kinds as tool
from grpcsecure.diagnostics.findings import Finding, Span
from grpcsecure.quoting import quote

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "MAX_BYTES",
    "STDIN",
    "Source",
    "decode_source",
    "read_regular_file",
    "read_source",
]

#: Size limit of a config: about 200,000 lines.
MAX_BYTES = 8 * 1024 * 1024

#: Seconds to wait for data from a pipe given as a file (`<(envsubst < config.yaml)`).
PIPE_PATIENCE = 10.0

STDIN = "<stdin>"
_UTF8_BOM = b"\xef\xbb\xbf"
_UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, slots=True)
class Source:
    """The text of a config, its displayed name, and the base of its relative paths."""

    name: str
    directory: Path
    text: str = field(repr=False)

    @property
    def path(self) -> Path | None:
        """The absolute path of the file; None for standard input."""
        return None if self.name == STDIN else self.directory / Path(self.name).name


class _UnreadableError(Exception):
    """A config cannot be read; the text is the reason for the message."""


def read_source(
    name: str, *, stdin: Callable[[int], bytes] | bytes | None = None
) -> Source | Finding:
    """Return the config at the path `name`, or a finding with the reason of failure.

    Args:
        name: a path, or `-` for standard input.
        stdin: the source for `-`: bytes, or a function that reads at most the given
            number of bytes; the process's standard input by default.
    """
    try:
        data = _read_stdin(stdin) if name == "-" else _read_file(name)
    except _UnreadableError as reason:
        return _unreadable(name, str(reason))
    except OSError as error:
        return _unreadable(name, (error.strerror or "it cannot be read").lower())
    except ValueError:  # a NUL in the name
        return _unreadable(name, "no such file or directory")
    if name == "-":
        return decode_source(data, name=STDIN, directory=Path.cwd())
    # Symlinks are not resolved: in a Kubernetes mount, the config is a symlink, and
    # relative paths mean the files beside it.
    return decode_source(data, name=name, directory=Path(name).absolute().parent)


def read_regular_file(path: Path, limit: int) -> bytes | str:
    """Return at most `limit + 1` bytes of a file, or the reason why it has none.

    Never waits: a pipe is not a regular file.
    """
    try:
        # Without O_NONBLOCK, opening a FIFO waits for a writer, perhaps for ever.
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = RESERVE.call(lambda: os.open(path, flags))
    except OSError as error:
        return (error.strerror or "it cannot be read").lower()
    except ValueError:  # a NUL in the name
        return "no such file or directory"
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            return "it is a directory"
        if not stat.S_ISREG(mode):
            return "it is not a regular file"
        return _read_regular(descriptor, limit)
    except OSError as error:
        return (error.strerror or "it cannot be read").lower()
    finally:
        os.close(descriptor)


def decode_source(data: bytes, *, name: str, directory: Path) -> Source | Finding:
    """Return the source with the text of `data`, or a finding if it is not UTF-8."""
    if len(data) > MAX_BYTES:
        return syntax.OVERSIZED_CONFIG(
            f"{quote(name)} is larger than 8 MiB",
            help="check the name; a file of this size is hardly a config",
        )
    data = data.removeprefix(_UTF8_BOM)
    try:
        return Source(name, directory, data.decode("utf-8"))
    except UnicodeDecodeError as error:
        return _bad_encoding(data, error.start, name)


def _read_stdin(stdin: Callable[[int], bytes] | bytes | None) -> bytes:
    if isinstance(stdin, bytes):
        return stdin
    if stdin is not None:
        return stdin(MAX_BYTES + 1)
    with os.fdopen(0, "rb", closefd=False) as stream:
        return stream.read(MAX_BYTES + 1)


def _read_file(name: str) -> bytes:
    # Without O_NONBLOCK, opening a FIFO waits for a writer, perhaps for ever.
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = RESERVE.call(lambda: os.open(name, flags))
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISREG(mode):
            return _read_regular(descriptor, MAX_BYTES)
        if stat.S_ISFIFO(mode):
            return _read_pipe(descriptor)
        if stat.S_ISDIR(mode):
            raise _UnreadableError("it is a directory")
        raise _UnreadableError("it is not a regular file")
    finally:
        os.close(descriptor)


def _read_regular(descriptor: int, limit: int) -> bytes:
    with os.fdopen(descriptor, "rb", closefd=False) as stream:
        # None where the kernel has nothing to say now, as in some files of /proc.
        return stream.read(limit + 1) or b""


def _read_pipe(descriptor: int) -> bytes:
    import select

    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    data = bytearray()
    while len(data) <= MAX_BYTES:
        if not poll.poll(PIPE_PATIENCE * 1000):
            raise _UnreadableError(f"the pipe sent nothing for {PIPE_PATIENCE:g} s")
        chunk = os.read(descriptor, 65536)
        if not chunk:
            break
        data += chunk
    return bytes(data)


def _unreadable(name: str, reason: str) -> Finding:
    from grpcsecure.diagnostics.nearby import find_nearby

    is_there = os.path.exists(name)  # noqa: PTH110 - Path raises for a long name
    meant = None if is_there else find_nearby(name)
    return tool.UNREADABLE_CONFIG(
        f"cannot read {quote(name)}: {reason}",
        help=f"did you mean {quote(meant)}?"
        if meant is not None
        else "give the path of a config file, or `-` for standard input",
    )


def _bad_encoding(data: bytes, offset: int, name: str) -> Finding:
    before = data[:offset].decode("utf-8")
    line = before.count("\n") + 1
    column = len(before) - (before.rfind("\n") + 1) + 1
    is_utf16 = data.startswith(_UTF16_BOMS)
    return syntax.INVALID_ENCODING(
        f"{quote(name)} is not UTF-8 text",
        span=Span(name, line, column, line, column + 1),
        label=f"byte 0x{data[offset]:02x} is not part of a character",
        help="the file looks like UTF-16: save it as UTF-8"
        if is_utf16
        else "save the file as UTF-8",
    )
