"""Files that are nowhere, or not PEM: what is there, and what to do about it."""

from __future__ import annotations

import base64
from datetime import datetime, timezone

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import pkcs12
from support.certificates import make_certificates
from support.file_checks import listener, load

from grpcsecure.checking.key_files.der_content import describe_der
from grpcsecure.checking.key_files.key_material import check_files

NOW = datetime.now(timezone.utc)
DER, PEM = serialization.Encoding.DER, serialization.Encoding.PEM
PLAIN = serialization.NoEncryption()
LOCKED = serialization.BestAvailableEncryption(b"secret")
FORMATS = serialization.PrivateFormat


@pytest.fixture(scope="module", name="folder")
def _folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mixed")
    make_certificates(folder / "certs")
    return folder


def _pair(folder):
    key = (folder / "certs" / "server.key").read_bytes()
    certificate = (folder / "certs" / "server.pem").read_bytes()
    return (
        serialization.load_pem_private_key(key, None),
        x509.load_pem_x509_certificate(certificate),
    )


def only(folder, **settings):
    """Return the only finding about the files of a listener."""
    (finding,), _ = check_files(load(folder, listener(**settings)), NOW)
    return finding


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("certs/sever.pem", "certs/server.pem"),
        ("certs/server.crt", "certs/server.pem"),
        ("cert/server.pem", "certs/server.pem"),
        ("server.pem", "certs/server.pem"),
        ("etc/shop/certs/server.pem", "certs/server.pem"),
        ("certs/../certs/sever.pem", "certs/server.pem"),
    ],
)
def test_suggested_path_exists(folder, written, meant):
    """It is written as the other one is, and holds a certificate."""
    finding = only(folder, certificate=written)
    assert finding.code == "GS201"
    assert finding.label == f"did you mean `{meant}`?"
    assert finding.help == f"write `{meant}`"
    assert finding.notes == (
        f"looked for {folder / written}; relative paths start at {folder}",
    )
    assert not check_files(load(folder, listener(certificate=meant)), NOW)[0]


def test_suggestion_holds_what_is_wanted(folder):
    """No certificate is suggested in place of a key."""
    finding = only(folder, private_key="certs/server.kex")
    assert finding.label == "did you mean `certs/server.key`?"
    (folder / "certs" / "lone.pem").write_bytes(b"no certificate")
    assert only(folder, certificate="certs/lune.pem").label == "no such file"


def test_home_directory(folder, monkeypatch):
    """`~` is not expanded, and the finding says so."""
    monkeypatch.setenv("HOME", str(folder))
    finding = only(folder, certificate="~/certs/server.pem")
    assert finding.label == "did you mean `${HOME}/certs/server.pem`?"
    assert finding.help == "`~` is not expanded: write `${HOME}`, or the whole path"


def test_kinds_of_der(folder):
    """They are told apart without being parsed."""
    key, certificate = _pair(folder)
    request = x509.CertificateSigningRequestBuilder(certificate.subject)
    public = serialization.PublicFormat.SubjectPublicKeyInfo
    bundle = pkcs12.serialize_key_and_certificates(b"x", key, certificate, None, LOCKED)
    crl = (
        x509.CertificateRevocationListBuilder(certificate.subject, NOW, NOW)
        .sign(key, SHA256())
        .public_bytes(DER)
    )
    kinds = {
        "a certificate": certificate.public_bytes(DER),
        "a private key": key.private_bytes(DER, FORMATS.PKCS8, PLAIN),
        "an encrypted key": key.private_bytes(DER, FORMATS.PKCS8, LOCKED),
        "a public key": key.public_key().public_bytes(DER, public),
        "a signing request": request.sign(key, SHA256()).public_bytes(DER),
        "a PKCS #12 bundle": bundle,
        "a revocation list": crl,
        None: b"\x30\x03abc",
    }
    assert {kind: describe_der(data) for kind, data in kinds.items()} == {
        kind: kind for kind in kinds
    }


def test_help_for_files_that_are_not_pem(folder):
    """Each form has the command that converts it."""
    key, certificate = _pair(folder)
    pem = certificate.public_bytes(PEM)
    files = {
        "server.p12": pkcs12.serialize_key_and_certificates(
            b"x", key, certificate, None, LOCKED
        ),
        "server.jks": b"\xfe\xed\xfe\xed" + bytes(8),
        "server.b64": base64.encodebytes(certificate.public_bytes(DER)),
        "joined.pem": pem.rstrip() + pem,
        "line.pem": pem.replace(b"\n", b""),
        "escaped.pem": pem.replace(b"\n", rb"\n"),
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)
    found = {name: only(folder, certificate=name) for name in files}
    assert {name: one.help.partition(" with ")[0] for name, one in found.items()} == {
        "server.p12": "take it out",
        "server.jks": "convert it",
        "server.b64": "write `-----BEGIN CERTIFICATE-----` before it and a line",
        "joined.pem": "begin a new line before the second `-----BEGIN`",
        "line.pem": "store it",
        "escaped.pem": "store it",
    }
    assert "the next BEGIN follows its END without a newline" in (
        found["joined.pem"].message
    )


def test_certificate_and_key_in_each_others_place(folder):
    """They are one mistake, at both places."""
    finding = only(
        folder, certificate="certs/server.key", private_key="certs/server.pem"
    )
    assert finding.code == "GS204"
    assert finding.help == "exchange the two paths"
    assert [label.text for label in finding.secondary] == ["a certificate"]
