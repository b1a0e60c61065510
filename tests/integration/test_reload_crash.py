"""A server that is killed in the middle of a reload: the next start is clean."""

from __future__ import annotations

import random
from pathlib import Path
from tempfile import TemporaryDirectory

from support.crashes import CrashLoop

#: `scripts/crash_reload.py` does it as often as you like.
KILLS = 15


def test_killed_while_it_reloads(record_property):
    """Nothing is half-written or in the way, and directories of the dead are gone."""
    seed = random.randrange(10**6)
    record_property("seed", seed)
    with TemporaryDirectory() as folder:
        loop = CrashLoop(Path(folder), seed)
        for _ in range(KILLS):
            loop.crash()
        loop.end()
