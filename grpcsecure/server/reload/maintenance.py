"""What a running server looks after: files that change, certificates that expire.

Two threads: the watcher's tries reloads, the other one looks at the clock. Invariant:
whatever goes wrong in here, the server goes on with what is in force.
"""

from __future__ import annotations

import logging
import threading
import time
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from grpcsecure.server.reload.connection_sweeper import ConnectionSweeper
from grpcsecure.server.reload.expiry import render_rest, stage
from grpcsecure.server.reload.reloader import Reloader
from grpcsecure.watch.watcher import Watcher

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from grpcsecure.checking.pipeline import Loaded
    from grpcsecure.model.peer import Certificate
    from grpcsecure.model.server import ReloadSettings
    from grpcsecure.server.runtime.ports import Ports
    from grpcsecure.server.snapshot import InForce, Snapshot
    from grpcsecure.watch.digest import Digest

__all__ = ["ExpiryWatch", "Maintenance", "start_maintenance"]

_LOGGER = logging.getLogger("grpcsecure.server")

#: Seconds between two looks at connections and dates.
_TICK = 1.0


class ExpiryWatch:
    """Announces the end of certificates in force, each stage of it once."""

    def __init__(self, in_force: InForce, remind: Callable[[datetime], None]) -> None:
        self._in_force = in_force
        self._remind = remind
        self._announced: dict[str, int] = {}

    def check(self, now: datetime) -> None:
        """Log what is due by `now`."""
        announced: dict[str, int] = {}
        is_new = False
        for listener, role, certificate in _in_force(self._in_force.snapshot):
            due = stage(certificate, now)
            if due > self._announced.get(certificate.fingerprint, 0):
                is_new = True
                _LOGGER.warning(
                    "certificate.expiring",
                    extra={
                        "listener": listener,
                        "role": role,
                        "subject": certificate.subject,
                        "lives": render_rest(certificate, now),
                    },
                )
            announced[certificate.fingerprint] = due
        self._announced = announced
        if is_new:
            self._remind(now)


def _in_force(snapshot: Snapshot) -> Iterator[tuple[str, str, Certificate]]:
    for name, material in snapshot.materials.items():
        yield name, "certificate", material.chain[0]
        for authority in material.client_cas:
            yield name, "client_ca", authority


class Maintenance:
    """Both threads of one server, from `start` to `stop`.

    Args:
        seen: digest of the files in force, taken before they were read.
        reloader: tries reloads.
        settings: the `reload` block.
        expiry: looks at the dates of certificates.
        sweep: looks at open connections.
    """

    def __init__(
        self,
        seen: Digest,
        *,
        reloader: Reloader,
        settings: ReloadSettings,
        expiry: ExpiryWatch,
        sweep: Callable[[], None],
    ) -> None:
        self._watcher = Watcher(
            seen,
            reloader.attempt,
            interval=settings.interval,
            events=settings.events,
            on_polling=_log_polling,
        )
        reloader.watch = self._watcher.replace
        reloader.on_applied = self.check_now
        self._expiry = expiry
        self._sweep = sweep
        self._wake = threading.Event()
        self._is_stopped = False
        self._thread = threading.Thread(
            target=self._run, name="grpcsecure-upkeep", daemon=True
        )

    def start(self) -> None:
        """Begin to look after things."""
        self._watcher.start()
        self._thread.start()

    def stop(self) -> None:
        """End both threads, after waiting some seconds for what they are doing.

        A reload that takes longer than that may still be put in force afterwards.
        """
        self._is_stopped = True
        self._wake.set()
        self._watcher.stop()
        if self._thread.ident is not None:
            self._thread.join(_TICK)

    def reload(self) -> None:
        """Try a reload now, also if no file has changed; returns at once."""
        self._watcher.trigger()

    def check_now(self) -> None:
        """Look at connections and dates now."""
        self._wake.set()

    def _run(self) -> None:
        while not self._is_stopped:
            try:
                self._expiry.check(datetime.now(timezone.utc))
                self._sweep()
            except Exception:
                _LOGGER.exception("upkeep.failed")
            self._wake.wait(_TICK)
            self._wake.clear()


def start_maintenance(
    loaded: Loaded, in_force: InForce, ports: Ports, *, environ: Mapping[str, str]
) -> Maintenance:
    """Begin to look after a server that has started.

    Args:
        loaded: what it was started with.
        in_force: holds its snapshot.
        ports: where it listens.
        environ: where a reload looks up `${VAR}`.
    """
    assert loaded.seen is not None  # noqa: S101 - its files have been read
    config = in_force.snapshot.config
    lapsed = ConnectionSweeper(
        ports.views,
        in_force,
        ports.close_connections,
        grace=config.server.shutdown_grace,
        clock=time.monotonic,
    )
    reloader = Reloader(loaded, in_force, environ=environ, prepare=ports.prepare)
    upkeep = Maintenance(
        loaded.seen,
        reloader=reloader,
        settings=config.reload,
        expiry=ExpiryWatch(in_force, reloader.remind),
        sweep=lapsed.sweep,
    )
    upkeep.start()
    return upkeep


def _log_polling(reason: str) -> None:
    _LOGGER.warning("reload.polling", extra={"reason": reason})
