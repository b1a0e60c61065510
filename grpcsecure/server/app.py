"""The server as an object: load, start, stop; for `serve` and for embedding."""

from __future__ import annotations

import asyncio
import os
import threading
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from grpcsecure.checking.pipeline import load_config
from grpcsecure.config.source import read_source
from grpcsecure.descriptor_reserve import RESERVE
from grpcsecure.diagnostics.findings import Finding, Report
from grpcsecure.diagnostics.ignore import make_report
from grpcsecure.errors import (
    ConfigError,
    GrpcSecureError,
    UnreadableConfigError,
)
from grpcsecure.model.server_config import Runtime
from grpcsecure.server.drain_delay import DrainDelay
from grpcsecure.server.failure import report_failure
from grpcsecure.server.log_levels import LogLevels
from grpcsecure.server.rpc.audit import Auditor
from grpcsecure.server.runtime.assembly import Assembly
from grpcsecure.server.services.checks import pick_runtime, settle_services
from grpcsecure.server.services.health_board import HealthBoard, ServiceHealth
from grpcsecure.server.snapshot import InForce, build_snapshot
from grpcsecure.server.switch_interval import (
    restore_switch_interval,
    set_switch_interval,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from types import TracebackType

    from typing_extensions import Self

    from grpcsecure.checking.pipeline import Loaded, ServableConfig
    from grpcsecure.model.server_config import ServerConfig
    from grpcsecure.server.reload.maintenance import Maintenance
    from grpcsecure.server.reload.reloader import ReloadObserver
    from grpcsecure.server.runtime.asyncio import AsyncioRuntime, LoopRuntime
    from grpcsecure.server.runtime.ports import Ports
    from grpcsecure.server.runtime.threads import ThreadsRuntime
    from grpcsecure.server.services.loader import LoadedService
    from grpcsecure.tls.material import Material

__all__ = ["Server", "load", "make_server"]


def load(
    path: str | os.PathLike[str],
    *,
    profile: str | None = None,
    environ: Mapping[str, str] | None = None,
    interceptors: Iterable[Any] = (),
) -> Server:
    """Load a config, check it as `grpcsecure validate` does, and return its server.

    Args:
        path: the config file.
        profile: name of the profile to apply.
        environ: where `${VAR}` is looked up; the process's environment by default.
        interceptors: grpcio server interceptors of the runtime in use, outermost first.

    Raises:
        ConfigError: the config has errors; its `report` has the findings.
        UnreadableConfigError: the file cannot be read.
        UsageError: there is no such profile.
    """
    name = os.fspath(path)
    source = read_source(name)
    if isinstance(source, Finding):
        raise UnreadableConfigError(Report(subject=name, findings=(source,)))
    environ = os.environ if environ is None else environ
    loaded = load_config(
        source, profile=profile, environ=environ, now=datetime.now(timezone.utc)
    )
    return make_server(loaded, environ=environ, interceptors=interceptors)


def make_server(
    loaded: Loaded, *, environ: Mapping[str, str], interceptors: Iterable[Any] = ()
) -> Server:
    """Return the server of a config that was loaded and checked.

    Args:
        loaded: the config.
        environ: where a reload looks up `${VAR}`.
        interceptors: grpcio server interceptors, outermost first.

    Raises:
        ConfigError: the config has errors; its `report` has the findings.
    """
    report = make_report(loaded.draft())
    servable = loaded.servable()
    if servable is None:
        raise ConfigError(report)
    return Server(servable, report=report, environ=environ, interceptors=interceptors)


class Server:
    """A configured server. It starts and stops once; it cannot be started again.

    With `with`, it serves in the background: threads, or an event loop in a thread of
    its own. With `async with`, an asyncio server runs on the caller's loop.

    Attributes:
        report: the findings of the config, warnings only.
        addresses: listener name to real address, `host:port` or `unix:/path`; filled
            when the server has started.
    """

    def __init__(
        self,
        servable: ServableConfig,
        *,
        report: Report,
        environ: Mapping[str, str],
        interceptors: Iterable[Any] = (),
    ) -> None:
        self._servable = servable
        self._services = servable.services
        self._environ = environ
        self._maintenance: Maintenance | None = None
        self._is_reload_due = False
        self._in_force = InForce(
            build_snapshot(
                servable.config,
                servable.materials,
                pins=servable.fingerprints,
                generation=1,
            )
        )
        self._auditor = Auditor()
        self._health = HealthBoard()
        # After the imports: the config counts more than levels that modules set.
        self._levels = LogLevels()
        self._levels.apply(self.config.logging.levels)
        self._delay = DrainDelay(self.config.server.drain_delay, self._health)
        self._interceptors = tuple(interceptors)
        self._background: ThreadsRuntime | LoopRuntime | None = None
        #: Learns when reloads begin and end: the service manager's `ServiceManager`.
        self.reload_observer: ReloadObserver | None = None
        self._on_loop: AsyncioRuntime | None = None
        self._interval: float | None = None
        self._has_stopped = False
        self._finished = True
        # Reentrant, because a signal handler may call `stop` during a `stop`.
        self._stopping = threading.RLock()
        #: Called with the reason, on a separate thread, if the server can no longer
        #: serve all of its listeners. Call `stop` then, in the callback or elsewhere.
        self.on_failure: Callable[[str], None] | None = None
        self.report = report
        self.addresses: dict[str, str] = {}

    @property
    def config(self) -> ServerConfig:
        """The checked config, as it was when the server was loaded."""
        return self._servable.config

    @property
    def services(self) -> tuple[LoadedService, ...]:
        """The servicers, with the methods they serve."""
        return self._services

    @property
    def materials(self) -> Mapping[str, Material]:
        """The key material of each TLS listener, by its name."""
        return self._in_force.snapshot.materials

    @property
    def grpc_version(self) -> str:
        """The version of the grpcio that serves."""
        from grpc import __version__

        return __version__

    def start(self) -> None:
        """Create the servicers, bind every listener and serve.

        If any listener cannot be bound, none of them serves.

        Raises:
            BindError: an address cannot be listened on.
            StartupError: a servicer could not be created, or does not serve; or an
                installed library is one that nothing can be served with.
            GrpcSecureError: the server was started or stopped before.
        """
        self.begin()
        self.look_after()

    def begin(self) -> None:
        """Run the first half of `start`: serve, but do not reload anything yet.

        Raises:
            BindError: as `start`.
            StartupError: as `start`.
        """
        assembly, runtime = self._assemble()
        background: ThreadsRuntime | LoopRuntime
        if runtime is Runtime.ASYNCIO:
            from grpcsecure.server.runtime.asyncio import LoopRuntime

            background = LoopRuntime(assembly)
        else:
            from grpcsecure.server.runtime.threads import ThreadsRuntime

            background = ThreadsRuntime(assembly)
        self.addresses = background.start()
        self._background = background
        self._interval = set_switch_interval(self.config.server.switch_interval)

    def look_after(self) -> None:
        """Run the second half of `start`: watch files, connections and dates."""
        if self._background is not None:
            self._begin_maintenance(self._background.ports)

    def stop(self, grace: float | None = None) -> bool:
        """Drain and stop: health NOT_SERVING, no new calls, running ones may finish.

        If another thread is already stopping the server, wait for that thread and
        return the same result.

        Args:
            grace: seconds for the running calls, from now on. By default there is
                `server.drain_delay`, and after it `server.shutdown_grace`.

        Returns:
            Whether every call could finish; False means that calls were cut.

        Raises:
            GrpcSecureError: the server was started on an event loop with `async with`.
        """
        if self._on_loop is not None:
            raise GrpcSecureError(
                "the server runs on an event loop: it stops at the end of `async with`"
            )
        with self._stopping:
            if self._background is not None and grace is None and self._delay.wait():
                grace = 0.0
            if self._background is not None:  # a signal handler may have called `stop`
                self._has_stopped = True
                self._end_maintenance()
                self._finished = self._background.stop(self._grace(grace))
                self._background = None
                self._auditor.close()
            return self._finished

    def reload(self) -> None:
        """Request a reload of the config and its files, and return at once.

        The result is one line in the log `grpcsecure.reload`. Changed files are
        noticed without this call.
        """
        self._is_reload_due = True  # for a maintenance thread that is just starting
        if self._maintenance is not None:
            self._maintenance.reload()

    def health(self, service: str = "") -> ServiceHealth:
        """Return the health of a service of this server, to set it.

        Args:
            service: the full name of the service; the server as a whole by default.
        """
        return ServiceHealth(service, self._health)

    @property
    def generation(self) -> int:
        """The generation in force; each applied reload increases it by one."""
        return self._in_force.snapshot.generation

    @property
    def policy_summary(self) -> str:
        """Summary of the rules: the default, their number, the methods they reach."""
        if self.config.authorization is None:
            return "none: every call is allowed"
        from grpcsecure.server.policy_summary import summarize_policy

        return summarize_policy(self._servable.document, self.services)

    @property
    def watched(self) -> str:
        """Summary of the watched files: their number and the interval of checks."""
        from grpcsecure.server.policy_summary import summarize_watched

        return summarize_watched(len(self._servable.seen.states), self.config.reload)

    def _begin_maintenance(self, ports: Ports) -> None:
        # Imported late: the server does not need this module until it is ready. Its
        # clients may have taken all descriptors by then.
        start_maintenance = RESERVE.call(_import_maintenance)
        self._maintenance = start_maintenance(
            *(self._servable, self._in_force, ports),
            environ=self._environ,
            observer=self.reload_observer,
            levels=self._levels,
        )
        if self._is_reload_due:
            self._maintenance.reload()

    def _end_maintenance(self) -> None:
        restore_switch_interval(self._interval)
        if self._maintenance is not None:
            self._maintenance.stop()

    def has_pulse(self) -> bool:
        """Whether maintenance goes on, and an event loop still runs callbacks."""
        parts = (self._background, self._maintenance)
        return all(part is None or part.has_pulse() for part in parts)

    def cut(self) -> None:
        """End the running calls now, so that a `stop` in another thread returns."""
        if not self._delay.cut() and self._background is not None:
            self._background.cut()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        assembly, runtime = self._assemble()
        if runtime is Runtime.THREADS:
            await asyncio.to_thread(self.start)
            return self
        from grpcsecure.server.runtime.asyncio import AsyncioRuntime

        on_loop = AsyncioRuntime(assembly)
        self.addresses = await on_loop.start()
        self._on_loop = on_loop
        self._interval = set_switch_interval(self.config.server.switch_interval)
        self._begin_maintenance(on_loop.ports)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._on_loop is None:
            await asyncio.to_thread(self.stop)
            return
        self._has_stopped = True
        try:
            await self._delay.sleep()
        finally:
            await asyncio.to_thread(self._end_maintenance)
            await self._on_loop.stop(self._grace(None))
            self._on_loop = None
            await asyncio.to_thread(self._auditor.close)

    def _grace(self, grace: float | None) -> float:
        return self.config.server.shutdown_grace if grace is None else grace

    def _assemble(self) -> tuple[Assembly, Runtime]:
        """Create the servicers of unannotated factories, then assemble the server."""
        if self._background is not None or self._on_loop is not None:
            raise GrpcSecureError("the server has started already")
        if self._has_stopped:  # its auditor is closed
            raise GrpcSecureError("the server has been stopped: load a new one")
        with self._health.starting():
            self._services = settle_services(self._servable.document, self._services)
        if any(material.client_cas for material in self.materials.values()):
            # With both engines, each call's certificate is verified again.
            from grpcsecure.tls.openssl import _bindings as openssl

            openssl.require()
        assembly = Assembly(
            config=self.config,
            services=self._services,
            in_force=self._in_force,
            auditor=self._auditor,
            interceptors=self._interceptors,
            on_failure=lambda reason: report_failure(self.on_failure, reason),
            health=self._health,
        )
        return assembly, pick_runtime(self.config.server, self._services)


def _import_maintenance() -> Callable[..., Maintenance]:
    from grpcsecure.server.reload.maintenance import start_maintenance

    return start_maintenance
