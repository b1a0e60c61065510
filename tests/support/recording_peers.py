"""Servicers that keep what they learn about their callers, under the request's name."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from helloworld.helloworld_pb2_grpc import GreeterServicer
from support.services import reply

import grpcsecure

if TYPE_CHECKING:
    from grpcsecure import Peer

__all__ = ["AioPeerRecorder", "PeerRecorder", "recorded_peers"]

_SEEN: dict[str, list[Peer]] = defaultdict(list)


def recorded_peers(name: str) -> list[Peer]:
    """Return the peers that called under `name`, and forget them."""
    return _SEEN.pop(name, [])


class PeerRecorder(GreeterServicer):
    """Tells its callers their own address."""

    def SayHello(self, request, context):
        """Keep who calls."""
        _SEEN[request.name].append(grpcsecure.peer(context))
        return reply(context.peer())


class AioPeerRecorder(GreeterServicer):
    """`PeerRecorder` for asyncio."""

    async def SayHello(self, request, context):
        """Keep who calls."""
        _SEEN[request.name].append(grpcsecure.peer(context))
        return reply(context.peer())
