"""The cost of many CAs, a long revocation list and many registered certificates.

    python benchmarks/bundles.py [--quick] [--before PYTHON]

For each kind of material: the time of `grpcsecure validate`, and the time of the first
call of a client after the ready line of `serve`. With `--before`, both are compared
with the grpcsecure that another interpreter has installed, by turns in the same run.
Goals: loading takes at most twice as long as before, a first call at most 1.2 times.
Needs certifi (`pip install --group bench`), whose CAs are real ones.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import certifi
import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from servers import environment, started
from verdicts import Comparison, options, print_machine

from grpcsecure.devcerts import Profile, Validity, issue, make_authority
from grpcsecure.devcerts.credentials import SERVER_AUTH, pem_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from grpcsecure.devcerts import Credential

NOW = datetime.now(timezone.utc)
VALIDITY = Validity(NOW - timedelta(days=1), NOW + timedelta(days=30))
_REVOKED = 100_000
_MANY = 1_000

_CONFIG = """\
version: 1
services: [{servicer: 'plain_greeter:Greeter'}]
server: {runtime: threads}
listeners:
  public:
    address: 127.0.0.1:0
    tls:
      certificate: server.pem
      private_key: server.key
      client_certificate: require_and_verify
"""
_PINS = """\
identities: {units: {certificates: 'pins/*.pem'}}
authorization:
  rules: {units: {allow: [units], methods: ['*']}}
"""


class Material:
    """The CA and a client of it, and the files of each kind of material."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.ca = make_authority("clients", now=NOW, days=30)
        self.client = issue(
            Profile(subject="client", validity=VALIDITY), issuer=self.ca
        )
        profile = Profile(
            subject="localhost",
            names=(x509.DNSName("localhost"),),
            validity=VALIDITY,
            purposes=(SERVER_AUTH,),
        )
        server = issue(profile, issuer=self.ca)
        self._write("server.pem", server.certificate_pem)
        self._write("server.key", server.key_pem)
        (folder / "server.key").chmod(0o600)

    def configs(self) -> Iterator[tuple[str, Path]]:
        """Yield the title and the config of each kind."""
        own = pem_of(self.ca.certificate)
        self._write("one.pem", own)
        public = Path(certifi.where()).read_bytes()
        count = public.count(b"BEGIN CERTIFICATE")
        yield f"{count} public CAs", self._config("public", public + own)
        others = b"".join(pem_of(each.certificate) for each in self._authorities())
        yield f"{_MANY:,} CAs", self._config("many", others + own)
        self._write("clients.crl", self._long_list())
        yield (
            f"a list of {_REVOKED:,}",
            self._config("crl", own, tls="      crl: [clients.crl]\n"),
        )
        (self._folder / "pins").mkdir()
        self._write("pins/client.pem", self.client.certificate_pem)
        for number, other in enumerate(self._clients()):
            self._write(f"pins/{number}.pem", other.certificate_pem)
        yield f"{_MANY:,} registered", self._config("pins", own, after=_PINS)

    def _config(self, name: str, cas: bytes, *, tls: str = "", after: str = "") -> Path:
        self._write(f"{name}.pem", cas)
        text = f"{_CONFIG}      client_ca: {name}.pem\n{tls}{after}"
        return self._write(f"{name}.yaml", text.encode())

    def _authorities(self) -> Iterator[Credential]:
        for number in range(_MANY):
            yield make_authority(f"other {number}", now=NOW, days=30)

    def _clients(self) -> Iterator[Credential]:
        for number in range(_MANY):
            yield issue(
                Profile(subject=f"unit {number}", validity=VALIDITY), issuer=self.ca
            )

    def _long_list(self) -> bytes:
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.ca.certificate.subject)
            .last_update(VALIDITY.not_before)
            .next_update(VALIDITY.not_after)
        )
        for serial in range(1, _REVOKED + 1):
            revoked = x509.RevokedCertificateBuilder().serial_number(serial)
            builder = builder.add_revoked_certificate(
                revoked.revocation_date(VALIDITY.not_before).build()
            )
        made = builder.sign(self.ca.key, hashes.SHA256())
        return made.public_bytes(Encoding.DER)

    def _write(self, name: str, content: bytes) -> Path:
        path = self._folder / name
        path.write_bytes(content)
        return path


def time_validate(python: str, config: Path) -> float:
    """Return the seconds of `grpcsecure validate`."""
    command = [python, "-m", "grpcsecure", "-q", "validate", str(config)]
    begin = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment())
    return time.perf_counter() - begin


def time_first_call(python: str, config: Path, material: Material) -> float:
    """Return the seconds from the first byte of a client to the end of its call."""
    credentials = grpc.ssl_channel_credentials(
        pem_of(material.ca.certificate),
        material.client.key_pem,
        material.client.certificate_pem,
    )
    name = [("grpc.ssl_target_name_override", "localhost")]
    with started([python, "-m", "grpcsecure", "serve", str(config)]) as server:
        begin = time.perf_counter()
        with grpc.secure_channel(server.address, credentials, name) as channel:
            channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=60)
        return time.perf_counter() - begin


def main() -> None:
    """Measure and print."""
    parser = options(__doc__)
    parser.add_argument("--before", metavar="PYTHON", default=sys.executable)
    arguments = parser.parse_args()
    pythons = {"before": arguments.before, "now": sys.executable}
    names = ("before", "now")
    rounds = 3 if arguments.quick else 11
    print_machine()
    with tempfile.TemporaryDirectory() as folder:
        material = Material(Path(folder))
        for title, config in material.configs():
            load = Comparison(
                f"load, {title}", "{:.0f} ms", scale=1e3, at_most=2.0, names=names
            )
            call = Comparison(
                f"call, {title}", "{:.1f} ms", scale=1e3, at_most=1.2, names=names
            )
            for _ in range(rounds):
                for name, python in pythons.items():
                    load.add(name, time_validate(python, config))
                    call.add(name, time_first_call(python, config, material))
            load.show()
            call.show()


if __name__ == "__main__":
    main()
