"""The time until new certificates are in use, and the cost of a reload for calls.

    python benchmarks/reload.py [--quick] [--engine ENGINE] [--way events|polling]

Measures the time from the swap of the files to the end of the first handshake with the
new certificate, with events and with polling every second; then the latency of a client
that calls repeatedly, before and during reloads.
"""

from __future__ import annotations

import random
import socket
import ssl
import statistics
import tempfile
import threading
import time
from contextlib import contextmanager
from datetime import datetime, timezone
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING

from calls import connect, latencies
from served import Certificates, Served
from verdicts import options, p99, print_machine

from grpcsecure.devcerts.credentials import (
    SERVER_AUTH,
    Credential,
    Profile,
    Validity,
    issue,
    make_authority,
    pem_of,
)
from grpcsecure.devcerts.subject_names import parse_server

if TYPE_CHECKING:
    from collections.abc import Iterator

_ENGINES = ("grpc", "bridge")

#: Ways to notice a change: the `reload` block, and the longest random delay before a
#: swap, in seconds, so that swaps hit any moment of a polling interval.
_WAYS = {
    "events": ("{interval: 1h}", 0.0),
    "polling": ("{interval: 1s, events: false}", 1.0),
}

_PATIENCE = 30.0

#: Seconds by which reloads may raise the p99 latency of calls.
_GOAL = 0.020

#: Seconds between two swaps under load: enough for each reload to be applied.
_PACE = 0.35


class Site:
    """The files of a server, and two certificate/key pairs that take turns in them."""

    def __init__(self, folder: Path) -> None:
        now = datetime.now(timezone.utc)
        authority = make_authority("benchmark", now=now, days=1)
        validity = Validity.of(1, now=now)
        names = (parse_server("localhost"), parse_server("127.0.0.1"))
        server = Profile(
            subject="server", validity=validity, names=names, purposes=(SERVER_AUTH,)
        )
        client = issue(Profile(subject="client", validity=validity), issuer=authority)
        self._pairs = cycle(issue(server, issuer=authority) for _ in range(2))
        self.certificates = Certificates(
            *(folder / name for name in ("ca.pem", "s.pem", "s.key", "c.pem", "c.key"))
        )
        _put(self.certificates.ca, pem_of(authority.certificate))
        _put(self.certificates.client, client.certificate_pem)
        _put(self.certificates.client_key, client.key_pem)
        self.swap()

    def swap(self) -> Credential:
        """Put the other pair in place."""
        pair = next(self._pairs)
        _put(self.certificates.server, pair.certificate_pem)
        _put(self.certificates.server_key, pair.key_pem)
        return pair


def _put(path: Path, data: bytes) -> None:
    fresh = path.with_name(f".{path.name}.new")
    fresh.touch(0o600)
    fresh.write_bytes(data)
    fresh.rename(path)


def _context(certificates: Certificates) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(certificates.ca)
    context.load_cert_chain(certificates.client, certificates.client_key)
    context.set_alpn_protocols(["h2"])
    return context


def _presented(port: int, context: ssl.SSLContext) -> bytes | None:
    """Perform a handshake; return the server's certificate."""
    with (
        socket.create_connection(("127.0.0.1", port)) as raw,
        context.wrap_socket(raw, server_hostname="localhost") as secure,
    ):
        return secure.getpeercert(binary_form=True)


def time_to_first_use(server: Served, site: Site, rounds: int, spread: float) -> None:
    """Print the time from a swap to the first handshake with the new pair."""
    context = _context(site.certificates)
    taken = []
    for _ in range(rounds):
        time.sleep(random.uniform(0, spread))  # noqa: S311 - no secret
        pair = site.swap()
        wanted = ssl.PEM_cert_to_DER_cert(pem_of(pair.certificate).decode())
        began = time.perf_counter()
        while _presented(server.port, context) != wanted:
            if time.perf_counter() - began > _PATIENCE:
                raise SystemExit(f"never in use:\n{server.log}")
        taken.append(time.perf_counter() - began)
    print(
        f"median {statistics.median(taken) * 1e3:6.0f} ms"
        f"  maximum {max(taken) * 1e3:6.0f} ms  of {rounds}",
        flush=True,
    )


@contextmanager
def _swapping(site: Site) -> Iterator[list[Credential]]:
    """Swap the files repeatedly; yield the list of the pairs put in place."""
    ended = threading.Event()
    done: list[Credential] = []

    def swap() -> None:
        while not ended.wait(_PACE):
            done.append(site.swap())

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        yield done
    finally:
        ended.set()
        thread.join()


def cost_of_calls(server: Served, site: Site, seconds: float) -> None:
    """Print the latencies of calls without reloads and with three per second."""
    with connect(server.address, site.certificates) as greeter:
        latencies(greeter, 0.5)
        before = latencies(greeter, seconds)
        earlier = server.log.count("reload.applied")
        with _swapping(site) as swaps:
            during = latencies(greeter, seconds)
    applied = server.log.count("reload.applied") - earlier
    if applied < len(swaps) // 2:
        raise SystemExit(f"{len(swaps)} swaps, {applied} reloads:\n{server.log}")
    extra = p99(during) - p99(before)
    print(
        f"calls in a row: p99 {p99(before) * 1e3:.2f} ms before,"
        f" {p99(during) * 1e3:.2f} ms during {applied} reloads in {seconds:.0f} s;"
        f" slowest {max(before) * 1e3:.1f} and {max(during) * 1e3:.1f} ms"
        f"  goal < {_GOAL * 1e3:.0f} ms more  {'ok' if extra < _GOAL else 'MISSED'}",
        flush=True,
    )


def main() -> None:
    """Measure one engine after the other."""
    parser = options(__doc__)
    parser.add_argument("--engine", choices=_ENGINES, help="only this one")
    parser.add_argument("--way", choices=[*_WAYS], help="only this one")
    chosen = parser.parse_args()
    rounds, seconds = (3, 1.0) if chosen.quick else (30, 10.0)
    print_machine()
    for engine in [chosen.engine] if chosen.engine else _ENGINES:
        for way in [chosen.way] if chosen.way else _WAYS:
            block, spread = _WAYS[way]
            with tempfile.TemporaryDirectory() as name:
                folder = Path(name)
                site = Site(folder)
                with Served(
                    folder, site.certificates, engine=engine, rules=f"reload: {block}\n"
                ) as server:
                    print(f"{engine:6}  {way:7}", end="  ", flush=True)
                    time_to_first_use(server, site, rounds, spread)
                    if way == "events":
                        print(f"{engine:6}", end="  ", flush=True)
                        cost_of_calls(server, site, seconds)


if __name__ == "__main__":
    main()
