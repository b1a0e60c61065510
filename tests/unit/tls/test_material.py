"""Tests of key material: from files to the snapshot that is served."""

from __future__ import annotations

import traceback
from dataclasses import replace

import pytest
from support.certificates import key_text

from grpcsecure.errors import ExitCode, KeyMaterialError
from grpcsecure.model.listener import TlsSettings
from grpcsecure.model.modes import ClientCertificateMode
from grpcsecure.tls.files import read_files
from grpcsecure.tls.material import build_material, load_material, material_paths


@pytest.fixture(name="tls")
def _tls(certificates):
    """Settings with a good certificate, key and CA."""
    return TlsSettings(
        certificate=certificates / "server.pem",
        private_key=certificates / "server.key",
        client_certificate=ClientCertificateMode.REQUIRE_AND_VERIFY,
        client_ca=certificates / "ca.pem",
    )


def test_material_holds_the_files(tls, certificates):
    """It has the PEM of the files, and the parsed certificates of that PEM."""
    material = load_material(tls, generation=3)
    assert material.generation == 3
    assert material.certificate_chain == tls.certificate.read_bytes()
    assert material.private_key == tls.private_key.read_bytes()
    assert material.client_ca == tls.client_ca.read_bytes()
    assert [entry.subject for entry in material.chain] == ["CN=server"]
    assert material.client_cas[0].subject.startswith("CN=grpcsecure development CA")


def test_pem_is_rendered_from_the_parsed_blocks(tls, tmp_path):
    """However the file is formatted, gRPC gets every CA that was read."""
    text = tls.client_ca.read_text()
    folded = "\r\n".join(f"  {line}" for line in text.splitlines())
    path = tmp_path / "ca.pem"
    path.write_text(f"\N{BOM}one\n{folded}\r\ntwo\n{text}")
    material = load_material(replace(tls, client_ca=path), generation=1)
    assert material.client_ca == text.encode() * 2


def test_files_are_read_once(tls, tmp_path):
    """The checked contents are served, even if the files change afterwards."""
    copy = tmp_path / "server.pem"
    copy.write_bytes(tls.certificate.read_bytes())
    tls = replace(tls, certificate=copy)
    files = read_files(material_paths(tls))
    copy.unlink()
    assert build_material(tls, files, generation=1).chain[0].subject == "CN=server"


@pytest.mark.parametrize(
    ("field", "name", "words"),
    [
        ("certificate", "none.pem", "no such file or directory"),
        ("certificate", "broken/empty.pem", "holds no certificate"),
        ("certificate", "server.key", "holds no certificate"),
        ("private_key", "server.pem", "holds no private key"),
        ("private_key", "client.key", "does not fit the certificate"),
        ("private_key", "broken/server-encrypted.key", "encrypted"),
        ("client_ca", "broken/ca-broken.pem", "has a broken block"),
        ("client_ca", "broken/text.pem", "holds no certificate"),
    ],
)
def test_unusable_file_is_an_error(tls, certificates, field, name, words):
    """No server starts with incomplete material, and no message shows a key."""
    with pytest.raises(KeyMaterialError, match=words) as caught:
        load_material(replace(tls, **{field: certificates / name}), generation=1)
    assert caught.value.exit_code is ExitCode.BAD
    shown = "".join(traceback.format_exception(caught.value))
    assert not any(line in shown for line in key_text(certificates))


def test_repr_shows_nothing_of_the_key(tls, certificates):
    """So material may be logged."""
    material = load_material(tls, generation=1)
    assert not any(line in repr(material) for line in key_text(certificates))
    assert "PRIVATE" not in str(material)


@pytest.mark.parametrize("form", ["TraditionalOpenSSL", "PKCS8"])
@pytest.mark.parametrize("kind", ["ec", "rsa"])
def test_every_usual_key_format_is_read(tls, tmp_path, form, kind):
    """PKCS #8 and the older formats that `openssl` writes, also after parameters."""
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization as s
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    from grpcsecure.devcerts import Profile, Validity, issue

    key = (
        ec.generate_private_key(ec.SECP256R1())
        if kind == "ec"
        else rsa.generate_private_key(65537, 2048)
    )
    loaded = x509.load_pem_x509_certificate(tls.certificate.read_bytes())
    validity = Validity(loaded.not_valid_before_utc, loaded.not_valid_after_utc)
    made = issue(Profile(subject="x", validity=validity), key=key)
    (tmp_path / "x.pem").write_bytes(made.certificate_pem)
    text = key.private_bytes(
        s.Encoding.PEM, getattr(s.PrivateFormat, form), s.NoEncryption()
    )
    parameters = b"-----BEGIN EC PARAMETERS-----\nBggq\n-----END EC PARAMETERS-----\n"
    (tmp_path / "x.key").write_bytes(parameters + text)
    material = load_material(
        replace(tls, certificate=tmp_path / "x.pem", private_key=tmp_path / "x.key"),
        generation=1,
    )
    assert material.private_key == text
