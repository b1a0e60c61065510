"""The whole config as one frozen value, correct by construction."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from grpcsecure.model.authorization import Authorization, Identity
    from grpcsecure.model.listener import Listener

__all__ = [
    "ErrorDetail",
    "ImportPath",
    "ReloadSettings",
    "Runtime",
    "ServerConfig",
    "ServerSettings",
    "ServiceEntry",
]


class Runtime(Enum):
    """What runs the handlers: a thread pool or an asyncio loop."""

    AUTO = "auto"
    THREADS = "threads"
    ASYNCIO = "asyncio"


class ErrorDetail(Enum):
    """What a refused caller is told: the status alone, or the reason too."""

    NONE = "none"
    FULL = "full"


@dataclass(frozen=True, slots=True)
class ImportPath:
    """`module:attribute`, the attribute possibly dotted."""

    module: str
    attribute: str

    def __str__(self) -> str:
        return f"{self.module}:{self.attribute}"

    @classmethod
    def parse(cls, text: str) -> ImportPath:
        """Split `module:attribute`.

        Raises:
            ValueError: a part is missing or is no dotted Python name.
        """
        module, _, attribute = text.partition(":")
        names = [*module.split("."), *attribute.split(".")]
        if not all(name.isidentifier() for name in names):
            raise ValueError("expected `module:attribute`, as in `shop.orders:Orders`")
        return cls(module, attribute)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceEntry:
    """One entry of `services`; `arguments` may hold secrets and are never printed."""

    servicer: ImportPath
    arguments: Mapping[str, object] = field(default_factory=dict, repr=False)
    register: ImportPath | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """The `server` block, with its defaults; durations are in seconds."""

    runtime: Runtime = Runtime.AUTO
    threads: int = 16
    switch_interval: float = 500e-6
    max_concurrent_rpcs: int | None = None
    shutdown_grace: float = 30.0
    import_paths: tuple[Path, ...] = ()
    reflection: bool = False
    health: bool = True
    channel_options: tuple[tuple[str, int | str], ...] = ()
    error_detail: ErrorDetail = ErrorDetail.NONE


@dataclass(frozen=True, slots=True, kw_only=True)
class ReloadSettings:
    """The `reload` block: how changes of files are noticed; `interval` in seconds."""

    interval: float = 10.0
    events: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerConfig:
    """A config that passed the schema: what `serve` serves.

    Without an `authorization` every call is allowed.
    """

    services: tuple[ServiceEntry, ...]
    listeners: tuple[Listener, ...]
    server: ServerSettings = ServerSettings()
    identities: tuple[Identity, ...] = ()
    authorization: Authorization | None = None
    reload: ReloadSettings = ReloadSettings()
    production: bool = False
