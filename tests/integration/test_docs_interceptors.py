"""The example in docs/interceptors.md runs unchanged."""

from __future__ import annotations

import re

import grpc
import pytest
from helloworld.helloworld_pb2 import HelloRequest
from helloworld.helloworld_pb2_grpc import GreeterStub
from support.bridge import eventually
from support.process import ROOT, serving

PAGE = (ROOT / "docs" / "interceptors.md").read_text()


def test_the_example_prints_allowed_and_denied_calls(tmp_path):
    """The interceptor sees both with their status and the client's address."""
    for name, text in re.findall(r"(?s)```\w+\n(?=# (\S+)\n)(.*?)```", PAGE):
        (tmp_path / name).write_text(text)
    environ = {"PYTHONPATH": str(ROOT / "examples")}
    with (
        serving("traced.yaml", cwd=tmp_path, **environ) as served,
        grpc.insecure_channel(served.addresses["public"]) as channel,
    ):
        greeter = GreeterStub(channel)
        assert "Ada" in greeter.SayHello(HelloRequest(name="Ada"), timeout=30).message
        nowhere = "/helloworld.Greeter/Nowhere"
        with pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary(nowhere)(b"", timeout=30)
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
        eventually(lambda: len(_printed(served)) == 2)
        allowed, denied = _printed(served)
    address = r"ipv4:127\.0\.0\.1:\d+"
    assert re.fullmatch(rf"greeter {address} /helloworld\.Greeter/SayHello OK", allowed)
    assert re.fullmatch(rf"greeter {address} {nowhere} UNAUTHENTICATED", denied)


def _printed(served):
    lines = served.stdout.splitlines()
    return [line for line in lines if line.startswith("greeter ipv4:")]
