"""Background maintenance of a running server: reloads, expiry, invalid connections.

Two threads: the watcher's attempts reloads; the other one checks dates and connections
periodically. Invariant: if anything fails in here, the server goes on with the snapshot
in force.
"""

from __future__ import annotations

import logging
import threading
import time
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from grpcsecure.descriptor_reserve import RESERVE
from grpcsecure.server.reload.connection_sweeper import ConnectionSweeper
from grpcsecure.server.reload.expiry import render_rest, stage
from grpcsecure.server.reload.reloader import Reloader
from grpcsecure.watch.watcher import Watcher

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from grpcsecure.checking.pipeline import ServableConfig
    from grpcsecure.model.peer import Certificate
    from grpcsecure.model.server_config import ReloadSettings
    from grpcsecure.server.log_levels import LogLevels
    from grpcsecure.server.reload.reloader import ReloadObserver
    from grpcsecure.server.runtime.ports import Ports
    from grpcsecure.server.snapshot import InForce, Snapshot
    from grpcsecure.tls.material import Material
    from grpcsecure.watch.digest import Digest

__all__ = ["ExpiryWatch", "Maintenance", "start_maintenance"]

_LOGGER = logging.getLogger("grpcsecure.server")

#: Seconds between two checks of connections and dates.
_TICK = 1.0

#: Seconds after which a check that has not ended counts as stuck.
_LATE = 30.0


class ExpiryWatch:
    """Logs the expiry of certificates in force, once per stage (see `expiry`)."""

    def __init__(self, in_force: InForce, remind: Callable[[datetime], None]) -> None:
        self._in_force = in_force
        self._remind = remind
        self._announced: dict[str, int] = {}

    def check(self, now: datetime) -> None:
        """Log the warnings that are due by `now`."""
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
        for leaf in material.leaves:
            yield name, "certificate", leaf
        for authority in material.client_cas:
            yield name, "client_ca", authority


class Maintenance:
    """The two maintenance threads of one server, from `start` to `stop`.

    Args:
        seen: digest of the files in force, taken before they were read.
        reloader: attempts reloads.
        settings: the `reload` block.
        expiry: checks the dates of certificates.
        sweep: checks the open connections.
        wake: set to check connections and dates before the next tick.
    """

    def __init__(  # noqa: PLR0913 - its parts, all named
        self,
        seen: Digest,
        *,
        reloader: Reloader,
        settings: ReloadSettings,
        expiry: ExpiryWatch,
        sweep: Callable[[], None],
        wake: threading.Event,
    ) -> None:
        self._watcher = Watcher(
            seen,
            reloader.attempt,
            interval=settings.interval,
            events=settings.events,
            on_polling=_log_polling,
        )
        self._expiry = expiry
        self._sweep = sweep
        self._wake = wake
        self._is_stopped = False
        self._checked_at = time.monotonic()
        self._thread = threading.Thread(
            target=self._run, name="grpcsecure-upkeep", daemon=True
        )

    def start(self) -> None:
        """Start both threads."""
        self._watcher.start()
        self._thread.start()

    def stop(self) -> None:
        """End both threads, after waiting some seconds for their current work.

        A reload that takes longer than that may still be put in force afterwards.
        """
        self._is_stopped = True
        self._wake.set()
        self._watcher.stop()
        if self._thread.ident is not None:
            self._thread.join(_TICK)

    def reload(self) -> None:
        """Request a reload even if no file has changed, and return at once."""
        self._watcher.trigger()

    def has_pulse(self) -> bool:
        """Whether both threads run, and connections and dates are being checked."""
        if self._is_stopped:
            return True
        is_late = time.monotonic() - self._checked_at > _LATE
        return self._watcher.is_alive and self._thread.is_alive() and not is_late

    def _run(self) -> None:
        while not self._is_stopped:
            self._checked_at = time.monotonic()
            try:
                RESERVE.fill()
                self._expiry.check(datetime.now(timezone.utc))
                self._sweep()
            except Exception:
                _LOGGER.exception("upkeep.failed")
            self._wake.wait(_TICK)
            self._wake.clear()


def start_maintenance(  # noqa: PLR0913 - the parts of the server, most of them named
    servable: ServableConfig,
    in_force: InForce,
    ports: Ports,
    *,
    environ: Mapping[str, str],
    levels: LogLevels,
    observer: ReloadObserver | None = None,
) -> Maintenance:
    """Start the maintenance of a server that has started.

    Args:
        servable: the config that the server was started with.
        in_force: holds the server's snapshot.
        ports: the server's listening side.
        environ: where a reload looks up `${VAR}`.
        levels: sets the levels of loggers.
        observer: is notified of reloads.
    """
    config = in_force.snapshot.config
    sweeper = ConnectionSweeper(
        ports.views,
        in_force,
        ports.close_connections,
        grace=config.server.shutdown_grace,
        clock=time.monotonic,
    )
    wake = threading.Event()

    def prepare(materials: Mapping[str, Material]) -> Callable[[], None]:
        commit = ports.prepare(materials)

        def commit_all() -> None:
            commit()
            levels.apply(in_force.snapshot.config.logging.levels)

        return commit_all

    reloader = Reloader(
        servable,
        in_force,
        environ=environ,
        prepare=prepare,
        on_applied=wake.set,
        observer=observer,
    )
    maintenance = Maintenance(
        servable.seen,
        reloader=reloader,
        settings=config.reload,
        expiry=ExpiryWatch(in_force, reloader.remind),
        sweep=sweeper.sweep,
        wake=wake,
    )
    maintenance.start()
    return maintenance


def _log_polling(reason: str) -> None:
    _LOGGER.warning("reload.polling", extra={"reason": reason})
