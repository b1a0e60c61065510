"""Reading services and methods off generated code, without a server."""

from __future__ import annotations

import functools

import grpc
import pytest
from grpc_health.v1 import health_pb2_grpc
from helloworld import greeter, greeter_aio, helloworld_pb2, helloworld_pb2_grpc

from grpcsecure.server.services.recorder import is_coroutine, record

REGISTER = helloworld_pb2_grpc.add_GreeterServicer_to_server
METHODS = ["SayHello", "SayHelloManyTimes", "SayHelloToAll", "Chat"]


def _registers_generic(servicer, server):
    handlers = {
        "SayHello": grpc.unary_unary_rpc_method_handler(
            servicer.SayHello,
            request_deserializer=helloworld_pb2.HelloRequest.FromString,
            response_serializer=helloworld_pb2.HelloReply.SerializeToString,
        )
    }
    generic = grpc.method_handlers_generic_handler("helloworld.Greeter", handlers)
    server.add_generic_rpc_handlers((generic,))


class TestRecord:
    """What a register function registers."""

    @pytest.mark.parametrize("servicer", [greeter.Greeter, greeter.Greeter()])
    def test_class_and_instance_tell_the_same(self, servicer):
        """A class need not be created to know what its instances serve."""
        methods = record(REGISTER, servicer)
        assert [m.full_method for m in methods] == [
            f"/helloworld.Greeter/{name}" for name in METHODS
        ]
        assert [(m.request_streaming, m.response_streaming) for m in methods] == [
            (False, False),
            (False, True),
            (True, False),
            (True, True),
        ]
        assert all(m.is_implemented and not m.is_coroutine for m in methods)

    def test_coroutines_and_async_generators_are_coroutines(self):
        """All four kinds of an asyncio servicer need asyncio."""
        assert all(m.is_coroutine for m in record(REGISTER, greeter_aio.Greeter))

    def test_generated_methods_are_not_implemented(self):
        """What only the generated base has would answer UNIMPLEMENTED."""

        class Half(helloworld_pb2_grpc.GreeterServicer):
            def SayHello(self, request, context):
                """Say nothing."""

        methods = record(REGISTER, Half)
        assert [m.name for m in methods if m.is_implemented] == ["SayHello"]

    def test_inherited_implementation_counts(self):
        """A subclass of a servicer implements what its base does."""

        class Derived(greeter.Greeter):
            pass

        assert all(m.is_implemented for m in record(REGISTER, Derived))

    def test_servicer_that_does_not_fit_raises(self):
        """What the register function raises comes through."""
        with pytest.raises(AttributeError, match="SayHello"):
            record(REGISTER, object())

    def test_code_before_registered_methods_is_read_too(self):
        """Up to grpcio-tools 1.64 generated code knew generic handlers only."""
        methods = record(_registers_generic, greeter.Greeter)
        assert [m.full_method for m in methods] == ["/helloworld.Greeter/SayHello"]

    def test_generic_handler_of_somebody_else_is_asked(self):
        """One without a table is asked for the methods of the service's descriptor."""

        class Handler(grpc.ServiceRpcHandler):
            def __init__(self, servicer):
                self._servicer = servicer

            def service_name(self):
                return "helloworld.Greeter"

            def service(self, handler_call_details):
                if not handler_call_details.method.endswith("/Chat"):
                    return None
                return grpc.stream_stream_rpc_method_handler(self._servicer.Chat)

        methods = record(
            lambda servicer, server: server.add_generic_rpc_handlers(
                (Handler(servicer),)
            ),
            greeter.Greeter,
        )
        assert [m.full_method for m in methods] == ["/helloworld.Greeter/Chat"]

    def test_service_without_protobuf_is_read_too(self):
        """Handlers may be written by hand, for messages of any kind."""

        class Echo:
            async def Say(self, request, context):
                return request

        def add_echo_to_server(servicer, server):
            handlers = {"Say": grpc.unary_unary_rpc_method_handler(servicer.Say)}
            server.add_generic_rpc_handlers(
                (grpc.method_handlers_generic_handler("plain.Echo", handlers),)
            )

        (method,) = record(add_echo_to_server, Echo)
        assert method.full_method == "/plain.Echo/Say"
        assert method.is_coroutine
        assert method.is_implemented

    def test_third_party_servicer(self):
        """Any generated package will do: here that of health checking."""
        methods = record(
            health_pb2_grpc.add_HealthServicer_to_server,
            health_pb2_grpc.HealthServicer,
        )
        names = {m.full_method for m in methods}
        assert {"/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"} <= names


def plain(request, context):
    """Do nothing, at once."""


async def coroutine(request, context):
    """Do nothing, later."""


async def generator(request, context):
    """Yield nothing, later."""
    yield


def wrapped(function):
    """Return `function` in an ordinary decorator."""

    @functools.wraps(function)
    def wrapper(*arguments):
        return function(*arguments)

    return wrapper


class Called:
    """An object that is called like a function."""

    async def __call__(self, request, context):
        """Do nothing, later."""


class PlainlyCalled:
    """The same, for threads."""

    def __call__(self, request, context):
        """Do nothing, at once."""


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (plain, False),
        (wrapped(plain), False),
        (functools.partial(plain), False),
        (PlainlyCalled(), False),
        (len, False),
        (coroutine, True),
        (generator, True),
        (wrapped(coroutine), True),
        (wrapped(wrapped(generator)), True),
        (functools.partial(coroutine), True),
        (functools.partial(wrapped(coroutine)), True),
        (wrapped(functools.partial(coroutine)), True),
        (Called(), True),
        (Called().__call__, True),
        (functools.partial(Called()), True),
    ],
    ids=lambda value: getattr(value, "__name__", type(value).__name__),
)
def test_is_coroutine(function, expected):
    """Decorators, partial application and callable objects hide no coroutine."""
    assert is_coroutine(function) is expected
