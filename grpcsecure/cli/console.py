"""Output streams of the commands: the result to stdout, everything else to stderr.

Two things are written elsewhere: click's help and usage errors, and the log lines of
`serve` (see `logs`).

A closed pipe (`| head`) and a terminal that lacks a character are not errors.
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

#: Replacements for streams that cannot encode a sign; same width, so that carets fit.
_ASCII = {"⋮": ":", "✗": "x", "✓": "+", "…": "~", "→": ">", "·": "-"}


class Console:
    """The two output streams, with the options for colour and verbosity.

    Args:
        color: one of `COLORS`.
        quiet: drop the narration; results and errors stay.
        verbose: show the traceback of an internal error.
        stdout: replaces `sys.stdout`, which is looked up at every use.
        stderr: replaces `sys.stderr`, likewise.
        environ: replaces `os.environ`.
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
        """The stream of results; None if the process was started without stdout."""
        return self._stdout or sys.stdout

    @property
    def stderr(self) -> TextIO | None:
        """The stream of all else; None if the process was started without stderr."""
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

        The variables count if they are not empty: https://no-color.org,
        https://force-color.org.
        """
        if self._color != "auto":
            return self._color == "always"
        if self._environ.get("NO_COLOR"):
            return False
        if self._environ.get("FORCE_COLOR"):
            return True
        return stream is not None and not stream.closed and stream.isatty()

    def result(self, text: str) -> None:
        """Write the result of the command to stdout.

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
        """Write a progress message to stderr, unless quiet."""
        if not self._quiet:
            self.error(text)

    def error(self, text: str) -> None:
        """Write to stderr, even if quiet."""
        try:
            _write(self.stderr, text)
        except OSError:
            # Nowhere left to report this failure.
            return

    def internal_error(self, error: BaseException) -> None:
        """Report a bug of grpcsecure in one line; add the traceback if verbose."""
        from grpcsecure.quoting import holds_key_text

        text = str(error)
        text = "(text not shown)" if holds_key_text(text) else " ".join(text.split())
        shown = type(error).__name__ + (f": {text}" if text else "")
        if self.verbose:
            import traceback

            self.error("".join(traceback.format_exception(error)))
        hint = "" if self.verbose else "; -v shows the traceback"
        self.error(f"internal error: {shown} (this is a bug in grpcsecure{hint})")

    def flush(self) -> None:
        """Flush both streams; a closed pipe is not an error."""
        for stream in (self.stdout, self.stderr):
            try:
                _write(stream, "")
            except OSError:
                continue


def _write(stream: TextIO | None, text: str) -> None:
    """Write `text`, add a line end if it lacks one, and flush.

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
    """Return `text` with replacements for the characters that `encoding` lacks."""
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
    """Redirect the stream's descriptor to the null device.

    Otherwise writing the rest of its buffer would fail once more when the interpreter
    exits, with a message and exit code 120
    (https://docs.python.org/3/library/signal.html#note-on-sigpipe).
    """
    try:
        descriptor = stream.fileno()
    except (OSError, ValueError):
        return
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, descriptor)
    os.close(null)
