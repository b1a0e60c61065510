"""Builds the chain of interceptors of a server, in their order.

From the outside: those that a tracing library adds to every server of the process,
which usually puts itself first; those of the embedding program; those of the config.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from grpcsecure.errors import StartupError
from grpcsecure.model.server_config import Sees
from grpcsecure.server.rpc.interceptor_chain import Chain, Interceptor
from grpcsecure.server.runtime.instrumentation import add_instrumentation
from grpcsecure.server.services.interceptors import (
    create_interceptor,
    describe_mismatch,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from grpcsecure.model.server_config import InterceptorEntry

__all__ = ["build_chain"]


def build_chain(
    of_program: Sequence[Any],
    of_config: Sequence[InterceptorEntry],
    *,
    on_asyncio: bool,
) -> Chain | None:
    """Create the interceptors of the config; return the chain of all, None if empty.

    Raises:
        StartupError: the user's code raised, or an interceptor does not fit.
    """
    created = [create_interceptor(entry) for entry in of_config]
    own = [*of_program, *created]
    sees = {id(one): False for one in of_program}
    sees |= {
        id(one): entry.sees is Sees.ALL
        for one, entry in zip(created, of_config, strict=True)
    }
    # One that a library adds is to trace the denied calls as well.
    interceptors = [
        Interceptor(one, sees_denied=sees.get(id(one), True))
        for one in add_instrumentation(own, on_asyncio=on_asyncio)
    ]
    for one in interceptors:
        mismatch = describe_mismatch(one.interceptor, on_asyncio=on_asyncio)
        if mismatch is not None:
            raise StartupError(f"`{type(one.interceptor).__name__}` {mismatch}")
    return Chain(interceptors) if interceptors else None
