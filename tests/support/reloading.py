"""A server whose files change while it runs: its folder, its log, and clients for it.

A `Site` is the folder: a config and all files that it names, which are replaced by
renaming. `serving` serves it in this process and records its log.
"""

from __future__ import annotations

import json
import logging
import socket
import ssl
import threading
import time
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from helloworld.helloworld_pb2 import HelloRequest
from helloworld.helloworld_pb2_grpc import GreeterStub
from support.mounted_files import rename_over
from support.process import ROOT

import grpcsecure
from grpcsecure.devcerts.credentials import (
    SERVER_AUTH,
    Credential,
    Profile,
    Validity,
    issue,
    make_authority,
    pem_of,
)
from grpcsecure.devcerts.revocation import make_crl
from grpcsecure.devcerts.subject_names import parse_client, parse_server

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "GREETERS",
    "MODES",
    "PATIENCE",
    "SETTLE",
    "LogRecorder",
    "Site",
    "authority",
    "channel",
    "client",
    "greet",
    "open_channel",
    "refusal",
    "serial_of",
    "serving",
    "text_of",
]

#: Seconds after which a test stops waiting and fails.
PATIENCE = 30.0

#: One settle time, in seconds.
SETTLE = 0.2

GREETERS = {
    "threads": "helloworld.greeter:Greeter",
    "asyncio": "helloworld.greeter_aio:Greeter",
}

#: The client certificate mode for each engine; both verify.
MODES = {"grpc": "require_and_verify", "bridge": "request_and_verify"}


def authority(name: str) -> Credential:
    """Make a CA."""
    return make_authority(name, now=datetime.now(timezone.utc), days=30)


def client(name: str, issuer: Credential | None = None, **dates) -> Credential:
    """Make a client with the name `kind:value`; self-signed by default."""
    who = parse_client(name)
    profile = Profile(
        subject=who.subject,
        names=who.names,
        units=who.units,
        validity=validity(**dates),
    )
    return issue(profile, issuer=issuer)


def validity(*, since: float = 3600.0, seconds: float = 86400.0) -> Validity:
    """Return the dates from `since` seconds ago until `seconds` from now."""
    now = datetime.now(timezone.utc)
    return Validity(now - timedelta(seconds=since), now + timedelta(seconds=seconds))


def text_of(*credentials: Credential) -> str:
    """Return certificates as PEM, as in a CA file."""
    return pem_of(*(each.certificate for each in credentials)).decode()


class Site:
    """The folder of one server, with a server CA that its clients always trust.

    Attributes:
        ca: the first client CA.
        config: the config that `write` writes; tests change it and write it again.
    """

    def __init__(
        self,
        folder: Path,
        engine: str,
        *,
        runtime: str = "threads",
        servicer: str | None = None,
        **tls: object,
    ) -> None:
        self.folder = folder
        self.path = folder / "server.yaml"
        self.root = authority("servers")
        self.ca = authority("clients")
        self.pair = self.new_pair()
        self.config: dict = {
            "version": 1,
            "services": [{"servicer": servicer or GREETERS[runtime]}],
            "server": {
                "runtime": runtime,
                "import_paths": [str(ROOT / "examples"), str(ROOT / "tests")],
            },
            "listeners": {
                "public": {
                    "address": "127.0.0.1:0",
                    "tls": {
                        "certificate": "server.pem",
                        "private_key": "server.key",
                        "client_certificate": MODES[engine],
                        "client_ca": "ca.pem",
                        "engine": engine,
                        **tls,
                    },
                }
            },
            "reload": {"interval": "1h"},
        }
        (folder / "server.key").touch(0o600)
        self.write_pair(self.pair)
        self.put("ca.pem", text_of(self.ca))
        self.write()

    @property
    def tls(self) -> dict:
        """The `tls` block of the listener."""
        return self.config["listeners"]["public"]["tls"]

    def new_pair(self, **dates) -> Credential:
        """Make a server certificate with a new key, without writing it."""
        profile = Profile(
            subject="server",
            validity=validity(**dates),
            names=(parse_server("localhost"), parse_server("127.0.0.1")),
            purposes=(SERVER_AUTH,),
        )
        return issue(profile, issuer=self.root)

    def write_pair(self, pair: Credential) -> None:
        """Write a certificate and its key, one file after the other."""
        self.pair = pair
        self.put("server.pem", pair.certificate_pem.decode())
        self.put("server.key", pair.key_pem.decode())

    def rotate(self, **dates) -> Credential:
        """Write a new certificate and key, and return them."""
        self.write_pair(self.new_pair(**dates))
        return self.pair

    def put(self, name: str, text: str) -> None:
        """Write a file, by renaming."""
        path = self.folder / name
        fresh = path.with_name(f".{path.name}.new")
        fresh.touch(0o600)
        rename_over(fresh, text)
        fresh.chmod(0o600)
        fresh.rename(path)

    def revoke(self, *revoked: Credential) -> str:
        """Return a CRL of the client CA with these certificates, as PEM."""
        crl = make_crl(
            self.ca, [each.certificate for each in revoked], validity=validity()
        )
        return crl.public_bytes(Encoding.PEM).decode()

    def pin(self, *registered: Credential) -> None:
        """Write a config that allows only these certificates."""
        self.config["identities"] = {
            "pinned": [
                {"fingerprint": f"sha256:{digest.hex()}"}
                for digest in (
                    each.certificate.fingerprint(hashes.SHA256()) for each in registered
                )
            ]
        }
        self.allow(pinned={"allow": ["pinned"], "methods": ["*"]})
        self.write()

    def write(self) -> None:
        """Write the config."""
        self.put(self.path.name, json.dumps(self.config, indent=2) + "\n")

    def allow(self, **rules: dict) -> None:
        """Set the rules of the config, without writing it."""
        self.config["authorization"] = {"rules": rules}

    def place(self, *keys: str) -> str:
        """Return the file and line of a key in the written config: `file:line`."""
        lines = self.path.read_text().splitlines()
        at = -1
        for key in keys:
            at = next(
                number
                for number, line in enumerate(lines)
                if number > at and line.strip().startswith(f'"{key}"')
            )
        return f"{self.path}:{at + 1}"


class LogRecorder(logging.Handler):
    """A logging handler that stores records in order, with their monotonic times."""

    def __init__(self) -> None:
        super().__init__()
        self._changed = threading.Condition()
        self._records: list[tuple[logging.LogRecord, float]] = []
        self._read = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Store a record."""
        with self._changed:
            self._records.append((record, time.monotonic()))
            self._changed.notify_all()

    def all(self, event: str) -> list[dict[str, object]]:
        """Return the fields of all records of an event so far."""
        with self._changed:
            return [_fields(*one) for one in self._records if one[0].msg == event]

    def forget(self) -> None:
        """Remove all records."""
        with self._changed:
            self._records.clear()
            self._read = 0

    def wait(self, event: str, *, count: int = 1, within: float = PATIENCE) -> dict:
        """Wait until an event was logged `count` times; return its last fields."""
        with self._changed:
            assert self._changed.wait_for(
                lambda: len([r for r, _ in self._records if r.msg == event]) >= count,
                within,
            ), f"no {event}: {[r.msg for r, _ in self._records]}"
        return self.all(event)[count - 1]

    def next_reload(self, *, within: float = PATIENCE) -> dict:
        """Wait for the next record about a reload; each is returned once."""
        with self._changed:
            assert self._changed.wait_for(self._next, within), "no record of a reload"
            record, at = self._next() or self._records[0]
            self._read = self._records.index((record, at)) + 1
        return _fields(record, at)

    def _next(self) -> tuple[logging.LogRecord, float] | None:
        for record, at in self._records[self._read :]:
            if record.name == "grpcsecure.reload":
                return record, at
        return None


def _fields(record: logging.LogRecord, at: float) -> dict[str, object]:
    return {**vars(record), "event": record.msg, "at": at}


class Serving:
    """A server in this process, and its log."""

    def __init__(self, site: Site, server, lines: LogRecorder) -> None:
        self.site = site
        self.server = server
        self.log = lines

    @property
    def address(self) -> str:
        """The address of the listener."""
        return self.server.addresses["public"]

    def applied(self, *, within: float = PATIENCE) -> dict:
        """Wait for the next reload; check that it was applied."""
        return self._expect("reload.applied", within)

    def rejected(self, *, within: float = PATIENCE) -> dict:
        """Wait for the next reload; check that it was rejected."""
        return self._expect("reload.rejected", within)

    def unchanged(self, *, within: float = PATIENCE) -> dict:
        """Wait for the next reload; check that nothing had changed."""
        return self._expect("reload.unchanged", within)

    def _expect(self, event: str, within: float) -> dict:
        line = self.log.next_reload(within=within)
        assert line["event"] == event, (line["event"], line.get("findings"))
        return line

    def expect_nothing_more(self) -> None:
        """Request a reload; check that it is the next one, and nothing has changed."""
        self.server.reload()
        self.unchanged()


@contextmanager
def serving(site: Site, *, profile: str | None = None):
    """Serve a site in this process while the block runs."""
    lines = LogRecorder()
    logger = logging.getLogger("grpcsecure")
    level = logger.level
    logger.addHandler(lines)
    logger.setLevel(logging.INFO)
    try:
        with grpcsecure.load(site.path, profile=profile) as server:
            yield Serving(site, server, lines)
    finally:
        logger.removeHandler(lines)
        logger.setLevel(level)


@contextmanager
def channel(
    site: Site,
    address: str,
    own: Credential | None = None,
    *,
    gone: threading.Event | None = None,
):
    """Open a separate connection, with or without a certificate; yield its stub.

    `gone` is set when the server has closed the connection.
    """
    with open_channel(site, address, own) as connection:
        if gone is not None:
            grpc.channel_ready_future(connection).result(PATIENCE)
            connection.subscribe(_Watch(gone))
        yield GreeterStub(connection)


def open_channel(
    site: Site,
    address: str,
    own: Credential | None = None,
    *more: tuple[str, object],
) -> grpc.Channel:
    """Return a channel with a separate connection, and with more options."""
    credentials = grpc.ssl_channel_credentials(
        pem_of(site.root.certificate),
        own and own.key_pem,
        own and own.certificate_pem,
    )
    options = [
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.enable_retries", 0),
        ("grpc.initial_reconnect_backoff_ms", 100),
        *more,
    ]
    if address.startswith("unix:"):  # a certificate cannot have a path as its name
        options.append(("grpc.ssl_target_name_override", "localhost"))
    return grpc.secure_channel(address, credentials, options)


class _Watch:
    """Sets an event when a channel is no longer ready."""

    def __init__(self, gone: threading.Event) -> None:
        self._gone = gone
        self._was_ready = False

    def __call__(self, state: grpc.ChannelConnectivity) -> None:
        if state is grpc.ChannelConnectivity.READY:
            self._was_ready = True
        elif self._was_ready:
            self._gone.set()


def greet(greeter: GreeterStub, name: str = "Ada") -> str:
    """Call once and return the reply."""
    return greeter.SayHello(HelloRequest(name=name), timeout=PATIENCE).message


def refusal(greeter: GreeterStub) -> grpc.StatusCode | None:
    """Make a call; return the status code of a refusal, or None if it succeeds."""
    try:
        greet(greeter)
    except grpc.RpcError as error:
        return error.code()
    return None


def serial_of(site: Site, address: str, own: Credential | None = None) -> int:
    """Make a handshake; return the serial number of the server's certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=text_of(site.root))
    context.set_alpn_protocols(["h2"])
    if own is not None:
        path = site.folder / f"{own.certificate.serial_number:x}.client"
        path.write_bytes(own.certificate_pem + own.key_pem)
        context.load_cert_chain(path)
        path.unlink()
    host, _, port = address.rpartition(":")
    with (
        socket.create_connection((host, int(port)), timeout=PATIENCE) as raw,
        context.wrap_socket(raw, server_hostname="localhost") as secure,
    ):
        der = secure.getpeercert(binary_form=True)
    assert der is not None
    return x509.load_der_x509_certificate(der).serial_number
