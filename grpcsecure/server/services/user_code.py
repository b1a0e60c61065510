"""A user's own traceback: their frames, without the importer's or ours."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from traceback import TracebackException
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from traceback import FrameSummary

__all__ = ["user_traceback"]

#: Where frames come from that are on the way to the user's code only.
_ON_THE_WAY = (
    str(Path(__file__).parents[2]) + os.sep,
    str(importlib.__file__),
    "<frozen importlib",
)


def user_traceback(error: BaseException) -> str:
    """Return the traceback of `error`, from the first frame of the user's code on."""
    trimmed = TracebackException.from_exception(error)
    chain: TracebackException | None = trimmed
    while chain is not None:
        chain.stack[:] = [frame for frame in chain.stack if _is_users(frame)]
        chain = chain.__cause__ or chain.__context__
    return "".join(trimmed.format()).rstrip()


def _is_users(frame: FrameSummary) -> bool:
    return not frame.filename.startswith(_ON_THE_WAY)
