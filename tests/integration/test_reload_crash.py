"""A server that is killed during a reload starts cleanly the next time."""

from __future__ import annotations

import random
from pathlib import Path
from tempfile import TemporaryDirectory

from support.crashes import CrashLoop
from support.effort import repeats

#: How often the server is killed; `scripts/crash_reload.py` takes any number.
KILLS = repeats(6, 15)


def test_killed_while_it_reloads(record_property):
    """A crash leaves no partial files; the next start removes stale directories."""
    seed = random.randrange(10**6)
    record_property("seed", seed)
    with TemporaryDirectory() as folder:
        loop = CrashLoop(Path(folder), seed)
        for _ in range(KILLS):
            loop.crash()
        loop.end()
