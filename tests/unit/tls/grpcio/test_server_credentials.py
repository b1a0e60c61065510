"""Tests of the credentials for grpcio's own TLS, in handshakes on real sockets."""

from __future__ import annotations

import re
import subprocess
import threading
from concurrent import futures
from contextlib import contextmanager, suppress
from dataclasses import replace

import grpc
import pytest
from support.certificates import make_certificates

from grpcsecure.errors import KeyMaterialError
from grpcsecure.model.listener import TlsSettings
from grpcsecure.model.modes import ClientCertificateMode as Mode
from grpcsecure.tls.certificate import parse_certificate, parse_pem_certificates
from grpcsecure.tls.grpcio import swap_barrier
from grpcsecure.tls.grpcio.server_credentials import NativeCredentials
from grpcsecure.tls.material import load_material

PATIENCE = 30


class Echo(grpc.GenericRpcHandler):
    """Answers every method with the request."""

    def service(self, handler_call_details):
        """Return the handler of any method."""
        return grpc.unary_unary_rpc_method_handler(lambda request, _: request)


def material(folder, *, generation=1, server="server"):
    """Load the material of a folder made by `make_certificates`."""
    return load_material(
        TlsSettings(
            certificate=folder / f"{server}.pem",
            private_key=folder / f"{server}.key",
            client_certificate=Mode.REQUIRE_AND_VERIFY,
            client_ca=folder / "ca.pem",
        ),
        generation=generation,
    )


@contextmanager
def serving(native):
    """Serve with the credentials; the value is the port."""
    with futures.ThreadPoolExecutor(2) as pool:
        server = grpc.server(pool, handlers=[Echo()])
        port = server.add_secure_port("127.0.0.1:0", native.credentials)
        server.start()
        try:
            yield port
        finally:
            server.stop(0).wait()


def call(port, folder, client=None):
    """Make a call with grpcio and return its status code."""
    pair = ()
    if client is not None:
        pair = (
            (folder / f"{client}.key").read_bytes(),
            (folder / f"{client}.pem").read_bytes(),
        )
    credentials = grpc.ssl_channel_credentials((folder / "ca.pem").read_bytes(), *pair)
    # Do not reuse a subchannel of another test.
    options = [("grpc.use_local_subchannel_pool", 1)]
    with grpc.secure_channel(f"localhost:{port}", credentials, options) as channel:
        try:
            channel.unary_unary("/any/Method")(b"hello", timeout=PATIENCE)
        except grpc.RpcError as error:
            return error.code()
    return grpc.StatusCode.OK


def run_s_client(port, folder, *options, client=None):
    """Make a handshake with `openssl s_client` and return its output."""
    pair = []
    if client is not None:
        pair = ["-cert", folder / f"{client}.pem", "-key", folder / f"{client}.key"]
        if "intermediate" in client:
            pair += ["-cert_chain", folder / f"{client}.pem"]
    done = subprocess.run(
        [
            "openssl",
            "s_client",
            "-connect",
            f"127.0.0.1:{port}",
            "-servername",
            "localhost",
            "-CAfile",
            folder / "ca.pem",
            "-verify_hostname",
            "localhost",
            "-x509_strict",
            # A TLS 1.3 server refuses a client after the client has finished: wait
            # for its answer, which is HTTP/2 settings or nothing.
            "-ign_eof",
            *pair,
            *options,
        ],
        input=b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
        + bytes([0, 0, 4, 7, 0, 0, 0, 0, 0])
        + b"\0\0\0\0"
        + b"\0\0\0\0",
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )
    return (done.stdout + done.stderr).decode("latin-1")


SETTINGS_FRAME = re.compile("\0\0.\4\0\0\0\0\0", re.DOTALL)


def is_accepted(output):
    """Whether the server answered in HTTP/2 after the handshake."""
    return SETTINGS_FRAME.search(output) is not None


VERSIONS = {"TLS 1.2": "-tls1_2", "TLS 1.3": "-tls1_3"}
ALPN = ("-alpn", "h2")


@pytest.fixture(name="version", params=VERSIONS.values(), ids=VERSIONS)
def _version(request):
    """Both versions of TLS, as an option of `openssl s_client`."""
    return request.param


def test_mode_without_certificates_serves_every_client(certificates, version):
    """The server's certificate passes strict verification, and h2 is negotiated."""
    native = NativeCredentials(material(certificates), Mode.DONT_REQUEST)
    with serving(native) as port:
        output = run_s_client(port, certificates, version, *ALPN)
        assert "Verify return code: 0 (ok)" in output
        assert "ALPN protocol: h2" in output
        assert "No client certificate CA names sent" in output
        assert is_accepted(output)
        assert call(port, certificates) is grpc.StatusCode.OK


def test_mode_without_certificates_requests_none(certificates, version):
    """A client that has a certificate is not asked for it."""
    native = NativeCredentials(material(certificates), Mode.DONT_REQUEST)
    with serving(native) as port:
        output = run_s_client(
            port, certificates, version, *ALPN, "-state", client="client"
        )
        assert is_accepted(output)
        assert "read server hello" in output
        assert "read server certificate request" not in output


#: The column `require_and_verify` of the table of modes.
CLIENTS = {
    None: False,
    "client": True,
    "broken/client-no-eku": True,
    "broken/client-any-eku": False,
    "broken/client-server-eku": False,
    "broken/client-expired": False,
    "broken/client-not-yet-valid": False,
    "broken/client-no-signature": False,
    "broken/client-self-signed": False,
    "broken/client-other-ca": False,
    "broken/client-intermediate": True,
    "broken/client-no-chain": False,
    "broken/client-issuer-no-ca": False,
}


@pytest.mark.parametrize(("client", "accepted"), CLIENTS.items(), ids=str)
def test_require_and_verify_follows_the_table_of_modes(
    certificates, version, client, accepted
):
    """Each type of client is accepted or refused as in the table, with `openssl`."""
    native = NativeCredentials(material(certificates), Mode.REQUIRE_AND_VERIFY)
    with serving(native) as port:
        output = run_s_client(port, certificates, version, *ALPN, client=client)
        assert is_accepted(output) is accepted


@pytest.mark.parametrize(("client", "accepted"), CLIENTS.items(), ids=str)
def test_require_and_verify_is_the_same_for_grpc_clients(
    certificates, client, accepted
):
    """A refused client of grpcio gets UNAVAILABLE."""
    native = NativeCredentials(material(certificates), Mode.REQUIRE_AND_VERIFY)
    expected = grpc.StatusCode.OK if accepted else grpc.StatusCode.UNAVAILABLE
    with serving(native) as port:
        assert call(port, certificates, client) is expected


@pytest.mark.parametrize("mode", [Mode.DONT_REQUEST, Mode.REQUIRE_AND_VERIFY])
def test_old_tls_and_http1_are_refused(certificates, mode):
    """ALPN must offer h2, and the TLS version must be at least 1.2."""
    with serving(NativeCredentials(material(certificates), mode)) as port:
        old = ("-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0")
        assert not is_accepted(
            run_s_client(port, certificates, *old, *ALPN, client="client")
        )
        assert not is_accepted(
            run_s_client(port, certificates, "-alpn", "http/1.1", client="client")
        )


@pytest.mark.parametrize("mode", [m for m in Mode if not m.traits.in_grpcio])
def test_other_modes_are_refused(certificates, mode):
    """An unsupported mode is never replaced by a similar one."""
    with pytest.raises(ValueError, match=mode.value):
        NativeCredentials(material(certificates), mode)


@pytest.mark.parametrize("client_ca", [None, b""])
def test_verifying_without_a_ca_is_refused(certificates, client_ca):
    """With an empty CA text, which gRPC accepts, it would refuse every client."""
    without = replace(material(certificates), client_ca=client_ca)
    with pytest.raises(KeyMaterialError):
        NativeCredentials(without, Mode.REQUIRE_AND_VERIFY)


def served_certificate(port, folder):
    """Return the fingerprint of the server certificate on a new connection."""
    output = run_s_client(port, folder, *ALPN, client="client")
    pem = re.search("-----BEGIN CERT.*?-----END CERTIFICATE-----\n", output, re.DOTALL)
    return parse_certificate(*parse_pem_certificates(pem[0].encode())).fingerprint


@pytest.fixture(name="successor")
def _successor(tmp_path):
    """A second folder of certificates, of another CA."""
    return make_certificates(tmp_path / "successor")


def test_replaced_material_is_used_by_the_next_handshake(certificates, successor):
    """Certificate, key and CA are replaced together, by one assignment."""
    old = material(certificates)
    new = material(successor, generation=2)
    native = NativeCredentials(old, Mode.REQUIRE_AND_VERIFY)
    with serving(native) as port:
        assert served_certificate(port, certificates) == old.chain[0].fingerprint
        native.replace(new)
        assert native.generation == 2
        assert served_certificate(port, successor) == new.chain[0].fingerprint
        assert call(port, successor, "client") is grpc.StatusCode.OK
        assert call(port, certificates, "client") is grpc.StatusCode.UNAVAILABLE
        native.replace(old)
        assert call(port, certificates, "client") is grpc.StatusCode.OK


def test_open_connection_survives_a_replacement(certificates, successor):
    """Calls on a connection that was open before still work."""
    native = NativeCredentials(material(certificates), Mode.DONT_REQUEST)
    credentials = grpc.ssl_channel_credentials((certificates / "ca.pem").read_bytes())
    with (
        serving(native) as port,
        grpc.secure_channel(f"localhost:{port}", credentials) as channel,
    ):
        echo = channel.unary_unary("/any/Method")
        echo(b"hello", timeout=PATIENCE)
        native.replace(material(successor, generation=2))
        assert call(port, successor) is grpc.StatusCode.OK
        assert echo(b"hello", timeout=PATIENCE) == b"hello"


def test_unchanged_material_is_not_returned_again(certificates):
    """Otherwise gRPC would build a new context at each handshake."""
    native = NativeCredentials(material(certificates), Mode.DONT_REQUEST)
    assert native._fetch() is None
    native.replace(material(certificates, generation=2))
    assert native._fetch() is not None
    assert native._fetch() is None


def test_replacement_is_postponed_while_it_is_dangerous(certificates, monkeypatch):
    """It is not forgotten: a later handshake makes the swap."""
    native = NativeCredentials(material(certificates), Mode.DONT_REQUEST)
    entered, gate = threading.Event(), threading.Event()

    def enter_and_wait():
        native._fetch()
        entered.set()
        gate.wait(PATIENCE)

    with futures.ThreadPoolExecutor(1) as other, monkeypatch.context() as patch:
        other.submit(enter_and_wait)
        assert entered.wait(PATIENCE)
        native.replace(material(certificates, generation=2))
        patch.setattr(swap_barrier, "_SLEEPING", frozenset())
        patch.setattr(swap_barrier, "_TIMEOUT", 0.0)
        assert native._fetch() is None
        patch.undo()
        assert native._fetch() is None  # not every handshake waits for the barrier
        gate.set()
    monkeypatch.setattr(native, "_not_before", 0.0)
    assert native._fetch() is not None


def test_every_replacement_waits_at_the_barrier(certificates, monkeypatch):
    """No new credentials are handed out without a wait that succeeded."""
    waits = []
    native = NativeCredentials(material(certificates), Mode.DONT_REQUEST)
    monkeypatch.setattr(native._barrier, "wait", lambda: waits.append(None) or True)
    for number in range(1, 4):
        native.replace(material(certificates, generation=number + 1))
        assert waits == [None] * (number - 1)
        assert native._fetch() is not None
        assert waits == [None] * number
        assert native._fetch() is None  # and no wait where there is nothing to swap
        assert waits == [None] * number


def test_bad_replacement_changes_nothing(certificates):
    """If the mode cannot use the new material, the old one stays in force."""
    good = material(certificates)
    native = NativeCredentials(good, Mode.REQUIRE_AND_VERIFY)
    with suppress(KeyMaterialError):
        native.replace(replace(good, client_ca=None, generation=2))
    assert native.generation == 1
    with serving(native) as port:
        assert call(port, certificates, "client") is grpc.StatusCode.OK


def test_repr_shows_nothing_of_the_key(certificates):
    """So credentials may be logged."""
    good = material(certificates)
    native = NativeCredentials(good, Mode.REQUIRE_AND_VERIFY)
    line = good.private_key.splitlines()[1].decode()
    assert line not in repr(vars(native))
