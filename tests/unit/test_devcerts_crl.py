"""Tests of revocation lists for development, with OpenSSL."""

from __future__ import annotations

import subprocess

import pytest
from support.certificates import make_specimens


@pytest.fixture(scope="module", name="folder")
def _folder(tmp_path_factory):
    """A directory as `certs dev --broken` writes it."""
    return make_specimens(tmp_path_factory.mktemp("dev"))


def openssl(*arguments):
    """Return all output of `openssl`."""
    done = subprocess.run(
        ["openssl", *map(str, arguments)], capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr


def verify(folder, name, crl):
    """Return the output of OpenSSL's strict verification of a client with a CRL."""
    return openssl(
        *("verify", "-x509_strict", "-crl_check", "-CAfile", folder / "ca.pem"),
        *("-CRLfile", folder / "broken" / crl, folder / name),
    )


def test_list_is_signed_by_the_authority(folder):
    """The CA signed the list, which has the time of the next update."""
    crl = folder / "broken" / "ca.crl"
    assert "verify OK" in openssl("crl", "-in", crl, "-CAfile", folder / "ca.pem")
    shown = openssl("crl", "-in", crl, "-noout", "-text")
    assert "Next Update: " in shown
    assert "X509v3 CRL Number" in shown
    assert "X509v3 Authority Key Identifier" in shown


def test_only_the_revoked_client_is_on_it(folder):
    """The good client verifies with the list, the revoked one does not."""
    assert "client.pem: OK" in verify(folder, "client.pem", "ca.crl")
    revoked = verify(folder, "broken/client-revoked.pem", "ca.crl")
    assert "certificate revoked" in revoked


@pytest.mark.parametrize(
    ("crl", "words"),
    [
        ("ca-expired.crl", "CRL has expired"),
        ("ca-forged.crl", "CRL signature failure"),
        ("other-ca.crl", "unable to get certificate CRL"),
    ],
)
def test_broken_list_is_broken_in_one_way(folder, crl, words):
    """A specimen has the mistake that its name describes, and no other."""
    said = verify(folder, "client.pem", crl)
    assert words in said
    assert said.count("error ") == 2, "one at the certificate, one at the file"
