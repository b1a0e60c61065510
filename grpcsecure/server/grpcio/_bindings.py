"""Every private name of grpcio that grpcsecure uses.

All of them are looked up at import. If some are missing, the asyncio runtime does not
start, since a malformed call could end the server; the threads runtime starts, and
leaves the work of the missing names to grpcio. The comment before each name says when
the name can be removed.
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Any

import grpc

from grpcsecure.name_lookup import PrivateNames

if TYPE_CHECKING:
    from collections.abc import Mapping

    from grpc.aio._server import Server as AioServer

__all__ = [
    "ASYNCIO",
    "INSTRUMENTED",
    "NEEDS_GUARD",
    "SERVICES",
    "THREADS",
    "AioServer",
    "log_fallbacks",
    "method_table_of",
]

_LOGGER = logging.getLogger("grpcsecure.server")

_TRIED = ("1.82.1", "1.85.3")

#: The names of the threads runtime, of the asyncio runtime, and of both.
THREADS = PrivateNames("grpcio", grpc.__version__, _TRIED)
ASYNCIO = PrivateNames("grpcio", grpc.__version__, _TRIED)
SERVICES = PrivateNames("grpcio", grpc.__version__, _TRIED)
#: Those of a process in which a tracing library has replaced `grpc.server`.
INSTRUMENTED = PrivateNames("grpcio", grpc.__version__, _TRIED)

#: Whether a malformed call can end this grpcio's asyncio server.
NEEDS_GUARD = tuple(map(int, re.findall(r"\d+", grpc.__version__)[:2])) >= (1, 84)


# For the threads runtime: a call that takes one message gets a thread when the message
# has arrived. All can be removed when grpcio reads that message before it takes a
# thread of the pool, or runs interceptors before that.
_server = THREADS.module("grpc._server")
_cython = THREADS.module("grpc._cython.cygrpc")
Context = THREADS.find(_server, "grpc._server", "_Context")
THREADS.function(Context, "grpc._server._Context", "__init__", 4)
#: The functions that serve a call in a thread.
unary_response_in_pool = THREADS.function(
    _server, "grpc._server", "_unary_response_in_pool", 6
)
stream_response_in_pool = THREADS.function(
    _server, "grpc._server", "_stream_response_in_pool", 6
)
receive_message = THREADS.function(_server, "grpc._server", "_receive_message", 3)
RECEIVE_MESSAGE_TOKEN = THREADS.find(_server, "grpc._server", "_RECEIVE_MESSAGE_TOKEN")
ReceiveMessageOperation = THREADS.find(
    _cython, "grpc._cython.cygrpc", "ReceiveMessageOperation"
)
_Call = THREADS.find(_cython, "grpc._cython.cygrpc", "Call")
THREADS.find(_Call, "grpc._cython.cygrpc.Call", "start_server_batch")
THREADS.find(_Call, "grpc._cython.cygrpc.Call", "cancel")
# Attributes of a call's state.
_State = THREADS.find(_server, "grpc._server", "_RPCState")
_state = None if _State is None else THREADS.example("grpc._server._RPCState", _State)
for _name in ("condition", "due", "request", "statused"):
    THREADS.find(_state, "grpc._server._RPCState", _name)

# For the threads runtime: ends a call whose servicer raised a BaseException that is not
# an `Exception`. Can be removed when grpcio answers such a call itself instead of
# leaving the client without an answer.
abort = THREADS.function(_server, "grpc._server", "_abort", 4)
STATUS_UNKNOWN = THREADS.find(_cython, "grpc._cython.cygrpc", "StatusCode.unknown")


# For the threads runtime, where a tracing library has replaced `grpc.server`: makes a
# server without the interceptors that the library adds, which would run before the
# decision on a call. Can be removed when grpcio has a public name for it.
create_server = INSTRUMENTED.function(_server, "grpc._server", "create_server", 7)


# For the asyncio runtime: the server, built from parts that report its end. Can be
# removed when `grpc.aio.Server` reports to its owner that it has ended, and ends its
# calls itself.
_aio_server = ASYNCIO.module("grpc.aio._server")
_core = ASYNCIO.module("grpc._cython.cygrpc")
if not TYPE_CHECKING:
    # A missing class is replaced by `object`, so that modules can derive from it.
    AioServer = ASYNCIO.find(_aio_server, "grpc.aio._server", "Server") or object
_core_class = ASYNCIO.find(_core, "grpc._cython.cygrpc", "AioServer")
AioCore: Any = _core_class or object
augment_channel_arguments = ASYNCIO.function(
    _aio_server, "grpc.aio._server", "_augment_channel_arguments", 2
)
# Methods of the core that are overridden or called.
for _name in ("_server_main_loop", "add_generic_rpc_handlers", "shutdown", "start"):
    ASYNCIO.find(_core_class, "grpc._cython.cygrpc.AioServer", _name)

# For the asyncio runtime: calls are read before the accepting loop gets them. Can be
# removed when malformed calls cannot end the server of the oldest supported grpcio.
MethodResolver: Any = None
handle_rpc: Any = None
schedule_rpc_coro: Any = None
ASYNCIO.find(_core_class, "grpc._cython.cygrpc.AioServer", "_request_call")
if NEEDS_GUARD:
    for _name in ("_make_request_call_future", "_request_registered_call"):
        ASYNCIO.find(_core_class, "grpc._cython.cygrpc.AioServer", _name)
    MethodResolver = ASYNCIO.find(_core, "grpc._cython.cygrpc", "_MethodResolver")
    handle_rpc = ASYNCIO.function(_core, "grpc._cython.cygrpc", "_handle_rpc", 6)
    schedule_rpc_coro = ASYNCIO.function(
        _core, "grpc._cython.cygrpc", "_schedule_rpc_coro", 4
    )


# The methods of a service that was registered without their names, as in code from
# before grpcio-tools 1.65. Can be removed when no such code has to be supported.
SERVICES.find(
    grpc.method_handlers_generic_handler("", {}),
    "grpc.method_handlers_generic_handler()",
    "_method_handlers",
)


def log_fallbacks(*groups: PrivateNames) -> None:
    """Log one line if any of these names are missing.

    grpcsecure works without them: it then leaves their work to grpcio.
    """
    missing = [name for group in groups for name in group.missing]
    if missing:
        _LOGGER.warning(
            "server.fallback",
            extra={
                "library": groups[0].library,
                "version": groups[0].version,
                "missing": ", ".join(missing),
                "tried": ", ".join(groups[0].tried),
            },
        )


def method_table_of(handler: Any) -> Mapping[str, Any] | None:
    """Return the methods of a generic handler, or None if it has no table of them."""
    if SERVICES.missing:
        return None
    table: Mapping[str, Any] | None = getattr(handler, "_method_handlers", None)
    return table
