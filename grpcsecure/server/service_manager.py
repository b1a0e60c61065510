"""Notifications to the service manager, such as systemd: sd_notify(3).

A process that no service manager has started sends nothing.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["ServiceManager", "notify_systemd", "watchdog_interval"]

#: Seconds to wait for a service manager that does not read.
_PATIENCE = 1.0


class ServiceManager:
    """Reports to the service manager when the server is ready, reloads and stops.

    Args:
        has_pulse: whether the server still works; then the watchdog is fed.
    """

    def __init__(self, has_pulse: Callable[[], bool]) -> None:
        self._has_pulse = has_pulse
        self._patience = _PATIENCE
        self._is_stopping = False
        self._ended = threading.Event()

    def ready(self, status: str) -> None:
        """Report that every listener serves, and feed the watchdog from now on."""
        self._send("READY=1")
        self._send(f"STATUS={status}")
        interval = watchdog_interval(os.environ)
        if interval is not None:
            threading.Thread(
                target=self._feed,
                args=(interval,),
                name="grpcsecure-watchdog",
                daemon=True,
            ).start()

    def reloading(self) -> None:
        """Report that a reload begins, with the time that `notify-reload` compares."""
        if not self._is_stopping:
            now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
            self._send(f"RELOADING=1\nMONOTONIC_USEC={now}")

    def reloaded(self, status: str) -> None:
        """Report that a reload has ended, whatever its outcome."""
        if not self._is_stopping:
            # A line break would begin another assignment.
            line = " ".join(status.split())
            self._send(f"READY=1\nSTATUS={line}")

    def stopping(self, status: str) -> None:
        """Report that the drain begins."""
        self._is_stopping = True
        self._send("STOPPING=1")
        self._send(f"STATUS={status}")

    def close(self) -> None:
        """Stop feeding the watchdog."""
        self._ended.set()

    def _feed(self, interval: float) -> None:
        while not self._ended.wait(interval):
            if self._has_pulse():
                self._send("WATCHDOG=1")

    def _send(self, state: str) -> None:
        # Only the first notification waits for a service manager that does not read.
        is_read = notify_systemd(state, patience=self._patience)
        self._patience = _PATIENCE if is_read else 0.0


def watchdog_interval(environ: Mapping[str, str]) -> float | None:
    """Return half of the watchdog's time, in seconds; None if there is no watchdog."""
    given = environ.get("WATCHDOG_USEC", "")
    if not (given.isascii() and given.isdecimal() and int(given)):
        return None
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None  # meant for another process
    return min(int(given) / 2e6, threading.TIMEOUT_MAX)


def notify_systemd(state: str, *, patience: float = _PATIENCE) -> bool:
    """Send `state` to the service manager, if there is one; whether it has room."""
    target = os.environ.get("NOTIFY_SOCKET", "")
    if not target.startswith(("/", "@")):
        return True
    address = f"\0{target[1:]}" if target.startswith("@") else target
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.settimeout(patience)
            channel.connect(address)
            channel.sendall(state.encode())
    except (BlockingIOError, TimeoutError):
        return False
    except OSError:
        return True  # the service manager's socket is gone: keep serving
    return True
