"""Many reloads leak no memory, descriptors, threads or file watches."""

from __future__ import annotations

import json

from support import many_reloads, many_swaps
from support.effort import repeats
from support.process import run_program

#: Of these, `many_reloads.WARM_UP` come before the first measurement.
RELOADS = repeats(400, 1000)

CHANGES = repeats(200, 1000)

#: Bytes of growth that are allowed. A leak of one TLS context per reload would be twice
#: as much, or ten times with the full effort.
TOLERANCE = 4 * 2**20

#: Differences in counts that are allowed, as threads of the pool and of gRPC start on
#: demand. A leak in 200 reloads is far larger.
COMING_AND_GOING = 4


def test_many_reloads_leave_no_growth(tmp_path):
    """Server and bridge processes do not grow over hundreds of reloads.

    The reloads run in a separate process, with both engines, and change certificate and
    rules each time.
    """
    before, after = json.loads(run_program(many_reloads, tmp_path, RELOADS))
    for name in before:
        if "memory" in name:
            assert after[name] < before[name] + TOLERANCE, name
        else:
            assert after[name] <= before[name] + COMING_AND_GOING, name
    assert after["watches"] > 0


def test_many_changes_leave_no_watches_behind(tmp_path):
    """No more threads, descriptors or watches than after the first."""
    counts = run_program(many_swaps, tmp_path / "tls", CHANGES)
    at_rest, before, after, at_end = json.loads(counts)
    assert after == before != at_rest
    assert at_end == at_rest
