"""The calls that a deploy costs: a server gets SIGTERM, another one takes its place.

    python benchmarks/drain.py [--rounds N]

30 clients call in a row, each on a connection of its own, 3 read streams of half a
second, and 2 open a channel for each call. All of them wait for a connection
(`wait_for_ready`), so a closed address costs nothing: only the server loses calls.
Beside `grpcsecure serve` through the bridge stands a hand-written grpcio server.
Goal: no call is lost, and each server exits with 0.
"""

from __future__ import annotations

import argparse
import os
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import grpc
from calls import OPTIONS, GreeterStub, HelloRequest
from served import Certificates, make_certificates
from servers import RUNTIMES, describe_machine, started

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_CALLERS, _STREAMS, _NEWCOMERS = 30, 3, 2
_WARM, _AFTER = 1.0, 1.0
_TIMEOUT = 30.0

_CONFIG = """\
version: 1
services:
  - servicer: drain_server:{servicer}
server:
  runtime: {runtime}
listeners:
  public:
    address: {address}
    tls:
      certificate: certs/server.pem
      private_key: certs/server.key
      client_certificate: require_and_verify
      client_ca: certs/ca.pem
      engine: bridge
"""


class Outcome(NamedTuple):
    """What one drain cost."""

    lost: Counter[str]
    #: Of those, the calls of clients that call in a row.
    callers: int
    calls: int
    exit_code: int
    #: From the signal to the end of the process.
    seconds: float


class Load:
    """The clients of one server address, until `end`."""

    def __init__(self, address: str, certificates: Certificates) -> None:
        paths = (certificates.ca, certificates.client_key, certificates.client)
        self._credentials = grpc.ssl_channel_credentials(
            *(path.read_bytes() for path in paths)
        )
        self._address = address
        self._is_over = threading.Event()
        self._lock = threading.Lock()
        self.lost: Counter[str] = Counter()
        self.callers = 0
        self.calls = 0
        jobs = [self._call] * _CALLERS + [self._read] * _STREAMS
        self._threads = [
            threading.Thread(target=job, daemon=True)
            for job in [*jobs, *[self._arrive] * _NEWCOMERS]
        ]
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Let all clients finish the call that they make."""
        self._is_over.set()
        for thread in self._threads:
            thread.join()

    def _channel(self) -> grpc.Channel:
        return grpc.secure_channel(self._address, self._credentials, options=OPTIONS)

    def _try(self, call: Callable[[], object], *, caller: bool = False) -> None:
        code = None
        try:
            call()
        except grpc.RpcError as error:
            code = error.code().name
        with self._lock:
            self.calls += 1
            if code is not None:
                self.lost[code] += 1
                self.callers += caller

    def _greet(self, greeter: GreeterStub) -> None:
        request = HelloRequest(name="x" * 60)
        greeter.SayHello(request, timeout=_TIMEOUT, wait_for_ready=True)

    def _call(self) -> None:
        with self._channel() as channel:
            greeter = GreeterStub(channel)
            while not self._is_over.is_set():
                self._try(lambda: self._greet(greeter), caller=True)

    def _read(self) -> None:
        with self._channel() as channel:
            greeter = GreeterStub(channel)
            while not self._is_over.is_set():
                self._try(lambda: [*self._stream(greeter)])

    @staticmethod
    def _stream(greeter: GreeterStub) -> Iterator[object]:
        request = HelloRequest(name="x")
        return greeter.SayHelloManyTimes(request, timeout=_TIMEOUT, wait_for_ready=True)

    def _arrive(self) -> None:
        while not self._is_over.is_set():
            with self._channel() as channel:
                self._try(lambda: self._greet(GreeterStub(channel)))


def _drain(command: list[str], address: str, certificates: Certificates) -> Outcome:
    with started(command) as first:
        load = Load(address, certificates)
        time.sleep(_WARM)
        began = time.perf_counter()
        first.process.terminate()
        code = first.process.wait()
        seconds = time.perf_counter() - began
        _free(address)
        with started(command):
            time.sleep(_AFTER)
            load.end()
    return Outcome(load.lost, load.callers, load.calls, code, seconds)


def _free(address: str) -> None:
    """Remove the socket that a hand-written server leaves."""
    if address.startswith("unix:"):
        with suppress(FileNotFoundError):
            os.unlink(address.removeprefix("unix:"))  # noqa: PTH108 - a string


def _free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=20)
    rounds = parser.parse_args().rounds
    print(describe_machine())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        certificates = make_certificates(folder / "certs")
        script = str(Path(__file__).parent / "drain_server.py")
        for number in range(rounds):
            for runtime, servicer in RUNTIMES.items():
                for address in (_free_port(), f"unix:{folder}/s"):
                    config = folder / "config.yaml"
                    config.write_text(
                        _CONFIG.format(
                            servicer=servicer, runtime=runtime, address=address
                        )
                    )
                    by_hand = [sys.executable, script, str(folder / "certs"), runtime]
                    serve = [sys.executable, "-m", "grpcsecure", "serve", str(config)]
                    for kind, command in (
                        ("by hand", [*by_hand, address]),
                        ("grpcsecure", serve),
                    ):
                        found = _drain(command, address, certificates)
                        print(
                            f"{number + 1:3} {runtime:8} {address.partition(':')[0]:9}"
                            f" {kind:10} lost {found.lost.total():3} of"
                            f" {found.calls:6} ({found.callers} of {_CALLERS} callers)"
                            f" exit {found.exit_code} after {found.seconds:.2f} s"
                            f" {dict(found.lost) or ''}",
                            flush=True,
                        )


if __name__ == "__main__":
    main()
