"""A CA, list or registered certificate that lets no client in does not stop a reload.

Otherwise the one before it would stay in force, with its clients.
"""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from support.reloading import (
    Site,
    authority,
    channel,
    client,
    refusal,
    serving,
    text_of,
    validity,
)

import grpcsecure
from grpcsecure.devcerts.credentials import CA_USAGE, Profile, issue
from grpcsecure.devcerts.revocation import make_crl, make_scope
from grpcsecure.diagnostics.catalog import CATALOG

EXPIRED = {"since": 86400.0, "seconds": -3600.0}


def ca(name, *, usage=CA_USAGE, **dates):
    """Return a CA with another keyUsage or other dates than usual."""
    profile = Profile(
        subject=name,
        validity=validity(**dates),
        purposes=(),
        usage=usage,
        is_ca=True,
    )
    return issue(profile)


def text(*crls):
    """Return lists as PEM."""
    return "".join(crl.public_bytes(Encoding.PEM).decode() for crl in crls)


class Production(Site):
    """A site with `production: true` and a rule for its clients."""

    def __init__(self, folder, engine, **tls):
        mode = {"client_certificate": "require_and_verify"}
        super().__init__(folder, engine, **mode, **tls)
        self.config["production"] = True
        self.allow(all={"allow": ["verified"], "methods": ["*"]})
        self.rotate(seconds=30 * 86400.0)
        self.good = client("dns:good.test", self.ca)
        self.write()


def is_refused(running, own):
    """Whether a call on a new connection is refused."""
    with channel(running.site, running.address, own) as stub:
        return refusal(stub) is not None


def warned(line, code, *words):
    """Assert that a reload was applied with a warning that has these words."""
    assert line["levelname"] == "WARNING"
    (warning,) = [each for each in line["warnings"].split("; GS") if code[2:] in each]
    for word in words:
        assert word in warning


def codes_of_start(site):
    """Return the codes of the warnings, or of the errors, of a start."""
    try:
        report = grpcsecure.load(site.path).report
    except grpcsecure.ConfigError as error:
        return {one.code for one in error.report.findings if one.is_error}, True
    return {one.code for one in report.findings}, False


@pytest.fixture(name="running", scope="module", params=["grpc", "bridge"])
def _running(request, tmp_path_factory):
    """A server in production on one of the engines."""
    site = Production(tmp_path_factory.mktemp("cas"), request.param)
    with serving(site) as running:
        running.engine = f"engine `{request.param}`"
        yield running


@pytest.fixture(name="listed", scope="module")
def _listed(tmp_path_factory):
    """A server in production with a revocation list."""
    site = Production(tmp_path_factory.mktemp("crl"), "bridge", crl=["ca.crl"])
    site.put("ca.crl", site.revoke())
    with serving(site) as running:
        yield running


@pytest.mark.parametrize(
    ("code", "bad"),
    [
        ("GS215", [ca("ended", **EXPIRED)]),
        ("GS215", [ca("early", since=-3600.0)]),
        ("GS214", [ca("ended", **EXPIRED), authority("another")]),
        ("GS241", [ca("for lists", usage=("crl_sign",), seconds=30 * 86400.0)]),
    ],
)
def test_ca_that_lets_no_client_in_replaces_the_good_one(running, code, bad):
    """The reload is applied, with a warning that names the CA and the engine."""
    site = running.site
    site.put("ca.pem", text_of(*bad))
    line = running.applied()
    warned(line, code, running.engine, f"`{name_of(bad[0])}`")
    assert is_refused(running, site.good)
    assert codes_of_start(site) == ({code}, True)
    site.put("ca.pem", text_of(site.ca))
    running.applied()
    assert not is_refused(running, site.good)


def test_file_without_a_ca_replaces_the_good_one(running):
    """A leaf in place of the CA lets in its own client only."""
    site = running.site
    site.put("ca.pem", text_of(site.good))
    warned(running.applied(), "GS216", running.engine)
    assert is_refused(running, client("dns:other.test", site.ca))
    site.put("ca.pem", text_of(site.ca))
    running.applied()


def test_ca_that_expires_soon_replaces_the_good_one(running):
    """A CA that expires soon replaces the old one, even in production."""
    site = running.site
    site.put("ca.pem", text_of(ca("ending", seconds=86400.0)))
    warned(running.applied(), "GS213", "`CN=ending`")
    assert is_refused(running, site.good)
    site.put("ca.pem", text_of(site.ca))
    running.applied()


def test_broken_file_is_still_rejected(running):
    """What cannot be loaded changes nothing."""
    site = running.site
    site.put("ca.pem", text_of(site.ca)[:-40])
    assert "GS206" in running.rejected()["findings"]
    assert not is_refused(running, site.good)
    site.put("ca.pem", text_of(site.ca))
    running.unchanged()


def name_of(credential):
    """Return the subject of a certificate as findings show it."""
    return credential.certificate.subject.rfc4514_string()


@pytest.mark.parametrize(
    ("code", "make"),
    [
        ("GS231", lambda ca: make_crl(ca, validity=validity(**EXPIRED))),
        ("GS231", lambda ca: make_crl(ca, validity=validity(since=-3600.0))),
        (
            "GS229",
            lambda ca: make_crl(ca, validity=validity(), key=authority("x").key),
        ),
        ("GS232", lambda _: make_crl(authority("x"), validity=validity())),
        (
            "GS237",
            lambda ca: make_crl(
                ca, validity=validity(), scope=make_scope(only_authorities=True)
            ),
        ),
    ],
)
def test_list_replaces_the_good_one(listed, code, make):
    """The reload is applied, and warns of the CA and the engine."""
    site = listed.site
    site.put("ca.crl", text(make(site.ca)))
    warned(listed.applied(), code, "engine `bridge`", f"`{name_of(site.ca)}`")
    assert is_refused(listed, site.good)
    codes, is_error = codes_of_start(site)
    assert (code in codes, is_error) == (True, True)
    site.put("ca.crl", site.revoke())
    listed.applied()
    assert not is_refused(listed, site.good)


def test_expired_registration_is_applied(tmp_path):
    """Its predecessor is no longer registered, and does not get in."""
    site = Production(tmp_path, "bridge")
    first, last = client("dns:first.test", site.ca), client("dns:x", site.ca, **EXPIRED)
    site.put("unit.pem", text_of(first))
    site.config["identities"] = {"unit": {"certificates": "unit.pem"}}
    site.allow(all={"allow": ["unit"], "methods": ["*"]})
    site.write()
    with serving(site) as running:
        assert not is_refused(running, first)
        site.put("unit.pem", text_of(last))
        warned(running.applied(), "GS416", f"`{name_of(last)}`")
        assert is_refused(running, first)
        assert codes_of_start(site) == ({"GS416"}, True)


@pytest.mark.parametrize("engine", ["grpc", "bridge"])
def test_start_warns_without_production(tmp_path, engine):
    """The server starts, and its report has the CA and the engine."""
    site = Production(tmp_path, engine)
    del site.config["production"]
    site.write()
    site.put("ca.pem", text_of(ca("ended", **EXPIRED)))
    (finding,) = grpcsecure.load(site.path).report.findings
    assert (finding.code, finding.is_error) == ("GS215", False)
    assert f"`CN=ended` gets in on engine `{engine}`" in finding.message


def test_what_a_reload_applies_is_an_error_in_production():
    """Except for those that are errors at every start."""
    applied = [kind for kind in CATALOG.values() if kind.applies_on_reload]
    assert applied
    assert all(kind.production for kind in applied if kind.code != "GS216")
