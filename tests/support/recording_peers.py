"""Servicers that keep what they learn about their callers, under the request's name."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from helloworld.helloworld_pb2_grpc import GreeterServicer
from support.services import reply

import grpcsecure

if TYPE_CHECKING:
    from grpcsecure import Peer

__all__ = ["Witness", "WitnessAio", "seen"]

_SEEN: dict[str, list[Peer]] = defaultdict(list)


def seen(name: str) -> list[Peer]:
    """Return the peers that called under `name`, and forget them."""
    return _SEEN.pop(name, [])


class Witness(GreeterServicer):
    """Tells its callers their own address."""

    def SayHello(self, request, context):
        """Keep who calls."""
        _SEEN[request.name].append(grpcsecure.peer(context))
        return reply(context.peer())


class WitnessAio(GreeterServicer):
    """`Witness` for asyncio."""

    async def SayHello(self, request, context):
        """Keep who calls."""
        _SEEN[request.name].append(grpcsecure.peer(context))
        return reply(context.peer())
