"""A server whose files change under it: its folder, its log, and clients to try it.

A `Site` is the folder: a config and all that it names, each file replaced as careful
programs do it. `serving` serves it in this process and keeps what it logs.
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

#: Seconds after which something that should have happened is taken for broken.
PATIENCE = 20.0

#: One settle time, in seconds.
SETTLE = 0.2

GREETERS = {
    "threads": "helloworld.greeter:Greeter",
    "asyncio": "helloworld.greeter_aio:Greeter",
}

#: What each engine is to be asked for: both verify.
MODES = {"grpc": "require_and_verify", "bridge": "request_and_verify"}


def authority(name: str) -> Credential:
    """Make a CA."""
    return make_authority(name, now=datetime.now(timezone.utc), days=30)


def client(name: str, issuer: Credential | None = None, **dates) -> Credential:
    """Make a client that is known as `name`, `kind:value`; self-signed by default."""
    who = parse_client(name)
    profile = Profile(
        subject=who.subject,
        names=who.names,
        units=who.units,
        validity=validity(**dates),
    )
    return issue(profile, issuer=issuer)


def validity(*, since: float = 3600.0, seconds: float = 86400.0) -> Validity:
    """Return the dates from so many seconds ago until so many seconds from now."""
    now = datetime.now(timezone.utc)
    return Validity(now - timedelta(seconds=since), now + timedelta(seconds=seconds))


def text_of(*credentials: Credential) -> str:
    """Return certificates as PEM, as a CA file has them."""
    return pem_of(*(each.certificate for each in credentials)).decode()


class Site:
    """The folder of one server, with a server CA that its clients trust for good.

    Attributes:
        ca: the first client CA.
        config: what `write` writes; a test changes it and writes it anew.
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
        """The `tls` block of its listener."""
        return self.config["listeners"]["public"]["tls"]

    def new_pair(self, **dates) -> Credential:
        """Make a server certificate with a new key, not in force yet."""
        profile = Profile(
            subject="server",
            validity=validity(**dates),
            names=(parse_server("localhost"), parse_server("127.0.0.1")),
            purposes=(SERVER_AUTH,),
        )
        return issue(profile, issuer=self.root)

    def write_pair(self, pair: Credential) -> None:
        """Put a certificate and its key in place, one file after the other."""
        self.pair = pair
        self.put("server.pem", pair.certificate_pem.decode())
        self.put("server.key", pair.key_pem.decode())

    def rotate(self, **dates) -> Credential:
        """Put a new certificate and key in place, and return them."""
        self.write_pair(self.new_pair(**dates))
        return self.pair

    def put(self, name: str, text: str) -> None:
        """Put a file in place, by renaming."""
        path = self.folder / name
        fresh = path.with_name(f".{path.name}.new")
        fresh.touch(0o600)
        rename_over(fresh, text)
        fresh.chmod(0o600)
        fresh.rename(path)

    def revoke(self, *revoked: Credential) -> str:
        """Return a list of the client CA with these certificates on it, as PEM."""
        crl = make_crl(
            self.ca, [each.certificate for each in revoked], validity=validity()
        )
        return crl.public_bytes(Encoding.PEM).decode()

    def pin(self, *registered: Credential) -> None:
        """Let these certificates in and no others, and write that."""
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
        """Put the config in place."""
        self.put(self.path.name, json.dumps(self.config, indent=2) + "\n")

    def allow(self, **rules: dict) -> None:
        """Have the config say who may call what; not written yet."""
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
    """What is logged, in order, with the monotonic time of each record."""

    def __init__(self) -> None:
        super().__init__()
        self._changed = threading.Condition()
        self._records: list[tuple[logging.LogRecord, float]] = []
        self._read = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record."""
        with self._changed:
            self._records.append((record, time.monotonic()))
            self._changed.notify_all()

    def all(self, event: str) -> list[dict[str, object]]:
        """Return what was said of an event so far."""
        with self._changed:
            return [_fields(*one) for one in self._records if one[0].msg == event]

    def forget(self) -> None:
        """Forget all that was logged so far."""
        with self._changed:
            self._records.clear()
            self._read = 0

    def wait(self, event: str, *, count: int = 1, within: float = PATIENCE) -> dict:
        """Wait until an event was logged so often; return the last one's fields."""
        with self._changed:
            assert self._changed.wait_for(
                lambda: len([r for r, _ in self._records if r.msg == event]) >= count,
                within,
            ), f"no {event}: {[r.msg for r, _ in self._records]}"
        return self.all(event)[count - 1]

    def next_reload(self, *, within: float = PATIENCE) -> dict:
        """Wait for the next line about a reload, each of which is returned once."""
        with self._changed:
            assert self._changed.wait_for(self._next, within), "no line about a reload"
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
        """Where clients dial."""
        return self.server.addresses["public"]

    def applied(self, *, within: float = PATIENCE) -> dict:
        """Wait for the next line about a reload: it was applied."""
        return self._expect("reload.applied", within)

    def rejected(self, *, within: float = PATIENCE) -> dict:
        """Wait for the next line about a reload: it was rejected."""
        return self._expect("reload.rejected", within)

    def unchanged(self, *, within: float = PATIENCE) -> dict:
        """Wait for the next line about a reload: nothing differs."""
        return self._expect("reload.unchanged", within)

    def _expect(self, event: str, within: float) -> dict:
        line = self.log.next_reload(within=within)
        assert line["event"] == event, (line["event"], line.get("findings"))
        return line

    def expect_nothing_more(self) -> None:
        """Ask for a reload: its own line is the next, and says that nothing differs."""
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
    """Open a connection of its own, as a client or as nobody; give its stub.

    `gone` is set when the server has ended the connection.
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
    """Return a channel that shares its connection with no other; with more options."""
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
    if address.startswith("unix:"):  # a path is no name that a certificate could have
        options.append(("grpc.ssl_target_name_override", "localhost"))
    return grpc.secure_channel(address, credentials, options)


class _Watch:
    """Notices when a channel is ready no longer."""

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
    """Call once; return what it was refused with, None if it was answered."""
    try:
        greet(greeter)
    except grpc.RpcError as error:
        return error.code()
    return None


def serial_of(site: Site, address: str, own: Credential | None = None) -> int:
    """Shake hands, and return the serial number of the server's certificate."""
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
