"""Ways to run a bridge: in a separate process, or in a thread for tests and embedding.

Both get only one end of a socketpair. A running bridge can only be waited for or
killed.
"""

from __future__ import annotations

import os
import site
import socket
import struct
import subprocess
import sys
import threading
from pathlib import Path
from typing import Protocol

from grpcsecure.errors import GrpcSecureError
from grpcsecure.tls.bridge.ipc.framing import Channel

__all__ = ["Host", "ProcessHost", "RunningBridge", "ThreadHost", "start_bridge"]

#: Seconds for which a bridge may leave orders unread before it counts as stuck.
_SEND_TIMEOUT = 10


class RunningBridge(Protocol):
    """A bridge that was started."""

    @property
    def pid(self) -> int | None:
        """The id of the process, or None for a thread."""

    def wait(self, timeout: float) -> str | None:
        """Wait for its end; return how it ended, or None if it is still running."""

    def kill(self) -> None:
        """End it immediately, if that is possible."""


class Host(Protocol):
    """Starts bridges."""

    def start(self, control: socket.socket) -> RunningBridge:
        """Start a bridge on `control`; the host closes its own copy of that socket.

        Raises:
            OSError: the bridge could not be started.
        """


def start_bridge(host: Host) -> tuple[Channel, RunningBridge]:
    """Start a bridge; return the control channel to it, and the bridge.

    Raises:
        OSError: it could not be started.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # Only sending has a timeout (socket(7)): a bridge without clients is silent.
        ours.setsockopt(
            socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", _SEND_TIMEOUT, 0)
        )
        return Channel(ours), host.start(theirs)
    except BaseException:
        ours.close()
        theirs.close()
        raise


class _Process:
    def __init__(self, popen: subprocess.Popen[bytes]) -> None:
        self._popen = popen

    @property
    def pid(self) -> int | None:
        return self._popen.pid

    def wait(self, timeout: float) -> str | None:
        try:
            code = self._popen.wait(timeout)
        except subprocess.TimeoutExpired:
            return None
        return f"signal {-code}" if code < 0 else f"exit code {code}"

    def kill(self) -> None:
        self._popen.kill()


class ProcessHost:
    """Runs the bridge in a separate Python process."""

    def start(self, control: socket.socket) -> RunningBridge:
        """Start the process; it inherits only the control socket.

        The private key is sent over that socket, because other processes can read the
        arguments and the environment.
        """
        with control:
            # S603: the arguments are a constant and two numbers.
            popen = subprocess.Popen(  # noqa: S603
                [
                    sys.executable,
                    "-m",
                    "grpcsecure.tls.bridge.child",
                    str(control.fileno()),
                    str(os.getpid()),
                ],
                pass_fds=(control.fileno(),),
                stdin=subprocess.DEVNULL,
                env=_environment(),
                # `-m` looks for modules in the current directory first, where the user
                # may have a `socket.py`.
                cwd="/",
            )
        return _Process(popen)


def _environment() -> dict[str, str]:
    """Return this environment with a PYTHONPATH that leads to the same package."""
    package = str(Path(__file__).resolve().parents[4])
    inherited = os.environ.get("PYTHONPATH", "")
    entries = [os.path.abspath(p) for p in inherited.split(":") if p]  # noqa: PTH100 - str in, str out
    # The child searches the directories of installed packages by itself, and last. In
    # PYTHONPATH they would come before the standard library, and an installed package
    # could shadow one of its modules.
    if package not in map(os.path.realpath, site.getsitepackages()):
        entries.insert(0, package)
    return {**os.environ, "PYTHONPATH": ":".join(entries), "PYTHONSAFEPATH": "1"}


class _Thread:
    pid = None

    def __init__(self, control: socket.socket) -> None:
        self._outcome = "ended"
        self._thread = threading.Thread(
            target=self._run, args=(control,), name="grpcsecure-bridge", daemon=True
        )
        self._thread.start()

    def _run(self, control: socket.socket) -> None:
        from grpcsecure.tls.bridge.child.event_loop import BridgeLoop
        from grpcsecure.tls.openssl import _bindings as openssl

        try:
            openssl.require()
            BridgeLoop(control).run()
        except GrpcSecureError as error:
            control.close()
            self._outcome = str(error)
        except Exception as error:  # noqa: BLE001 - the thread ends here; `wait` says why
            self._outcome = f"{type(error).__name__}: {error}"

    def wait(self, timeout: float) -> str | None:
        self._thread.join(timeout)
        return None if self._thread.is_alive() else self._outcome

    def kill(self) -> None:
        """A thread cannot be killed; it ends when its channel is closed."""


class ThreadHost:
    """Runs the bridge in a thread of this process."""

    def start(self, control: socket.socket) -> RunningBridge:
        """Start the thread."""
        return _Thread(control)
