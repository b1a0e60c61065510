"""The model of the whole config: one frozen value, correct by construction."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from grpcsecure.model.authorization import LogFormat
from grpcsecure.model.transport import Keepalive

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from grpcsecure.model.authorization import Authorization, Identity
    from grpcsecure.model.listener import Listener
    from grpcsecure.model.transport import Compression

__all__ = [
    "ErrorDetail",
    "ImportPath",
    "InterceptorEntry",
    "LogLevel",
    "LoggingSettings",
    "ReloadSettings",
    "Runtime",
    "Sees",
    "ServerConfig",
    "ServerSettings",
    "ServiceEntry",
]


class Runtime(Enum):
    """The runtime of the handlers: a thread pool or an asyncio event loop."""

    AUTO = "auto"
    THREADS = "threads"
    ASYNCIO = "asyncio"


class ErrorDetail(Enum):
    """The detail of an error for a refused caller: only the status, or the reason."""

    NONE = "none"
    FULL = "full"


class LogLevel(Enum):
    """The lowest level that a logger logs."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class ImportPath(NamedTuple):
    """An import path `module:attribute`; the attribute may be dotted."""

    module: str
    attribute: str

    def __str__(self) -> str:
        return f"{self.module}:{self.attribute}"

    @classmethod
    def parse(cls, text: str) -> ImportPath:
        """Split `module:attribute`.

        Raises:
            ValueError: a part is missing or is not a dotted Python name.
        """
        module, _, attribute = text.partition(":")
        names = [*module.split("."), *attribute.split(".")]
        if not all(name.isidentifier() for name in names):
            raise ValueError("expected `module:attribute`, as in `shop.orders:Orders`")
        return cls(module, attribute)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceEntry:
    """An entry of `services`; `arguments` may contain secrets and are never printed."""

    servicer: ImportPath
    arguments: Mapping[str, object] = field(default_factory=dict, repr=False)
    register: ImportPath | None = None
    start: ImportPath | None = None
    close: ImportPath | None = None


class Sees(Enum):
    """The calls that an interceptor sees."""

    ALLOWED = "allowed"
    ALL = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class InterceptorEntry:
    """An entry of `server.interceptors`; `arguments` are never printed.

    `is_plain` is whether the entry is the reference alone.
    """

    interceptor: ImportPath
    arguments: Mapping[str, object] = field(default_factory=dict, repr=False)
    sees: Sees = Sees.ALLOWED
    is_plain: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """The `server` block, with its defaults; durations in seconds, sizes in bytes."""

    runtime: Runtime = Runtime.AUTO
    threads: int = 16
    switch_interval: float = 500e-6
    max_concurrent_rpcs: int | None = None
    shutdown_grace: float = 30.0
    drain_delay: float = 0.0
    max_receive_message_size: int | None = None
    max_send_message_size: int | None = None
    compression: Compression | None = None
    keepalive: Keepalive = field(default_factory=Keepalive)
    import_paths: tuple[Path, ...] = ()
    interceptors: tuple[InterceptorEntry, ...] = ()
    reflection: bool = False
    health: bool = True
    channel_options: tuple[tuple[str, int | str], ...] = ()
    error_detail: ErrorDetail = ErrorDetail.NONE


@dataclass(frozen=True, slots=True, kw_only=True)
class ReloadSettings:
    """The `reload` block: how file changes are detected; `interval` is in seconds."""

    interval: float = 10.0
    events: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggingSettings:
    """The `logging` block: format and level of the events, levels of other loggers."""

    format: LogFormat = LogFormat.TEXT
    level: LogLevel = LogLevel.INFO
    levels: Mapping[str, LogLevel] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerConfig:
    """A valid config, as `serve` serves it.

    Without `authorization`, every call is allowed.
    """

    services: tuple[ServiceEntry, ...]
    listeners: tuple[Listener, ...]
    server: ServerSettings = ServerSettings()
    identities: tuple[Identity, ...] = ()
    authorization: Authorization | None = None
    reload: ReloadSettings = ReloadSettings()
    logging: LoggingSettings = field(default_factory=LoggingSettings)
    production: bool = False
