"""Tests of `--previous`: clients that a new file of client CAs locks out."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest
from cryptography import x509
from support.bridge_certs import CLIENT_AUTH, authority, certificate

from grpcsecure.checking.key_files.previous import check_previous, read_previous
from grpcsecure.checking.pipeline import Phase, load_config
from grpcsecure.config.source import Source
from grpcsecure.devcerts.credentials import (
    CA_USAGE,
    Profile,
    Validity,
    issue,
    new_key,
)
from grpcsecure.errors import KeyMaterialError

CONFIG = """\
version: 1
services: [{servicer: 'a:B'}]
listeners:
  public:
    address: 127.0.0.1:0
    tls:
      certificate: server.pem
      private_key: server.key
      client_certificate: require_and_verify
      client_ca: clients.pem
"""


@pytest.fixture(name="old", scope="module")
def _old():
    """The previous CA."""
    return authority("old CA")


@pytest.fixture(name="new", scope="module")
def _new():
    """The new CA."""
    return authority("new CA")


@pytest.fixture(name="check")
def _check(tmp_path, old, new):
    """Return a function that checks the new client CAs against the previous ones."""
    server = certificate("localhost", issuer=old, names=[x509.DNSName("localhost")])
    (tmp_path / "server.pem").write_bytes(server.chain_pem)
    (tmp_path / "server.key").write_bytes(server.key_pem)

    def check(cas, before):
        (tmp_path / "clients.pem").write_bytes(
            b"".join(ca.certificate_pem for ca in cas)
        )
        (tmp_path / "before.pem").write_bytes(before)
        now = datetime.now(timezone.utc)
        source = Source(name="server.yaml", directory=tmp_path, text=CONFIG)
        loaded = load_config(
            source, profile=None, environ={}, now=now, last=Phase.FILES
        )
        assert loaded.failed is None
        previous = read_previous(tmp_path / "before.pem")
        return [
            (finding.code, finding.span.line, finding.message, finding.label)
            for finding in check_previous(
                loaded.document, loaded.materials, previous, now
            )
        ]

    return check


def test_ca_replaced_in_one_step_is_a_warning(check, old, new):
    """Without the old CA, there is a warning at the `client_ca`."""
    [(code, line, message, label)] = check([new], old.certificate_pem)
    assert (code, line) == ("GS234", 10)
    assert message == "no listener accepts the CA `CN=old CA` any more"
    assert label == "is not in this file"


def test_both_cas_together_have_no_finding(check, old, new):
    """The recommended rotation of a CA has no findings."""
    assert check([old, new], old.certificate_pem) == []


def test_renewed_ca_loses_clients_that_name_its_serial_number(check):
    """With the old certificate beside the new one, there is no finding."""
    now = datetime.now(timezone.utc)
    key = new_key()
    first, second = (make_renewal("renewed", key, now) for _ in range(2))
    [(code, _, message, label)] = check([second], first.certificate_pem)
    assert code == "GS234"
    assert message == (
        "no listener accepts clients that name the serial number of the CA"
        " `CN=renewed` any more"
    )
    assert label == "was renewed with another serial number"
    assert check([second, first], first.certificate_pem) == []


def make_renewal(name, key, now):
    """Return a CA with this name and key."""
    profile = Profile(
        subject=name,
        validity=Validity.of(30, now=now),
        purposes=(),
        usage=CA_USAGE,
        is_ca=True,
    )
    return issue(profile, key=key)


def test_client_in_use_is_verified_by_the_new_file(check, old, new):
    """A client certificate may represent all clients of its CA."""
    client = certificate("device", issuer=old, extended=CLIENT_AUTH)
    assert check([old], client.certificate_pem) == []
    [(code, _, message, label)] = check([new], client.certificate_pem)
    assert code == "GS234"
    assert message == "no listener accepts the certificate `CN=device` any more"
    assert label == "unable to get local issuer certificate"


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "cannot read"), (b"no PEM", "is not a PEM file of intact certificates")],
)
def test_file_without_certificates_is_refused(tmp_path, content, words):
    """A `--previous` without certificates would silently check nothing."""
    path = tmp_path / "before.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(KeyMaterialError, match=words):
        read_previous(path)
