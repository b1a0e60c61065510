"""Tests of findings about PEM blocks that are not used."""

from __future__ import annotations

import pytest
from support.certificates import make_specimens
from support.file_checks import NOW, A, C, K, check, listener, load

from grpcsecure.checking.key_files.key_material import check_files
from grpcsecure.errors import KeyMaterialError
from grpcsecure.tls.material import load_material


@pytest.fixture(scope="module", name="folder")
def _folder(tmp_path_factory):
    """A directory with the specimens, and files made of several of them."""
    folder = tmp_path_factory.mktemp("blocks")
    make_specimens(folder / "certs")
    parts = {
        "ca": "certs/ca.pem",
        "crl": "certs/broken/ca.crl",
        "server": "certs/server.pem",
        "key": "certs/server.key",
        "other_key": "certs/client.key",
        "other": "certs/broken/server-self-signed.pem",
        "no-san": "certs/broken/server-no-san.pem",
    }
    text = {name: (folder / path).read_text() for name, path in parts.items()}
    text["trusted"] = text["ca"].replace(" CERTIFICATE", " TRUSTED CERTIFICATE")
    files = {
        "ca+crl.pem": ("ca", "crl"),
        "ca+trusted.pem": ("ca", "trusted"),
        "ca+key.pem": ("ca", "other_key"),
        "server+crl.pem": ("server", "crl"),
        "server+ca+crl.pem": ("server", "ca", "crl"),
        "server+second.pem": ("server", "no-san"),
        "server+other.pem": ("server", "other"),
        "all.key": ("server", "ca", "key"),
        "two.key": ("key", "other_key", "key"),
        "crl+key.pem": ("crl", "other_key"),
    }
    for name, names in files.items():
        path = folder / name
        path.touch(0o600)
        path.write_text("".join(text[each] for each in names))
    return folder


CRL = "crl"

#: The settings, and for each finding its code, the setting it points at, and words.
CASES = {
    "CRL among the CAs": ({A: "ca+crl.pem"}, ("GS236", A, "revocation list at its li")),
    "CRL among the CAs, another one named": (
        {A: "ca+crl.pem", CRL: "[certs/broken/ca.crl]"},
        ("GS236", A, "contains a revocation list"),
    ),
    "CRL among the CAs, named": ({A: "ca+crl.pem", CRL: "[ca+crl.pem]"},),
    "trust settings": (
        {A: "ca+trusted.pem"},
        ("GS235", A, "a certificate with OpenSSL's trust settings at its line"),
    ),
    "key among the CAs": ({A: "ca+key.pem"}, ("GS235", A, "has a private key at its")),
    "CRL beside the certificate": (
        {C: "server+crl.pem"},
        ("GS235", C, "has a revocation list at its line"),
    ),
    "CRL in a file for all": (
        {C: "server+ca+crl.pem", A: "server+ca+crl.pem"},
        ("GS236", A, "revocation list"),
        ("GS217", A, "is not a CA"),
    ),
    "certificates beside the key": ({K: "all.key"},),
    "three keys": ({K: "two.key"}, ("GS235", K, "that is not used, and 1 more")),
    "key beside a CRL": (
        {CRL: "[crl+key.pem]"},
        ("GS235", "crl+key.pem", "has a private key"),
    ),
    "second leaf": (
        {C: "server+second.pem"},
        ("GS209", C, "has `CN=no-san`, which signed none of the others"),
    ),
    "second leaf, self-signed": (
        {C: "server+other.pem"},
        ("GS209", C, "has `CN=self-signed`, which signed none"),
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_each_unused_block_is_found_at_its_place(folder, case):
    """A block that is not used has a finding, with the line of it in the file."""
    settings, *expected = case
    found = check(folder, listener(**settings))
    assert sorted(one.code for one, _ in found) == sorted(code for code, *_ in expected)
    by_code = {finding.code: (finding, place) for finding, place in found}
    for code, key, words in expected:
        finding, place = by_code[code]
        assert place.startswith(key) or key in place
        assert words in finding.message
        assert finding.is_error is (code == "GS236")


def test_list_in_client_ca_is_never_passed_over(folder):
    """Material is refused with such a list, and has the list where `crl` names it."""
    tls = load(folder, listener(client_ca="ca+crl.pem")).config.listeners[0].tls
    with pytest.raises(KeyMaterialError, match="holds a revocation list that `crl`"):
        load_material(tls, generation=1)
    named = load(folder, listener(client_ca="ca+crl.pem", crl="[ca+crl.pem]"))
    findings, materials = check_files(named, NOW)
    assert findings == []
    assert len(materials["public"].crls) == 1


def test_list_is_refused_only_where_it_is_not_named(folder):
    """Of two listeners with the same file, the one without `crl` has the finding."""
    found = check(
        folder,
        listener("a", client_ca="ca+crl.pem", crl="[ca+crl.pem]"),
        listener("b", port=8444, client_ca="ca+crl.pem"),
    )
    ((finding, _),) = found
    assert (finding.code, finding.secondary) == ("GS236", ())
    assert finding.span.line > 12
