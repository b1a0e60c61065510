"""`ciphers` against the keys of server certificates, compared with handshakes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from support.file_checks import check, listener
from support.reloading import authority
from support.several_certificates import server_with

from grpcsecure.model.cipher_suites import TLS12_SUITES, TLS13_SUITES
from grpcsecure.model.listener import TlsSettings, TlsVersion
from grpcsecure.model.modes import ClientCertificateMode
from grpcsecure.tls.material import load_material
from grpcsecure.tls.openssl.context import ContextError, build_context
from grpcsecure.tls.openssl.settings import ContextMaterial, ContextSettings
from grpcsecure.tls.openssl.stream import Scratch
from grpcsecure.tls.openssl.trial_handshake import HandshakeTrials

KEYS = {
    "rsa": lambda: rsa.generate_private_key(65537, 2048),
    "ec": lambda: ec.generate_private_key(ec.SECP256R1()),
    "p384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
}
LISTS = [
    [name for name, key in TLS12_SUITES.items() if key == "RSA"],
    [name for name, key in TLS12_SUITES.items() if key == "ECDSA"],
    [*TLS12_SUITES],
]


@pytest.fixture(scope="module", name="folder")
def _folder(tmp_path_factory):
    """A folder with a server certificate for each kind of key."""
    folder = tmp_path_factory.mktemp("suites")
    for name, make in KEYS.items():
        pair = server_with(authority("servers"), "localhost", key=make(), seconds=9e6)
        (folder / f"{name}.pem").write_bytes(pair.certificate_pem)
        (folder / f"{name}.key").touch(0o600)
        (folder / f"{name}.key").write_bytes(pair.key_pem)
    return folder


def codes(folder, key, suites):
    """Return the codes of the findings about the suites."""
    text = listener(
        certificate=f"{key}.pem",
        private_key=f"{key}.key",
        client_certificate="dont_request",
        ciphers=f"[{', '.join(suites)}]",
    ).replace("    client_ca: certs/ca.pem\n", "")
    found = {finding.code for finding, _ in check(folder, text)}
    return found & {"GS322", "GS323"}


def can_shake_hands(folder: Path, key: str, suites: list[str]) -> bool:
    """Whether a handshake with the bridge's context succeeds."""
    tls = TlsSettings(
        certificate=folder / f"{key}.pem",
        private_key=folder / f"{key}.key",
        client_certificate=ClientCertificateMode.DONT_REQUEST,
        ciphers=tuple(suites),
    )
    material = ContextMaterial.of(load_material(tls, generation=1))
    settings = ContextSettings.of(tls)
    context = build_context(settings, material)
    try:
        HandshakeTrials(Scratch()).check((context,), settings, material)
    except ContextError:
        return False
    return True


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("suites", LISTS, ids=["rsa", "ecdsa", "all"])
def test_finding_where_no_handshake_is_possible(folder, key, suites):
    """There is an error exactly where OpenSSL finds no suite for TLS 1.2."""
    fails = not can_shake_hands(folder, key, suites)
    assert codes(folder, key, suites) == ({"GS322"} if fails else set())
    # With suites of TLS 1.3 only clients without it are kept away.
    both = [*suites, *TLS13_SUITES]
    assert can_shake_hands(folder, key, both)
    assert codes(folder, key, both) == ({"GS323"} if fails else set())


def test_versions_with_a_suite():
    """A version without a suite is not accepted."""
    tls = TlsSettings(
        certificate=Path("/a"),
        private_key=Path("/b"),
        client_certificate=ClientCertificateMode.DONT_REQUEST,
    )
    both = (TlsVersion.TLS_1_3, TlsVersion.TLS_1_2)
    assert tls.versions == both
    for suites, versions in (
        (TLS13_SUITES, both[:1]),
        ((*TLS12_SUITES,), both[1:]),
        ((*TLS12_SUITES, *TLS13_SUITES), both),
    ):
        assert replace(tls, ciphers=tuple(suites)).versions == versions
