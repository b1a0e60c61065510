"""Why a file or a socket cannot be created at a path, found without creating it."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["why_not_creatable"]


def why_not_creatable(path: Path) -> str | None:
    """Return why no file can be created in the directory of `path`, or None."""
    folder = path.parent
    try:
        mode = folder.stat().st_mode
    except FileNotFoundError:
        return "its directory does not exist"
    except (OSError, ValueError) as error:
        return (getattr(error, "strerror", None) or str(error)).lower()
    if not stat.S_ISDIR(mode):
        return "not a directory"
    if not os.access(folder, os.W_OK | os.X_OK, effective_ids=_EFFECTIVE):
        return "its directory does not permit it"
    return None


_EFFECTIVE = os.access in os.supports_effective_ids
