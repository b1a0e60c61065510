"""Each kind of server key is served by the engines that the table names."""

from __future__ import annotations

import json
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from OpenSSL import SSL
from support.certificates import make_certificates
from support.services import PATIENCE

import grpcsecure
from grpcsecure.errors import ConfigError
from grpcsecure.model.listener import Engine, TlsVersion
from grpcsecure.model.modes import ClientCertificateMode
from grpcsecure.tls.openssl.context import ContextError, build_context
from grpcsecure.tls.openssl.settings import ContextMaterial, ContextSettings
from grpcsecure.tls.openssl.stream import Scratch
from grpcsecure.tls.openssl.trial_handshake import HandshakeTrials
from grpcsecure.tls.server_keys import SERVER_KEYS, installed_version

#: The options of `openssl genpkey` for each name of the table, and for two kinds of
#: keys that no engine serves with.
GENERATED = {
    "RSA": ["RSA", "rsa_keygen_bits:2048"],
    "RSA-PSS": ["RSA-PSS", "rsa_keygen_bits:2048"],
    "Ed25519": ["ed25519"],
    "Ed448": ["ed448"],
    **{
        f"EC {curve}": ["EC", f"ec_paramgen_curve:{curve}"]
        for curve in (
            *("secp384r1", "secp521r1", "secp224r1", "secp256k1"),
            *("brainpoolP256r1", "brainpoolP384r1", "brainpoolP512r1"),
        )
    },
    "EC secp256r1": ["EC", "ec_paramgen_curve:P-256"],
}
ML_DSA = ["ML-DSA-44", "ML-DSA-65", "ML-DSA-87"]
NAMES = [*GENERATED, *ML_DSA]
ENGINES = ["grpc", "bridge"]


def stem(name):
    """Return the file name for a kind of key."""
    return name.replace(" ", "-").lower()


def is_served(name, engine):
    """Whether the table says that an engine serves with a kind of key."""
    row = next((row for row in SERVER_KEYS if name in row.names), None)
    return row is not None and row.is_served_by(Engine(engine))


#: Each kind of key with each engine, by whether the engine serves with it.
PAIRS = [(name, engine) for name in NAMES for engine in ENGINES]
SERVED = [pair for pair in PAIRS if is_served(*pair)]
REFUSED = [pair for pair in PAIRS if not is_served(*pair)]


def openssl(*arguments, cwd):
    """Run `openssl`, which has to succeed."""
    subprocess.run(["openssl", *arguments], cwd=cwd, check=True, capture_output=True)


def make_pair(folder, name):
    """Write a server certificate with such a key."""
    key, pem = f"{stem(name)}.key", f"{stem(name)}.pem"
    (folder / "extensions").write_text("subjectAltName=DNS:localhost\n")
    issue = ["-CA", "ca.pem", "-CAkey", "ca.key", "-extfile", "extensions"]
    if name in ML_DSA:
        _make_ml_dsa_pair(folder, name)
        return
    kind, *options = GENERATED[name]
    chosen = [part for option in options for part in ("-pkeyopt", option)]
    openssl("genpkey", "-algorithm", kind, *chosen, "-out", key, cwd=folder)
    openssl("req", "-new", "-key", key, "-subj", "/CN=s", "-out", "csr", cwd=folder)
    days = ["-days", "20"]
    openssl("x509", "-req", "-in", "csr", *issue, *days, "-out", pem, cwd=folder)


def _make_ml_dsa_pair(folder, name):
    """Use `cryptography`, whose OpenSSL may be newer than that of the system."""
    mldsa = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.mldsa")
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization

    generate = getattr(mldsa, f"MLDSA{name[-2:]}PrivateKey").generate
    key = generate()
    ca = x509.load_pem_x509_certificate((folder / "ca.pem").read_bytes())
    signer = serialization.load_pem_private_key((folder / "ca.key").read_bytes(), None)
    names = x509.SubjectAlternativeName([x509.DNSName("localhost")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(ca.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(ca.not_valid_before_utc)
        .not_valid_after(ca.not_valid_after_utc)
        .add_extension(names, critical=True)
        .sign(signer, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / f"{stem(name)}.pem").write_bytes(certificate.public_bytes(pem))
    (folder / f"{stem(name)}.key").write_bytes(
        key.private_bytes(
            pem,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


@pytest.fixture(scope="module", name="folder")
def _folder(tmp_path_factory):
    """A folder with a CA, and the certificates that this machine can make."""
    folder = make_certificates(tmp_path_factory.mktemp("keys"))
    for name in NAMES:
        try:
            make_pair(folder, name)
        except (pytest.skip.Exception, ValueError, AttributeError):
            continue
        (folder / f"{stem(name)}.key").chmod(0o600)
    return folder


def write_config(folder, pairs):
    """Write a config with a listener for each pair of a kind of key and an engine."""
    config = {
        "version": 1,
        "services": [{"servicer": "support.recording_peers:PeerRecorder"}],
        "server": {"shutdown_grace": "1s"},
        "listeners": {
            f"{engine}-{stem(name)}": {
                "address": "127.0.0.1:0",
                "tls": {
                    "certificate": f"{stem(name)}.pem",
                    "private_key": f"{stem(name)}.key",
                    "client_certificate": "dont_request",
                    "engine": engine,
                },
            }
            for name, engine in pairs
        },
    }
    path = folder / "keys.yaml"
    path.write_text(json.dumps(config))
    return path


@pytest.fixture(scope="module", name="server")
def _server(folder):
    """One server with a listener for each kind of key and engine that is served."""
    made = [pair for pair in SERVED if (folder / f"{stem(pair[0])}.pem").exists()]
    with grpcsecure.load(write_config(folder, made)) as server:
        yield server


def port_of(server, name, engine):
    """Return the port of a listener; skip if the key cannot be made here."""
    address = server.addresses.get(f"{engine}-{stem(name)}")
    if address is None:
        pytest.skip(f"{name} cannot be made here")
    return int(address.rpartition(":")[2])


def handshake(port, folder):
    """Return whether an OpenSSL client completes a handshake."""
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.load_verify_locations(str(folder / "ca.pem"))
    context.set_verify(SSL.VERIFY_PEER, lambda *verdict: bool(verdict[-1]))
    context.set_alpn_protos([b"h2"])
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as raw:
        raw.setblocking(True)  # with a timeout, pyOpenSSL raises WantReadError
        connection = SSL.Connection(context, raw)
        connection.set_connect_state()
        try:
            connection.do_handshake()
        except SSL.Error:
            return False
    return True


def grpcio_connects(port, folder):
    """Return whether a grpcio client gets as far as a call."""
    trusted = grpc.ssl_channel_credentials((folder / "ca.pem").read_bytes())
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]
    with grpc.secure_channel(f"localhost:{port}", trusted, options) as channel:
        try:
            channel.unary_unary("/no.Such/Method")(b"", timeout=PATIENCE)
        except grpc.RpcError as error:
            return error.code() is grpc.StatusCode.UNIMPLEMENTED
    return True


@pytest.mark.parametrize(("name", "engine"), SERVED)
def test_clients_connect_to_each_kind_of_key_that_is_served(
    server, folder, name, engine
):
    """OpenSSL always does; a client of grpcio does where there is no warning."""
    port = port_of(server, name, engine)
    if name in ML_DSA and installed_version(Engine.BRIDGE) < (3, 5):
        pytest.skip("no client for it here")
    assert handshake(port, folder)
    row = next(row for row in SERVER_KEYS if name in row.names)
    assert grpcio_connects(port, folder) == (row.clients is None)


def test_key_without_grpcio_clients_is_a_warning(server):
    """Each kind is named, with the clients that can connect."""
    rare = {
        finding.label.removeprefix("its key is "): finding.notes
        for finding in server.report.findings
        if finding.code == "GS225"
    }
    for name in ("Ed25519", "EC secp521r1"):
        assert rare[name] == ("clients that can: those of OpenSSL, Go and Java",)
    for name in ("Ed448", "RSA-PSS 2048"):
        assert rare[name] == ("clients that can: those of OpenSSL and Java",)
    assert not any(name.startswith(("RSA 2", "EC secp2", "EC secp3")) for name in rare)


@pytest.mark.parametrize(("name", "engine"), REFUSED)
def test_key_that_is_not_served_is_an_error(folder, name, engine):
    """Before the start, and rightly so: the engine itself refuses the key."""
    if not (folder / f"{stem(name)}.pem").exists():
        pytest.skip(f"{name} cannot be made here")
    if name == "EC secp224r1" and installed_version(Engine.GRPC) < (1, 85):
        pytest.skip("grpcio binds it, and no client connects")
    with pytest.raises(ConfigError) as caught:
        grpcsecure.load(write_config(folder, [(name, engine)]))
    (error,) = (each for each in caught.value.report.findings if each.is_error)
    assert error.code in ("GS224", "GS206")  # an old `cryptography` does not load it
    assert error.code == "GS206" or error.message == (
        f"engine `{engine}` cannot serve with the key of `{stem(name)}.pem`"
    )
    pair = [(folder / f"{stem(name)}.{end}").read_bytes() for end in ("key", "pem")]
    refuse = _refuse_in_grpc if engine == "grpc" else _refuse_in_bridge
    refuse(*pair)


def _refuse_in_grpc(key, certificate):
    credentials = grpc.ssl_server_credentials([(key, certificate)])
    with ThreadPoolExecutor(1) as pool, pytest.raises(RuntimeError):
        grpc.server(pool).add_secure_port("127.0.0.1:0", credentials)


def _refuse_in_bridge(key, certificate):
    material = ContextMaterial(
        generation=1,
        certificate_chain=certificate,
        private_key=key,
        client_ca=None,
        crls=(),
    )
    settings = ContextSettings(
        mode=ClientCertificateMode.DONT_REQUEST,
        min_version=TlsVersion.TLS_1_2,
        handshake_timeout=PATIENCE,
    )
    context = build_context(settings, material)
    with pytest.raises(ContextError, match="no shared cipher"):
        HandshakeTrials(Scratch()).check([context], settings, material)
