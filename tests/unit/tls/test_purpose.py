"""Tests of a certificate's issuer, purpose and strength, with `openssl`'s output."""

from __future__ import annotations

import subprocess

import pytest
from support.process import ROOT

from grpcsecure.errors import CertificateError
from grpcsecure.model.listener import Engine
from grpcsecure.tls import purpose
from grpcsecure.tls.certificate import parse_certificate, parse_pem_certificates
from grpcsecure.tls.server_keys import (
    SERVER_KEYS,
    find_server_key,
    installed_version,
)


@pytest.fixture(name="make")
def _make(tmp_path):
    """A function that creates a self-signed certificate with `openssl`."""

    def make(*options, key="ec:P-256", extensions=()):
        kind, _, parameter = key.partition(":")
        newkey = [f"{kind}:{parameter}" if kind == "rsa" else kind]
        if kind == "ec":
            newkey += ["-pkeyopt", f"ec_paramgen_curve:{parameter}"]
        added = [part for text in extensions for part in ("-addext", text)]
        out = ["-keyout", tmp_path / "k.pem", "-out", tmp_path / "c.pem"]
        command = ["openssl", "req", "-x509", "-nodes", "-subj", "/CN=x", "-newkey"]
        subprocess.run(
            [*command, *newkey, *added, *options, *out], check=True, capture_output=True
        )
        return parse_certificate(
            *parse_pem_certificates((tmp_path / "c.pem").read_bytes())
        )

    return make


def load(certificates, name):
    """Return the certificates of a specimen."""
    data = (certificates / f"{name}.pem").read_bytes()
    return [parse_certificate(der) for der in parse_pem_certificates(data)]


@pytest.mark.parametrize(
    ("key", "is_weak", "description"),
    [
        ("rsa:1024", True, "RSA 1024"),
        ("rsa:2048", False, "RSA 2048"),
        ("rsa-pss", False, "RSA-PSS 2048"),
        ("ec:secp224r1", False, "EC secp224r1"),
        ("ec:P-256", False, "EC secp256r1"),
        ("ec:secp256k1", False, "EC secp256k1"),
        ("ed25519", False, "Ed25519"),
        ("ed448", False, "Ed448"),
    ],
)
def test_key_has_a_name_and_a_strength(make, key, is_weak, description):
    """Every type of key has a name; only short RSA keys are weak by themselves."""
    certificate = make(key=key)
    assert purpose.has_weak_key(certificate) is is_weak
    assert purpose.describe_key(certificate) == description


@pytest.mark.parametrize(
    ("key", "on_grpc", "on_bridge", "clients"),
    [
        ("rsa:2048", True, True, None),
        ("ec:P-384", True, True, None),
        ("ec:P-521", True, True, "OpenSSL, Go and Java"),
        ("ed25519", True, True, "OpenSSL, Go and Java"),
        ("ed448", False, True, "OpenSSL and Java"),
        ("rsa-pss", False, True, "OpenSSL and Java"),
        ("ec:brainpoolP256r1", False, True, "OpenSSL 3.2 or newer, in TLS 1.3"),
    ],
)
def test_kind_of_key_is_served_by_its_engines(make, key, on_grpc, on_bridge, clients):
    """The table has the engines and the clients that can connect to them."""
    row = find_server_key(make(key=key))
    assert row is not None
    assert row.is_served_by(Engine.GRPC) is on_grpc
    assert row.is_served_by(Engine.BRIDGE) is on_bridge
    assert row.clients == clients


def test_ml_dsa_is_served_from_a_release_on():
    """Grpcio and OpenSSL have learned it."""
    row = next(row for row in SERVER_KEYS if "ML-DSA-65" in row.names)
    for engine, since in ((Engine.GRPC, (1, 85)), (Engine.BRIDGE, (3, 5))):
        assert row.since(engine) == since
        assert row.is_served_by(engine) is (installed_version(engine) >= since)


@pytest.mark.parametrize("key", ["ec:secp224r1", "ec:secp256k1"])
def test_no_engine_serves_with_other_curves(make, key):
    """Neither BoringSSL nor OpenSSL has a signature scheme for them in TLS 1.3."""
    assert find_server_key(make(key=key)) is None


def test_explicit_curve_parameters_are_not_supported(make):
    """They are equal to P-256's, but no client accepts them."""
    certificate = make("-pkeyopt", "ec_param_enc:explicit")
    assert find_server_key(certificate) is None
    # Old versions of `cryptography` do not load such a key.
    description = purpose.describe_key(certificate)
    assert description in ("EC secp256r1 (explicit parameters)", "unknown")


@pytest.mark.parametrize(
    ("digest", "weak"), [("sha1", "sha1"), ("sha256", None), ("sha512", None)]
)
def test_weak_digest_is_named(make, digest, weak):
    """SHA-1 is returned by name; secure digests give None."""
    assert purpose.weak_digest(make(f"-{digest}")) == weak


def test_ed25519_signature_has_no_digest(make):
    """A signature without a separate digest does not count as weak."""
    assert purpose.weak_digest(make(key="ed25519")) is None


@pytest.mark.parametrize(
    ("extensions", "is_ca"),
    [
        (["basicConstraints=critical,CA:TRUE"], True),
        (["basicConstraints=critical,CA:TRUE", "keyUsage=keyCertSign"], True),
        (["basicConstraints=critical,CA:TRUE", "keyUsage=digitalSignature"], False),
        (["basicConstraints=CA:FALSE"], False),
    ],
)
def test_ca_may_sign_certificates(make, extensions, is_ca):
    """Both basicConstraints and keyUsage have to allow signing."""
    assert purpose.is_ca(make(extensions=extensions)) is is_ca


@pytest.mark.parametrize("digest", ["sha1", "sha256"])
def test_self_signed_certificate_is_recognised_with_any_digest(make, digest):
    """Also with SHA-1, whose signatures the library refuses to verify."""
    assert purpose.is_self_signed(make(f"-{digest}"))


def test_issuer_is_recognised_by_its_signature(certificates):
    """A matching name alone is not enough."""
    (ca,) = load(certificates, "ca")
    (client,) = load(certificates, "client")
    (other,) = load(certificates, "broken/client-other-ca")
    leaf, intermediate = load(certificates, "broken/client-intermediate")
    assert purpose.has_issued(ca, client)
    assert purpose.has_issued(ca, intermediate)
    assert purpose.has_issued(intermediate, leaf)
    assert not purpose.has_issued(ca, leaf)
    assert not purpose.has_issued(ca, other)
    assert not purpose.is_self_signed(client)
    assert purpose.is_self_signed(ca)


def test_same_name_with_another_key_is_not_the_issuer(make):
    """Two CAs with the same name are distinguished."""
    one, other = make(), make()
    assert one.subject == other.issuer
    assert not purpose.has_issued(one, other)


@pytest.mark.parametrize(
    ("extension", "allowed"),
    [
        ("extendedKeyUsage=serverAuth", True),
        ("extendedKeyUsage=clientAuth,serverAuth", True),
        ("extendedKeyUsage=clientAuth", False),
        ("extendedKeyUsage=anyExtendedKeyUsage", False),
        ("subjectKeyIdentifier=hash", True),
    ],
)
def test_server_purpose_is_that_of_openssl(make, extension, allowed):
    """Without the extension all is allowed; OpenSSL does not accept `any`."""
    assert purpose.allows_server_auth(make(extensions=[extension])) is allowed


def test_signed_timestamps_identify_a_public_ca(make):
    """Only certificates of public CAs have them; development certificates do not."""
    assert not purpose.is_from_public_ca(make())
    # An empty list of timestamps, RFC 6962, 3.3.
    extension = "1.3.6.1.4.1.11129.2.4.2=DER:04:02:00:00"
    assert purpose.is_from_public_ca(make(extensions=[extension]))


def test_garbage_raises_a_certificate_error():
    """Also if the certificate was not parsed before."""
    with pytest.raises(CertificateError):
        purpose.load_x509(b"garbage")


def test_docs_have_the_table_of_server_keys():
    """Each row has the names, the releases and the clients of the code."""
    page = (ROOT / "docs" / "modes.md").read_text()
    for row in SERVER_KEYS:
        special = {None: "none", (0,): "any"}
        releases = [
            special.get(since) or ".".join(map(str, since or ()))
            for since in (row.grpcio, row.openssl)
        ]
        cells = [", ".join(row.names), *releases, row.clients or "all"]
        assert f"| {' | '.join(cells)} |\n" in page
