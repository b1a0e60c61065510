"""Tests of returning freed memory to the operating system."""

from __future__ import annotations

import subprocess
import sys

import pytest

from grpcsecure.tls.bridge.heap_trimmer import HeapTrimmer, find_malloc_trim

#: Frees every second block: those in between keep the heap from shrinking by itself.
_SCRIPT = """
import re
from grpcsecure.tls.bridge.heap_trimmer import HeapTrimmer, find_malloc_trim

def memory():
    return int(re.search(r"RssAnon:\\s+(\\d+)", open("/proc/self/status").read())[1])

blocks = [bytearray(20_000 if number % 2 else 600) for number in range(5_000)]
full = memory()
blocks[1::2] = [None] * 2_500
HeapTrimmer(find_malloc_trim()).trim()
print(full - memory())
"""


def test_trim_is_due_when_as_many_were_closed_as_are_left():
    """So the cost of trims per connection does not depend on their number."""
    heap = HeapTrimmer(None)
    due = [left for left in reversed(range(5_000)) if heap.on_connection_closed(left)]
    assert due == [2500, 1250, 625, 312, 156, 56]


def test_short_connections_do_not_cause_a_trim_each():
    """On a bridge with 1,000 connections, there is one trim per 1,000 closed ones."""
    heap = HeapTrimmer(None)
    assert sum(heap.on_connection_closed(1_000) for _ in range(10_000)) == 10


@pytest.mark.skipif(find_malloc_trim() is None, reason="needs glibc")
def test_trim_returns_memory():
    """Free memory between blocks in use is returned to the system."""
    run = subprocess.run(
        [sys.executable, "-c", _SCRIPT], capture_output=True, check=True
    )
    assert int(run.stdout) > 20_000  # KiB: about half of the free memory
