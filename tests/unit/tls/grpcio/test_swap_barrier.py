"""Who waits for whom where gRPC begins handshakes."""

from __future__ import annotations

import hashlib
import threading
import time
from contextlib import contextmanager

import pytest

from grpcsecure.tls.grpcio import swap_barrier as passage
from grpcsecure.tls.grpcio.swap_barrier import SwapBarrier

PATIENCE = 10.0


@contextmanager
def passing(way, then):
    """Have another thread enter and do `then`; give its number once it has."""
    entered = threading.Event()

    def run():
        way.enter()
        entered.set()
        then()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert entered.wait(PATIENCE)
    yield thread.native_id
    thread.join(PATIENCE)
    assert not thread.is_alive()


def test_nobody_has_come():
    """There is nobody to wait for; whoever waits is on no way itself."""
    way = SwapBarrier()
    assert way.wait() is True
    way.enter()
    assert way.wait() is True


def test_thread_that_sleeps_or_has_ended_is_past():
    """Neither takes the time that one which runs would be given."""
    way, gate = SwapBarrier(), threading.Event()
    with passing(way, gate.wait):
        with passing(way, int):
            pass
        began = time.monotonic()
        assert way.wait() is True
        assert time.monotonic() - began < passage._PATIENCE
        gate.set()


def test_thread_that_runs_is_waited_for():
    """Until it has run for longer than the way takes, or has stopped."""
    way, stopped = SwapBarrier(), threading.Event()

    def work():  # without the interpreter's lock, as gRPC does
        hashlib.pbkdf2_hmac("sha256", b"", b"", 500_000)
        stopped.set()

    with passing(way, work) as thread:
        before = passage._nanoseconds(thread)
        assert way.wait() is True
        ran = passage._nanoseconds(thread)
        assert stopped.is_set() or ran - before > passage._FAR


def test_thread_that_is_never_past_is_not_waited_for_for_ever(monkeypatch):
    """Then the answer is no."""
    monkeypatch.setattr(passage, "_AT_REST", frozenset())
    monkeypatch.setattr(passage, "_PATIENCE", 0.01)
    way, gate = SwapBarrier(), threading.Event()
    with passing(way, gate.wait):
        assert way.wait() is False
        assert way.wait() is False
        gate.set()
    assert way.wait() is True


@pytest.mark.parametrize("name", ["nothing", "file/below"])
def test_without_proc_it_waits_for_a_while(name, monkeypatch, tmp_path):
    """Where nobody says what a thread does, all get the time that is enough."""
    (tmp_path / "file").touch()
    monkeypatch.setattr(passage, "_TASKS", tmp_path / name)
    way = SwapBarrier()
    began = time.monotonic()
    assert way.wait() is True
    assert time.monotonic() - began >= passage._BLIND


def test_only_threads_of_long_ago_are_forgotten(monkeypatch):
    """A server that has run for a year has seen many."""
    monkeypatch.setattr(passage, "_MANY", 0)
    way = SwapBarrier()
    way.enter()
    assert len(way._came) == 1
    monkeypatch.setattr(passage, "_RECENT", 0.0)
    way.enter()
    assert len(way._came) == 0
