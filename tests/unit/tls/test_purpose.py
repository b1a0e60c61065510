"""Tests of a certificate's issuer, purpose and strength, with `openssl`'s output."""

from __future__ import annotations

import subprocess

import pytest

from grpcsecure.errors import CertificateError
from grpcsecure.tls import purpose
from grpcsecure.tls.certificate import parse_certificate, parse_pem_certificates
from grpcsecure.tls.purpose import KeySupport


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
    ("key", "support", "description"),
    [
        ("rsa:1024", KeySupport.WEAK, "RSA 1024"),
        ("rsa:2048", KeySupport.FULL, "RSA 2048"),
        ("rsa-pss", KeySupport.NONE, "RSA-PSS 2048"),
        ("ec:secp224r1", KeySupport.NONE, "EC secp224r1"),
        ("ec:P-256", KeySupport.FULL, "EC secp256r1"),
        ("ec:P-384", KeySupport.FULL, "EC secp384r1"),
        ("ec:P-521", KeySupport.NOT_BY_GRPC_CLIENTS, "EC secp521r1"),
        ("ec:secp256k1", KeySupport.NONE, "EC secp256k1"),
        ("ed25519", KeySupport.NOT_BY_GRPC_CLIENTS, "Ed25519"),
        ("ed448", KeySupport.NONE, "Ed448"),
    ],
)
def test_support_of_a_key_is_that_of_grpc(make, key, support, description):
    """The table was measured on gRPC core; every type of key has a name."""
    certificate = make(key=key)
    assert purpose.key_support(certificate) is support
    assert purpose.describe_key(certificate) == description


def test_explicit_curve_parameters_are_not_supported(make):
    """They are equal to P-256's, but BoringSSL refuses them."""
    certificate = make("-pkeyopt", "ec_param_enc:explicit")
    assert purpose.key_support(certificate) is KeySupport.NONE
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
