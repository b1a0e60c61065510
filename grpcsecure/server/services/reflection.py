"""Servicers of grpc.reflection that list only the services of their listener.

Served as v1 and v1alpha. Clients try v1 first; if rules refuse unknown methods, they
would not fall back to v1alpha. grpcio-reflection has no code for v1, but its messages
are the same as those of v1alpha, field by field.
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
    """Registration proxy of a server that registers handlers under the name of v1."""

    def __init__(self, server: Any) -> None:
        self._server = server

    def add_generic_rpc_handlers(self, _handlers: Any) -> None:
        """Ignore generic handlers: they have the v1alpha name built in.

        Generated code passes the same handlers to `add_registered_method_handlers`.
        """

    def add_registered_method_handlers(self, _name: str, handlers: Any) -> None:
        """Register the handlers as generated code would."""
        generic = grpc.method_handlers_generic_handler(REFLECTION_V1, handlers)
        self._server.add_generic_rpc_handlers((generic,))
        self._server.add_registered_method_handlers(REFLECTION_V1, handlers)
