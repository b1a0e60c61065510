"""Servicers for tests, controlled by requests or by their `with` arguments."""

from __future__ import annotations

import asyncio
import threading

from helloworld.helloworld_pb2 import HelloReply
from helloworld.helloworld_pb2_grpc import GreeterServicer

from grpcsecure.server.service_manager import notify_systemd

#: Seconds after which a test stops waiting and fails.
PATIENCE = 30.0


def reply(text):
    """Return a reply with `text`."""
    return HelloReply(message=str(text))


class Custom(GreeterServicer):
    """Has the methods that it is created with: `Custom(SayHello=function)`."""

    def __init__(self, **methods):
        for name, method in methods.items():
            setattr(self, name, method)

    @staticmethod
    def make(make) -> Custom:
        """Return the result of the function `make`."""
        return make()


class Gated(GreeterServicer):
    """Blocks `SayHello` until `Chat` receives "open".

    `Chat` answers "entered" once a `SayHello` is running, "open" after it has unblocked
    it, and anything else immediately; each answer is an echo. `SayHello` for "stuck"
    never returns: use it only in separate processes.
    """

    def __init__(self):
        self._entered = threading.Event()
        self._open = threading.Event()

    def SayHello(self, request, context):
        """Wait for the gate; then reply."""
        self._entered.set()
        gate = threading.Event() if request.name == "stuck" else self._open
        # Opened when the call ends: a waiting thread would delay the exit.
        if gate is self._open and not context.add_callback(gate.set):
            return None
        gate.wait()
        return reply("done")

    def Chat(self, request_iterator, context):
        """Execute each request, and echo it when it is done."""
        for request in request_iterator:
            if request.name == "entered":
                assert self._entered.wait(PATIENCE)
            if request.name == "open":
                self._open.set()
            yield reply(request.name)


class GatedAio(GreeterServicer):
    """`Gated` for asyncio."""

    def __init__(self):
        self._entered = asyncio.Event()
        self._open = asyncio.Event()

    async def SayHello(self, request, context):
        """Wait for the gate; then reply."""
        self._entered.set()
        gate = asyncio.Event() if request.name == "stuck" else self._open
        await gate.wait()
        return reply("done")

    async def Chat(self, request_iterator, context):
        """Execute each request, and echo it when it is done."""
        async for request in request_iterator:
            if request.name == "entered":
                await asyncio.wait_for(self._entered.wait(), PATIENCE)
            if request.name == "open":
                self._open.set()
            yield reply(request.name)


class Raises(GreeterServicer):
    """Cannot be created: raises its argument `error`."""

    def __init__(self, error):
        raise error


def wrongly_annotated_factory() -> Gated:
    """Return an object that is not of the annotated type."""
    return object()


class Hangs(GreeterServicer):
    """Hangs when it is created, after notifying the service manager of that."""

    def __init__(self):
        notify_systemd("STATUS=hanging")
        threading.Event().wait()
