"""The table of modes, on the wire: every client, mode, engine and TLS version.

Expected values are those of `grpcsecure.model.matrix`, from which the docs page is made
too. Servers are loaded from a config; the clients have three different TLS libraries.
"""

from __future__ import annotations

import json
from contextlib import ExitStack
from itertools import product
from typing import TYPE_CHECKING, NamedTuple

import pytest
from cryptography.hazmat.primitives import serialization
from support.matrix_certs import MatrixCertificates, make_matrix_certificates
from support.mode_clients import GoClient, GrpcioClient, OpensslClient, Order
from support.witness import seen

import grpcsecure
from grpcsecure import ClientCertificateMode, PeerState
from grpcsecure.model.matrix import CLIENTS, UNFIT_CLIENTS, ClientKind

if TYPE_CHECKING:
    from collections.abc import Iterator

DER = serialization.Encoding.DER
DONT_REQUEST = ClientCertificateMode.DONT_REQUEST
NOT_CHECKED = "not checked: the listener has no client CA"


class Door(NamedTuple):
    """A listener of the servers."""

    engine: str
    mode: ClientCertificateMode
    has_client_ca: bool = True

    def __str__(self) -> str:
        return (
            f"{self.engine}-{self.mode.value}{'' if self.has_client_ca else '-no-ca'}"
        )

    @property
    def config(self) -> dict[str, object]:
        """The listener in the config."""
        tls = {
            "certificate": "server.pem",
            "private_key": "server.key",
            "client_certificate": self.mode.value,
            "engine": self.engine,
        }
        if self.mode.asks and self.has_client_ca:
            tls["client_ca"] = "clients.pem"
        return {"address": "127.0.0.1:0", "tls": tls}


DOORS = [
    *(Door("grpc", mode) for mode in ClientCertificateMode if mode.traits.in_grpcio),
    *(Door("bridge", mode) for mode in ClientCertificateMode),
    *(
        Door("bridge", mode, has_client_ca=False)
        for mode in ClientCertificateMode
        if mode.asks and not mode.verifies
    ),
]


class World(NamedTuple):
    """The certificates, and the running servers by runtime."""

    certificates: MatrixCertificates
    addresses: dict[str, dict[str, str]]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A server with all the listeners for each runtime."""
    folder = tmp_path_factory.mktemp("matrix")
    certificates = make_matrix_certificates()
    certificates.write_server_files(folder)
    with ExitStack() as running:
        addresses = {}
        for runtime, servicer in (("threads", "Witness"), ("asyncio", "WitnessAio")):
            config = {
                "version": 1,
                "services": [{"servicer": f"support.witness:{servicer}"}],
                "server": {"runtime": runtime, "shutdown_grace": "1s"},
                "listeners": {str(door): door.config for door in DOORS},
            }
            path = folder / f"{runtime}.yaml"
            path.write_text(json.dumps(config))
            server = running.enter_context(grpcsecure.load(path))
            addresses[runtime] = server.addresses
        yield World(certificates, addresses)


@pytest.fixture(scope="module")
def clients(tmp_path_factory):
    """A function that returns the client of a column, started when first asked for."""
    folder = tmp_path_factory.mktemp("clients")
    makers = {
        "grpcio": GrpcioClient,
        "openssl": lambda: OpensslClient(folder),
        "go": lambda: GoClient(folder),
    }
    made = {}

    def client(column):
        if column not in made:
            made[column] = makers[column]()
        return made[column]

    yield client
    for each in made.values():
        each.close()


class Case(NamedTuple):
    """A cell of the table: a client with its certificate at a listener."""

    runtime: str
    door: Door
    row: ClientKind
    version: str
    column: str

    def __str__(self) -> str:
        return "-".join(map(str, self._replace(row=self.row.name)))


#: grpcio offers all its TLS versions, which comes to 1.3; asyncio has the same engines,
#: so that one column is enough to see its calls arrive.
COLUMNS = [
    ("threads", "TLSv1.2", "openssl"),
    ("threads", "TLSv1.3", "openssl"),
    ("threads", "TLSv1.2", "go"),
    ("threads", "TLSv1.3", "go"),
    ("threads", "TLSv1.3", "grpcio"),
    ("asyncio", "TLSv1.3", "grpcio"),
]

#: BoringSSL does not take such certificates and keys, which is the client's here.
IMPOSSIBLE = {("grpcio", "wrong-key"), ("grpcio", "no-signature")}


def _cells() -> Iterator[Case]:
    for row, door, (runtime, version, column) in product(CLIENTS, DOORS, COLUMNS):
        if (column, row.name) not in IMPOSSIBLE:
            yield Case(runtime, door, row, version, column)


CASES = [*_cells()]


def test_table_and_certificates_have_the_same_rows(world):
    """Each row of the table is tried, and so is each specimen of `certs dev`."""
    assert set(world.certificates.clients) == {row.name for row in CLIENTS}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_mode_serves_or_refuses_a_client(world, clients, case):
    """A client is served or refused as the table says, and the servicer knows it."""
    credential = world.certificates.clients[case.row.name]
    order = Order(
        address=world.addresses[case.runtime][str(case.door)],
        ca=world.certificates.ca.certificate_pem,
        name=str(case),
        credential=credential,
        version=case.version,
    )
    heard = clients(case.column).call(order)
    peers = seen(str(case))
    assert heard.is_served == case.row.is_served_by(case.door.mode), heard.text
    if not heard.is_served:
        assert peers == []
        check_alert(case, heard)
    elif case.column != "openssl":  # it makes no call
        [peer] = peers
        check_peer(case, peer, credential)
        assert heard.message == peer.address
        assert heard.local is None or peer.address == f"ipv4:{heard.local}"


def check_alert(case, heard):
    """Assert that a refused client was told why, as far as engine and client can."""
    if case.column == "grpcio":
        return
    if case.door.engine == "grpc":
        assert heard.alert is None  # a trap of grpcio; the docs say so
        return
    expected = case.row.alert
    if case.version == "TLSv1.2" and case.row.alert_tls12 is not None:
        expected = case.row.alert_tls12
    assert heard.alert == expected, heard.text


def check_peer(case, peer, credential):
    """Assert that `grpcsecure.peer` said how far the caller can be trusted, and why."""
    assert peer.listener == str(case.door)
    if credential is None or case.door.mode is DONT_REQUEST:
        assert peer.state is PeerState.ANONYMOUS
        assert (peer.certificate, peer.chain, peer.unverified_reason) == (
            None,
            (),
            None,
        )
        return
    sent = [
        each.public_bytes(DER) for each in (credential.certificate, *credential.chain)
    ]
    assert [peer.certificate.der, *peer.chain] == sent
    if not case.door.has_client_ca:
        assert peer.unverified_reason == NOT_CHECKED
    else:
        assert peer.unverified_reason == case.row.reason
    is_verified = case.door.has_client_ca and case.row.reason is None
    assert peer.state is (PeerState.VERIFIED if is_verified else PeerState.CLAIMED)
    assert peer.is_verified == is_verified


@pytest.mark.parametrize("column", ["openssl", "go"])
@pytest.mark.parametrize("unfit", UNFIT_CLIENTS, ids=lambda unfit: unfit.name)
@pytest.mark.parametrize("door", DOORS, ids=str)
def test_every_mode_refuses_clients_that_cannot_speak_grpc(
    world, clients, door, unfit, column
):
    """Without ALPN `h2`, or without TLS 1.2, there is no connection in any mode."""
    how = {
        "no-alpn": {"alpn": ()},
        "http1-only": {"alpn": ("http/1.1",)},
        "tls11": {"version": "TLSv1.1"},
    }
    order = Order(
        address=world.addresses["threads"][str(door)],
        ca=world.certificates.ca.certificate_pem,
        name=unfit.name,
        credential=world.certificates.clients["trusted"],
        **how[unfit.name],
    )
    heard = clients(column).call(order)
    assert not heard.is_served, heard.text
    if door.engine == "bridge":
        assert heard.alert == unfit.alert, heard.text
