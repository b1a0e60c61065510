"""A load generator in a separate process: unary calls, as fast as they are answered.

    python unary_load.py ADDRESS CA CONNECTIONS STREAMS SECONDS [CERTIFICATE KEY]

Each stream makes one call after the other. Prints the fields of `loads.Load` as JSON.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from itertools import chain
from pathlib import Path

import grpc
from helloworld.helloworld_pb2 import HelloRequest
from helloworld.helloworld_pb2_grpc import GreeterStub

#: Without it, channels of one process to the same address share a connection.
_OWN_CONNECTION = [("grpc.use_local_subchannel_pool", 1)]
_WARM_UP = 0.3


async def _stream(stub: GreeterStub, end: float) -> list[float]:
    """Call repeatedly until `end`; return the latencies."""
    request, taken = HelloRequest(name="Ada"), []
    now = time.perf_counter()
    while now < end:
        await stub.SayHello(request)
        began, now = now, time.perf_counter()
        taken.append(now - began)
    return taken


async def _load(
    address: str,
    credentials: grpc.ChannelCredentials,
    shape: tuple[int, int],
    seconds: float,
) -> dict[str, float]:
    connections, streams = shape
    channels = [
        grpc.aio.secure_channel(address, credentials, options=_OWN_CONNECTION)
        for _ in range(connections)
    ]
    stubs = [GreeterStub(channel) for channel in channels for _ in range(streams)]
    end = time.perf_counter() + _WARM_UP
    await asyncio.gather(*(_stream(stub, end) for stub in stubs))
    begin = time.perf_counter()
    found = await asyncio.gather(*(_stream(stub, begin + seconds) for stub in stubs))
    elapsed = time.perf_counter() - begin
    await asyncio.gather(*(channel.close() for channel in channels))
    taken = [*chain.from_iterable(found)]
    return {
        "calls": len(taken),
        "rate": len(taken) / elapsed,
        "latency": statistics.median(taken),
    }


if __name__ == "__main__":
    address, ca, connections, streams, seconds, *pair = sys.argv[1:]
    certificate, key = (Path(path).read_bytes() for path in pair or (ca, ca))
    credentials = grpc.ssl_channel_credentials(
        Path(ca).read_bytes(), *((key, certificate) if pair else ())
    )
    shape = int(connections), int(streams)
    print(json.dumps(asyncio.run(_load(address, credentials, shape, float(seconds)))))
