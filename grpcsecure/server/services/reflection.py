"""grpc.reflection, telling of no more than what its listener serves.

As v1 too, which clients ask for first: where rules refuse what does not exist, they
would not go on to ask for v1alpha. grpcio-reflection has no code for v1, whose messages
are the same, field by field.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

from grpcsecure.server.services.checks import REFLECTION_V1

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["register_reflection"]


def register_reflection(services: set[str], server: Any, *, on_asyncio: bool) -> None:
    """Register a servicer that lists `services` and itself."""
    names = sorted({*services, reflection.SERVICE_NAME})
    home = reflection.aio if on_asyncio else reflection
    servicer = home.ReflectionServicer(names)
    register: Callable[[Any, Any], None] = (
        reflection_pb2_grpc.add_ServerReflectionServicer_to_server
    )
    register(servicer, server)
    register(servicer, _AsV1(server))


class _AsV1:
    """Stands before a server, and registers under the name of v1."""

    def __init__(self, server: Any) -> None:
        self._server = server

    def add_generic_rpc_handlers(self, _handlers: Any) -> None:
        """Leave out what has its name in it: the same handlers come by name too."""

    def add_registered_method_handlers(self, _name: str, handlers: Any) -> None:
        """Register the handlers as generated code would."""
        generic = grpc.method_handlers_generic_handler(REFLECTION_V1, handlers)
        self._server.add_generic_rpc_handlers((generic,))
        self._server.add_registered_method_handlers(REFLECTION_V1, handlers)
