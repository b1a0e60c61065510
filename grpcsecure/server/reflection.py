"""grpc.reflection, telling of no more than what its listener serves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["register_reflection"]


def register_reflection(services: set[str], server: Any, *, on_asyncio: bool) -> None:
    """Register a servicer that lists `services` and itself."""
    names = sorted({*services, reflection.SERVICE_NAME})
    home = reflection.aio if on_asyncio else reflection
    register: Callable[[Any, Any], None] = (
        reflection_pb2_grpc.add_ServerReflectionServicer_to_server
    )
    register(home.ReflectionServicer(names), server)
