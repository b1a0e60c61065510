"""The reserve of descriptors: what it holds, releases and counts."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from grpcsecure.descriptor_reserve import DescriptorReserve

SIZE = 4


def held():
    """Return how many descriptors of this process lead to `/dev/null`."""
    return sum(
        os.path.realpath(path) == "/dev/null" for path in Path("/dev/fd").iterdir()
    )


class Opening:
    """A function that lacks a descriptor until some of the reserve are released."""

    def __init__(self, needed):
        self.needed = needed
        self.before = held()
        self.calls = 0

    def __call__(self):
        """Return the number of descriptors that were released."""
        self.calls += 1
        released = self.before - held()
        if released < self.needed:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return released


@pytest.fixture(name="reserve")
def _reserve():
    """A reserve that a server has opened."""
    reserve = DescriptorReserve(SIZE)
    reserve.open()
    yield reserve
    reserve.close()


def test_reserve_is_held_while_a_server_runs():
    """From the first server until the last one; closing once more is harmless."""
    before = held()
    reserve = DescriptorReserve(SIZE)
    reserve.fill()
    assert held() == before
    reserve.open()
    reserve.open()
    assert held() == before + SIZE
    reserve.close()
    assert held() == before + SIZE
    reserve.close()
    reserve.close()
    assert held() == before


@pytest.mark.parametrize("needed", [0, 1, SIZE])
def test_call_gets_as_many_descriptors_as_it_takes(reserve, needed):
    """One after the other, since another thread may take them; then all come back."""
    opening = Opening(needed)
    assert reserve.call(opening) == needed
    assert opening.calls == needed + 1
    assert held() == opening.before
    assert reserve.shortages == 0


def test_call_that_the_reserve_is_not_enough_for_is_counted(reserve):
    """It raises the error of the system, and the count is not that of the files."""
    opening = Opening(SIZE + 1)
    with pytest.raises(OSError, match="Too many open files"):
        reserve.call(opening)
    assert reserve.shortages == 1
    assert held() == opening.before


def test_other_errors_release_nothing(reserve):
    """A missing file is not a lack of descriptors."""
    with pytest.raises(FileNotFoundError):
        reserve.call(lambda: Path("/nowhere").stat())
    assert reserve.shortages == 0


def test_some_are_lent_for_a_block(reserve):
    """The block may open that many at once."""
    before = held()
    with reserve.lent(3):
        assert held() == before - 3
    assert held() == before
