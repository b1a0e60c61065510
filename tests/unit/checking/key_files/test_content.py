"""Tests of findings about file contents: code, place and texts, on real files."""

from __future__ import annotations

import re

import pytest
from support.certificates import key_text, make_specimens
from support.file_checks import (
    NOW,
    A,
    C,
    K,
    check,
    listener,
    load,
    pointed_at,
    specimen,
)

from grpcsecure.checking.key_files.key_material import check_files


@pytest.fixture(scope="module", name="folder")
def _folder(tmp_path_factory):
    """A directory with the `certs/` that `certs dev certs --broken` writes."""
    folder = tmp_path_factory.mktemp("files")
    make_specimens(folder / "certs")
    return folder


def test_good_files_become_material(folder):
    """A config without findings has the material of every TLS listener."""
    document = load(folder, listener("a"), listener("b", port=8444))
    findings, materials = check_files(document, NOW, generation=7)
    assert findings == []
    assert set(materials) == {"a", "b"}
    assert materials["a"].generation == 7
    assert materials["a"].chain[0].subject == "CN=server"
    assert materials["b"].client_cas


def test_plaintext_has_no_material(folder):
    """A listener without TLS has no files."""
    plain = "probes:\n  address: 127.0.0.1:8080\n  plaintext: true\n"
    findings, materials = check_files(load(folder, listener(), plain), NOW)
    assert findings == []
    assert set(materials) == {"public"}


#: Settings, then for each finding its code, whether it is an error, the key it points
#: at, and words of message and label.
MISTAKES = {
    "missing": (
        {C: "certs/sever.pem"},
        (
            "GS201",
            True,
            C,
            "`certs/sever.pem` does not exist",
            "did you mean `certs/server",
        ),
    ),
    "missing without a near name": (
        {K: "nowhere/x.key"},
        ("GS201", True, K, "`nowhere/x.key` does not exist", "no such file"),
    ),
    "directory": (
        {A: "certs"},
        ("GS202", True, A, "cannot read `certs`: it is a directory", "cannot be read"),
    ),
    "device": (
        {C: "/dev/null"},
        ("GS202", True, C, "it is not a regular file", "cannot be read"),
    ),
    "key of another certificate": (
        {K: "certs/client.key"},
        (
            "GS203",
            True,
            K,
            "`certs/client.key` does not match `certs/server.pem`",
            "the key of another certificate",
        ),
    ),
    "certificate and key swapped": (
        {C: "certs/server.key", K: "certs/server.pem"},
        (
            "GS204",
            True,
            C,
            "the certificate `certs/server.key` contains the key",
            "a private key",
        ),
    ),
    "DER": (
        {C: "certs/broken/server.der"},
        ("GS204", True, C, "is a certificate in DER, not PEM", "as PEM text"),
    ),
    "text": (
        {A: "certs/broken/text.pem"},
        ("GS204", True, A, "contains no PEM block", "beginning with `-----BEGIN`"),
    ),
    "empty": (
        {K: "certs/broken/empty.pem"},
        (
            "GS205",
            True,
            K,
            "`certs/broken/empty.pem` is empty",
            "contains no private key",
        ),
    ),
    "broken block": (
        {A: "certs/broken/ca-broken.pem"},
        (
            "GS206",
            True,
            A,
            r"has a broken block at its line \d+: its base64 is damaged",
            r"broken at line \d+ of the file",
        ),
    ),
    "encrypted key": (
        specimen("encrypted"),
        ("GS207", True, K, "server-encrypted.key` is encrypted", "needs a passphrase"),
    ),
    "leaf last": (
        specimen("leaf-last"),
        ("GS208", True, C, "is number 2 in", "`CN=intermediate` comes first"),
    ),
    "disordered": (
        specimen("disordered"),
        ("GS209", False, C, "are not in order", "`CN=intermediate` belongs after the"),
    ),
    "incomplete": (
        specimen("incomplete"),
        (
            "GS210",
            False,
            C,
            "lacks the certificate of `CN=intermediate`",
            "which signed `CN=of an intermediate`",
        ),
    ),
    "expired": (
        specimen("expired"),
        (
            "GS211",
            True,
            C,
            r"`CN=expired` in .* expired on 20",
            "expired (1 day|23 hours) ago",
        ),
    ),
    "not yet valid": (
        specimen("not-yet-valid"),
        ("GS212", True, C, "is not valid before 20", "valid in 23 hours|in 1 day"),
    ),
    "expiring": (
        specimen("expiring"),
        ("GS213", False, C, "expires on 20", "expires in [23] days"),
    ),
    "one CA expired": (
        {A: "certs/broken/ca-one-expired.pem"},
        (
            *("GS214", False, A),
            r"`CN=expired CA` in .* is not valid now, so no client .* engine `grpc`$",
            "expired on 20",
        ),
    ),
    "every CA expired": (
        {A: "certs/broken/ca-expired.pem"},
        (
            *("GS215", False, A),
            r"no CA in .* so no client of `CN=expired CA` gets in on engine `grpc`$",
            "`CN=expired CA` expired on 20",
        ),
    ),
    "no CA": (
        {A: "certs/broken/ca-leaf.pem"},
        ("GS216", True, A, "contains no CA", "`CN=a leaf` may not sign"),
    ),
    "a leaf among CAs": (
        {A: "certs/broken/ca-and-leaf.pem"},
        ("GS217", False, A, "`CN=a leaf` in .* is not a CA", "may not sign"),
    ),
    "weak CA": (
        {A: "certs/broken/ca-weak.pem"},
        ("GS218", False, A, "the CA `CN=weak CA` in .* is too short", "RSA 1024"),
    ),
    "no SAN": (
        specimen("no-san"),
        ("GS219", False, C, "has no subjectAltName", "no DNS name and no IP address"),
    ),
    "for clients": (
        specimen("client-eku"),
        ("GS220", False, C, "is not for servers", "lacks serverAuth"),
    ),
    "may not sign": (
        specimen("no-signature"),
        ("GS221", True, C, "must not sign handshakes", "lacks digitalSignature"),
    ),
    "weak key": (
        specimen("weak-key"),
        ("GS222", True, C, "the key of `CN=weak key` in .* is too short", "RSA 1024"),
    ),
    "Ed25519": (
        specimen("ed25519"),
        ("GS225", False, C, "no grpcio client can connect", "Ed25519"),
    ),
    "self-signed": (
        specimen("self-signed"),
        ("GS226", False, C, "is self-signed", "no CA signed it"),
    ),
    "IP address, wildcard and dot in DNS names": (
        specimen("odd-names"),
        ("GS245", False, C, "`203.0.113.1` in .* is an IP address", "Go, Java, Node"),
        ("GS245", False, C, r"`f\*.example` in .* is a wildcard", "grpcio, Go and"),
        ("GS245", False, C, "`grpc.example.` in .* with a dot", "Go, Java and rustls"),
    ),
    "URL as a DNS name": (
        specimen("impossible-name"),
        ("GS246", True, C, "no client accepts a name", "`https://grpc.example`"),
    ),
    "CA as server": (
        specimen("ca"),
        ("GS247", False, C, "is a CA certificate", "clients on rustls"),
    ),
    "chain in order": (specimen("chain"),),
    "pinned self-signed client": ({A: "certs/broken/client-self-signed.pem"},),
    "intermediate as CA": ({A: "certs/broken/client-intermediate.pem"},),
}
# An intermediate is a CA; the leaf before it in that file is not.
MISTAKES["intermediate as CA"] += (
    ("GS217", False, A, "`CN=of an intermediate` in .* is not a CA", "may not sign"),
)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        pytest.param(settings, expected, id=name)
        for name, (settings, *expected) in MISTAKES.items()
    ],
)
def test_each_mistake_is_one_finding_at_its_place(folder, settings, expected):
    """There is exactly one finding, with its code, severity, place and text."""
    found = check(folder, listener(**settings))
    assert [finding.code for finding, _ in found] == [code for code, *_ in expected]
    for (finding, place), (_, is_error, key, message, label) in zip(
        found, expected, strict=True
    ):
        assert finding.is_error is is_error
        assert place == f"{key}: {settings[key]}"
        assert re.search(message, finding.message)
        assert re.search(label, finding.label)


@pytest.mark.parametrize(
    "settings", [value[0] for value in MISTAKES.values()], ids=MISTAKES
)
def test_findings_are_written_by_the_rules(folder, settings):
    """A message is a lower-case line without full stop, with a help, without keys."""
    keys = key_text(folder)
    for finding, _ in check(folder, listener(**settings)):
        for text in (finding.message, finding.label, finding.help):
            assert text
            assert "\n" not in text
            assert not text.endswith(".")
            assert text[0] in "`0123456789" or text[0].islower() or text[:2].isupper()
        assert finding.message.isprintable()
        assert not any(line in repr(finding) for line in keys)


def other_labels(document, finding):
    """Return the secondary labels, and their places."""
    return [(pointed_at(document, x.span), x.text) for x in finding.secondary]


def test_key_mismatch_names_both_files(folder):
    """The finding is at the key, with a label at the certificate."""
    document = load(folder, listener(private_key="certs/client.key"))
    ((finding,), materials) = check_files(document, NOW)
    assert finding.kind.name == "key-mismatch"
    assert materials == {}
    assert other_labels(document, finding) == [
        ("certificate: certs/server.pem", "the certificate of `CN=server`")
    ]


def test_shared_file_is_one_finding(folder):
    """An expired certificate of three listeners is one finding with three places."""
    names = ("a", "b", "c")
    expired = specimen("expired")
    document = load(
        folder, *(listener(n, port=8443 + i, **expired) for i, n in enumerate(names))
    )
    ((finding,), _) = check_files(document, NOW)
    places = [document.place("listeners", name, "tls", "certificate") for name in names]
    assert finding.span == places[0]
    assert [label.span for label in finding.secondary] == places[1:]
    assert {label.text for label in finding.secondary} == {"also used here"}


def test_same_file_by_another_path_is_the_same_place_only_once(folder):
    """If two listeners share a place by an alias, no label repeats it."""
    text = listener("a").replace("tls:", "tls: &tls").replace("server.pem", "none.pem")
    other = "b:\n  address: 127.0.0.1:8444\n  tls: *tls\n"
    document = load(folder, text, other)
    ((finding,), _) = check_files(document, NOW)
    assert finding.secondary == ()


def test_pair_is_checked_for_each_listener(folder):
    """A certificate may match the key of one listener and not that of another."""
    document = load(
        folder, listener("a"), listener("b", port=8444, private_key="certs/client.key")
    )
    ((finding,), _) = check_files(document, NOW)
    assert finding.code == "GS203"
    assert finding.span == document.place("listeners", "b", "tls", "private_key")


def test_findings_come_in_the_order_of_their_places(folder):
    """Findings are sorted from the top of the file to the bottom."""
    found = check(
        folder,
        listener("a", client_ca="none.pem"),
        listener("b", port=8444, certificate="none.pem", private_key="none.key"),
    )
    assert [place for _, place in found] == [
        "client_ca: none.pem",
        "certificate: none.pem",
        "private_key: none.key",
    ]


def test_path_is_shown_as_written(folder):
    """The message has neither the absolute path nor the value of a variable."""
    found = check(
        folder,
        listener(certificate='"${SECRET_DIR}/x.pem"'),
        environ={"SECRET_DIR": str(folder / "hidden")},
    )
    ((finding, _),) = found
    assert finding.message == "`${SECRET_DIR}/x.pem` does not exist"


def test_broken_ca_file_counts_the_blocks_that_grpc_would_ignore(folder):
    """The certificates after the broken block are counted."""
    ((finding, _),) = check(folder, listener(client_ca="certs/broken/ca-broken.pem"))
    assert finding.notes == ("1 of its blocks come after it; gRPC would ignore them",)
