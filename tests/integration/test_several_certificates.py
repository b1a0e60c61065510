"""A listener with several certificates: clients choose one by name, on both engines."""

from __future__ import annotations

from datetime import datetime, timezone

import grpc
import pytest
from helloworld.helloworld_pb2_grpc import GreeterStub
from support.reloading import authority, channel, client, greet, refusal, serving
from support.several_certificates import (
    NAMES,
    VERSIONS,
    SeveralSite,
    open_with_name,
    server_with,
    shake_hands,
)

from grpcsecure.cli.banner import banner_fields, render_banner
from grpcsecure.watch import debounce

ENGINES = ["grpc", "bridge"]

#: Names that a client sends, and the certificate that it gets.
CHOICES = {
    None: "default",
    "default.test": "default",
    "localhost": "default",
    "api.shop.test": "exact",
    "shop.test": "exact",
    "upper.test": "exact",
    "API.Shop.TEST": "exact",
    "api.shop.test.": "exact",
    "web.shop.test": "wild",
    "WEB.shop.test": "wild",
    "web.shop.test.": "wild",
    "a.web.shop.test": "default",
    "shop.test.example": "default",
    "test": "default",
    "unknown": "default",
    "10.0.0.7": "wild",
    "10.0.0.8": "default",
    "127.0.0.1": "default",
    "::1": "default",
    "..": "default",
    "two words": "default",
    b"\xe9.shop.test": "wild",
    "x" * 255: "default",
}


@pytest.fixture(scope="module", name="running", params=ENGINES)
def _running(request, tmp_path_factory):
    """A server with several certificates, that requires clients of its CA."""
    site = SeveralSite(
        tmp_path_factory.mktemp("names"),
        request.param,
        client_certificate="require_and_verify",
    )
    with serving(site) as running:
        yield running


class TestChoice:
    """The certificate that a client gets."""

    @pytest.mark.parametrize("name", CHOICES)
    def test_by_name(self, running, name):
        """An exact name, then a wildcard for one label, and otherwise the default."""
        site = running.site
        own = client("dns:ada.test", site.ca)
        done = shake_hands(running.address, name, own)
        assert site.stem_of(done.serial) == CHOICES[name]
        assert done.is_accepted

    @pytest.mark.parametrize("version", VERSIONS)
    @pytest.mark.parametrize("name", [None, "web.shop.test", "api.shop.test"])
    def test_both_versions_verify_the_client(self, running, name, version):
        """Without a certificate of the client CA, no name lets a client in."""
        site, number = running.site, VERSIONS[version]
        own = client("dns:ada.test", site.ca)
        done = shake_hands(running.address, name, own, version=number)
        assert done.is_accepted
        assert done.version == f"TLSv{version}"
        for wrong in (None, client("dns:ada.test", authority("other"))):
            done = shake_hands(running.address, name, wrong, version=number)
            assert site.stem_of(done.serial) == CHOICES[name]
            assert not done.is_accepted

    @pytest.mark.parametrize("name", ["localhost", "api.shop.test", "web.shop.test"])
    def test_client_of_grpcio(self, running, name):
        """It checks the server's name, and makes a call."""
        own = client("dns:ada.test", running.site.ca)
        with open_with_name(running.site, running.address, name, own) as connection:
            greet(GreeterStub(connection))

    def test_client_of_grpcio_that_dials_an_unknown_name(self, running):
        """It gets the default certificate, and refuses the server by itself."""
        own = client("dns:ada.test", running.site.ca)
        with open_with_name(
            running.site, running.address, "no.example", own
        ) as connection:
            assert refusal(GreeterStub(connection)) is grpc.StatusCode.UNAVAILABLE
        # The server goes on.
        with channel(running.site, running.address, own) as greeter:
            greet(greeter)


#: For each mode: who is let in without a certificate, with one of another CA, with a
#: revoked one and with a good one, and whose call a rule for `verified` then allows.
MODES = {
    "dont_request": ("anonymous", "anonymous", "anonymous", "anonymous"),
    "request_but_dont_verify": ("anonymous", "claimed", "claimed", "verified"),
    "request_and_verify": ("anonymous", "refused", "refused", "verified"),
    "require_but_dont_verify": ("refused", "claimed", "claimed", "verified"),
    "require_and_verify": ("refused", "refused", "refused", "verified"),
}


@pytest.mark.parametrize("mode", MODES)
def test_name_does_not_change_the_mode(mode, tmp_path):
    """With each certificate, mode, client CA, lists and lowest version are the same."""
    site = SeveralSite(
        tmp_path, "bridge", client_certificate=mode, min_version="TLSv1.3"
    )
    good, revoked = (client(f"dns:{who}.test", site.ca) for who in ("ada", "eve"))
    clients = (None, client("dns:ada.test", authority("other")), revoked, good)
    site.put("clients.crl", site.revoke(revoked))
    if mode == "dont_request":
        del site.tls["client_ca"]
    else:
        site.tls["crl"] = ["clients.crl"]
        site.allow(known={"allow": ["verified"], "methods": ["*"]})
    site.write()
    with serving(site) as running:
        for name in ("localhost", "api.shop.test", "web.shop.test"):
            outcomes = [_outcome(site, running.address, name, own) for own in clients]
            expected = [_EXPECTED[state] for state in MODES[mode]]
            if mode == "dont_request":  # without rules
                expected = [None] * len(clients)
            assert outcomes == expected, name
            with pytest.raises(AssertionError, match="no handshake"):
                shake_hands(running.address, name, good, version=VERSIONS["1.2"])


_EXPECTED = {
    "anonymous": grpc.StatusCode.UNAUTHENTICATED,
    "claimed": grpc.StatusCode.UNAUTHENTICATED,
    "refused": grpc.StatusCode.UNAVAILABLE,
    "verified": None,
}


def _outcome(site, address, name, own):
    with open_with_name(site, address, name, own) as connection:
        return refusal(GreeterStub(connection))


@pytest.mark.parametrize("engine", ENGINES)
class TestReload:
    """Certificates that change while the server runs."""

    def test_one_is_replaced(self, engine, tmp_path):
        """Clients that ask for another name get the same certificate as before."""
        site = SeveralSite(tmp_path, engine)
        own = client("dns:ada.test", site.ca)
        with serving(site) as running:
            before = shake_hands(running.address, "localhost", own).serial
            new = server_with(site.root, "*.shop.test")
            site.put_pair("wild", new)
            line = running.applied()
            assert line["changed"].startswith(
                "public: certificate CN=server *.shop.test (serial "
            )
            serial = new.certificate.serial_number
            assert f"{serial:x}"[-4:] in line["changed"]
            assert shake_hands(running.address, "a.shop.test", own).serial == serial
            assert shake_hands(running.address, "localhost", own).serial == before

    def test_added_moved_and_removed(self, engine, tmp_path):
        """The list itself may change: the next handshake knows it."""
        site = SeveralSite(tmp_path, engine)
        own = client("dns:ada.test", site.ca)

        def stem(name):
            return site.stem_of(shake_hands(running.address, name, own).serial)

        with serving(site) as running:
            site.put_pair("more", server_with(site.root, "more.test"))
            site.write()
            line = running.applied()
            assert "certificates (+ CN=server more.test (serial " in line["changed"]
            assert (stem("more.test"), stem(None)) == ("more", "default")
            site.pairs = {"more": site.pairs["more"], **site.pairs}
            site.write()
            running.applied()
            assert (stem("more.test"), stem(None)) == ("more", "more")
            assert stem("default.test") == "default"
            gone = site.pairs.pop("wild")
            site.write()
            line = running.applied()
            assert "certificates (- CN=server *.shop.test (serial " in line["changed"]
            assert stem("web.shop.test") == "more"
            site.pairs["wild"] = gone

    def test_from_one_to_several_and_back(self, engine, tmp_path):
        """A single certificate can become the first of several, and so again."""
        site = SeveralSite(tmp_path, engine)
        several = site.tls.pop("certificates")
        site.tls.update(several[0])
        pairs, site.pairs = site.pairs, {}
        site.write()
        own = client("dns:ada.test", site.ca)
        with serving(site) as running:
            site.pairs = pairs
            for key in several[0]:
                del site.tls[key]
            site.write()
            running.applied()
            done = shake_hands(running.address, "web.shop.test", own)
            assert site.stem_of(done.serial) == "wild"
            del site.tls["certificates"]
            site.tls.update(several[0])
            site.pairs = {}
            site.write()
            running.applied()
            site.pairs = pairs
            done = shake_hands(running.address, "web.shop.test", own)
            assert site.stem_of(done.serial) == "default"

    def test_one_that_cannot_be_used(self, engine, tmp_path, monkeypatch):
        """No certificate changes if one of them is broken, or lacks a declared name."""
        monkeypatch.setattr(debounce, "INCOMPLETE_FOR", 0.5)
        site = SeveralSite(tmp_path, engine, server_names=["web.shop.test"])
        own = client("dns:ada.test", site.ca)
        with serving(site) as running:
            before = shake_hands(running.address, "web.shop.test", own).serial
            site.put_pair("wild", server_with(site.root, "web.other.test"))
            assert "GS249" in str(running.rejected()["findings"])
            assert shake_hands(running.address, "web.shop.test", own).serial == before
            site.put("wild.key", site.pairs["exact"].key_pem.decode())
            assert "GS203" in str(running.rejected()["findings"])
            assert shake_hands(running.address, "web.shop.test", own).serial == before


def test_each_certificate_is_watched_and_shown(tmp_path):
    """The banner has all of them; an event says which one is about to expire."""
    site = SeveralSite(tmp_path, "bridge")
    for stem, names in NAMES.items():
        days = 2 if stem == "wild" else 90
        dates = {"since": 90 * 86400, "seconds": days * 86400}
        site.put_pair(stem, server_with(site.root, *names, **dates))
    with serving(site) as running:
        line = running.log.wait("certificate.expiring")
        assert (line["listener"], line["role"]) == ("public", "certificate")
        assert line["subject"] == "CN=server *.shop.test"
        [finding] = [
            each for each in running.server.report.findings if each.code == "GS213"
        ]
        assert "`wild.pem`" in finding.message
        banner = [
            *render_banner(
                running.server,
                banner_fields(running.server, elapsed=0.0),
                now=datetime.now(timezone.utc),
            )
        ]
    shown = [line.split() for line in banner if line.strip().startswith("CN=server")]
    assert [line[1] for line in shown] == ["localhost", "api.shop.test", "*.shop.test"]
    assert ["default" in line for line in shown] == [True, False, False]
