"""Full mTLS handshakes per second, and what a flood of them does to open connections.

    python benchmarks/bridge_handshakes.py [--seconds 3] [--rounds 3]

Clients are Python's ssl in processes of their own, TLS 1.3, no resumption. Under the
flood (50 clients that do nothing but handshakes) one open connection makes unary
calls; printed are its p50 and p99.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import socket
import ssl
import statistics
import time

from bridge_load import Server, certificates, unary_load


def handshakes(folder, port, seconds, clients, results) -> None:
    """Do handshakes on `clients` connections in turn; put their number."""
    import selectors

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(folder / "ca.pem")
    context.load_cert_chain(folder / "client.pem", folder / "client.key")
    context.set_alpn_protocols(["h2"])
    ready = selectors.DefaultSelector()

    def begin() -> None:
        sock = socket.socket()
        sock.setblocking(False)
        sock.connect_ex(("127.0.0.1", port))
        tls = context.wrap_socket(
            sock, server_hostname="localhost", do_handshake_on_connect=False
        )
        ready.register(tls, selectors.EVENT_WRITE)

    for _ in range(clients):
        begin()
    count = 0
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for key, _ in ready.select(0.1):
            tls = key.fileobj
            try:
                tls.do_handshake()
                # The server's SETTINGS: its side of the handshake is done too.
                tls.recv(1)
                count += 1
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                ready.modify(tls, selectors.EVENT_READ)
                continue
            except OSError:
                pass
            ready.unregister(tls)
            tls.close()
            begin()
    results.put(count)


def flood(server, seconds, clients, processes=2):
    results = multiprocessing.Queue()
    started = [
        multiprocessing.Process(
            target=handshakes,
            args=(server.folder, server.port, seconds, clients // processes, results),
        )
        for _ in range(processes)
    ]
    for process in started:
        process.start()
    return started, results


def finish(started, results, seconds):
    total = sum(results.get() for _ in started)
    for process in started:
        process.join()
    return total / seconds


def quantile(latencies, part):
    return sorted(latencies)[int(len(latencies) * part)] * 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with certificates() as folder:
        servers = {e: Server(folder, e, "threads") for e in ("grpc", "bridge")}
        rates = {engine: [] for engine in servers}
        p99s = {engine: [] for engine in servers}
        for _ in range(options.rounds):
            for engine, server in servers.items():
                rates[engine].append(
                    finish(*flood(server, options.seconds, 20), options.seconds)
                )
            for engine, server in servers.items():
                under_way = flood(server, options.seconds + 1, 50)
                _, latencies = asyncio.run(unary_load(server, 1, 1, options.seconds))
                finish(*under_way, options.seconds + 1)
                p99s[engine].append(quantile(latencies, 0.99))
                print(
                    f"  {engine:6} under flood: p50 {quantile(latencies, 0.5):.2f} ms"
                    f"  p99 {quantile(latencies, 0.99):.2f} ms",
                    flush=True,
                )
        for server in servers.values():
            server.__exit__()
    for engine in rates:
        print(
            f"{engine:6} {statistics.median(rates[engine]):6.0f} handshakes/s"
            f"  p99 under flood {statistics.median(p99s[engine]):.2f} ms"
        )
    handshake_ratio = statistics.median(
        b / g for b, g in zip(rates["bridge"], rates["grpc"], strict=True)
    )
    p99_ratio = statistics.median(
        b / g for b, g in zip(p99s["bridge"], p99s["grpc"], strict=True)
    )
    print(f"handshakes ratio {handshake_ratio:.2f}  p99 ratio {p99_ratio:.2f}")


if __name__ == "__main__":
    main()
