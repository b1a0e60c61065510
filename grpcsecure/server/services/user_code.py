"""Tracebacks of the user's code, without frames of the importer or of grpcsecure."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from traceback import TracebackException
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from traceback import FrameSummary

__all__ = ["user_traceback"]

#: File name prefixes of the frames between grpcsecure and the user's code.
_SKIPPED = (
    str(Path(__file__).parents[2]) + os.sep,
    str(importlib.__file__),
    "<frozen importlib",
)


def user_traceback(error: BaseException) -> str:
    """Return the traceback of `error` with the frames of the user's code only."""
    trimmed = TracebackException.from_exception(error)
    chain: TracebackException | None = trimmed
    while chain is not None:
        chain.stack[:] = [frame for frame in chain.stack if _is_users(frame)]
        chain = chain.__cause__ or chain.__context__
    return "".join(trimmed.format()).rstrip()


def _is_users(frame: FrameSummary) -> bool:
    return not frame.filename.startswith(_SKIPPED)
