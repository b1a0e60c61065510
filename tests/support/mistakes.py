"""The golden files of mistakes: a good config, edits of it, and what is printed.

A file in tests/golden/mistakes has sections. A section begins with `=== ` and the
mistake in a few words. Lines follow that begin with

- `-` and then `+`: these lines of the good config, replaced by those; without a `-`,
  the `+` lines are the whole config,
- `$`: the command, if it is not `grpcsecure validate shop.yaml`,
- `@`: a variable of the environment, as `@ NAME=value`.

The rest, after an empty line, is the output of the command, and its exit code.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from support.certificates import make_certificates

from grpcsecure.tls.files import read_files

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["BASE", "FOLDER", "Mistake", "make_shop", "read_mistakes"]

FOLDER = Path(__file__).parents[1] / "golden" / "mistakes"

#: Characters that an editor would not show.
_SIGNS = {"<NBSP>": "\u00a0", "<TAB>": "\t", "<ZWSP>": "\u200b", "<LQ>": "\u201c"}

BASE = """\
version: 1
production: true

services:
  - servicer: shop.orders:Orders
    with: {database: orders.db}

server:
  import_paths: [src]
  threads: 8

listeners:
  public:
    address: 0.0.0.0:8443
    tls:
      certificate: certs/server.pem
      private_key: certs/server.key
      client_certificate: require_and_verify
      client_ca: certs/ca.pem

identities:
  web: {spiffe: "spiffe://corp.example/web"}
  batch: {dns: batch.corp.example}

authorization:
  rules:
    ordering:
      allow: [web, batch]
      methods: ["/shop.v1.Orders/*"]
    probes:
      allow: [verified]
      methods: ["/grpc.health.v1.Health/*"]
  tests:
    - as: {dns: batch.corp.example}
      call: /shop.v1.Orders/PlaceOrder
      expect: allow

profiles:
  dev:
    production: false
    listeners:
      public:
        address: 127.0.0.1:8443
"""

#: A servicer as a user writes it, and the module that `protoc` generates for it.
_GENERATED = """\
import grpc


class OrdersServicer:
    def PlaceOrder(self, request, context):
        raise NotImplementedError

    def CancelOrder(self, request, context):
        raise NotImplementedError


def add_OrdersServicer_to_server(servicer, server):
    names = ("PlaceOrder", "CancelOrder")
    handlers = {
        name: grpc.unary_unary_rpc_method_handler(getattr(servicer, name))
        for name in names
    }
    generic = grpc.method_handlers_generic_handler("shop.v1.Orders", handlers)
    server.add_generic_rpc_handlers((generic,))
"""

_ORDERS = '''\
from shop import orders_pb2_grpc


class Orders(orders_pb2_grpc.OrdersServicer):
    def __init__(self, database):
        self.database = database

    def PlaceOrder(self, request, context):
        return b""

    def CancelOrder(self, request, context):
        return b""


class Stock:
    """Has no generated base class."""


class Regional(Orders):
    def __init__(self, database, region, *, currency, tax=0):
        super().__init__(database)


class Limited(Orders):
    def __init__(self, database: str, retries: int = 3, regions: list[str] = ()):
        super().__init__(database)


def make(database: str) -> Orders:
    return Orders(database)


READY = Orders("orders.db")
'''


@dataclass
class Mistake:
    """One section: the mistake, the config with it, the command and its output."""

    file: Path
    title: str
    head: list[str]
    output: str
    config: str = BASE
    command: str = "grpcsecure validate shop.yaml"
    environ: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Apply the edits in the head of the section."""
        whole = [line[1:] for line in self.head if line.startswith("+")]
        edits = [line for line in self.head if line[:1] in "-+"]
        if whole and len(whole) == len(edits):
            self.config = _signs("".join(f"{line}\n" for line in whole))
        for old, new in _hunks(edits) if len(whole) != len(edits) else ():
            assert f"\n{self.config}".count(f"\n{old}") == 1, f"{self.title}: {old!r}"
            config = f"\n{self.config}".replace(f"\n{old}", f"\n{_signs(new)}")
            self.config = config[1:]
        for line in self.head:
            if line.startswith("$ "):
                self.command = line[2:]
            elif line.startswith("@ "):
                name, _, value = line[2:].partition("=")
                self.environ[name] = value

    def render(self, output: str) -> str:
        """Return the section with this output."""
        return "\n".join([f"=== {self.title}", *self.head, "", output.rstrip(), "\n"])


def _signs(text: str) -> str:
    for sign, character in _SIGNS.items():
        text = text.replace(sign, character)
    return text


def _hunks(edits: list[str]) -> Iterator[tuple[str, str]]:
    for match in re.finditer(
        r"(?:-.*\n)+(?:\+.*\n)*", "".join(f"{e}\n" for e in edits)
    ):
        lines = match[0].splitlines()
        yield (
            "".join(f"{line[1:]}\n" for line in lines if line.startswith("-")),
            "".join(f"{line[1:]}\n" for line in lines if line.startswith("+")),
        )


def read_mistakes(path: Path) -> list[Mistake]:
    """Return the sections of a golden file."""
    mistakes = []
    for part in re.split(r"(?m)^=== ", path.read_text())[1:]:
        title, _, rest = part.partition("\n")
        head, _, output = rest.partition("\n\n")
        mistakes.append(Mistake(path, title, head.splitlines(), output.strip("\n")))
    return mistakes


def make_shop(folder: Path) -> Path:
    """Write the files of the shop: its code, certificates, and files mixed up."""
    package = folder / "src" / "shop"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "orders_pb2_grpc.py").write_text(_GENERATED)
    (package / "orders.py").write_text(_ORDERS)
    (package / "broken.py").write_text("import shop.no_such_part\n")
    (package / "ungenerated.py").write_text("import shop.stock_pb2\n")
    (package / "slip.py").write_text("x = = 1\n")
    certs = make_certificates(folder / "certs", servers=("orders.corp.example",))
    make_certificates(folder / "other")
    _make_mixups(certs, folder / "other")
    return folder


def _make_mixups(certs: Path, other: Path) -> None:
    """Write what users have in place of PEM files."""
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.serialization import pkcs12

    server, ca = (certs / "server.pem").read_bytes(), (certs / "ca.pem").read_bytes()
    key = serialization.load_pem_private_key((certs / "server.key").read_bytes(), None)
    certificate = x509.load_pem_x509_certificate(server)
    encoding, private = serialization.Encoding, serialization.PrivateFormat
    plain = serialization.NoEncryption()
    locked = serialization.BestAvailableEncryption(b"secret")
    (certs / "joined.pem").write_bytes(server.rstrip() + ca)
    (certs / "two-ca.pem").write_bytes(ca.rstrip() + (other / "ca.pem").read_bytes())
    (certs / "server.der").write_bytes(certificate.public_bytes(encoding.DER))
    (certs / "key.der").write_bytes(
        key.private_bytes(encoding.DER, private.PKCS8, plain)
    )
    (certs / "locked.key").write_bytes(
        key.private_bytes(encoding.PEM, private.PKCS8, locked)
    )
    (certs / "server.p12").write_bytes(
        pkcs12.serialize_key_and_certificates(b"it", key, certificate, None, locked)
    )
    (certs / "server.jks").write_bytes(b"\xfe\xed\xfe\xed\0\0\0\2\0\0\0\1" + bytes(64))
    (certs / "empty.pem").touch()
    (certs / "notes.txt").write_text("ask ops for the certificate\n")
    (certs / "oneline.pem").write_bytes(server.replace(b"\n", b""))
    (certs / "escaped.pem").write_bytes(server.replace(b"\n", rb"\n"))
    (certs / "indented.pem").write_bytes(b"    " + server.replace(b"\n", b"\n    "))
    (certs / "cut.pem").write_bytes(server[: len(server) // 2])
    (certs / "base64.pem").write_bytes(b"".join(server.splitlines()[1:-1]))
    request = x509.CertificateSigningRequestBuilder(certificate.subject)
    from cryptography.hazmat.primitives.hashes import SHA256

    signed = request.sign(key, SHA256())
    (certs / "server.csr").write_bytes(signed.public_bytes(encoding.PEM))
    (certs / "public.pem").write_bytes(
        key.public_key().public_bytes(
            encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    (certs / "ssh.key").write_bytes(
        key.private_bytes(encoding.PEM, private.OpenSSH, plain)
    )
    for path in certs.iterdir():
        path.chmod(0o600)
    assert read_files([certs / "server.pem"])
