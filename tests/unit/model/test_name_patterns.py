"""Tests of names and patterns: their normalized spelling, and refused patterns."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.refusals import why_refused

from grpcsecure.model import name_patterns as names
from grpcsecure.model.name_patterns import NamePattern

PARSERS = (
    names.parse_dns_pattern,
    names.parse_email,
    names.parse_ip,
    names.parse_sha256,
    names.parse_spiffe_pattern,
    names.parse_uri_pattern,
)
FOLDERS = (
    names.fold_dns,
    names.fold_email,
    names.fold_ip,
    names.fold_sha256,
    names.fold_spiffe,
    names.fold_uri,
    names.has_dot_segments,
    names.is_dns_label,
    names.is_printable,
    names.is_spiffe_id,
)

SPIFFE = [
    ("spiffe://td", "spiffe://td", False),
    ("spiffe://td/ns/prod", "spiffe://td/ns/prod", False),
    ("SPIFFE://TD.Example/Ns", "spiffe://td.example/Ns", False),
    ("spiffe://t-d_1.x/a.b/..c/-_", "spiffe://t-d_1.x/a.b/..c/-_", False),
    ("spiffe://td/*", "spiffe://td/", True),
    ("spiffe://TD/ns/prod/*", "spiffe://td/ns/prod/", True),
    ("spiffe://td/ns/prod-*", "spiffe://td/ns/prod-", True),
    ("spiffe://td/ns/.*", "spiffe://td/ns/.", True),  # a dot, not a regular expression
]

NOT_SPIFFE = [
    "",
    "*",
    "spiffe:",
    "spiffe://",
    "spiffe://*",
    "spiffe:///ns",
    "spiffe://td*",
    "spiffe://td/",
    "spiffe://td/ns/",
    "spiffe://td//ns",
    "spiffe://td/./ns",
    "spiffe://td/ns/..",
    "spiffe://td/../*",
    "spiffe://td//*",
    "spiffe://td/*/prod",
    "spiffe://td/**",
    "spiffe://td/a?b",
    "spiffe://td/a#b",
    "spiffe://td:443/a",
    "spiffe://me@td/a",
    "spiffe://td/%61",
    "spiffe://td/\u00e4",
    "spiffe://t\u212ad/a",
    "spiffe://td/a b",
    "spiffe://td/a\0",
    "spiffe://td/a\n",
    "spiffe://" + "t" * 256,
    "spiffe://td/" + "a" * 2048,
    "https://td/ns",
    " spiffe://td/ns",
]

URIS = [
    ("https://ci.example", "https://ci.example", False),
    ("HTTPS://User@CI.Example:8443/Run?Q#F", "https://User@ci.example:8443/Run?Q#F", 0),
    ("https://ci.example/../x", "https://ci.example/../x", False),
    ("https://ci.example?Q", "https://ci.example?Q", False),
    ("urn:UUID:4F", "urn:UUID:4F", False),
    ("URN:x", "urn:x", False),
    ("https://CI.example/*", "https://ci.example/", True),
    ("https://ci.example/runner-*", "https://ci.example/runner-", True),
    ("https://ci.example/run?id=*", "https://ci.example/run?id=", True),
    ("https://ci.example/.*", "https://ci.example/.", True),
    ("urn:uuid:*", "urn:uuid:", True),
    ("urn:u*", "urn:u", True),
    ("file:///etc/*", "file:///etc/", True),
    ("file:/etc*", "file:/etc", True),
]

NOT_URIS = [
    "",
    "*",
    "ci.example",
    "//ci.example/*",
    "1http://x",
    "https:",
    "https:*",
    "https:/*",
    "https://*",
    "https://ci*",
    "https://ci.example*",
    "https://ci.example:8443*",
    "https://ci.example?*",
    "https://ci.example#/*",
    "https://ci.example\\x*",
    "https://*.example/",
    "https://ci.example/*/x",
    "https://ci.example/a/../*",
    "https://ci.example/a/%2E%2e/*",
    "https://ci.example/a/.%2f*",
    "https://ci.example/a b",
    "https://ci.example/\0",
    "https://\u0441i.example/",
    "urn:*:x",
]

DNS = [
    ("ci.example", "ci.example", False),
    ("CI.Example.", "ci.example", False),
    ("localhost", "localhost", False),
    ("_a-b.xn--bcher-kva.example", "_a-b.xn--bcher-kva.example", False),
    ("*.CI.example", "ci.example", True),
    ("*.example.", "example", True),
]

NOT_DNS = [
    "",
    ".",
    "*",
    "*.",
    "*.*.example",
    "a.*.example",
    "*a.example",
    "a*.example",
    "**.example",
    "*example",
    ".example",
    "ci..example",
    "ci.example..",
    "ci example",
    "b\u00fccher.example",
    "\u212ai.example",
    "ci.example\0",
    "ci.example\n",
    "a" * 64 + ".example",
    "a." * 127 + "example",
]


@pytest.mark.parametrize(("text", "folded", "is_wildcard"), SPIFFE)
def test_spiffe_patterns_are_parsed(text, folded, is_wildcard):
    """Scheme and trust domain are lower-cased; a `*` matches any rest."""
    assert names.parse_spiffe_pattern(text) == NamePattern(folded, bool(is_wildcard))


@pytest.mark.parametrize("text", NOT_SPIFFE)
def test_invalid_spiffe_pattern_is_refused(text):
    """A pattern that matches no SPIFFE id, or several trust domains, is a mistake."""
    with pytest.raises(ValueError, match=r"^expected"):
        names.parse_spiffe_pattern(text)


@pytest.mark.parametrize(("text", "folded", "is_wildcard"), URIS)
def test_uri_patterns_are_parsed(text, folded, is_wildcard):
    """Scheme and host are lower-cased; user, port and the rest are kept."""
    assert names.parse_uri_pattern(text) == NamePattern(folded, bool(is_wildcard))


@pytest.mark.parametrize("text", NOT_URIS)
def test_invalid_uri_pattern_is_refused(text):
    """A `*` that could match a part of the host, or nothing, is a mistake."""
    with pytest.raises(ValueError, match=r"^expected"):
        names.parse_uri_pattern(text)


@pytest.mark.parametrize(("text", "folded", "is_wildcard"), DNS)
def test_dns_patterns_are_parsed(text, folded, is_wildcard):
    """Case and a final dot are ignored; a `*` is the first label."""
    assert names.parse_dns_pattern(text) == NamePattern(folded, bool(is_wildcard))


@pytest.mark.parametrize("text", NOT_DNS)
def test_invalid_dns_pattern_is_refused(text):
    """A `*` must be the whole first label."""
    with pytest.raises(ValueError, match=r"^expected"):
        names.parse_dns_pattern(text)


def test_email_domain_is_lower_cased():
    """RFC 5280, 7.5: the host is case-insensitive, the local part is not."""
    assert names.parse_email("Ops@Corp.Example") == "Ops@corp.example"
    assert names.parse_email("a@b@Corp") == "a@b@corp"


@pytest.mark.parametrize(
    "text", ["", "@", "a@", "@b", "a", "a@b c", "a@b\0", "a@\u212a"]
)
def test_invalid_email_address_is_refused(text):
    """An address has two parts, and a domain that a certificate can contain."""
    with pytest.raises(ValueError, match=r"^expected"):
        names.parse_email(text)


def test_ip_is_a_value():
    """Two spellings of an address are equal."""
    assert names.parse_ip("10.0.0.7") == ip_address("10.0.0.7")
    assert names.parse_ip("2001:DB8:0::0007") == ip_address("2001:db8::7")
    assert names.parse_ip("::ffff:10.0.0.7") != names.parse_ip("10.0.0.7")


@pytest.mark.parametrize(
    "text", ["", "10.0.0", "10.0.0.0/8", "10.0.0.07", "fe80::1%eth0", "1", "host"]
)
def test_invalid_ip_is_refused(text):
    """Networks, zones and plain numbers are not addresses."""
    with pytest.raises(ValueError, match=r"^expected"):
        names.parse_ip(text)


def test_digest_is_bytes():
    """Case and colons are ignored."""
    digits = "9f" * 32
    assert names.parse_sha256(f"sha256:{digits}") == digits
    assert names.parse_sha256(f"sha256:{digits.upper()}") == digits
    assert names.parse_sha256("sha256:" + ":".join(["9F"] * 32)) == digits


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sha256:",
        "9f" * 32,
        "sha1:" + "9f" * 32,
        "sha256:" + "9f" * 31,
        "sha256:" + "9f" * 33,
        "sha256:" + "9g" * 32,
        "sha256:9:f" + "9f" * 31,
        "sha256::" + "9f" * 32,
        "sha256:" + "9f" * 32 + "\n",
        "sha256:" + "\u0669f" * 32,
    ],
)
def test_invalid_digest_is_refused(text):
    """Half a fingerprint is not a pin."""
    with pytest.raises(ValueError, match=r"^expected"):
        names.parse_sha256(text)


def test_metadata_values_are_as_delivered_by_grpc():
    """A `-bin` key has bytes, with or without the padding of its base64."""
    assert names.parse_metadata_value("x-env", "AA==") == "AA=="
    assert names.parse_metadata_value("x-bin", "AA==") == b"\0"
    assert names.parse_metadata_value("x-bin", "AA") == b"\0"
    assert names.parse_metadata_value("x-bin", "") == b""


@pytest.mark.parametrize("text", ["A", "A A=", "\u00e4", "AA==AA==", "-_-_"])
def test_metadata_value_that_is_not_base64_is_refused(text):
    """A rule for bytes that no client can send is a mistake."""
    with pytest.raises(ValueError, match=r"^expected base64"):
        names.parse_metadata_value("x-bin", text)


_ODD = st.text() | st.text(st.sampled_from("spiffe:htp/@*.%2eE\\?#AaK\u212a\0 "))


@given(_ODD | _ODD.map("spiffe://".__add__) | _ODD.map("https://".__add__))
def test_any_text_is_parsed_or_refused(text):
    """No text raises anything but a ValueError with the reason."""
    for parse in PARSERS:
        assert (why_refused(parse, text) or "expected").startswith("expected")
    for fold in FOLDERS:
        fold(text)


@given(_ODD.map("https://".__add__) | _ODD)
def test_folding_twice_changes_nothing(text):
    """A normalized name stays unchanged."""
    for fold in (names.fold_uri, names.fold_email):
        assert fold(fold(text)) == fold(text)
    folded = names.fold_spiffe(text)
    assert folded is None or names.fold_spiffe(folded) == folded
