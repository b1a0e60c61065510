# Scripts: their functions are explained by their calls.
# ruff: noqa: ANN001, ANN002, ANN201, ANN202, ANN204
"""Shared parts of the bridge's benchmarks: certificates, servers, a load generator."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import grpc

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests"))

OPTIONS = [
    ("grpc.ssl_target_name_override", "localhost"),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
]


@contextmanager
def certificates():
    """Yield a folder with a CA, a server's and a client's certificate."""
    from cryptography import x509
    from support.bridge_certs import CLIENT_AUTH, authority, certificate

    ca = authority("benchmark CA")
    server = certificate("localhost", issuer=ca, names=[x509.DNSName("localhost")])
    client = certificate("client", issuer=ca, extended=CLIENT_AUTH)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "ca.pem").write_bytes(ca.certificate_pem)
        for label, pair in (("server", server), ("client", client)):
            (folder / f"{label}.pem").write_bytes(pair.chain_pem)
            (folder / f"{label}.key").write_bytes(pair.key_pem)
        yield folder


class Server:
    """One server process, and the process of its bridge."""

    def __init__(
        self, folder, engine, runtime, *, switch_interval=0.0005, cores=None
    ) -> None:
        self.folder = folder
        self.engine = engine
        self._popen = subprocess.Popen(
            [
                *(("taskset", "-c", cores) if cores else ()),
                sys.executable,
                str(HERE / "bridge_server.py"),
                f"--engine={engine}",
                f"--runtime={runtime}",
                f"--certificates={folder}",
                f"--switch-interval={switch_interval}",
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        port, bridge = self._popen.stdout.readline().split()
        self.target = f"127.0.0.1:{int(port)}"
        self.port = int(port)
        self.pids = [self._popen.pid] + ([int(bridge)] if int(bridge) else [])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._popen.stdin.close()
        self._popen.wait()

    def cpu_seconds(self):
        """Return the CPU time of the server, including its bridge."""
        ticks = 0
        for pid in self.pids:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def memory(self):
        """Return the proportional set size of the server and its bridge, in bytes."""
        total = 0
        for pid in self.pids:
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
        return total

    def channel(self, *, aio=True):
        """Open a channel with a separate connection."""
        make = grpc.aio if aio else grpc
        if self.engine == "plaintext":
            return make.insecure_channel(self.target, options=OPTIONS)

        def read(name):
            return (self.folder / name).read_bytes()

        credentials = grpc.ssl_channel_credentials(
            read("ca.pem"), read("client.key"), read("client.pem")
        )
        return make.secure_channel(self.target, credentials, options=OPTIONS)


def interleaved(rounds, engines, measure):
    """Run `measure(engine)` in turn; return its medians by engine."""
    results = {engine: [] for engine in engines}
    for _ in range(rounds):
        for engine in engines:
            results[engine].append(measure(engine))
    return {engine: statistics.median(values) for engine, values in results.items()}
