"""Tests of the barrier for swapping gRPC's server credentials."""

from __future__ import annotations

import hashlib
import threading
import time
from contextlib import contextmanager

import pytest

from grpcsecure.tls.grpcio import swap_barrier
from grpcsecure.tls.grpcio.swap_barrier import SwapBarrier

PATIENCE = 30.0


@contextmanager
def entering_thread(barrier, then):
    """Run a thread that enters and calls `then`; yield its id once it has entered."""
    entered = threading.Event()

    def run():
        barrier.enter()
        entered.set()
        then()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert entered.wait(PATIENCE)
    yield thread.native_id
    thread.join(PATIENCE)
    assert not thread.is_alive()


def test_wait_succeeds_without_other_threads():
    """There is no thread to wait for; the waiting thread does not count itself."""
    barrier = SwapBarrier()
    assert barrier.wait() is True
    barrier.enter()
    assert barrier.wait() is True


@pytest.fixture(name="no_timeout")
def _no_timeout(monkeypatch):
    """Make the timeout longer than any wait on a busy machine."""
    monkeypatch.setattr(swap_barrier, "_TIMEOUT", PATIENCE)


@pytest.mark.usefixtures("no_timeout")
def test_sleeping_or_ended_thread_has_passed():
    """Such threads are not waited for until the timeout."""
    barrier, gate = SwapBarrier(), threading.Event()
    with entering_thread(barrier, gate.wait):
        with entering_thread(barrier, int):
            pass
        assert barrier.wait() is True
        gate.set()


@pytest.mark.usefixtures("no_timeout")
def test_running_thread_is_waited_for():
    """The wait ends when it has run for long enough, or has stopped."""
    barrier, stopped = SwapBarrier(), threading.Event()

    def work():  # without the interpreter's lock, as gRPC does
        hashlib.pbkdf2_hmac("sha256", b"", b"", 500_000)
        stopped.set()

    with entering_thread(barrier, work) as thread:
        before = swap_barrier._nanoseconds(thread)
        assert barrier.wait() is True
        ran = swap_barrier._nanoseconds(thread)
        assert stopped.is_set() or ran - before > swap_barrier._CPU_TO_PASS


def test_wait_times_out(monkeypatch):
    """If a thread never passes, `wait` returns False."""
    monkeypatch.setattr(swap_barrier, "_SLEEPING", frozenset())
    monkeypatch.setattr(swap_barrier, "_TIMEOUT", 0.01)
    barrier, gate = SwapBarrier(), threading.Event()
    with entering_thread(barrier, gate.wait):
        assert barrier.wait() is False
        assert barrier.wait() is False
        gate.set()
    assert barrier.wait() is True


@pytest.mark.parametrize("name", ["nothing", "file/below"])
def test_without_proc_it_waits_for_a_fixed_time(name, monkeypatch, tmp_path):
    """If the state of the threads is unknown, the wait is long enough for all."""
    (tmp_path / "file").touch()
    monkeypatch.setattr(swap_barrier, "_TASKS", tmp_path / name)
    barrier = SwapBarrier()
    began = time.monotonic()
    assert barrier.wait() is True
    assert time.monotonic() - began >= swap_barrier._BLIND_WAIT


def test_only_old_threads_are_forgotten(monkeypatch):
    """So a server that has run for a year does not remember all its threads."""
    monkeypatch.setattr(swap_barrier, "_MAX_THREADS", 0)
    barrier = SwapBarrier()
    barrier.enter()
    assert len(barrier._entered) == 1
    monkeypatch.setattr(swap_barrier, "_RECENT", 0.0)
    barrier.enter()
    assert len(barrier._entered) == 0
