"""Servicers for tests, steered over the wire or by what `with` hands to them."""

from __future__ import annotations

import asyncio
import threading

from helloworld.helloworld_pb2 import HelloReply
from helloworld.helloworld_pb2_grpc import GreeterServicer

from grpcsecure.server.lifecycle import notify_systemd

#: Seconds after which something that should have happened is taken for broken.
PATIENCE = 10.0


def reply(text):
    """Return the reply that says `text`."""
    return HelloReply(message=str(text))


class Custom(GreeterServicer):
    """Has the methods that it is created with: `Custom(SayHello=function)`."""

    def __init__(self, **methods):
        for name, method in methods.items():
            setattr(self, name, method)

    @staticmethod
    def make(make) -> Custom:
        """Return what the function `make` makes."""
        return make()


class Gated(GreeterServicer):
    """Holds `SayHello` until `Chat` is told "open"; `Chat` answers what happened.

    Chat knows three words: "entered" is answered once a `SayHello` is running, "open"
    lets it go on, anything else is an echo. A `SayHello` for "stuck" never returns: for
    processes only.
    """

    def __init__(self):
        self._entered = threading.Event()
        self._open = threading.Event()

    def SayHello(self, request, context):
        """Wait for the authorizer; then reply."""
        self._entered.set()
        authorizer = threading.Event() if request.name == "stuck" else self._open
        # A thread that waits for nobody would hold up the exit.
        if authorizer is self._open and not context.add_callback(authorizer.set):
            return None
        authorizer.wait()
        return reply("done")

    def Chat(self, request_iterator, context):
        """Do as told, and echo each word when it is done."""
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
        """Wait for the authorizer; then reply."""
        self._entered.set()
        authorizer = asyncio.Event() if request.name == "stuck" else self._open
        await authorizer.wait()
        return reply("done")

    async def Chat(self, request_iterator, context):
        """Do as told, and echo each word when it is done."""
        async for request in request_iterator:
            if request.name == "entered":
                await asyncio.wait_for(self._entered.wait(), PATIENCE)
            if request.name == "open":
                self._open.set()
            yield reply(request.name)


class Raises(GreeterServicer):
    """Cannot be created: raises the `error` that it is given."""

    def __init__(self, error):
        raise error


def wrongly_annotated_factory() -> Gated:
    """Return something else than it promises."""
    return object()


class Hangs(GreeterServicer):
    """Is never created: tells the service manager that it hangs, and does."""

    def __init__(self):
        notify_systemd("STATUS=hanging")
        threading.Event().wait()
