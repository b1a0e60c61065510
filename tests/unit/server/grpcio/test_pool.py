"""The pool runs all work on few threads, and ends when it is shut down."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from weakref import finalize

import pytest

from grpcsecure.server.grpcio.pool import Pool, Work

PATIENCE = 30.0


@pytest.fixture(name="pool")
def _pool():
    """A pool of two threads."""
    pool = Pool(2, "test")
    yield pool
    pool.shutdown()
    pool.join()


def finished(work):
    """Return an event that is set when `work` is over."""
    event = threading.Event()
    work.add_done_callback(lambda _: event.set())
    return event


def until_idle(pool, count):
    """Wait until `count` threads sleep, which they do only after their work is over."""
    deadline = threading.Event()
    timer = threading.Timer(PATIENCE, deadline.set)
    timer.start()
    while len(pool._idle) < count:
        assert not deadline.is_set()
        threading.Event().wait(0.001)
    timer.cancel()


def test_arguments_arrive(pool):
    """The function is called once with its arguments."""
    seen = SimpleQueue()
    pool.submit(lambda *given: seen.put(given), 1, "two")
    assert seen.get(timeout=PATIENCE) == (1, "two")


def test_no_more_threads_than_allowed(pool):
    """Work waits for a free thread, and is run in its order."""
    release, names, order = threading.Event(), set(), []

    def step(number):
        release.wait(PATIENCE)
        names.add(threading.current_thread().name)
        order.append(number)

    works = [finished(pool.submit(step, number)) for number in range(20)]
    release.set()
    assert all(event.wait(PATIENCE) for event in works)
    assert names <= {"test_0", "test_1"}
    assert sorted(order) == list(range(20))
    assert order.index(19) > order.index(5)


def test_the_thread_that_slept_least_goes_first(pool):
    """Consecutive calls run on the same thread, and no second one is started."""
    names = []
    for _ in range(5):
        work = pool.submit(lambda: names.append(threading.current_thread().name))
        assert finished(work).wait(PATIENCE)
        until_idle(pool, 1)
    assert names == ["test_0"] * 5


def test_blocked_work_does_not_hold_up_the_next(pool):
    """As many handlers as threads run at the same time."""
    meeting = threading.Barrier(2)
    for _ in range(200):
        works = [finished(pool.submit(meeting.wait, PATIENCE)) for _ in range(2)]
        assert all(event.wait(PATIENCE) for event in works)
    assert not meeting.broken


def test_work_from_many_threads_is_all_done(pool):
    """No work is left behind if threads fall asleep while it is submitted."""
    done = SimpleQueue()

    def submit():
        for _ in range(300):
            pool.submit(done.put, None)

    submitters = [threading.Thread(target=submit) for _ in range(4)]
    for submitter in submitters:
        submitter.start()
    for _ in range(1200):
        done.get(timeout=PATIENCE)
    for submitter in submitters:
        submitter.join()


def test_the_system_gives_no_thread(pool, monkeypatch):
    """Without any thread `submit` raises; otherwise existing threads do the work."""
    start = threading.Thread.start

    def refuse(_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(RuntimeError, match="new thread"):
        pool.submit(int)
    monkeypatch.setattr(threading.Thread, "start", start)
    release = threading.Event()
    first = finished(pool.submit(release.wait, PATIENCE))
    monkeypatch.setattr(threading.Thread, "start", refuse)
    second = finished(pool.submit(int))
    release.set()
    assert first.wait(PATIENCE)
    assert second.wait(PATIENCE)


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt])
def test_a_thread_survives_what_is_raised_on_it(pool, error, caplog):
    """Any exception of work is logged, and its callbacks are called."""

    def fail():
        raise error("odd")

    for _ in range(3):  # more often than there are threads
        assert finished(pool.submit(fail)).wait(PATIENCE)
    assert finished(pool.submit(int)).wait(PATIENCE)
    assert [record.message for record in caplog.records] == [
        "server.handler_failed"
    ] * 3


def test_each_callback_is_called_once(pool):
    """A callback that is added while the work ends is called once, too."""
    called = SimpleQueue()
    for number in range(500):
        pool.submit(int).add_done_callback(lambda _, n=number: called.put(n))
    seen = [called.get(timeout=PATIENCE) for _ in range(500)]
    assert sorted(seen) == list(range(500))
    assert finished(pool.submit(int)).wait(PATIENCE)
    assert called.empty()


def test_work_is_released(pool):
    """An idle thread keeps no reference to its last work."""

    class Held:
        pass

    held, released = Held(), threading.Event()
    finalize(held, released.set)
    pool.submit(id, held)
    del held
    assert released.wait(PATIENCE)


def test_work_that_is_taken_later(pool):
    """Callbacks of work that is not submitted yet are called once, at its end."""
    seen, over = [], SimpleQueue()
    work = Work(seen.append, ("word",))
    for _ in range(2):
        work.add_done_callback(over.put)
    assert seen == []
    assert over.empty()
    pool.take(work)
    assert over.get(timeout=PATIENCE) is work
    assert over.get(timeout=PATIENCE) is work
    assert seen == ["word"]
    work.add_done_callback(over.put)
    assert over.get(timeout=PATIENCE) is work
    assert over.empty()


def test_work_that_is_dropped(pool):
    """Dropped work is over without having been run, also for later callbacks."""
    seen, over = [], []
    work = Work(seen.append, ("word",))
    work.add_done_callback(over.append)
    work.drop()
    work.add_done_callback(over.append)
    assert over == [work, work]
    work.drop()
    assert len(over) == 2
    assert seen == []


def test_rejected_work_can_be_given_to_another_pool(pool):
    """Work that a pool rejects is not over: the caller may drop it or reuse it."""
    seen, over = [], threading.Event()
    work = Work(seen.append, ("word",))
    work.add_done_callback(lambda _: over.set())
    closed = Pool(2, "closed")
    closed.shutdown()
    with pytest.raises(RuntimeError, match="shut down"):
        closed.take(work)
    assert not over.is_set()
    pool.take(work)
    assert over.wait(PATIENCE)
    assert seen == ["word"]


def test_shutdown_finishes_accepted_work(pool):
    """Waiting work is done, new work is refused, and all threads end."""
    release = threading.Event()
    works = [finished(pool.submit(release.wait, PATIENCE)) for _ in range(4)]
    pool.shutdown()
    with pytest.raises(RuntimeError, match="shut down"):
        pool.submit(int)
    release.set()
    assert all(event.wait(PATIENCE) for event in works)
    pool.join()
    assert not any(thread.name.startswith("test_") for thread in threading.enumerate())


def test_wait_for_the_work_of_a_pool_that_was_shut_down(pool):
    """`wait` returns False while work runs; it does not wait for idle threads."""
    release = threading.Event()
    entered = threading.Event()
    finished(pool.submit(int)).wait(PATIENCE)
    pool.submit(lambda: (entered.set(), release.wait(PATIENCE)))
    assert entered.wait(PATIENCE)
    pool.shutdown()
    assert pool.wait(0) is False
    assert pool.wait(0.01) is False
    release.set()
    assert pool.wait(PATIENCE) is True
    assert pool.wait(0) is True


def test_cancel_wait_ends_running_and_later_waits(pool):
    """After `cancel_wait`, `wait` returns False although work still runs."""
    release = threading.Event()
    pool.submit(release.wait, PATIENCE)
    pool.shutdown()
    with ThreadPoolExecutor(1) as waiting:
        answer = waiting.submit(pool.wait, 2 * PATIENCE)
        pool.cancel_wait()
        assert answer.result(PATIENCE) is False
    assert pool.wait(2 * PATIENCE) is False
    release.set()


def test_the_interpreter_waits_for_work_but_not_for_idle_threads():
    """At exit a running handler finishes; idle threads do not delay the exit."""
    code = """
import os, threading
from grpcsecure.server.grpcio.pool import Pool, Work
pool, begun = Pool(2, "test"), threading.Event()
reader, writer = os.pipe()
pool.submit(int)
def late():
    begun.set()
    os.read(reader, 1)
    print("finished", flush=True)
pool.submit(late)
begun.wait()
import atexit
atexit.register(os.write, writer, b"x")  # called before the pool's
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE,
    )
    assert done.stdout == "finished\n"
