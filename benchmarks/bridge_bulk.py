# A script: its functions are explained by their calls.
# ruff: noqa: ANN001, ANN201, ANN202, D103
"""Bulk transfer through the bridge and through grpcio's own TLS: MB/s and the ratio.

python benchmarks/bridge_bulk.py [--rounds 5] [--runtime threads]
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time

from bridge_load import Server, certificates

LARGE = 4 << 20
CHUNK = 64 << 10
COUNT = 24
CHUNKS = 1500


async def upload(channel):
    call = channel.unary_unary("/bench.B/Sink")
    data = bytes(LARGE)
    for _ in range(COUNT):
        await call(data)
    return LARGE * COUNT


async def download(channel):
    call = channel.unary_unary("/bench.B/Source")
    for _ in range(COUNT):
        await call(str(LARGE).encode())
    return LARGE * COUNT


async def echo(channel):
    call = channel.unary_unary("/bench.B/Echo")
    data = bytes(LARGE)
    for _ in range(COUNT // 2):
        await call(data)
    return LARGE * COUNT


async def client_stream(channel):
    call = channel.stream_unary("/bench.B/Collect")
    data = bytes(CHUNK)

    async def chunks():
        for _ in range(CHUNKS):
            yield data

    await call(chunks())
    return CHUNK * CHUNKS


async def server_stream(channel):
    call = channel.unary_stream("/bench.B/Pour")
    async for _ in call(f"{CHUNKS} {CHUNK}".encode()):
        pass
    return CHUNK * CHUNKS


async def once(server, work):
    async with server.channel() as channel:
        await channel.unary_unary("/bench.B/Sink")(b"")
        began = time.perf_counter()
        size = await work(channel)
        return size / (time.perf_counter() - began) / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--runtime", choices=("threads", "asyncio"))
    options = parser.parse_args()
    with certificates() as folder:
        for runtime in ("threads", "asyncio"):
            if options.runtime not in (None, runtime):
                continue
            servers = {e: Server(folder, e, runtime) for e in ("grpc", "bridge")}
            for work in (upload, download, echo, client_stream, server_stream):
                rates = {engine: [] for engine in servers}
                for _ in range(options.rounds):
                    for engine, server in servers.items():
                        rates[engine].append(asyncio.run(once(server, work)))
                ratio = statistics.median(
                    b / g for b, g in zip(rates["bridge"], rates["grpc"], strict=True)
                )
                print(
                    f"{runtime:8} {work.__name__:14}"
                    f" grpc {statistics.median(rates['grpc']):5.0f} MB/s"
                    f"  bridge {statistics.median(rates['bridge']):5.0f} MB/s"
                    f"  ratio {ratio:.2f}",
                    flush=True,
                )
            for server in servers.values():
                server.__exit__()


if __name__ == "__main__":
    main()
