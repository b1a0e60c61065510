"""Which metadata of a call gRPC core lets a server's handlers see, found by trying.

Every name that occurs in the installed grpcio's library is sent as a metadata key, in
HTTP/2 by hand, since clients remove some keys themselves. So a key that a release of
grpcio treats in a new way is found, whatever its name.
"""

from __future__ import annotations

import re
from concurrent import futures
from pathlib import Path

import grpc
import pytest
from grpc._cython import cygrpc
from support.raw_http2 import raw_call

from grpcsecure.model.metadata_keys import (
    RESERVED_KEYS,
    SINGLE_KEYS,
    USER_AGENT,
    as_delivered,
)

#: Names in the library's read-only data: whole strings, and those that the linker keeps
#: as the end of another or in the middle of code.
_WHOLE = re.compile(rb"(?<![!-~])([a-z][a-z0-9_.-]{1,39})\0")
_INSIDE = re.compile(rb"(?:grpc|lb-|x-|endpoint|host|te|trace|user)[a-z0-9_.-]{0,40}")

#: Names that compilers may keep as numbers, and others with a meaning to HTTP.
_OTHERS = """
    accept accept-encoding authorization baggage connection content-encoding
    content-length content-type cookie date expect grpc-encoding grpc-message grpc-other
    grpc-status grpc-tags-bin grpc-timeout grpc-trace-bin grpcgateway-user-agent host
    keep-alive lb-cost-bin lb-token origin proxy-connection referer te traceparent
    tracestate trailer transfer-encoding upgrade user-agent via x-forwarded-for
    x-forwarded-host x-forwarded-proto x-request-id
"""

#: A value for every key that wants a certain form: a number, base64, or what `te`,
#: `grpc-timeout` and `grpc-encoding` may be. A malformed value can end the call before
#: a handler sees it.
_VALUES = (b"1", b"AQIDBAUGBwgJ", b"trailers", b"1S", b"identity")
_MANY = 100


class _RecordingHandler(grpc.GenericRpcHandler):
    """A handler that records the metadata of each call and serves no method."""

    def __init__(self):
        self.seen = []

    def service(self, handler_call_details):
        self.seen += handler_call_details.invocation_metadata


@pytest.fixture(name="handler", scope="module")
def _handler():
    """A handler, and the address of its server as `address`."""
    handler = _RecordingHandler()
    server = grpc.server(futures.ThreadPoolExecutor(1), handlers=(handler,))
    handler.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    yield handler
    server.stop(None).wait()


def _deliver(handler, *headers):
    """Return what the handler sees of a call with these headers."""
    handler.seen.clear()
    raw_call(handler.address, b"/a.B/C", *headers)
    return [(key, value) for key, value in handler.seen]


@pytest.fixture(name="names", scope="module")
def _names():
    """Every name that may be a metadata key with a meaning."""
    library = Path(cygrpc.__file__).read_bytes()
    found = {*_WHOLE.findall(library), *_INSIDE.findall(library)}
    return sorted(found | set(_OTHERS.encode().split()))


def test_reserved_keys_are_those_that_handlers_never_see(handler, names):
    """`RESERVED_KEYS` has the keys that gRPC core removes, and no others."""
    left = set(names)
    for start in range(0, len(names), _MANY):
        several = [(name, b"1") for name in names[start : start + _MANY]]
        left -= {key.encode() for key, _ in _deliver(handler, *several)}
    # A malformed value of one key ends a call, so that the others are not seen either.
    unseen = {
        name.decode()
        for name in left
        if not any(_deliver(handler, (name, value)) for value in _VALUES)
    }
    assert len(names) > len(left) > 0
    assert unseen == RESERVED_KEYS


def test_single_keys_are_those_whose_last_value_is_seen(handler, names):
    """`SINGLE_KEYS` has the keys of which the last value arrives, and no others."""
    single = {}
    for name in {name.decode() for name in names} - RESERVED_KEYS:
        seen = _deliver(handler, (name.encode(), b"5"), (name.encode(), b"7"))
        if len(seen) != 2:
            single[name] = seen
    # An older release does not have the keys whose names do not occur in it.
    known = {key for key in SINGLE_KEYS if key.encode() in names}
    assert single == {key: [(key, "7")] for key in known}


def test_delivered_metadata_is_what_a_handler_sees(handler):
    """`as_delivered` says what arrives: order, removed keys and repeated keys."""
    sent = [
        ("x-a", "1"),
        ("grpc-message", "m"),
        ("x-forwarded-for", "a"),
        ("x-a", "2"),
        ("grpc-other", "o"),
        ("x-forwarded-for", "b"),
    ]
    headers = [(key.encode(), value.encode()) for key, value in sent]
    assert sorted(_deliver(handler, *headers)) == sorted(as_delivered(sent))
    assert as_delivered(sent) == (
        ("x-a", "1"),
        ("x-a", "2"),
        ("grpc-other", "o"),
        ("x-forwarded-for", "b"),
    )


@pytest.mark.parametrize(
    ("options", "pattern"),
    [
        ((), r"grpc-python/\S+ grpc-c/\S+ \(\w+; \w+\)"),
        (
            (("grpc.primary_user_agent", "billing/1.0"),),
            r"billing/1\.0 grpc-python/\S+ grpc-c/\S+ \(\w+; \w+\)",
        ),
        (
            (("grpc.secondary_user_agent", "billing/1.0"),),
            r"grpc-python/\S+ grpc-c/\S+ \(\w+; \w+\) billing/1\.0",
        ),
    ],
)
def test_user_agent_is_composed_by_the_client(handler, options, pattern):
    """A client adds its name and version, and drops the key in a call's metadata."""
    handler.seen.clear()
    with (
        grpc.insecure_channel(handler.address, options=options) as channel,
        pytest.raises(grpc.RpcError),
    ):
        channel.unary_unary("/a.B/C")(
            b"", metadata=((USER_AGENT, "billing"),), timeout=30
        )
    [(key, value)] = handler.seen
    assert key == USER_AGENT
    assert re.fullmatch(pattern, value)
