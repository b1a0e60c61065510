"""Servers as users start them: `python -m grpcsecure serve CONFIG`, with either engine.

One object per server: its address, and the resources of all its processes, including
the bridge.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING, NamedTuple

from processes import Usage, cpu_seconds, family, usage
from servers import RUNTIMES, environment
from typing_extensions import Self

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Certificates", "Served", "make_certificates"]

_PATIENCE = 30.0

_CONFIG = """\
version: 1
services:
  - servicer: {servicer}
server:
  runtime: {runtime}
  switch_interval: {switch_interval}
listeners:
  public:
    address: {address}
"""

_TLS = """\
    tls:
      certificate: {certificates.server}
      private_key: {certificates.server_key}
      client_certificate: {mode}
      client_ca: {certificates.ca}
      engine: {engine}
"""


class Certificates(NamedTuple):
    """Paths of a CA, a server's and a client's certificate, all ECDSA P-256."""

    ca: Path
    server: Path
    server_key: Path
    client: Path
    client_key: Path

    @property
    def of_client(self) -> tuple[Path, Path]:
        """The client's certificate and key."""
        return self.client, self.client_key


def make_certificates(folder: Path) -> Certificates:
    """Create the files in `folder`, as `grpcsecure certs dev` does."""
    subprocess.run(
        [sys.executable, "-m", "grpcsecure", "-q", "certs", "dev", str(folder)],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    names = ("ca.pem", "server.pem", "server.key", "client.pem", "client.key")
    return Certificates(*(folder / name for name in names))


class Served:
    """One `grpcsecure serve`, until `stop` or the end of a `with` block.

    Args:
        engine: `grpc`, `bridge`, or `plaintext` for a listener without TLS.
        address: `unix:/path`, or an address of the loopback.
        rules: further blocks as YAML, usually `identities` and `authorization`.
    """

    def __init__(  # noqa: PLR0913 - all by name, the keys of a config
        self,
        folder: Path,
        certificates: Certificates,
        *,
        engine: str,
        mode: str = "require_and_verify",
        runtime: str = "threads",
        servicer: str | None = None,
        switch_interval: str = "500us",
        address: str = "127.0.0.1:0",
        rules: str = "",
    ) -> None:
        self.engine = engine
        text = _CONFIG.format(
            servicer=servicer or f"plain_greeter:{RUNTIMES[runtime]}",
            runtime=runtime,
            switch_interval=switch_interval,
            address=address,
        )
        if engine == "plaintext":
            text += "    plaintext: true\n"
        else:
            text += _TLS.format(certificates=certificates, mode=mode, engine=engine)
        text += rules
        name = f"{engine}-{mode}-{runtime}-{switch_interval}-{len(rules)}"
        config = folder / f"{name}.yaml"
        config.write_text(text)
        self._log_path = folder / f"{name}.log"
        self.address = self._start(config, folder / f"{name}.ready")

    def _start(self, config: Path, ready: Path) -> str:
        ready.unlink(missing_ok=True)
        command = [sys.executable, "-m", "grpcsecure", "serve", str(config)]
        with self._log_path.open("wb") as log:
            self._process = subprocess.Popen(
                [*command, "--ready-file", str(ready)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment(),
            )
        deadline = time.monotonic() + _PATIENCE
        while not ready.exists():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise SystemExit(f"no server:\n{self._log_path.read_text()}")
            time.sleep(0.01)
        facts: dict[str, dict[str, str]] = json.loads(ready.read_text())
        return facts["addresses"]["public"]

    @property
    def port(self) -> int:
        """The port on the loopback interface."""
        return int(self.address.rpartition(":")[2])

    @property
    def log(self) -> str:
        """The log of the server so far."""
        return self._log_path.read_text()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Terminate the server and wait for its end. May be called twice."""
        self._process.terminate()
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @property
    def pids(self) -> list[int]:
        """The process IDs of the server and its children."""
        return family(self._process.pid)

    def cpu_seconds(self) -> float:
        """Return the user and system time of all its processes so far."""
        return cpu_seconds(self.pids)

    def usage(self) -> Usage:
        """Return the resources of all its processes now."""
        return usage(self.pids)
