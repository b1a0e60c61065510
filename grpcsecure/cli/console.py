"""The streams: what a command has to say goes through here.

Besides, click writes its help and what is wrong with a command line, and the log lines
of `serve` have a handler of their own (`logs`).

The result goes to stdout, everything else to stderr. A reader that has gone away
(`| head`) and a terminal that lacks a character are no errors.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, TextIO

from grpcsecure.errors import GrpcSecureError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["COLORS", "Console"]

#: The values of `--color`.
COLORS = ("auto", "always", "never")

#: For streams that cannot show our signs; one cell for one cell, so that carets fit.
_ASCII = {"⋮": ":", "✗": "x", "✓": "+", "…": "~", "→": ">", "·": "-"}


class Console:
    """Two streams, and how much goes to them.

    Args:
        color: one of `COLORS`.
        quiet: drop the narration; results and errors stay.
        verbose: show the traceback of an internal error.
        stdout: instead of `sys.stdout`, which is looked up at every use.
        stderr: instead of `sys.stderr`, likewise.
        environ: instead of `os.environ`.
    """

    def __init__(  # noqa: PLR0913 - options and seams, none of them required
        self,
        *,
        color: str = "auto",
        quiet: bool = False,
        verbose: bool = False,
        stdout: TextIO | None = None,
        stderr: TextIO | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.verbose = verbose
        self._color = color
        self._quiet = quiet
        self._stdout = stdout
        self._stderr = stderr
        self._environ = os.environ if environ is None else environ

    @property
    def stdout(self) -> TextIO | None:
        """Where results go; None if the process was started without."""
        return self._stdout or sys.stdout

    @property
    def stderr(self) -> TextIO | None:
        """Where all else goes; None if the process was started without."""
        return self._stderr or sys.stderr

    @property
    def color_stdout(self) -> bool:
        """Whether results are to be coloured."""
        return self.use_color(self.stdout)

    @property
    def color_stderr(self) -> bool:
        """Whether narration and errors are to be coloured."""
        return self.use_color(self.stderr)

    def use_color(self, stream: TextIO | None) -> bool:
        """Decide by `--color`, NO_COLOR, FORCE_COLOR, and whether it is a terminal.

        https://no-color.org and https://force-color.org: set, and not empty.
        """
        if self._color != "auto":
            return self._color == "always"
        if self._environ.get("NO_COLOR"):
            return False
        if self._environ.get("FORCE_COLOR"):
            return True
        return stream is not None and not stream.closed and stream.isatty()

    def result(self, text: str) -> None:
        """Write what was asked for to stdout.

        Raises:
            GrpcSecureError: it cannot be written (the disk is full).
        """
        try:
            _write(self.stdout, text)
        except OSError as error:
            raise GrpcSecureError(
                f"cannot write the result: {error.strerror}"
            ) from error

    def narrate(self, text: str) -> None:
        """Write what happens on the way to stderr, unless quiet."""
        if not self._quiet:
            self.error(text)

    def error(self, text: str) -> None:
        """Write to stderr, also when quiet."""
        try:
            _write(self.stderr, text)
        except OSError:
            # There is no place left where this could be said.
            return

    def internal_error(self, error: BaseException) -> None:
        """Say in one line that this is our bug; the traceback comes when verbose."""
        from grpcsecure.quoting import holds_key_text

        words = str(error)
        words = "(text not shown)" if holds_key_text(words) else " ".join(words.split())
        what = type(error).__name__ + (f": {words}" if words else "")
        if self.verbose:
            import traceback

            self.error("".join(traceback.format_exception(error)))
        hint = "" if self.verbose else "; -v shows the traceback"
        self.error(f"internal error: {what} (this is a bug in grpcsecure{hint})")

    def flush(self) -> None:
        """Write out what is buffered; a reader that has gone away is no error."""
        for stream in (self.stdout, self.stderr):
            try:
                _write(stream, "")
            except OSError:
                continue


def _write(stream: TextIO | None, text: str) -> None:
    """Write `text`, a line end if it lacks one, and flush.

    Raises:
        OSError: for any reason but a closed pipe.
    """
    if stream is None or stream.closed:
        return
    if text and not text.endswith("\n"):
        text += "\n"
    try:
        stream.write(_encodable(text, stream.encoding))
        stream.flush()
    except BrokenPipeError:
        _abandon(stream)
    except OSError:
        _abandon(stream)
        raise


def _encodable(text: str, encoding: str | None) -> str:
    """Return `text` with what `encoding` lacks replaced."""
    if encoding is None or _fits(text, encoding):
        return text
    for sign, stand_in in _ASCII.items():
        if not _fits(sign, encoding):
            text = text.replace(sign, stand_in)
    return text.encode(encoding, "backslashreplace").decode(encoding)


def _fits(text: str, encoding: str) -> bool:
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def _abandon(stream: TextIO) -> None:
    """Point the stream's descriptor at nothing.

    What is left in its buffer would otherwise fail once more when the interpreter
    ends, with a message and exit code 120
    (https://docs.python.org/3/library/signal.html#note-on-sigpipe).
    """
    try:
        descriptor = stream.fileno()
    except (OSError, ValueError):
        return
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, descriptor)
    os.close(nothing)
