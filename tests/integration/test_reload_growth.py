"""What a thousand reloads leave behind: nothing."""

from __future__ import annotations

import json

from support import many_reloads
from support.process import run_program

RELOADS = 1000

#: One TLS context that is not freed, of each reload, would be ten times as much.
TOLERANCE = 4 * 2**20

#: Threads of the pool and of gRPC start when they are needed; 800 reloads that leave
#: something behind leave far more.
COMING_AND_GOING = 4


def test_thousand_reloads_leave_no_growth(tmp_path):
    """Neither memory nor descriptors, threads or watches, in the server and the bridge.

    In a process of its own, with both engines, a new pair and other rules each time.
    """
    before, after = json.loads(run_program(many_reloads, tmp_path, RELOADS))
    for name in before:
        if "memory" in name:
            assert after[name] < before[name] + TOLERANCE, name
        else:
            assert after[name] <= before[name] + COMING_AND_GOING, name
    assert after["watches"] > 0
