"""Tests of findings about key material that is not among the usual specimens."""

from __future__ import annotations

import os
import re
import subprocess
import time
from datetime import timedelta

import pytest
from support.certificates import make_specimens
from support.file_checks import (
    LATER,
    NOW,
    A,
    C,
    K,
    check,
    listener,
    specimen,
)

from grpcsecure.devcerts import Profile, Validity, issue, parse_server
from grpcsecure.devcerts.credentials import CA_USAGE, SERVER_AUTH


@pytest.fixture(scope="module", name="folder")
def _folder(tmp_path_factory):
    """A directory with the `certs/` that `certs dev certs --broken` writes."""
    folder = tmp_path_factory.mktemp("files")
    make_specimens(folder / "certs")
    return folder


NOBODY = 65534
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")


def a_key(folder, path, mode, owner):
    """Write a key with a mode and an owner; other owners than the user need root."""
    path.write_bytes((folder / "certs/server.key").read_bytes())
    if os.geteuid() == 0:
        os.chown(path, owner, -1)
    path.chmod(mode)
    return path


@AS_ROOT
@pytest.mark.parametrize("mode", [0o400, 0o440, 0o600, 0o640])
def test_key_of_root_may_be_read_by_a_group(folder, tmp_path, mode):
    """A server that does not run as root gets its key that way."""
    path = a_key(folder, tmp_path / "root.key", mode, owner=0)
    assert check(folder, listener(private_key=path)) == []


@pytest.mark.parametrize(
    ("mode", "owner"),
    [
        *((mode, NOBODY) for mode in (0o640, 0o440, 0o604, 0o620, 0o644)),
        *((mode, 0) for mode in (0o604, 0o620, 0o644, 0o660)),
    ],
)
def test_open_key_is_found(folder, tmp_path, mode, owner):
    """A key that others may read or write is a warning, an error in production."""
    path = a_key(folder, tmp_path / "open.key", mode, owner)
    ((finding, place),) = check(folder, listener(private_key=path))
    assert (finding.code, finding.is_error) == ("GS227", False)
    assert finding.kind.production
    assert f"its mode is {mode:04o}" in finding.message
    assert place.startswith("private_key:")


@pytest.mark.parametrize("name", ["expiring", "self-signed"])
def test_findings_for_production_are_marked(folder, name):
    """Warnings of these kinds become errors with `production: true`."""
    ((finding, _),) = check(folder, listener(**specimen(name)))
    assert finding.kind.production


@pytest.mark.parametrize(
    ("days", "codes"),
    [
        (-1, ["GS212", "GS215"]),
        (22, []),
        (24, ["GS213", "GS213"]),
        (31, ["GS211", "GS215"]),
    ],
)
def test_dates_are_compared_with_the_given_time(folder, days, codes):
    """The same files are valid, expiring or expired, depending on the clock only."""
    found = check(folder, now=NOW + timedelta(days=days))
    assert sorted(finding.code for finding, _ in found) == codes


def openssl(*arguments, **options):
    """Run `openssl`."""
    return subprocess.run(
        ["openssl", *map(str, arguments)], check=True, capture_output=True, **options
    )


@pytest.fixture(name="made")
def _made(tmp_path):
    """A function that makes a server certificate signed by a CA of `openssl`."""

    def make(*, digest="sha256", newkey=("ec", "-pkeyopt", "ec_paramgen_curve:P-256")):
        ca, key = tmp_path / "ca.pem", tmp_path / "ca.key"
        if not ca.exists():
            openssl(
                *(
                    "req",
                    "-x509",
                    "-newkey",
                    "rsa:2048",
                    "-nodes",
                    "-subj",
                    "/CN=old CA",
                ),
                *("-keyout", key, "-out", ca, "-sha1"),
            )
        request = tmp_path / "s.csr"
        openssl(
            *("req", "-newkey", *newkey, "-nodes", "-subj", "/CN=s"),
            *("-keyout", tmp_path / "s.key", "-out", request),
            *("-addext", "subjectAltName=DNS:localhost"),
        )
        openssl(
            *("x509", "-req", "-in", request, "-CA", ca, "-CAkey", key),
            *(
                "-CAcreateserial",
                f"-{digest}",
                "-days",
                "30",
                "-copy_extensions",
                "copy",
            ),
            *("-out", tmp_path / "s.pem"),
        )
        return {C: tmp_path / "s.pem", K: tmp_path / "s.key", A: ca}

    return make


def test_sha1_signature_is_found(folder, made):
    """A leaf signed with SHA-1 is an error; its root's signature does not matter."""
    settings = made(digest="sha1")
    chain = settings[C].read_bytes() + settings[A].read_bytes()
    settings[C].write_bytes(chain)
    ((finding, _),) = check(folder, listener(**settings), now=LATER)
    assert (finding.code, finding.is_error) == ("GS223", True)
    assert "`CN=s` in" in finding.message
    assert finding.message.endswith("is signed with SHA1")


@pytest.mark.parametrize(
    ("newkey", "words"),
    [
        (("ec", "-pkeyopt", "ec_paramgen_curve:secp256k1"), "EC secp256k1"),
        (("ed448",), "Ed448"),
    ],
)
def test_key_that_grpc_cannot_serve_is_found(folder, made, newkey, words):
    """A key that gRPC would report as a failed bind has its own finding."""
    ((finding, place),) = check(folder, listener(**made(newkey=newkey)), now=LATER)
    assert (finding.code, finding.is_error) == ("GS224", True)
    assert words in finding.label
    assert place.startswith("certificate:")


def test_request_in_place_of_a_certificate_is_named(folder, made, tmp_path):
    """A signing request in place of the certificate is reported as such."""
    settings = made() | {C: tmp_path / "s.csr"}
    ((finding, _),) = check(folder, listener(**settings), now=LATER)
    assert finding.code == "GS204"
    assert (
        "contains a certificate signing request, not a certificate" in finding.message
    )
    assert "send it to the CA" in finding.help


@pytest.mark.parametrize(
    "text",
    [
        "-----BEGIN PRIVATE KEY-----\nQUJD\n-----END PRIVATE KEY-----\n",
        "-----BEGIN EC PRIVATE KEY-----\nMAMCAQU=\n-----END EC PRIVATE KEY-----\n",
    ],
)
def test_block_that_is_not_a_key_is_a_broken_block(folder, tmp_path, text):
    """Valid base64 under the label of a key is not a key."""
    path = tmp_path / "x.key"
    path.touch(0o600)
    path.write_text(text)
    ((finding, _),) = check(folder, listener(private_key=path))
    assert finding.code == "GS206"
    assert "not a readable private key" in finding.message


def test_certificate_outside_the_chain_is_found(folder, tmp_path):
    """A certificate that was appended by mistake is named."""
    path = tmp_path / "s.pem"
    certs = folder / "certs"
    path.write_bytes(
        (certs / "server.pem").read_bytes()
        + (certs / "ca.pem").read_bytes()
        + (certs / "broken/client-self-signed.pem").read_bytes()
    )
    ((finding, _),) = check(folder, listener(certificate=path))
    assert finding.code == "GS209"
    assert "`CN=self-signed`, which signed none of the others" in finding.message


@pytest.mark.parametrize(
    ("stems", "subject", "codes"),
    [
        (["server", "server"], "CN=server", ["GS209"]),
        (["server", "ca", "server"], "CN=server", ["GS209"]),
        (["broken/server-chain"] * 2, "CN=of an intermediate", ["GS209"]),
        (["broken/server-self-signed"] * 2, "CN=self-signed", ["GS209", "GS226"]),
    ],
)
def test_duplicate_certificate_is_named(folder, tmp_path, stems, subject, codes):
    """A file that was appended to itself has one finding about the duplicate."""
    path = tmp_path / "s.pem"
    parts = [(folder / f"certs/{stem}.pem").read_bytes() for stem in stems]
    path.write_bytes(b"".join(parts))
    settings = {C: path, K: folder / f"certs/{stems[0]}.key"}
    found = {one.code: one for one, _ in check(folder, listener(**settings))}
    assert sorted(found) == codes
    assert f"has `{subject}` twice" in found["GS209"].message
    assert found["GS209"].help == "remove the second copy"


def test_missing_intermediate_is_found_among_the_client_cas(folder, tmp_path):
    """A leaf alone is incomplete if the config knows its signer as an intermediate."""
    chain = (folder / "certs/broken/server-chain.pem").read_text()
    parts = re.findall("-----BEGIN.*?END CERTIFICATE-----\n", chain, re.DOTALL)
    (tmp_path / "leaf.pem").write_text(parts[0])
    (tmp_path / "intermediate.pem").write_text(parts[1])
    settings = specimen("chain") | {C: tmp_path / "leaf.pem"}
    assert check(folder, listener(**settings)) == []
    settings[A] = tmp_path / "intermediate.pem"
    ((finding, _),) = check(folder, listener(**settings))
    assert finding.code == "GS210"


def test_expired_root_in_a_chain_is_ignored(folder, tmp_path):
    """Clients use their own copy of a root; the one in the file does no harm."""
    past = Validity(NOW - timedelta(days=30), NOW - timedelta(days=1))
    usage = {"usage": CA_USAGE, "purposes": (), "is_ca": True}
    root = issue(Profile(subject="old root", validity=past, **usage))
    profile = Profile(
        subject="s",
        validity=Validity.of(30, now=NOW),
        names=(parse_server("localhost"),),
        purposes=(SERVER_AUTH,),
    )
    leaf = issue(profile, issuer=root).with_chain(root.certificate)
    (tmp_path / "s.pem").write_bytes(leaf.certificate_pem)
    (tmp_path / "s.key").touch(0o600)
    (tmp_path / "s.key").write_bytes(leaf.key_pem)
    settings = {C: tmp_path / "s.pem", K: tmp_path / "s.key"}
    assert check(folder, listener(**settings)) == []


def test_large_bundle_is_checked_quickly(folder, tmp_path):
    """A bundle of thousands of certificates takes a moment, not minutes."""
    path = tmp_path / "bundle.pem"
    path.write_bytes((folder / "certs/ca.pem").read_bytes() * 3000)
    started = time.process_time()
    assert check(folder, listener(client_ca=path)) == []
    assert time.process_time() - started < 20
