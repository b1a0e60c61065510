"""Tests of findings about contradictory TLS settings: GS302 to GS304, GS307, GS308."""

from __future__ import annotations

import pytest
from support.configs import parse, underlined

from grpcsecure.checking.listeners.tls_settings import check_tls_settings
from grpcsecure.model.modes import ClientCertificateMode

HEAD = """\
version: 1
services: [{servicer: 'greeter:Greeter'}]
listeners:
  public:
    address: 127.0.0.1:8443
    tls:
      certificate: certs/server.pem
      private_key: certs/server.key
"""

MODES = [mode.value for mode in ClientCertificateMode]


def found(**tls):
    """Return code, key and text of the findings about a listener's settings."""
    text = HEAD + "".join(f"      {key}: {value}\n" for key, value in tls.items())
    parsed = parse(text)
    assert parsed.document is not None, parsed.findings
    return [
        (finding.code, *_pointed_at(text, finding))
        for finding in check_tls_settings(parsed.document)
    ]


def _pointed_at(text, finding):
    line = text.splitlines()[finding.span.line - 1]
    return line.split(":")[0].strip(), underlined(text, finding)


@pytest.mark.parametrize("mode", MODES)
def test_mode_alone(mode):
    """The modes that verify need a `client_ca`, and no other mode does."""
    expected = [("GS302", "client_certificate", mode)] if "and_verify" in mode else []
    assert found(client_certificate=mode) == expected


@pytest.mark.parametrize("mode", MODES)
def test_mode_with_client_ca(mode):
    """Only `dont_request` leaves a `client_ca` unused, which is a warning."""
    expected = [("GS303", "client_ca", "client_ca")] if mode == "dont_request" else []
    assert found(client_certificate=mode, client_ca="certs/ca.pem") == expected


@pytest.mark.parametrize("mode", MODES)
def test_mode_with_crl_alone(mode):
    """A list without a CA is an error if certificates are requested.

    Otherwise it is a warning. A mode that verifies lacks the CA in the first place: one
    mistake, one finding.
    """
    asks = ClientCertificateMode(mode).asks
    expected = [("GS307" if asks else "GS308", "crl", "crl")]
    if "and_verify" in mode:
        expected = [("GS302", "client_certificate", mode)]
    assert found(client_certificate=mode, crl="[certs/ca.crl]") == expected


def test_unused_ca_and_list_are_one_finding():
    """In a mode without requests, the CA's finding covers the list, too."""
    assert found(
        client_certificate="dont_request",
        client_ca="certs/ca.pem",
        crl="[certs/ca.crl]",
    ) == [("GS303", "client_ca", "client_ca")]


class TestEngine:
    """Engine `grpc` rejects settings that it does not support; it ignores none."""

    @pytest.mark.parametrize("mode", MODES)
    def test_modes(self, mode):
        """Engine `grpc` serves two of the five modes."""
        in_grpcio = mode in ("dont_request", "require_and_verify")
        settings = {"client_certificate": mode, "engine": "grpc"}
        if mode != "dont_request":
            settings["client_ca"] = "certs/ca.pem"
        expected = [] if in_grpcio else [("GS304", "client_certificate", mode)]
        assert found(**settings) == expected

    def test_every_unsupported_setting_is_named(self):
        """A mode, a list and a version are three unsupported settings."""
        assert found(
            client_certificate="request_and_verify",
            client_ca="certs/ca.pem",
            crl="[certs/ca.crl]",
            min_version="TLSv1.3",
            engine="grpc",
        ) == [
            ("GS304", "client_certificate", "request_and_verify"),
            ("GS304", "crl", "[certs/ca.crl]"),
            ("GS304", "min_version", "TLSv1.3"),
        ]

    @pytest.mark.parametrize("engine", ["auto", "bridge"])
    @pytest.mark.parametrize("mode", MODES)
    def test_other_engines_support_everything(self, engine, mode):
        """The bridge serves all modes, lists and versions."""
        settings = {"client_certificate": mode, "engine": engine}
        if mode != "dont_request":
            settings |= {"client_ca": "certs/ca.pem", "crl": "[certs/ca.crl]"}
        assert found(min_version="TLSv1.3", **settings) == []
