"""Tests of findings about revocation lists: code, place and texts, on real files."""

from __future__ import annotations

import re

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from support.certificates import make_specimens
from support.crl_specimens import CURRENT, DAY, large_crl
from support.file_checks import NOW, check, listener, load, pointed_at

from grpcsecure.checking.key_files.key_material import check_files
from grpcsecure.checking.listeners.tls_settings import check_tls_settings
from grpcsecure.devcerts import (
    Profile,
    Validity,
    issue,
    make_authority,
    make_crl,
)
from grpcsecure.devcerts.credentials import CA_USAGE, pem_of
from grpcsecure.watch.raw_file import MAX_BYTES

#: A client CA of these tests, and one that no listener trusts.
OURS = make_authority("ours", now=NOW, days=30)
OTHER = make_authority("other", now=NOW, days=30)

PAST = Validity(NOW - 3 * DAY, NOW - DAY)
FUTURE = Validity(NOW + DAY, NOW + 3 * DAY)


def pem(*crls):
    """Return lists as PEM."""
    return b"".join(crl.public_bytes(Encoding.PEM) for crl in crls)


@pytest.fixture(scope="module", name="folder")
def _folder(tmp_path_factory):
    """A directory with the `certs/` of `certs dev --broken`, and additional files."""
    folder = tmp_path_factory.mktemp("crl")
    make_specimens(folder / "certs")
    unsigning = issue(
        Profile(
            subject="mute",
            validity=CURRENT,
            purposes=(),
            usage=("key_cert_sign",),
            is_ca=True,
        )
    )
    pinned = issue(Profile(subject="pinned", validity=CURRENT))
    intermediate = issue(
        Profile(
            subject="intermediate",
            validity=CURRENT,
            purposes=(),
            usage=CA_USAGE,
            is_ca=True,
        ),
        issuer=OURS,
    )
    current = make_crl(OURS, validity=CURRENT)
    files = {
        "ours.pem": pem_of(OURS.certificate),
        "mute.pem": pem_of(unsigning.certificate),
        "pinned.pem": pem_of(OURS.certificate, pinned.certificate),
        "two.pem": pem_of(OURS.certificate, OTHER.certificate),
        "three.pem": pem_of(
            OURS.certificate, OTHER.certificate, intermediate.certificate
        ),
        "ours.crl": pem(current),
        "ours.der": current.public_bytes(Encoding.DER),
        "mute.crl": pem(make_crl(unsigning, validity=CURRENT)),
        "past.crl": pem(make_crl(OURS, validity=PAST)),
        "future.crl": pem(make_crl(OURS, validity=FUTURE)),
        "past-and-current.crl": pem(make_crl(OURS, validity=PAST), current),
        "unknown.crl": pem(
            current,
            make_crl(OTHER, validity=CURRENT),
            make_crl(intermediate, validity=CURRENT),
        ),
        "certificate.der": OURS.certificate.public_bytes(Encoding.DER),
        "oversized.crl": b" " * (MAX_BYTES + 1),
        "large.crl": large_crl(OURS, 3_900_000),
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


def listing(*crls, client_ca="ours.pem", **more):
    """Return a listener with these files of lists."""
    names = ", ".join(map(str, crls))
    text = listener(client_ca=client_ca, crl=f"[{names}]", **more)
    return text if client_ca else text.replace("    client_ca: None\n", "")


#: Files of lists, the file of client CAs, then for each finding its code, whether it is
#: an error, the key and text it points at, and words of message and label.
CASES = {
    "good": (["ours.crl"], "ours.pem"),
    "good DER": (["ours.der"], "ours.pem"),
    "old beside new, in one file": (["past-and-current.crl"], "ours.pem"),
    "old beside new, in two files": (["past.crl", "ours.crl"], "ours.pem"),
    "pinned client needs none": (["ours.crl"], "pinned.pem"),
    "specimen": (["certs/broken/ca.crl"], "certs/ca.pem"),
    "missing": (
        ["ours.crl", "our.crl"],
        "ours.pem",
        (
            *("GS201", True, "our.crl"),
            *("`our.crl` does not exist", "did you mean `ours.crl`"),
        ),
    ),
    "directory": (
        ["certs"],
        "ours.pem",
        (
            *("GS202", True, "certs"),
            *("cannot read `certs`: it is a directory", "cannot be read"),
        ),
    ),
    "oversized file": (
        ["oversized.crl"],
        "ours.pem",
        (
            *("GS202", True, "oversized.crl"),
            *("it is larger than 4 MiB", "cannot be read"),
        ),
    ),
    "certificate": (
        ["ours.pem"],
        "ours.pem",
        (
            *("GS204", True, "ours.pem"),
            *("`ours.pem` contains a certificate, not a revocation list", "PEM or DER"),
        ),
    ),
    "certificate, DER": (
        ["certificate.der"],
        "ours.pem",
        (
            *("GS204", True, "certificate.der"),
            *("contains something else, not a revocation list", "PEM or DER"),
        ),
    ),
    "text": (
        ["certs/broken/text.pem"],
        "ours.pem",
        (
            *("GS204", True, "certs/broken/text.pem"),
            *("contains something else, not a revocation list", "PEM or DER"),
        ),
    ),
    "empty": (
        ["certs/broken/empty.pem"],
        "ours.pem",
        (
            *("GS205", True, "certs/broken/empty.pem"),
            *("is empty", "contains no revocation list"),
        ),
    ),
    "broken block": (
        ["certs/broken/ca-broken.crl"],
        "certs/ca.pem",
        (
            *("GS206", True, "certs/broken/ca-broken.crl"),
            *(r"has a broken block at its line \d+: its base64", "broken at line"),
        ),
    ),
    "delta": (
        ["certs/broken/ca-delta.crl"],
        "certs/ca.pem",
        (
            *("GS228", True, "certs/broken/ca-delta.crl"),
            *("list of `CN=grpcsecure .*` in .* cannot be used", "delta CRL"),
        ),
    ),
    "signed by another key": (
        ["certs/broken/ca-forged.crl"],
        "certs/ca.pem",
        (
            *("GS229", False, "certs/broken/ca-forged.crl"),
            *("`CN=grpcsecure .*` did not sign the", "a signature by another key"),
        ),
    ),
    "signed without cRLSign": (
        ["mute.crl"],
        "mute.pem",
        (
            *("GS229", False, "mute.crl"),
            *("`CN=mute` may not sign the .* `mute.crl`", "lacks cRLSign"),
        ),
    ),
    "unknown issuers": (
        ["unknown.crl"],
        "ours.pem",
        (
            *("GS230", False, "unknown.crl"),
            *(
                "in `unknown.crl` is not a client CA, and 1 more",
                "issued by `CN=other`",
            ),
        ),
    ),
    "out of date": (
        ["past.crl"],
        "ours.pem",
        (
            *("GS231", False, "past.crl"),
            r"of `CN=ours` in `past.crl` expired on 20\d\d-\d\d-\d\d \d\d:",
            "expired (1 day|2[34] hours) ago",
        ),
    ),
    "not yet valid": (
        ["future.crl"],
        "ours.pem",
        (
            *("GS231", False, "future.crl"),
            *(r"is not valid before 20.* UTC", "valid in (1 day|2[34] hours)"),
        ),
    ),
    "neither is in force": (
        ["past.crl", "future.crl"],
        "ours.pem",
        ("GS231", False, "past.crl", "expired on", "expired .* ago"),
        ("GS231", False, "future.crl", "is not valid before", "valid in"),
    ),
    "a CA without a list": (
        ["ours.crl"],
        "two.pem",
        (
            *("GS232", False, None),
            *("no revocation list of the client CA `CN=other`;", "cannot be verified"),
        ),
    ),
    "two CAs without a list": (
        ["ours.der"],
        "three.pem",
        (
            *("GS232", False, None),
            *("of the client CA `CN=other`, and 1 more", "cannot be verified"),
        ),
    ),
}


@pytest.mark.parametrize(
    ("crls", "client_ca", "expected"),
    [pytest.param(c, ca, e, id=name) for name, (c, ca, *e) in CASES.items()],
)
def test_each_mistake_is_one_finding_at_its_place(folder, crls, client_ca, expected):
    """There is exactly one finding, with its code, severity, place and text."""
    found = check(folder, listing(*crls, client_ca=client_ca))
    assert [finding.code for finding, _ in found] == [code for code, *_ in expected]
    for (finding, place), (_, is_error, name, message, label) in zip(
        found, expected, strict=True
    ):
        assert finding.is_error is is_error
        assert place.endswith(f" {name or 'crl'}")
        assert re.search(message, finding.message)
        assert re.search(label, finding.label)


@pytest.mark.parametrize(
    ("crls", "client_ca"),
    [(crls, client_ca) for crls, client_ca, *found in CASES.values() if found],
)
def test_findings_are_written_by_the_rules(folder, crls, client_ca):
    """A message is one lower-case line without a full stop, with a help."""
    for finding, _ in check(folder, listing(*crls, client_ca=client_ca)):
        for text in (finding.message, finding.label, finding.help):
            assert text
            assert text.isprintable()
            assert not text.endswith(".")
            assert text[0] == "`" or text[0].islower()
            assert "  " not in text


def test_dates_are_compared_with_the_given_time(folder):
    """The same list is early, current or expired, depending on the clock only."""
    for moment, code in [
        (CURRENT.not_before - DAY, "GS231"),
        (CURRENT.not_before + DAY, None),
        (CURRENT.not_after - DAY, None),
        (CURRENT.not_after + DAY, "GS231"),
    ]:
        found = check(folder, listing("ours.crl"), now=moment)
        assert code in {None, *(finding.code for finding, _ in found)}
        assert code or "GS231" not in {finding.code for finding, _ in found}


def test_other_place_is_shown_too(folder):
    """A secondary label shows where the CA is trusted."""
    for settings in (listing("unknown.crl"), listing("ours.crl", client_ca="two.pem")):
        document = load(folder, settings)
        ((finding,), _) = check_files(document, NOW)
        (other,) = finding.secondary
        assert pointed_at(document, other.span).startswith("client_ca: ")


def test_shared_file_is_one_finding(folder):
    """An expired list of two listeners with different CAs is one finding."""
    document = load(
        folder,
        listing("past.crl"),
        listing("past.crl", client_ca="pinned.pem", name="b", port=8444),
    )
    ((finding,), _) = check_files(document, NOW)
    places = [
        document.place("listeners", name, "tls", "crl", 0) for name in ("public", "b")
    ]
    assert finding.span == places[0]
    assert [label.span for label in finding.secondary] == places[1:]


def test_list_of_a_listener_does_not_serve_another(folder):
    """The current list of a second listener does not help the first one."""
    found = check(
        folder,
        listing("past.crl"),
        listing("past.crl", "ours.crl", name="b", port=8444),
    )
    assert [finding.code for finding, _ in found] == ["GS231"]


def test_block_list_and_variables_are_shown_as_written(folder):
    """Items on separate lines have separate places."""
    text = '\n      - ours.crl\n      - "${DIR}/x.crl"'
    ((finding, place),) = check(
        folder,
        listener(client_ca="ours.pem", crl=text),
        environ={"DIR": str(folder / "hidden")},
    )
    assert finding.message == "`${DIR}/x.crl` does not exist"
    assert place == '- "${DIR}/x.crl"'


def test_old_and_new_key_of_a_ca_need_a_list_each(tmp_path, folder):
    """Two CAs with the same name are distinguished by their keys."""
    renewed = make_authority("ours", now=NOW, days=30)
    both = tmp_path / "both.pem"
    both.write_bytes(pem_of(OURS.certificate, renewed.certificate))
    second = tmp_path / "renewed.crl"
    second.write_bytes(pem(make_crl(renewed, validity=CURRENT)))
    one = check(folder, listing("ours.crl", client_ca=both))
    assert [finding.code for finding, _ in one] == ["GS232"]
    assert check(folder, listing("ours.crl", second, client_ca=both)) == []


def test_total_size_of_lists_is_limited(folder):
    """Each listener has its copy; the finding is at the first one over the limit."""
    listeners = [
        listing("large.crl", name=f"l{number}", port=8000 + number)
        for number in range(10)
    ]
    assert check(folder, *listeners[:8]) == []
    document = load(folder, *listeners)
    ((finding,), materials) = check_files(document, NOW)
    assert materials == {}
    assert (finding.code, finding.is_error) == ("GS233", True)
    assert finding.message == "the revocation lists of all listeners have 37 MiB"
    assert finding.span == document.key("listeners", "l0", "tls", "crl")


def settings_findings(folder, **settings):
    """Return the findings about the settings alone, with their places."""
    document = load(folder, listing("ours.crl", **settings))
    return [
        (finding.code, finding.is_error, pointed_at(document, finding.span))
        for finding in check_tls_settings(document)
    ]


@pytest.mark.parametrize(
    ("mode", "client_ca", "expected"),
    [
        ("require_and_verify", "ours.pem", []),
        ("request_but_dont_verify", "ours.pem", []),
        (
            "require_and_verify",
            None,
            [("GS302", True, "client_certificate: require_and_verify")],
        ),
        ("require_but_dont_verify", None, [("GS307", True, " crl")]),
        ("request_but_dont_verify", None, [("GS307", True, " crl")]),
        ("dont_request", None, [("GS308", False, " crl")]),
        ("dont_request", "ours.pem", [("GS303", False, " client_ca")]),
    ],
)
def test_list_without_use_is_one_finding(folder, mode, client_ca, expected):
    """A list needs a CA and a mode that requests; one mistake is found once."""
    found = settings_findings(folder, client_certificate=mode, client_ca=client_ca)
    assert found == expected


def test_unused_ca_shows_that_the_list_is_unused_too(folder):
    """One finding has both places."""
    document = load(folder, listing("ours.crl", client_certificate="dont_request"))
    (finding,) = check_tls_settings(document)
    assert [label.text for label in finding.secondary] == [
        "requests no certificate",
        "also never used",
    ]


def test_lists_are_not_checked_in_a_mode_without_requests(folder):
    """No client is checked in that mode, so there is no other finding."""
    found = check(folder, listing("past.crl", client_certificate="dont_request"))
    assert found == []


def test_engine_grpc_cannot_have_lists(folder):
    """Ignoring the lists would let revoked clients in."""
    found = settings_findings(folder, engine="grpc")
    assert found == [("GS304", True, "crl: [ours.crl]")]
