"""Tests of `client_ca` as a mapping of SPIFFE trust domains to files."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest
from support.configs import FOLDER, GOOD, brief, parse, patched

from grpcsecure.checking.watch_set import watch_set
from grpcsecure.config.effective import render_effective
from grpcsecure.config.load import parse_config
from grpcsecure.config.source import Source
from grpcsecure.model.listener import TrustDomains
from grpcsecure.quoting import quote

TWO = "{corp.example: corp.pem, partner.example: /run/partner.pem}"

#: Places are those of the patch, which begins at line 13, column 5.
_AT = "`listeners.public.tls.client_ca`"
MISTAKES = {
    "{}": ["13:32 GS112 `listeners.public.tls.client_ca` is empty"],
    "{Corp.example: a}": [
        f"13:44 GS129 the name `Corp.example` in {_AT} is not allowed"
    ],
    "{'spiffe://corp.example': a}": [
        f"13:44 GS129 the name `spiffe://corp.example` in {_AT} is not allowed"
    ],
    f"{{{'a' * 256}: a}}": [
        f"13:44 GS129 the name {quote('a' * 256)} in {_AT} is not allowed"
    ],
    "{corp.example: {a: b}}": [
        (
            "13:44 GS105 `listeners.public.tls.client_ca.corp.example` is a mapping; a"
            " path such as `certs/server.pem` is expected"
        )
    ],
    "[a.pem]": [
        (
            "13:32 GS105 `listeners.public.tls.client_ca` is a list; a path such as"
            " `certs/server.pem` is expected"
        )
    ],
}


def document_of(client_ca, *, profile=None, profiles=""):
    """Return the document of the good config with a `client_ca`, without findings."""
    text = GOOD.replace("dont_request", "require_and_verify")
    text += f"      client_ca: {client_ca}\n"
    if profiles:
        text += "profiles:\n" + textwrap.indent(profiles, "  ")
    parsed = parse(text, profile=profile)
    assert brief(parsed.findings) == []
    assert parsed.document is not None
    return parsed.document


def tls_of(document):
    """Return the TLS settings of the only listener."""
    return document.config.listeners[0].tls


@pytest.mark.parametrize(("value", "expected"), MISTAKES.items())
def test_mistake_in_the_mapping_is_found_at_its_place(value, expected):
    """Names are trust domains, values are paths, and there is at least one."""
    found = patched(f"listeners: {{public: {{tls: {{client_ca: {value}}}}}}}")
    assert brief(found.findings) == expected


def test_each_trust_domain_has_a_file():
    """Paths are absolute, in the order of the config; a plain path has no domain."""
    tls = tls_of(document_of(TWO))
    assert tls.client_ca == TrustDomains(
        (
            ("corp.example", FOLDER / "corp.pem"),
            ("partner.example", Path("/run/partner.pem")),
        )
    )
    assert tls.client_ca_files == tls.client_ca.files
    assert tls.trust_domains == {"corp.example", "partner.example"}
    plain = tls_of(document_of("ca.pem"))
    assert plain.client_ca_files == ((None, FOLDER / "ca.pem"),)
    assert plain.trust_domains is None


@pytest.mark.parametrize(
    ("patch", "files"),
    [
        ("{partner.example: null}", {"corp.example": "corp.pem"}),
        (
            "{corp.example: new.pem, third.example: third.pem}",
            {
                "corp.example": "new.pem",
                "partner.example": "/run/partner.pem",
                "third.example": "third.pem",
            },
        ),
        ("ca.pem", {None: "ca.pem"}),
    ],
)
def test_profile_merges_the_mapping(patch, files):
    """A profile changes, adds and removes single domains, or replaces all of them."""
    profile = f"it: {{listeners: {{public: {{tls: {{client_ca: {patch}}}}}}}}}\n"
    tls = tls_of(document_of(TWO, profile="it", profiles=profile))
    assert dict(tls.client_ca_files) == {
        name: FOLDER / path for name, path in files.items()
    }


def test_profile_makes_a_mapping_of_a_path():
    """As JSON Merge Patch says, a mapping replaces a value that is none."""
    profile = f"it: {{listeners: {{public: {{tls: {{client_ca: {TWO}}}}}}}}}\n"
    tls = tls_of(document_of("ca.pem", profile="it", profiles=profile))
    assert tls.trust_domains == {"corp.example", "partner.example"}


def test_effective_config_has_the_mapping():
    """`--print-config` prints it as it is, and its output is the same config."""
    document = document_of(TWO)
    text = render_effective(document)
    assert (
        "      client_ca:\n"
        "        corp.example: corp.pem\n"
        "        partner.example: /run/partner.pem\n"
    ) in text
    parsed = parse_config(Source("again", FOLDER, text), profile=None, environ={})
    assert parsed.document is not None
    assert parsed.document.config == document.config


def test_each_file_is_watched():
    """A change of one of the files is a reason to reload."""
    files = watch_set("server.yaml", document_of(TWO).config).files
    assert {FOLDER / "corp.pem", Path("/run/partner.pem")} <= {*files}
