"""Where a GOAWAY may be put between the frames of a server."""

from __future__ import annotations

import random
import struct

import pytest

from grpcsecure.tls.bridge.child.http2_frames import GOAWAY, ServerFrames

DATA, HEADERS, SETTINGS, PUSH_PROMISE, CONTINUATION = 0, 1, 4, 5, 9
END_HEADERS = 4


def frame(kind, flags=0, *, size=0):
    """Return a frame of a stream, with `size` bytes of payload."""
    return (
        struct.pack("!I", size)[1:] + bytes([kind, flags]) + b"\0\0\0\1" + b"x" * size
    )


def goaway_place(frames, *, due_at):
    """Return where in the frames GOAWAY is put if it is due after `due_at` bytes."""
    scanner = ServerFrames()
    assert scanner.advance(memoryview(frames[:due_at])) is None
    if scanner.takes_goaway:
        return due_at
    scanner.is_goaway_due = True
    place = scanner.advance(memoryview(frames[due_at:]))
    return None if place is None else due_at + place


def test_goaway_is_a_frame():
    """It is 8 bytes on stream 0, of type 7: the highest stream id, and no error."""
    assert bytes.fromhex("000008 07 00 00000000 7fffffff 00000000") == GOAWAY


@pytest.mark.parametrize(
    ("frames", "due_at", "place"),
    [
        pytest.param(frame(SETTINGS), 0, 9, id="not before SETTINGS"),
        pytest.param(frame(SETTINGS), 9, 9, id="right after SETTINGS"),
        pytest.param(frame(SETTINGS) + frame(DATA, size=5), 12, 23, id="in a header"),
        pytest.param(frame(SETTINGS) + frame(DATA, size=5), 20, 23, id="in a payload"),
        pytest.param(
            frame(HEADERS, size=3) + frame(CONTINUATION, END_HEADERS, size=3),
            12,
            24,
            id="not within a header block",
        ),
        pytest.param(
            frame(PUSH_PROMISE, size=3) + frame(CONTINUATION, size=3),
            12,
            None,
            id="open",
        ),
        pytest.param(frame(HEADERS, END_HEADERS, size=3), 3, 12, id="a whole block"),
        pytest.param(
            frame(DATA, size=70_000), 3, 70_009, id="all three bytes of length"
        ),
        pytest.param(frame(DATA, size=9), 10, 18, id="ends with the data"),
        pytest.param(frame(DATA, size=9)[:-1], 10, None, id="the frame goes on"),
    ],
)
def test_place(frames, due_at, place):
    """GOAWAY comes as early as possible, and never inside a frame or header block."""
    assert goaway_place(frames, due_at=due_at) == place


def test_pieces_do_not_matter():
    """However the bytes arrive, the places between frames are found, and no others."""
    chance = random.Random(9113)
    sizes = [0, 1, 8, 9, 10, 300, 16_384]
    for _ in range(200):
        frames = [frame(DATA, size=chance.choice(sizes)) for _ in range(6)]
        ends = {sum(map(len, frames[: n + 1])) for n in range(len(frames))}
        data, scanner, at = b"".join(frames), ServerFrames(), 0
        while at < len(data):
            step = chance.choice([1, 2, 8, 9, 10, 500, 20_000])
            piece = memoryview(data)[at : at + step]
            scanner.is_goaway_due = True
            place = scanner.advance(piece)
            between = sorted(end for end in ends if at < end <= at + len(piece))
            assert place == (between[0] - at if between else None)
            at += len(piece)
            assert scanner.takes_goaway == (at in ends)
