"""The table of modes, tested for every client, mode, engine and TLS version.

Expected values come from `grpcsecure.model.matrix`, as does the docs page. Servers are
loaded from a config; the clients use three different TLS libraries. Most present their
certificate in any case; grpc-go decides by the server's list of acceptable CAs.
"""

from __future__ import annotations

import json
import logging
from contextlib import ExitStack
from itertools import product
from queue import SimpleQueue
from typing import TYPE_CHECKING, NamedTuple

import pytest
from cryptography.hazmat.primitives import serialization
from support.matrix_certs import MatrixCertificates, make_matrix_certificates
from support.mode_clients import Order
from support.recording_peers import recorded_peers
from support.services import PATIENCE

import grpcsecure
from grpcsecure import ClientCertificateMode, PeerState
from grpcsecure.model.matrix import CLIENTS, UNFIT_CLIENTS, ClientKind

if TYPE_CHECKING:
    from collections.abc import Iterator

DER = serialization.Encoding.DER
DONT_REQUEST = ClientCertificateMode.DONT_REQUEST
NOT_CHECKED = "not checked: the listener has no client CA"


class Listener(NamedTuple):
    """A listener of the servers: its engine, mode and client CA."""

    engine: str
    mode: ClientCertificateMode
    has_client_ca: bool = True

    def __str__(self) -> str:
        return (
            f"{self.engine}-{self.mode.value}{'' if self.has_client_ca else '-no-ca'}"
        )

    def config(self, **settings: str) -> dict[str, object]:
        """Return the listener's block of the config; `settings` go to `tls`."""
        tls = {
            "certificate": "server.pem",
            "private_key": "server.key",
            "client_certificate": self.mode.value,
            "engine": self.engine,
            **settings,
        }
        if self.mode.asks and self.has_client_ca:
            tls["client_ca"] = "clients.pem"
        return {"address": "127.0.0.1:0", "tls": tls}


LISTENERS = [
    *(
        Listener("grpc", mode)
        for mode in ClientCertificateMode
        if mode.traits.in_grpcio
    ),
    *(Listener("bridge", mode) for mode in ClientCertificateMode),
    *(
        Listener("bridge", mode, has_client_ca=False)
        for mode in ClientCertificateMode
        if mode.asks and not mode.verifies
    ),
]


class World(NamedTuple):
    """The certificates, and the running servers by runtime."""

    certificates: MatrixCertificates
    addresses: dict[str, dict[str, str]]


def serve(folder, listeners, *, runtime="threads"):
    """Write a config with these listeners to `folder`; return the server of it."""
    servicer = {"threads": "PeerRecorder", "asyncio": "AioPeerRecorder"}[runtime]
    config = {
        "version": 1,
        "services": [{"servicer": f"support.recording_peers:{servicer}"}],
        "server": {"runtime": runtime, "shutdown_grace": "1s"},
        "listeners": listeners,
    }
    path = folder / f"{runtime}-{len(listeners)}.yaml"
    path.write_text(json.dumps(config))
    return grpcsecure.load(path)


@pytest.fixture(scope="module")
def certificates():
    """The certificates of servers and clients."""
    return make_matrix_certificates()


@pytest.fixture(scope="module")
def folder(tmp_path_factory, certificates):
    """A folder with the files that configs name."""
    folder = tmp_path_factory.mktemp("matrix")
    certificates.write_server_files(folder)
    return folder


@pytest.fixture(scope="module")
def world(folder, certificates):
    """A server with all the listeners, for each runtime."""
    listeners = {str(listener): listener.config() for listener in LISTENERS}
    with ExitStack() as running:
        servers = {
            runtime: running.enter_context(serve(folder, listeners, runtime=runtime))
            for runtime in ("threads", "asyncio")
        }
        yield World(
            certificates,
            {runtime: server.addresses for runtime, server in servers.items()},
        )


class Case(NamedTuple):
    """A cell of the table: a kind of client, a listener, a TLS version and library."""

    runtime: str
    listener: Listener
    row: ClientKind
    version: str
    column: str

    def __str__(self) -> str:
        return "-".join(map(str, self._replace(row=self.row.name)))


#: Runtime, TLS version and client library. The grpcio client always negotiates TLS 1.3.
#: The asyncio runtime has the same engines, so one column suffices to test its calls.
COLUMNS = [
    ("threads", "TLSv1.2", "openssl"),
    ("threads", "TLSv1.3", "openssl"),
    ("threads", "TLSv1.2", "go"),
    ("threads", "TLSv1.3", "go"),
    ("threads", "TLSv1.2", "grpc-go"),
    ("threads", "TLSv1.3", "grpc-go"),
    ("threads", "TLSv1.2", "grpc-java"),
    ("threads", "TLSv1.3", "grpc-java"),
    ("threads", "TLSv1.3", "grpcio"),
    ("asyncio", "TLSv1.3", "grpcio"),
]

REQUIRE_AND_VERIFY = Listener("bridge", ClientCertificateMode.REQUIRE_AND_VERIFY)

#: Clients as they come, which choose by the list of acceptable CAs.
CHOOSING = {"grpc-go", "grpc-java"}

#: Clients none of whose certificates has an issuer in the list of acceptable CAs, which
#: that listener sends: if they choose by the list, they present no certificate.
UNLISTED = {"self-signed", "other-ca", "no-chain"}
NO_CERTIFICATE = next(row for row in CLIENTS if row.name == "none")

#: Clients that cannot be tested: BoringSSL in the client rejects these certificates.
IMPOSSIBLE = {("grpcio", "wrong-key"), ("grpcio", "no-signature")}

#: BoringSSL in grpc-java rejects them too, once a server requests a certificate: the
#: client ends the handshake itself.
UNPRESENTABLE = {("grpc-java", "wrong-key"), ("grpc-java", "no-signature")}


def _cells() -> Iterator[Case]:
    for row, listener, (runtime, version, column) in product(
        CLIENTS, LISTENERS, COLUMNS
    ):
        if (column, row.name) not in IMPOSSIBLE:
            yield Case(runtime, listener, row, version, column)


def _marks(case: Case) -> list[pytest.MarkDecorator]:
    return [pytest.mark.interop] if case.column in CHOOSING else []


CASES = [pytest.param(case, marks=_marks(case)) for case in _cells()]


def test_table_and_certificates_have_the_same_rows(world):
    """The rows of the table are exactly the specimens of `certs dev`."""
    assert set(world.certificates.clients) == {row.name for row in CLIENTS}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_mode_serves_or_refuses_a_client(world, clients, case):
    """A client is served or refused as in the table; the servicer sees its peer."""
    credential = world.certificates.clients[case.row.name]
    order = Order(
        address=world.addresses[case.runtime][str(case.listener)],
        ca=world.certificates.ca.certificate_pem,
        name=str(case),
        credential=credential,
        version=case.version,
    )
    result = clients(case.column).call(order)
    peers = recorded_peers(str(case))
    assert result.is_served == case.row.is_served_by(case.listener.mode), result.text
    if not result.is_served:
        assert peers == []
        check_alert(case, result)
    elif case.column != "openssl":  # `openssl s_client` makes no call
        [peer] = peers
        check_peer(case, peer, credential)
        assert result.message == peer.address
        assert result.local is None or peer.address == f"ipv4:{result.local}"


def check_alert(case, result):
    """Assert that a refused client got the right alert, if it can be observed."""
    if case.column == "grpcio":
        return
    if (case.column, case.row.name) in UNPRESENTABLE:
        assert result.alert is None
        return
    if case.listener.engine == "grpc":
        assert result.alert is None  # grpcio sends no alert; the docs warn of it
        return
    row = case.row
    if case.column in CHOOSING and case.listener == REQUIRE_AND_VERIFY:
        row = NO_CERTIFICATE if row.name in UNLISTED else row
    expected = row.alert
    if case.version == "TLSv1.2" and row.alert_tls12 is not None:
        expected = row.alert_tls12
    assert result.alert == expected, result.text


def check_peer(case, peer, credential):
    """Assert that `grpcsecure.peer` had the right state, certificates and reason."""
    assert peer.listener == str(case.listener)
    if credential is None or case.listener.mode is DONT_REQUEST:
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
    if not case.listener.has_client_ca:
        assert peer.unverified_reason == NOT_CHECKED
    else:
        assert peer.unverified_reason == case.row.reason
    # OpenSSL has no error code for a chain that was not checked, or that is good.
    has_code = case.listener.has_client_ca and case.row.reason is not None
    assert (peer.unverified_code is not None) == has_code
    is_verified = case.listener.has_client_ca and case.row.reason is None
    assert peer.state is (PeerState.VERIFIED if is_verified else PeerState.CLAIMED)
    assert peer.is_verified == is_verified


@pytest.mark.parametrize("column", ["openssl", "go"])
@pytest.mark.parametrize("unfit", UNFIT_CLIENTS, ids=lambda unfit: unfit.name)
@pytest.mark.parametrize("listener", LISTENERS, ids=str)
def test_every_mode_refuses_clients_that_cannot_speak_grpc(
    world, clients, listener, unfit, column
):
    """Clients without ALPN `h2` or without TLS 1.2 are not served in any mode."""
    how = {
        "no-alpn": {"alpn": ()},
        "http1-only": {"alpn": ("http/1.1",)},
        "tls11": {"version": "TLSv1.1"},
    }
    order = Order(
        address=world.addresses["threads"][str(listener)],
        ca=world.certificates.ca.certificate_pem,
        name=unfit.name,
        credential=world.certificates.clients["trusted"],
        **how[unfit.name],
    )
    result = clients(column).call(order)
    assert not result.is_served, result.text
    if listener.engine == "bridge":
        assert result.alert == unfit.alert, result.text


class Log(logging.Handler):
    """Collects the bridge's log records inside a `with` block."""

    def __init__(self):
        super().__init__()
        self.records = SimpleQueue()
        self.emit = self.records.put

    def __enter__(self):
        logging.getLogger("grpcsecure.bridge").addHandler(self)
        return self

    def __exit__(self, *_):
        logging.getLogger("grpcsecure.bridge").removeHandler(self)


REFUSED = [row for row in CLIENTS if not row.is_served_by(REQUIRE_AND_VERIFY.mode)]


@pytest.fixture(scope="module")
def listener_per_row(folder):
    """A server with a listener for each refused row.

    Log lines are limited per listener, so each row needs its own.
    """
    with serve(
        folder, {row.name: REQUIRE_AND_VERIFY.config() for row in REFUSED}
    ) as it:
        yield it.addresses


@pytest.mark.parametrize("row", REFUSED, ids=lambda row: row.name)
def test_refusal_is_logged_with_address_reason_and_certificate(
    listener_per_row, certificates, clients, row
):
    """One log line has the client's address, the reason and the bad certificate."""
    credential = certificates.clients[row.name]
    with Log() as log:
        ca = certificates.ca.certificate_pem
        order = Order(listener_per_row[row.name], ca, row.name, credential)
        local = clients("go").call(order).local
        record = log.records.get(timeout=PATIENCE)
    reason = row.reason
    if row.depth:
        reason += f" (certificate {row.depth} of the chain)"
    assert record.getMessage() == "handshake.refused"
    assert record.levelno == logging.WARNING
    assert (record.listener, record.reason) == (row.name, reason)
    assert record.address == f"ipv4:{local}"
    if credential is None:
        assert not hasattr(record, "subject")
    elif row.depth == 0:
        certificate = credential.certificate
        assert record.subject == certificate.subject.rfc4514_string()
        assert record.issuer == certificate.issuer.rfc4514_string()


ASKING = [
    listener
    for listener in LISTENERS
    if listener.engine == "bridge" and listener.mode.asks
]


@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
@pytest.mark.parametrize("listener", ASKING, ids=str)
def test_only_require_and_verify_names_the_acceptable_cas(
    world, clients, listener, version
):
    """The certificate request lists the client CAs (RFC 8446, section 4.2.4)."""
    address = world.addresses["threads"][str(listener)]
    trusted = world.certificates.clients["trusted"]
    ca = world.certificates.ca.certificate_pem
    result = clients("go").call(Order(address, ca, "list", trusted, version))
    assert result.acceptable == (4 if listener == REQUIRE_AND_VERIFY else 0)
    recorded_peers("list")


@pytest.mark.parametrize(
    ("mode", "row", "outcome"),
    [
        ("request_but_dont_verify", "self-signed", PeerState.CLAIMED),
        ("require_but_dont_verify", "self-signed", PeerState.CLAIMED),
        ("request_and_verify", "trusted", PeerState.VERIFIED),
        ("request_and_verify", "other-ca", "unknown_ca"),
        ("require_and_verify", "trusted", PeerState.VERIFIED),
        ("require_and_verify", "pinned", PeerState.VERIFIED),
        ("require_and_verify", "self-signed", "certificate_required"),
    ],
)
def test_client_that_chooses_by_the_list_gets_the_outcome_of_its_certificate(
    world, clients, mode, row, outcome
):
    """It withholds a certificate only where it is refused with and without it."""
    order = Order(
        world.addresses["threads"][f"bridge-{mode}"],
        world.certificates.ca.certificate_pem,
        "choice",
        world.certificates.clients[row],
        chooses=True,
    )
    result = clients("go").call(order)
    peers = [peer.state for peer in recorded_peers("choice")]
    assert (result.alert, peers) in [(outcome, []), (None, [outcome])], result.text


@pytest.fixture(scope="module")
def modern(folder):
    """The addresses of a server with TLS 1.3 only, by mode."""
    listeners = {
        mode.value: Listener("auto", mode).config(min_version="TLSv1.3")
        for mode in ClientCertificateMode
    }
    with serve(folder, listeners) as server:
        yield server.addresses


@pytest.mark.parametrize("column", ["openssl", "go"])
@pytest.mark.parametrize("mode", ClientCertificateMode, ids=lambda mode: mode.value)
def test_min_version_refuses_older_clients_in_every_mode(
    modern, certificates, clients, mode, column
):
    """With `min_version: TLSv1.3` TLS 1.2 clients are refused, TLS 1.3 ones served."""
    order = Order(
        address=modern[mode.value],
        ca=certificates.ca.certificate_pem,
        name="version",
        credential=certificates.clients["trusted"],
    )
    refused = clients(column).call(order._replace(version="TLSv1.2"))
    assert (refused.is_served, refused.alert) == (False, "protocol_version")
    assert clients(column).call(order).is_served
    recorded_peers("version")
