"""The wait before a drain: it ends by itself or by `cut`, in any order of calls."""

from __future__ import annotations

import signal
import threading

from support.bridge import eventually

from grpcsecure.server.drain_delay import DrainDelay
from grpcsecure.server.services.health_board import HealthBoard

HOUR = 3600.0


def board():
    """Return the health of a server with one service."""
    made = HealthBoard()
    made.settle(["a.B"])
    return made


def test_no_delay_leaves_health_to_the_drain():
    """Without a delay there is no wait, and health stays as it is."""
    health = board()
    assert DrainDelay(0.0, health).wait() is False
    assert health.is_serving("a.B")


def test_it_is_over_once():
    """A second wait has only the rest of the time; health stays NOT_SERVING."""
    health = board()
    delay = DrainDelay(1e-3, health)
    assert delay.wait() is delay.wait() is False
    health.set("a.B", serving=True)
    assert health.is_serving("a.B") is False
    assert not health.is_draining


def test_cut_before_the_wait():
    """A cut that comes first ends the wait that follows, and is not one's end."""
    delay = DrainDelay(HOUR, board())
    assert delay.cut() is False
    assert delay.wait() is True


def test_cut_of_another_thread():
    """A cut ends the wait of another thread, and says so."""
    health = board()
    delay = DrainDelay(HOUR, health)
    cut = []
    waiting = threading.Thread(target=lambda: cut.append(delay.wait()))
    waiting.start()
    eventually(lambda: not health.is_serving("a.B"))
    eventually(delay.cut)
    waiting.join()
    assert cut == [True]


def test_cut_by_a_signal_handler_that_interrupts_the_wait():
    """A signal handler may cut, and even wait itself, in the thread that waits."""
    delay = DrainDelay(HOUR, board())
    inner = []

    def handler(*_):
        delay.cut()
        inner.append(delay.wait())

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        main = threading.main_thread().ident
        threading.Timer(0.05, lambda: signal.pthread_kill(main, signal.SIGUSR1)).start()
        assert delay.wait() is True
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert inner == [True]
