"""Words of other tools: each leads to a key, a mode or an identity that exists."""

from __future__ import annotations

import pytest
from support.configs import brief, patched

from grpcsecure.config.other_tools import (
    _BY_WORD,
    built_in_identity,
    find_key,
    find_mode,
)
from grpcsecure.config.schema_file import dereference, load_schema
from grpcsecure.model.authorization import BuiltIn


def _parts():
    schema = load_schema()
    parts = [schema, *map(dereference, schema["$defs"].values())]
    return {part["title"]: set(part.get("properties", ())) for part in parts}


@pytest.mark.parametrize("title", _BY_WORD)
def test_words_lead_to_keys_of_the_schema(title):
    """A word is not a key of the same mapping itself, but leads to one."""
    keys = _parts()[title]
    assert set(_BY_WORD[title].values()) <= keys
    assert not set(_BY_WORD[title]) & keys


@pytest.mark.parametrize(
    ("patch", "key", "help_"),
    [
        ("identities: {a: {cn: shop}}", "common_name", "write `common_name: shop`"),
        ("listeners: {public: {tls: {certFile: a}}}", "certificate", None),
        ("listeners: {public: {tls: {client-ca: a}}}", "client_ca", None),
        ("server: {max_workers: 8}", "threads", "write `threads: 8`"),
        ("services: [{servicer: a:B, args: secret}]", "with", None),
        (
            "listeners: {b: {host: '::1', port: 80, plaintext: true}}",
            "address",
            'write `address: "[::1]:80"`',
        ),
        (
            "listeners: {public: {address: null, port: 80}}",
            "address",
            "write `address: 0.0.0.0:80`",
        ),
    ],
)
def test_key_of_another_tool_is_one_finding(patch, key, help_):
    """It names our key; that this key is missing is no finding of its own."""
    (finding,) = patched(patch).findings
    assert finding.code == "GS102"
    assert finding.label.startswith(f"called `{key}` here")
    assert "secret" not in f"{finding}"
    assert finding.help == help_ or help_ is None


def test_two_words_for_one_key_are_one_finding():
    """`host` and `port` are one mistake."""
    patch = "listeners: {b: {host: h, port: 80, plaintext: true}}"
    (finding,) = patched(patch).findings
    assert finding.help == "write `address: h:80`"
    assert [label.text for label in finding.secondary] == ["`address` too"]


@pytest.mark.parametrize(
    ("word", "mode"),
    [
        ("RequireAndVerifyClientCert", "require_and_verify"),
        ("tls.RequireAnyClientCert", "require_but_dont_verify"),
        ("VerifyClientCertIfGiven", "request_and_verify"),
        ("RequestClientCert", "request_but_dont_verify"),
        ("NoClientCert", "dont_request"),
        ("optional_no_ca", "request_but_dont_verify"),
        ("optional", "request_and_verify"),
        ("ssl.CERT_NONE", "dont_request"),
        ("NEED", "require_and_verify"),
        ("WANT", "request_and_verify"),
        ("ClientAuth.REQUIRE", "require_and_verify"),
        ("ACCEPT_UNTRUSTED", "request_but_dont_verify"),
        ("OPTIONAL_MUTUAL", "request_and_verify"),
        ("mtls", "require_and_verify"),
        ("sometimes", None),
    ],
)
def test_modes_of_other_tools(word, mode):
    """A word of a mode leads to the mode; the mode itself is not accepted by it."""
    assert find_mode(word) == mode
    tls = f"{{client_certificate: '{word}'}}"
    (found,) = brief(patched(f"listeners: {{public: {{tls: {tls}}}}}").findings)
    assert "GS107" in found


def test_built_in_identities():
    """The identities that words lead to are built in."""
    assert {built_in_identity(word) for word in ("*", "authenticated", "guest")} == {
        BuiltIn.ANYONE.value,
        BuiltIn.VERIFIED.value,
        BuiltIn.ANONYMOUS.value,
    }
    assert built_in_identity("billing") is None
    assert find_key("TLS", "billing", {}) is None
