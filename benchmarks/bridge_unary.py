# Scripts, whose functions are read where they are called.
# ruff: noqa: ANN001, D103
"""Unary calls through the bridge against grpcio's own TLS, in one run.

    python benchmarks/bridge_unary.py [--seconds 2] [--rounds 5]

Prints calls per second, the ratio, and the median latency that is added at 1 x 1;
with both cores free, and with all of it pinned to one.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics

from bridge_load import Server, certificates, unary_load

SHAPES = ((1, 1), (10, 10), (100, 1))


def measure(folder, runtime, shape, options, cores) -> None:
    results = {"grpc": [], "bridge": []}
    latency = {"grpc": [], "bridge": []}
    cpu = {"grpc": [], "bridge": []}
    servers = {e: Server(folder, e, runtime, cores=cores) for e in results}
    for _ in range(options.rounds):
        for engine, server in servers.items():
            before = server.cpu_seconds()
            rate, latencies = asyncio.run(unary_load(server, *shape, options.seconds))
            results[engine].append(rate)
            latency[engine].append(statistics.median(latencies))
            cpu[engine].append((server.cpu_seconds() - before) / len(latencies))
    for server in servers.values():
        server.__exit__()
    ratio = statistics.median(
        ours / theirs
        for ours, theirs in zip(results["bridge"], results["grpc"], strict=True)
    )
    added = statistics.median(
        ours - theirs
        for ours, theirs in zip(latency["bridge"], latency["grpc"], strict=True)
    )
    print(
        f"{runtime:8} {'one core' if cores else 'free':8} {shape[0]:3} x {shape[1]:<3}"
        f" grpc {statistics.median(results['grpc']):7.0f}/s"
        f"  bridge {statistics.median(results['bridge']):7.0f}/s  ratio {ratio:.2f}"
        f"  added median {added * 1e6:5.0f} us"
        f"  cpu/call {statistics.median(cpu['grpc']) * 1e6:4.0f}"
        f" -> {statistics.median(cpu['bridge']) * 1e6:4.0f} us",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--runtime", choices=("threads", "asyncio"))
    parser.add_argument("--cores", choices=("free", "one"))
    options = parser.parse_args()
    everything = os.sched_getaffinity(0)
    with certificates() as folder:
        for cores in (None, "0"):
            if options.cores and (cores is None) != (options.cores == "free"):
                continue
            os.sched_setaffinity(0, {0} if cores else everything)
            for runtime in ("threads", "asyncio"):
                if options.runtime in (None, runtime):
                    for shape in SHAPES:
                        measure(folder, runtime, shape, options, cores)


if __name__ == "__main__":
    main()
