"""The levels of loggers that `logging.levels` of the config sets.

Knows Python's loggers, none of grpcsecure's handlers. Invariant: a logger that the
config no longer names gets back the level that it had before.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from grpcsecure.model.server_config import LogLevel

__all__ = ["LogLevels"]


class LogLevels:
    """The levels that one server has set."""

    def __init__(self) -> None:
        self._before: dict[str, int] = {}

    def apply(self, levels: Mapping[str, LogLevel]) -> None:
        """Set these levels, and take back those that were set before."""
        for name in self._before.keys() - levels.keys():
            logging.getLogger(name).setLevel(self._before.pop(name))
        for name, level in levels.items():
            logger = logging.getLogger(name)
            self._before.setdefault(name, logger.level)
            logger.setLevel(level.value.upper())
