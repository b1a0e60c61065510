"""Inventory of all services and methods that a server has or could have.

Used by checks and tables. Methods are read from the code that will serve them, also
those of gRPC's own services.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from grpcsecure.server.services.checks import REFLECTION_V1
from grpcsecure.server.services.recorder import record

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from grpcsecure.config.tree import Path
    from grpcsecure.model.server_config import ServerConfig, ServerSettings
    from grpcsecure.server.services.loader import LoadedService
    from grpcsecure.server.services.recorder import Method

__all__ = [
    "ServedService",
    "built_in_services",
    "full_methods",
    "served_services",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedService:
    """A service and the names of its methods; `path` is the config key that serves it.

    Without a `path` the service is known, but not served. If `may_be_closed`, there is
    no finding that no caller may call it, because another finding covers that.
    """

    name: str
    methods: tuple[str, ...]
    path: Path | None
    may_be_closed: bool = False

    @property
    def full_methods(self) -> tuple[str, ...]:
        """The paths of its methods, as on the wire."""
        return tuple(f"/{self.name}/{method}" for method in self.methods)


def full_methods(services: Iterable[ServedService]) -> Iterator[str]:
    """Yield the paths of all methods of some services."""
    for service in services:
        yield from service.full_methods


def served_services(
    config: ServerConfig, services: Sequence[LoadedService]
) -> tuple[ServedService, ...] | None:
    """Return the services, gRPC's own last; None if a factory has to be called first.

    gRPC's own are listed even if they are turned off: a rule about them may be meant
    for another profile, and is then not a mistake.
    """
    served: list[ServedService] = []
    for index, service in enumerate(services):
        if service.methods is None:
            return None
        served += _by_name(service.methods, ("services", index, "servicer"))
    return (*served, *built_in_services(config.server))


def _by_name(
    methods: Iterable[Method], path: Path | None, *, may_be_closed: bool = False
) -> Iterator[ServedService]:
    names: dict[str, list[str]] = {}
    for method in methods:
        names.setdefault(method.service, []).append(method.name)
    for name, own in names.items():
        yield ServedService(
            name=name, methods=tuple(own), path=path, may_be_closed=may_be_closed
        )


def built_in_services(settings: ServerSettings) -> Iterator[ServedService]:
    """Yield gRPC's own services, whether they are turned on or off."""
    from grpc_health.v1 import health_pb2_grpc
    from grpc_reflection.v1alpha import reflection_pb2_grpc

    health = record(
        health_pb2_grpc.add_HealthServicer_to_server, health_pb2_grpc.HealthServicer
    )
    yield from _by_name(health, ("server", "health") if settings.health else None)
    # A reflection service that no caller may use is covered by the finding about its
    # openness, so it is marked as one that may be closed.
    for reflection in _by_name(
        record(
            reflection_pb2_grpc.add_ServerReflectionServicer_to_server,
            reflection_pb2_grpc.ServerReflectionServicer,
        ),
        ("server", "reflection") if settings.reflection else None,
        may_be_closed=True,
    ):
        yield reflection
        yield replace(reflection, name=REFLECTION_V1)
