"""Cipher suites and groups: names, and lists that no client can meet."""

from __future__ import annotations

import pytest
from support.configs import patched, underlined

from grpcsecure.checking.listeners.tls_settings import check_tls_settings
from grpcsecure.checking.listeners.tls_suites import check_suites
from grpcsecure.tls.openssl import _bindings as openssl

TLS12 = "ECDHE-RSA-AES128-GCM-SHA256"


def document(tls):
    """Return the config with these keys of `tls`."""
    return patched(f"listeners: {{public: {{tls: {{{tls}}}}}}}").document


@pytest.mark.parametrize(
    ("tls", "label", "text"),
    [
        ("ciphers: [TLS_AES_256_GCM_SHA38]", "TLS_AES_256_GCM_SHA384", "ciphers[0]"),
        (
            "ciphers: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]",
            "ECDHE-RSA-AES128-GCM-SHA256",
            "ciphers[0]",
        ),
        (
            "ciphers: [TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256]",
            "ECDHE-ECDSA-CHACHA20-POLY1305",
            "ciphers[0]",
        ),
        ("groups: [secp384r1]", "P-384", "groups[0]"),
        ("groups: [X25519, CurveP256]", "P-256", "groups[1]"),
    ],
)
def test_unknown_name(tls, label, text):
    """The finding has the nearest name, or the one for another tool's word."""
    (finding,) = patched(f"listeners: {{public: {{tls: {{{tls}}}}}}}").findings
    assert finding.code == "GS107"
    assert f"`{label}`" in finding.label
    assert text in finding.message


def test_suite_that_http2_does_not_allow():
    """A suite with CBC has the list of those that are allowed."""
    tls = "ciphers: [AES128-SHA]"
    (finding,) = patched(f"listeners: {{public: {{tls: {{{tls}}}}}}}").findings
    assert finding.label == "not a value of `ciphers`"
    assert finding.help.startswith("valid values: TLS_AES_128_GCM_SHA256, ")


@pytest.mark.parametrize(
    "key", ["ciphers: [TLS_AES_256_GCM_SHA384]", "groups: [P-256]"]
)
def test_engine(key):
    """These keys need the bridge: `auto` selects it, and `grpc` is an error."""
    assert document(key).config.listeners[0].is_bridged
    (finding,) = check_tls_settings(document(f"engine: grpc, {key}"))
    assert finding.code == "GS304"
    assert f"`{key.partition(':')[0]}`" in finding.message


@pytest.mark.parametrize(
    ("tls", "place"),
    [
        (f"min_version: TLSv1.3, ciphers: [{TLS12}]", "ciphers"),
        (f"groups: [X25519MLKEM768], ciphers: [{TLS12}]", "groups"),
    ],
)
def test_no_client_can_connect(tls, place):
    """Suites of a version that is not accepted, and groups that it does not have."""
    checked = document(tls)
    finding = next(each for each in check_suites(checked) if each.code == "GS322")
    assert underlined(checked.source.text, finding) == place
    assert finding.message.startswith("no client can connect to listener `public`")


@pytest.mark.skipif(not openssl.can_set_groups(), reason="needs cryptography 47")
@pytest.mark.parametrize(
    "tls",
    [
        f"ciphers: [{TLS12}], groups: [P-256]",
        "min_version: TLSv1.3, ciphers: [TLS_AES_256_GCM_SHA384, " + TLS12 + "]",
        "groups: [X25519MLKEM768]",
    ],
)
def test_usable_lists(tls):
    """Lists that some client can meet have no finding."""
    assert list(check_suites(document(tls))) == []


def test_groups_that_cannot_be_set(monkeypatch):
    """Where cryptography cannot set groups, the listener is not served with others."""
    monkeypatch.setattr(openssl, "_SSL_CTX_set1_curves_list", None)
    (finding,) = check_suites(document("groups: [P-256]"))
    assert finding.code == "GS324"
    assert finding.help == "install cryptography 47 or newer, or remove `groups`"
