"""The pool does all it is given, on few threads, and ends when it is told to."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from weakref import finalize

import pytest

from grpcsecure.server.grpcio.pool import Pool, Work

PATIENCE = 10.0


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
    """Wait until `count` threads sleep: a thread says so after its work is over."""
    deadline = threading.Event()
    timer = threading.Timer(PATIENCE, deadline.set)
    timer.start()
    while len(pool._idle) < count:
        assert not deadline.is_set()
        threading.Event().wait(0.001)
    timer.cancel()


def test_arguments_arrive(pool):
    """The function is called once with what was given for it."""
    seen = SimpleQueue()
    pool.submit(lambda *given: seen.put(given), 1, "two")
    assert seen.get(timeout=PATIENCE) == (1, "two")


def test_no_more_threads_than_allowed(pool):
    """What finds no thread waits for one, and comes in its order."""
    authorizer, names, order = threading.Event(), set(), []

    def step(number):
        authorizer.wait(PATIENCE)
        names.add(threading.current_thread().name)
        order.append(number)

    works = [finished(pool.submit(step, number)) for number in range(20)]
    authorizer.set()
    assert all(event.wait(PATIENCE) for event in works)
    assert names <= {"test_0", "test_1"}
    assert sorted(order) == list(range(20))
    assert order.index(19) > order.index(5)


def test_the_thread_that_slept_least_goes_first(pool):
    """One call after the other stays on one thread, and starts no second one."""
    names = []
    for _ in range(5):
        work = pool.submit(lambda: names.append(threading.current_thread().name))
        assert finished(work).wait(PATIENCE)
        until_idle(pool, 1)
    assert names == ["test_0"] * 5


def test_blocked_work_does_not_hold_up_the_next(pool):
    """As many handlers as there are threads run at a time, however they were given."""
    meeting = threading.Barrier(2)
    for _ in range(200):
        works = [finished(pool.submit(meeting.wait, PATIENCE)) for _ in range(2)]
        assert all(event.wait(PATIENCE) for event in works)
    assert not meeting.broken


def test_many_givers_are_all_served(pool):
    """No work is left behind when threads fall asleep while it is given."""
    done = SimpleQueue()

    def give():
        for _ in range(300):
            pool.submit(done.put, None)

    givers = [threading.Thread(target=give) for _ in range(4)]
    for giver in givers:
        giver.start()
    for _ in range(1200):
        done.get(timeout=PATIENCE)
    for giver in givers:
        giver.join()


def test_the_system_gives_no_thread(pool, monkeypatch):
    """Without any, the giver is told; without one more, the others do the work."""
    start = threading.Thread.start

    def refuse(_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(RuntimeError, match="new thread"):
        pool.submit(int)
    monkeypatch.setattr(threading.Thread, "start", start)
    authorizer = threading.Event()
    first = finished(pool.submit(authorizer.wait, PATIENCE))
    monkeypatch.setattr(threading.Thread, "start", refuse)
    second = finished(pool.submit(int))
    authorizer.set()
    assert first.wait(PATIENCE)
    assert second.wait(PATIENCE)


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt])
def test_a_thread_survives_what_is_raised_on_it(pool, error, caplog):
    """Whatever work raises ends with it, is logged, and is over for who waits."""

    def fail():
        raise error("odd")

    for _ in range(3):  # more often than there are threads
        assert finished(pool.submit(fail)).wait(PATIENCE)
    assert finished(pool.submit(int)).wait(PATIENCE)
    assert [record.message for record in caplog.records] == [
        "server.handler_failed"
    ] * 3


def test_each_callback_is_called_once(pool):
    """Also where it is added while the work ends."""
    called = SimpleQueue()
    for number in range(500):
        pool.submit(int).add_done_callback(lambda _, n=number: called.put(n))
    seen = [called.get(timeout=PATIENCE) for _ in range(500)]
    assert sorted(seen) == list(range(500))
    assert finished(pool.submit(int)).wait(PATIENCE)
    assert called.empty()


def test_work_is_let_go(pool):
    """An idle thread holds on to nothing of the call before."""

    class Held:
        pass

    held, released = Held(), threading.Event()
    finalize(held, released.set)
    pool.submit(id, held)
    del held
    assert released.wait(PATIENCE)


def test_work_that_is_taken_later(pool):
    """Whoever was to be called when it is over is called then, and once."""
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
    """It is over without having been done, for those that ask later too."""
    seen, over = [], []
    work = Work(seen.append, ("word",))
    work.add_done_callback(over.append)
    work.drop()
    work.add_done_callback(over.append)
    assert over == [work, work]
    work.drop()
    assert len(over) == 2
    assert seen == []


def test_work_that_no_pool_takes(pool):
    """It is not over by that: who offered it may drop it, or offer it elsewhere."""
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


def test_shutdown_finishes_what_was_taken(pool):
    """Waiting work is done, new work is refused, and all threads end."""
    authorizer = threading.Event()
    works = [finished(pool.submit(authorizer.wait, PATIENCE)) for _ in range(4)]
    pool.shutdown()
    with pytest.raises(RuntimeError, match="shut down"):
        pool.submit(int)
    authorizer.set()
    assert all(event.wait(PATIENCE) for event in works)
    pool.join()
    assert not any(thread.name.startswith("test_") for thread in threading.enumerate())


def test_somebody_waits_for_the_work_of_a_pool_that_was_shut_down(pool):
    """In vain while something runs; idle threads are nothing to wait for."""
    authorizer = threading.Event()
    entered = threading.Event()
    finished(pool.submit(int)).wait(PATIENCE)
    pool.submit(lambda: (entered.set(), authorizer.wait(PATIENCE)))
    assert entered.wait(PATIENCE)
    pool.shutdown()
    assert pool.wait(0) is False
    assert pool.wait(0.01) is False
    authorizer.set()
    assert pool.wait(PATIENCE) is True
    assert pool.wait(0) is True


def test_nobody_waits_for_a_pool_that_was_left(pool):
    """Neither who waits already nor who comes later."""
    authorizer = threading.Event()
    pool.submit(authorizer.wait, PATIENCE)
    pool.shutdown()
    with ThreadPoolExecutor(1) as waiting:
        answer = waiting.submit(pool.wait, 2 * PATIENCE)
        pool.cancel_wait()
        assert answer.result(PATIENCE) is False
    assert pool.wait(2 * PATIENCE) is False
    authorizer.set()


def test_the_interpreter_waits_for_work_but_not_for_sleep():
    """A running handler finishes before the process ends; an idle thread is no hold."""
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
