"""Kill a server at random moments of its reloads, many times.

    python scripts/crash_reload.py [--kills 200] [--seed N]

Exits with an error at the first failed check: see `tests/support/crashes.py`. The tests
do the same with a few kills.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

_ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(_ROOT / "tests"), str(_ROOT / "examples")]

from support.crashes import CrashLoop  # noqa: E402 - found by the line above


def main() -> None:
    """Kill the server as often as requested."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))  # noqa: S311 - no secret
    chosen = parser.parse_args()
    print(f"seed {chosen.seed}", flush=True)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        loop = CrashLoop(Path(folder), chosen.seed)
        for number in range(1, chosen.kills + 1):
            loop.crash()
            if number % 20 == 0:
                print(f"{number} kills", flush=True)
        loop.end()
    print(f"{chosen.kills} kills in {time.monotonic() - began:.0f} s, nothing left")


if __name__ == "__main__":
    main()
