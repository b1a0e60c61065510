"""Findings about the names of a server, and about several certificates."""

from __future__ import annotations

import pytest
from support.file_checks import check, listener
from support.reloading import authority, text_of
from support.several_certificates import server_with

#: The certificates of the tests, by the name of their files.
NAMES = {
    "first": ("localhost", "127.0.0.1", "first.test"),
    "exact": ("api.shop.test", "billing", "10.0.0.7"),
    "wild": ("*.shop.test",),
    "overlap": ("api.shop.test", "own.test"),
    "twin": ("first.test", "localhost"),
    "internal": ("*.internal",),
    "nameless": (),
    "many": tuple(f"n{number}.test" for number in range(6)),
}


@pytest.fixture(scope="module", name="folder")
def _folder(tmp_path_factory):
    """A folder with a pair of files for each of `NAMES`."""
    folder = tmp_path_factory.mktemp("names")
    ca = authority("servers")
    for stem, names in NAMES.items():
        pair = server_with(ca, *names, seconds=90 * 86400)
        (folder / f"{stem}.pem").write_bytes(pair.certificate_pem)
        (folder / f"{stem}.key").touch(0o600)
        (folder / f"{stem}.key").write_bytes(pair.key_pem)
    (folder / "ca.pem").write_text(text_of(authority("clients")))
    return folder


def several(*stems, **tls):
    """Return a listener with these certificates, on engine grpc."""
    pairs = ", ".join(
        f"{{certificate: {stem}.pem, private_key: {stem}.key}}" for stem in stems
    )
    text = listener(
        client_ca="ca.pem", **{"certificates": f"[{pairs}]", "engine": "grpc", **tls}
    )
    lines = text.splitlines()
    single = ("certificate:", "private_key:")
    return "\n".join(x for x in lines if not x.strip().startswith(single)) + "\n"


def found(folder, *listeners):
    """Return code, message, label and help of each finding."""
    return [
        (one.code, one.message, one.label, one.help)
        for one, _ in check(folder, *listeners)
    ]


def test_several_good_certificates(folder):
    """Certificates with different names have no finding, on either engine."""
    for engine in ("grpc", "bridge", "auto"):
        names = "[localhost, a.shop.test, '*.shop.test', 127.0.0.1]"
        given = several("first", "exact", "wild", engine=engine, server_names=names)
        assert check(folder, given) == []


@pytest.mark.parametrize(
    ("stems", "name", "label"),
    [
        (["first"], "shop.test", "clients that dial it refuse the server"),
        (["first", "wild"], "shop.test", "did you mean `*.shop.test`?"),
        (["first", "wild"], "a.b.shop.test", "clients that dial it refuse the server"),
        (["first", "exact"], "10.0.0.8", "did you mean `10.0.0.7`?"),
        (["first", "exact"], "ap.shop.test", "did you mean `api.shop.test`?"),
        (["first", "exact"], "*.shop.test", "clients that dial it refuse the server"),
    ],
)
def test_name_that_no_certificate_has(folder, stems, name, label):
    """The finding is at the name, and lists the names that there are."""
    ((finding, place),) = check(folder, several(*stems, server_names=f"['{name}']"))
    whole = "any certificate" if len(stems) > 1 else "the certificate"
    assert finding.code == "GS249"
    assert finding.is_error
    assert not finding.kind.applies_on_reload
    assert finding.message == f"`{name}` is not in {whole} of listener `public`"
    assert place.endswith(f"'{name}'")
    assert [one.text for one in finding.secondary][:1] == [
        "is for `localhost`, `first.test` and `127.0.0.1`"
    ]
    assert len(finding.secondary) == len(stems)


def test_single_certificate_has_its_names_checked(folder):
    """`server_names` works without `certificates`, in any case and spelling."""
    pair = {"certificate": "first.pem", "private_key": "first.key"}
    given = listener(
        client_ca="ca.pem", server_names="[LocalHost, first.test., '::ffff:1']", **pair
    )
    assert [code for code, *_ in found(folder, given)] == ["GS249"]
    good = listener(client_ca="ca.pem", server_names="[localhost, 127.0.0.1]", **pair)
    assert found(folder, good) == []


@pytest.mark.parametrize("name", ["https://first.test/", "first.test:443"])
def test_url_or_port_in_a_name(folder, name):
    """The help has the name itself."""
    ((*_, help_),) = found(folder, several("first", server_names=f"['{name}']"))
    assert help_ == "write the name alone: `first.test`"


def test_list_of_names_is_short(folder):
    """A certificate with many names does not fill the screen."""
    ((finding, _),) = check(folder, several("many", server_names="[x.test]"))
    assert [one.text for one in finding.secondary] == [
        "is for `n0.test`, `n1.test`, `n2.test` and 3 more"
    ]


@pytest.mark.parametrize("name", ["billing", "10.0.0.7"])
def test_name_that_clients_do_not_send(folder, name):
    """It has to be in the first certificate, which clients get without a name."""
    given = several("first", "exact", server_names=f"[{name}]")
    assert found(folder, given) == [
        (
            "GS253",
            f"`{name}` is not in the first certificate of listener `public`",
            "not every client that dials it sends it",
            "have it added to the first certificate, or put this one first",
        )
    ]
    assert found(folder, several("exact", "first", server_names=f"[{name}]")) == []


def test_name_in_two_certificates(folder):
    """The second certificate is not presented for it."""
    assert found(folder, several("first", "exact", "overlap")) == [
        (
            "GS250",
            "`api.shop.test` in `overlap.pem` is in an earlier certificate as well",
            "not presented for it",
            "have each name issued in one certificate",
        )
    ]


def test_certificate_that_no_client_gets(folder):
    """All of its names are in earlier ones; the finding says to remove it."""
    assert found(folder, several("first", "twin")) == [
        (
            "GS251",
            "the certificate in `twin.pem` is never presented",
            "each of its names is in an earlier certificate",
            "remove it from `certificates`",
        )
    ]


_PRESENTS_NOT = "engine `grpc` does not present the certificate in"


class TestShadowedName:
    """Engine grpc would choose another certificate than the bridge."""

    def test_by_an_earlier_wildcard(self, folder):
        """The order mends it."""
        assert found(folder, several("first", "wild", "exact")) == [
            (
                "GS252",
                f"{_PRESENTS_NOT} `exact.pem` for `api.shop.test`",
                "listed after one that matches",
                "put it before the other one, or use `engine: bridge`",
            )
        ]
        assert found(folder, several("first", "wild", "exact", engine="bridge")) == []

    def test_by_the_default(self, folder):
        """The order does not mend it, because another one would be the default."""
        (finding,) = found(folder, several("wild", "exact"))
        assert finding[0] == "GS252"
        assert finding[3] == "use `engine: bridge`"

    def test_wildcard_of_two_labels(self, folder):
        """GRPC knows none."""
        assert found(folder, several("first", "internal")) == [
            (
                "GS252",
                f"{_PRESENTS_NOT} `internal.pem` for `*.internal`",
                "gRPC knows no wildcard with two labels",
                "use `engine: bridge`",
            )
        ]
        assert found(folder, several("first", "internal", engine="bridge")) == []

    def test_by_a_common_name(self, folder):
        """GRPC reads it where there is no other name; clients do not."""
        codes = {
            code: rest for code, *rest in found(folder, several("first", "nameless"))
        }
        assert [*codes] == ["GS252", "GS219", "GS251"]
        assert codes["GS251"][1] == "it has no name that clients could ask for"
        assert codes["GS252"] == [
            f"{_PRESENTS_NOT} `first.pem` for `server`",
            "gRPC selects another one by its common name",
            "have the other one issued again with the names that clients dial",
        ]


def test_each_pair_is_checked_at_its_own_place(folder):
    """A key of another certificate, and files that do not exist."""
    text = several("first", "exact").replace("exact.key", "wild.key")
    ((finding, place),) = check(folder, text)
    assert (finding.code, finding.message) == (
        "GS203",
        "`wild.key` does not match `exact.pem`",
    )
    assert place.endswith("private_key: wild.key")
    text = several("first", "exact").replace("exact.pem", "missing.pem")
    ((finding, place),) = check(folder, text)
    assert finding.code == "GS201"
    assert place.endswith("certificate: missing.pem")
