"""Servicers of grpc.reflection that list only the services of their listener.

Served as v1 and v1alpha. Clients try v1 first; if rules refuse unknown methods, they
would not fall back to v1alpha. grpcio-reflection has no code for v1, but its messages
are the same as those of v1alpha, field by field.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool
from grpc_reflection.v1alpha import (
    reflection,
    reflection_pb2,
    reflection_pb2_grpc,
)

from grpcsecure.server.services.checks import REFLECTION_V1

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["register_reflection"]


def register_reflection(services: set[str], server: Any, *, on_asyncio: bool) -> None:
    """Register a servicer that lists `services` and itself."""
    own = (reflection.SERVICE_NAME, REFLECTION_V1)
    names = {*services, *filter(server.serves, own)}
    home = reflection.aio if on_asyncio else reflection
    servicer = home.ReflectionServicer(names, cast("Any", _SymbolPool()))
    register: Callable[[Any, Any], None] = (
        reflection_pb2_grpc.add_ServerReflectionServicer_to_server
    )
    register(servicer, server)
    register(servicer, _AsV1(server))


class _SymbolPool:
    """The default pool, with the names of methods, and with reflection as v1.

    The pools of protobuf find every symbol but methods, which `grpcurl describe` and
    the specification of reflection name like any other.
    """

    def __init__(self) -> None:
        self._default: Any = descriptor_pool.Default()
        self._v1: Any = descriptor_pool.DescriptorPool()
        self._v1.Add(_v1_file())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._default, name)

    def FindFileByName(self, name: str) -> Any:  # noqa: N802 - named by protobuf
        """Return a file, or raise KeyError."""
        return self._find("FindFileByName", name)

    def FindFileContainingSymbol(self, symbol: str) -> Any:  # noqa: N802 - likewise
        """Return the file that defines a symbol, or raise KeyError."""
        try:
            return self._find("FindFileContainingSymbol", symbol)
        except KeyError:
            name, _, method = symbol.rpartition(".")
            service = self._find("FindServiceByName", name)
            return service.methods_by_name[method].containing_service.file

    def _find(self, function: str, name: str) -> Any:
        # A program may have generated code for v1, which is in the default pool then.
        try:
            return getattr(self._default, function)(name)
        except KeyError:
            return getattr(self._v1, function)(name)


def _v1_file() -> descriptor_pb2.FileDescriptorProto:
    """Return the file of v1: that of v1alpha, with its own name and package."""
    file = descriptor_pb2.FileDescriptorProto()
    reflection_pb2.DESCRIPTOR.CopyToProto(file)
    alpha = file.package
    file.name = "grpc/reflection/v1/reflection.proto"
    file.package = REFLECTION_V1.rpartition(".")[0]
    for field in (field for message in file.message_type for field in message.field):
        if field.type_name:
            field.type_name = field.type_name.replace(alpha, file.package)
    for method in (method for service in file.service for method in service.method):
        method.input_type = method.input_type.replace(alpha, file.package)
        method.output_type = method.output_type.replace(alpha, file.package)
    return file


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
