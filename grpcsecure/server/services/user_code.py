"""Tracebacks of the user's code, without frames of the importer or of grpcsecure.

They do not show the arguments that a servicer was created with, either.
"""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from traceback import TracebackException
from typing import TYPE_CHECKING

from grpcsecure.errors import StartupError

if TYPE_CHECKING:
    from traceback import FrameSummary

__all__ = ["CreationError", "user_traceback"]

#: File name prefixes of the frames between grpcsecure and the user's code.
_SKIPPED = (
    str(Path(__file__).parents[2]) + os.sep,
    str(importlib.__file__),
    "<frozen importlib",
)

#: Shorter arguments are not looked for: they are parts of other words.
_SHORTEST = 3


class CreationError(StartupError):
    """The user's code raised when a servicer was created.

    Attributes:
        arguments: those of the servicer.
    """

    def __init__(self, message: str, arguments: Mapping[str, object]) -> None:
        super().__init__(message)
        self.arguments = arguments


def user_traceback(
    error: BaseException, arguments: Mapping[str, object] | None = None
) -> str:
    """Return the traceback of `error` with the frames of the user's code only.

    Texts of exceptions quote what they reject: values of `arguments` become `…`.
    """
    trimmed = TracebackException.from_exception(error)
    chain: TracebackException | None = trimmed
    while chain is not None:
        chain.stack[:] = [frame for frame in chain.stack if _is_users(frame)]
        chain = chain.__cause__ or chain.__context__
    text = "".join(trimmed.format()).rstrip()
    for value in sorted(set(_secrets(arguments or {})), key=len, reverse=True):
        if len(value) >= _SHORTEST:
            text = text.replace(value, "…")
    return text


def _secrets(value: object) -> Iterator[str]:
    """Yield the texts of all values, as `str` and `repr` spell them."""
    if isinstance(value, Mapping):
        for below in value.values():
            yield from _secrets(below)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for below in value:
            yield from _secrets(below)
    elif isinstance(value, str):
        yield value
        yield repr(value)[1:-1]
        if "://" in value:  # parsers quote the part that they reject
            yield from re.split(r"[/:@?&=]+", value)
    elif not (value is None or isinstance(value, bool)):
        yield str(value)


def _is_users(frame: FrameSummary) -> bool:
    return not frame.filename.startswith(_SKIPPED)
