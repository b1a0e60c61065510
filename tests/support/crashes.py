"""Kills a server at random moments of its reloads, and checks what is left behind.

One round: start, change something, SIGKILL. The next start is the test: the server
serves the files on disk, and remains of the killed server do not disturb it.
"""

from __future__ import annotations

import os
import random
import signal
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from support.bridge import eventually
from support.process import starting
from support.reloading import Site, authority, client, serial_of, text_of

if TYPE_CHECKING:
    from support.process import Served

__all__ = ["CrashLoop"]

#: Seconds after a change, around the time at which it is applied.
_AROUND = (0.1, 0.35)

#: Seconds after a SIGHUP, which reloads immediately.
_AT_ONCE = (0.0, 0.06)


class CrashLoop:
    """A server with listeners of both engines that is killed again and again.

    Args:
        folder: the folder for all files, with a short path.
        seed: the seed of the random changes and times.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self._random = random.Random(seed)
        self._folder = folder
        self._run = folder / "run"
        self._run.mkdir()
        self._etc = folder / "etc"
        self._etc.mkdir()
        self.site = Site(self._etc, "bridge")
        self.site.config["listeners"]["native"] = {
            "address": "127.0.0.1:0",
            "tls": {
                **self.site.tls,
                "engine": "grpc",
                "client_certificate": "require_and_verify",
            },
        }
        # A socket that stays on disk when its server is killed.
        self.site.config["listeners"]["local"] = {
            "address": f"unix:{self._run}/l.sock",
            "plaintext": True,
        }
        self.site.allow(all={"allow": ["verified"], "methods": ["*"]})
        self.site.write()
        self._own = client("dns:ada.test", self.site.ca)
        self._files = self._names(self._etc)

    @staticmethod
    def _names(folder: Path) -> set[str]:
        return {path.name for path in folder.iterdir()}

    def crash(self) -> None:
        """Start the server, check it, change something, and kill it."""
        with self._start() as server:
            self._expect_clean(server)
            bridge = server.child
            self._change()
            if self._random.random() < 0.5:
                server.signal(signal.SIGHUP)
                span = _AT_ONCE
            else:
                span = _AROUND
            threading.Event().wait(self._random.uniform(*span))
            takes_both = self._random.random() < 0.5
            if takes_both:
                os.kill(server.process.pid, signal.SIGSTOP)
                os.kill(bridge, signal.SIGKILL)
            server.signal(signal.SIGKILL)
            server.wait()
            eventually(lambda: not _is_alive(bridge), what="the end of the bridge")
            assert self._names(self._etc) == self._files
            left = {name for name in self._names(self._run) if name != "l.sock"}
            assert len(left) == takes_both, left

    def end(self) -> None:
        """Start the server once more, and stop it regularly: no files are left."""
        with self._start() as server:
            self._expect_clean(server)
            server.signal()
            assert server.wait() == 0
        assert self._names(self._run) == set()
        assert self._names(self._etc) == self._files

    def _start(self):
        runtime = {"XDG_RUNTIME_DIR": str(self._run), "TMPDIR": str(self._run)}
        return starting(self.site.path, **runtime)

    def _expect_clean(self, server: Served) -> None:
        """Check that it serves the files on disk, without errors or warnings."""
        assert server.next_notification() == "READY=1"
        wanted = self.site.pair.certificate.serial_number
        for listener in ("public", "native"):
            address = server.addresses[listener]
            assert serial_of(self.site, address, self._own) == wanted
        for word in ("error", "warning", "Traceback", "reload."):
            assert word not in server.stderr, server.stderr
        left = {name for name in self._names(self._run) if name != "l.sock"}
        assert len(left) == 1, left

    def _change(self) -> None:
        """Change one thing, or several at once."""
        changes = [self.site.rotate, self._change_ca, self._change_rules]
        for change in self._random.sample(changes, self._random.randint(1, 3)):
            change()

    def _change_ca(self) -> None:
        self.site.put("ca.pem", text_of(self.site.ca, authority("another")))

    def _change_rules(self) -> None:
        names = self._random.sample(["anyone", "presented"], 1)
        self.site.allow(all={"allow": ["verified", *names], "methods": ["*"]})
        self.site.write()


def _is_alive(pid: int) -> bool:
    with suppress(FileNotFoundError, ProcessLookupError):
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state != "Z"
    return False
