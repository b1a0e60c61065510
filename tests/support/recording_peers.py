"""Servicers that record the peers of their calls, by the name in the request."""

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
    """Return and remove the peers of calls with `name`."""
    return _SEEN.pop(name, [])


class PeerRecorder(GreeterServicer):
    """Records the peer of a call, and replies with the caller's address."""

    def SayHello(self, request, context):
        """Record the peer."""
        _SEEN[request.name].append(grpcsecure.peer(context))
        return reply(context.peer())


class AioPeerRecorder(GreeterServicer):
    """`PeerRecorder` for asyncio."""

    async def SayHello(self, request, context):
        """Record the peer."""
        _SEEN[request.name].append(grpcsecure.peer(context))
        return reply(context.peer())
