"""Paths and headers that no gRPC client would send, sent over raw HTTP/2."""

from __future__ import annotations

import grpc
import pytest
from support.bridge_certs import authority
from support.guarded import GREETER, KINDS, RUNTIMES, entered, listeners, serve
from support.raw_http2 import Answer, raw_call

UNKNOWN = Answer(grpc.StatusCode.UNAUTHENTICATED, "not authenticated")
NOT_FOUND = Answer(grpc.StatusCode.UNIMPLEMENTED, "Method not found!")
SERVED = Answer(grpc.StatusCode.OK)

PATH = KINDS["unary"].encode()

#: Without these limits gRPC refuses long headers at random.
LONG = {"grpc.max_metadata_size": 400_000, "grpc.absolute_max_metadata_size": 400_000}

#: Status codes of a call that is not served: grpcsecure or gRPC itself refuses it.
REFUSED = {UNKNOWN.code, grpc.StatusCode.INTERNAL, None}


@pytest.fixture(scope="module", params=RUNTIMES)
def runtime(request):
    """The runtime of the server, and the kind of its methods."""
    return request.param


@pytest.fixture(scope="module", params=[False, True], ids=["", "interceptors"])
def world(request, runtime, tmp_path_factory):
    """A plaintext server."""
    with serve(
        tmp_path_factory.mktemp("world"),
        authority("test CA"),
        runtime,
        interceptors=[RUNTIMES[runtime][2]()] if request.param else [],
        on=listeners("plain"),
        channel_options=LONG,
    ) as world:
        yield world


def rules(effect, *methods, **options):
    """Return an `authorization` block with one rule for anyone; its default differs."""
    return {
        "default": "deny" if effect == "allow" else "allow",
        "rules": {"it": {effect: ["anyone"], "methods": [*methods], **options}},
    }


#: Paths that resemble the path of a method but are not equal to it.
PATHS = {
    "without a slash": PATH[1:],
    "star": b"*",
    "control characters": b"/a\r\n\x1b[0mb",
    "NUL after": PATH + b"\0",
    "NUL within": PATH.replace(b"Say", b"Say\0"),
    "not ASCII": "/helloworld.Greeter/SäyHello".encode(),
    "homoglyph": PATH.decode().replace("a", "\u0430").encode(),
    "100 kB": PATH + b"/" * 100_000,
    "100 kB of a name": b"/" + b"a" * 100_000,
    "double slash": b"/" + PATH,
    "host": b"http://localhost" + PATH,
    "blank before": b" " + PATH,
    "blank after": PATH + b" ",
    "fragment": PATH + b"#",
}


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
def test_path_is_taken_as_it_is(world, path):
    """Rules for a method do not apply to a path that only resembles its path."""
    world.enforce(rules("allow", PATH.decode(), f"{GREETER}/*", "*"))
    entered()
    assert raw_call(world.server.addresses["plain"], path) == UNKNOWN
    assert entered() == []
    world.enforce(rules("deny", PATH.decode()))
    assert raw_call(world.server.addresses["plain"], path) == NOT_FOUND
    assert raw_call(world.server.addresses["plain"], PATH) == UNKNOWN
    world.enforce(rules("deny", "*"))
    assert raw_call(world.server.addresses["plain"], path) == UNKNOWN


def test_missing_or_empty_path(world):
    """A call without a path, or with an empty one, is not served."""
    world.enforce(rules("allow", "*"))
    entered()
    address = world.server.addresses["plain"]
    for path in (None, b""):
        assert raw_call(address, path).code is not grpc.StatusCode.OK
    assert entered() == []
    assert raw_call(address, PATH) == SERVED


#: Header values that resemble `prod` but are not equal to it.
VALUES = {
    "NUL after": b"prod\0",
    "NUL before": b"\0prod",
    "new line": b"prod\n",
    "tab": b"prod\t",
    "escape": b"\x1b[0mprod",
    "not UTF-8": b"prod\xff",
    "homoglyph": "pr\u043ed".encode(),
    "list": b"prod,dev",
    "quoted": b'"prod"',
    "pattern": b"*",
    "upper case": b"PROD",
    "long": b"prod" * 25_000,
}


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_value_is_taken_as_it_is(world, value):
    """A header value that only resembles the required one meets no condition."""
    address = world.server.addresses["plain"]
    world.enforce(rules("allow", "*", metadata={"x-env": ["prod"]}))
    entered()
    assert raw_call(address, PATH, (b"x-env", value)).code in REFUSED
    assert entered() == []
    # Sent together with the required value it does not allow the call either.
    both = raw_call(address, PATH, (b"x-env", b"prod"), (b"x-env", value))
    assert both.code in REFUSED
    assert entered() == []
    assert raw_call(address, PATH, (b"x-env", b"prod")) == SERVED


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_more_values_do_not_escape_a_deny_rule(world, value):
    """A value that a deny rule matches denies, also if other values are sent too."""
    address = world.server.addresses["plain"]
    world.enforce(rules("deny", "*", metadata={"x-env": ["prod"]}))
    entered()
    for sent in ((b"prod", value), (value, b"prod")):
        headers = ((b"x-env", each) for each in sent)
        assert raw_call(address, PATH, *headers).code in REFUSED
    assert entered() == []


def test_upper_case_key_opens_nothing(world):
    """HTTP/2 forbids upper-case header names: gRPC drops them and ends the call."""
    address = world.server.addresses["plain"]
    world.enforce(rules("allow", "*", metadata={"x-env": ["prod"]}))
    entered()
    assert raw_call(address, PATH, (b"X-Env", b"prod")).code in REFUSED
    assert entered() == []
