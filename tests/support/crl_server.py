"""A public key infrastructure with revocation lists, and a server that checks them."""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from queue import SimpleQueue
from typing import TYPE_CHECKING

import grpc
from cryptography.hazmat.primitives.serialization import Encoding
from helloworld.helloworld_pb2 import HelloRequest
from helloworld.helloworld_pb2_grpc import GreeterServicer, GreeterStub
from support.interop_programs import find_program, run
from support.services import PATIENCE, reply

import grpcsecure
from grpcsecure.devcerts import (
    Profile,
    Validity,
    issue,
    make_authority,
    make_crl,
    parse_server,
)
from grpcsecure.devcerts.credentials import CA_USAGE, SERVER_AUTH, pem_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from grpcsecure.devcerts import Credential

DAY = timedelta(days=1)
NOW = datetime.now(timezone.utc)
CURRENT = Validity(NOW - DAY, NOW + 30 * DAY)
PAST = Validity(NOW - 7 * DAY, NOW - DAY)
FUTURE = Validity(NOW + DAY, NOW + 30 * DAY)

#: Length, type 4, no flags, stream 0 (RFC 9113, section 6.5): an HTTP/2 SETTINGS frame.
_SETTINGS_FRAME = re.compile(r"\0\0.\x04\0\0\0\0\0", re.DOTALL)
_ALERT = re.compile(r"alert ([a-z ]+):.*SSL alert number (\d+)")


def authority(name: str, issuer: Credential | None = None) -> Credential:
    """Make a CA, self-signed unless there is an `issuer`."""
    if issuer is None:
        return make_authority(name, now=NOW, days=30)
    profile = Profile(
        subject=name, validity=CURRENT, purposes=(), usage=CA_USAGE, is_ca=True
    )
    return issue(profile, issuer=issuer)


def client(name: str, issuer: Credential | None = None) -> Credential:
    """Make a client, self-signed unless there is an `issuer`."""
    return issue(Profile(subject=name, validity=CURRENT), issuer=issuer)


def pem(*crls) -> bytes:
    """Return revocation lists as PEM, one after the other."""
    return b"".join(crl.public_bytes(Encoding.PEM) for crl in crls)


class Infrastructure:
    """CAs, the certificates they signed, and their CRLs, as files in `folder`.

    Attributes:
        clients: the clients by name, each with the chain that it sends.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = root = authority("root")
        sound, taken_back, listless = (
            authority(name, root) for name in ("sound", "taken back", "listless")
        )
        # A trusted intermediate: its issuer is not a client CA, but has a CRL.
        parent = authority("parent")
        anchor = authority("anchor", parent)
        bare, late, early = (authority(name) for name in ("bare", "late", "early"))
        pinned = client("pinned")
        self.clients = {
            "good": client("good", root),
            "revoked": client("revoked", root),
            "below sound": client("x", sound).with_chain(sound.certificate),
            "revoked below sound": client("y", sound).with_chain(sound.certificate),
            "below taken back": client("x", taken_back).with_chain(
                taken_back.certificate
            ),
            "below listless": client("x", listless).with_chain(listless.certificate),
            "below anchor": client("x", anchor),
            "revoked below anchor": client("y", anchor),
            "of bare": client("x", bare),
            "of late": client("x", late),
            "of early": client("x", early),
            "pinned": pinned,
            "stranger": client("stranger"),
        }
        revoked = {
            name: (self.clients[name].certificate,)
            for name in ("revoked", "revoked below sound", "revoked below anchor")
        }
        trusted = (root, anchor, bare, late, early, pinned)
        self.write("cas.pem", pem_of(*(each.certificate for each in trusted)))
        roots = make_crl(
            root, (*revoked["revoked"], taken_back.certificate), validity=CURRENT
        )
        # An old list of the root, which the newer one replaces.
        old = make_crl(root, [self.clients["good"].certificate], validity=PAST)
        self.write("several.crl", pem(old, roots, make_crl(parent, validity=CURRENT)))
        sounds = make_crl(sound, revoked["revoked below sound"], validity=CURRENT)
        self.write("sound.crl", sounds.public_bytes(Encoding.DER))
        self.write("taken-back.crl", pem(make_crl(taken_back, validity=CURRENT)))
        anchors = make_crl(anchor, revoked["revoked below anchor"], validity=CURRENT)
        self.write("anchor.crl", pem(anchors))
        self.write("late.crl", pem(make_crl(late, validity=PAST)))
        self.write("early.crl", pem(make_crl(early, validity=FUTURE)))
        self.crls = ("several", "sound", "taken-back", "anchor", "late", "early")
        self._make_server(root)

    def _make_server(self, root: Credential) -> None:
        profile = Profile(
            subject="server",
            validity=CURRENT,
            names=(parse_server("localhost"), parse_server("127.0.0.1")),
            purposes=(SERVER_AUTH,),
        )
        server = issue(profile, issuer=root)
        self.root_pem = pem_of(root.certificate)
        self.write("root.pem", self.root_pem)
        self.write("server.pem", server.certificate_pem)
        self.write("server.key", server.key_pem).chmod(0o600)
        for name, credential in self.clients.items():
            self.write(f"{name}.pem", credential.certificate_pem)
            self.write(f"{name}.key", credential.key_pem)

    def write(self, name: str, data: bytes) -> Path:
        """Write a file and return its path."""
        path = self.folder / name
        path.write_bytes(data)
        return path

    def config(self, *modes: str) -> Path:
        """Write a config with a listener for each of `modes`, named like the mode."""
        return self.config_of({mode: mode for mode in modes})

    def config_of(self, modes: Mapping[str, str]) -> Path:
        """Write a config with listeners, given their names and modes."""
        crls = ", ".join(f"{name}.crl" for name in self.crls)
        lines = ["version: 1", "services:"]
        lines += ["  - servicer: support.crl_server:PeerStateServicer", "listeners:"]
        for name, mode in modes.items():
            lines += [f"  {name}:", "    address: 127.0.0.1:0", "    tls:"]
            lines += [
                f"      {key}: {value}"
                for key, value in {
                    "certificate": "server.pem",
                    "private_key": "server.key",
                    "client_certificate": mode,
                    "client_ca": "cas.pem",
                    "crl": f"[{crls}]",
                }.items()
            ]
        return self.write("server.yaml", "\n".join([*lines, ""]).encode())


class PeerStateServicer(GreeterServicer):
    """Replies with the state of the caller's certificate."""

    def SayHello(self, request, context):
        """Reply with the state, and the reason if there is one."""
        peer = grpcsecure.peer(context)
        return reply(f"{peer.state.value}: {peer.unverified_reason}")


class Refusals(logging.Handler):
    """A logging handler that collects records of refused handshakes by listener."""

    def __init__(self) -> None:
        super().__init__()
        self._records: dict[str, SimpleQueue[logging.LogRecord]] = defaultdict(
            SimpleQueue
        )

    def emit(self, record: logging.LogRecord) -> None:
        """Store a record."""
        if record.msg == "handshake.refused":
            self._records[vars(record)["listener"]].put(record)

    def next(self, listener: str) -> dict[str, object]:
        """Wait for the next record of a listener and return its fields."""
        return vars(self._records[listener].get(timeout=PATIENCE))


class CrlServer:
    """A running server, and clients for it."""

    def __init__(self, server, infrastructure: Infrastructure, refusals) -> None:
        self._infrastructure = infrastructure
        self.server = server
        self.refusals = refusals

    def state_of(self, mode: str, name: str) -> str | None:
        """Call as a client; return its state in the server, None if it is refused."""
        own = self._infrastructure.clients[name]
        credentials = grpc.ssl_channel_credentials(
            self._infrastructure.root_pem, own.key_pem, own.certificate_pem
        )
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]
        address = self.server.addresses[mode]
        with grpc.secure_channel(address, credentials, options) as channel:
            try:
                request = HelloRequest(name=name)
                return GreeterStub(channel).SayHello(request, timeout=PATIENCE).message
            except grpc.RpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise
                return None

    def alert(self, mode: str, name: str, version: str) -> str | None:
        """Return the alert to a client of `openssl`, or None if it is accepted."""
        folder = self._infrastructure.folder
        own = folder / f"{name}.pem"
        output = run(
            *(find_program("openssl"), "s_client", "-ign_eof", version),
            *("-connect", self.server.addresses[mode], "-alpn", "h2"),
            *("-CAfile", folder / "root.pem", "-verify_return_error"),
            *("-cert", own, "-cert_chain", own, "-key", folder / f"{name}.key"),
            stdin="text that is not HTTP/2\r\n\r\n",
        ).text
        if _SETTINGS_FRAME.search(output):
            return None
        alert = _ALERT.search(output)
        assert alert is not None, output
        return f"{alert[1]} ({alert[2]})"


@contextmanager
def serving(infrastructure: Infrastructure, config: Path) -> Iterator[CrlServer]:
    """Serve a config of `infrastructure` while the block runs."""
    refusals = Refusals()
    logger = logging.getLogger("grpcsecure.bridge")
    logger.addHandler(refusals)
    try:
        with grpcsecure.load(config) as server:
            yield CrlServer(server, infrastructure, refusals)
    finally:
        logger.removeHandler(refusals)
