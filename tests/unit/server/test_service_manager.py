"""State notifications to the service manager: sd_notify(3)."""

from __future__ import annotations

import os
import socket

import pytest
from support.servers import socket_path

from grpcsecure.server.service_manager import (
    ServiceManager,
    notify_systemd,
    watchdog_interval,
)


def test_datagram_to_a_path(tmp_path, monkeypatch):
    """The state arrives as one datagram."""
    path = str(socket_path(tmp_path, "notify"))
    monkeypatch.setenv("NOTIFY_SOCKET", path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path)
        notify_systemd("READY=1")
        manager.settimeout(1)
        assert manager.recv(100) == b"READY=1"


def test_datagram_to_an_abstract_name(monkeypatch):
    """Systemd may use an abstract socket name, written with an @."""
    name = f"grpcsecure-test-{os.getpid()}"
    monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"\0{name}")
        notify_systemd("STOPPING=1")
        manager.settimeout(1)
        assert manager.recv(100) == b"STOPPING=1"


@pytest.mark.parametrize("target", [None, "", "/no/such/socket", "vsock:2:1234"])
def test_without_a_manager_nothing_happens(target, monkeypatch):
    """Without a reachable service manager the notification is skipped."""
    if target is None:
        monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    else:
        monkeypatch.setenv("NOTIFY_SOCKET", target)
    notify_systemd("READY=1")


def test_manager_that_does_not_read(tmp_path, monkeypatch):
    """A full queue loses notifications, and waits for the first of them only."""
    path = str(socket_path(tmp_path, "notify"))
    monkeypatch.setenv("NOTIFY_SOCKET", path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as unread:
        unread.bind(path)
        while notify_systemd("STATUS=x", patience=0.0):
            continue
        manager = ServiceManager(lambda: True)
        for _ in range(200):
            manager.reloading()
        assert unread.recv(100) == b"STATUS=x"


@pytest.mark.parametrize(
    ("environ", "interval"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "-1"}, None),
        ({"WATCHDOG_USEC": "30s"}, None),
        ({"WATCHDOG_USEC": "30000000"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
    ],
)
def test_watchdog_interval(environ, interval):
    """The watchdog is fed in half of its time, if it is meant for this process."""
    assert watchdog_interval(environ) == interval
