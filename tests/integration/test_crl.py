"""Certificate revocation lists (CRLs), from the config to the client's TLS alert."""

from __future__ import annotations

import re

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import DNSName, ReasonFlags, UniformResourceIdentifier
from support.bridge import BridgedServer, material, settings, try_call
from support.bridge_certs import Pair, authority, certificate, revocation_list
from support.crl_server import PAST, Infrastructure, serving
from support.crl_specimens import CURRENT, NOW, crl_with, endless_crl, large_crl, scope

import grpcsecure
from grpcsecure.cli.banner import banner_fields, render_banner
from grpcsecure.devcerts import make_authority, make_crl
from grpcsecure.model.listener import Engine

VERIFYING = ("require_and_verify", "request_and_verify")
LENIENT = ("require_but_dont_verify", "request_but_dont_verify")

#: The outcome for each client: None if it is verified, or else the alert (with its
#: number in RFC 8446, section 6) and the reason.
OUTCOMES = {
    "good": None,
    "below sound": None,
    "below anchor": None,
    "pinned": None,
    "revoked": ("certificate revoked (44)", "certificate revoked"),
    "revoked below sound": ("certificate revoked (44)", "certificate revoked"),
    "revoked below anchor": ("certificate revoked (44)", "certificate revoked"),
    "below taken back": ("certificate revoked (44)", "certificate revoked"),
    "below listless": ("unknown ca (48)", "unable to get certificate CRL"),
    "of bare": ("unknown ca (48)", "unable to get certificate CRL"),
    "of late": ("certificate expired (45)", "CRL has expired"),
    "of early": ("bad certificate (42)", "CRL is not yet valid"),
    "stranger": ("unknown ca (48)", "self-signed certificate"),
}

#: The certificate of the chain that is refused, where it is not the client's own.
ABOVE = {"below taken back": ("CN=taken back", " (certificate 1 of the chain)")}


@pytest.fixture(scope="module", name="server")
def _server(tmp_path_factory):
    infrastructure = Infrastructure(tmp_path_factory.mktemp("crl"))
    modes = {mode: mode for mode in (*VERIFYING, *LENIENT)}
    # A separate listener for the tests that read the log: on the others grpcio clients
    # may try a handshake, and so log it, more than once.
    modes["logged"] = "require_and_verify"
    config = infrastructure.config_of(modes)
    with serving(infrastructure, config) as server:
        yield server


def test_auto_engine_chooses_the_bridge(server):
    """`engine: auto` chooses the bridge, as only that supports CRLs."""
    engines = {each.tls.engine_in_use for each in server.server.config.listeners}
    assert engines == {Engine.BRIDGE}


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
@pytest.mark.parametrize("name", OUTCOMES)
def test_verifying_mode_sends_an_alert(server, name, version):
    """A refused client gets the fitting alert; the log has a readable reason."""
    outcome = OUTCOMES[name]
    alert = server.alert("logged", name, version)
    assert alert == (outcome and outcome[0])
    if outcome is not None:
        subject, suffix = ABOVE.get(name, (None, ""))
        logged = server.refusals.next("logged")
        assert logged["reason"] == outcome[1] + suffix
        assert logged["levelname"] == "WARNING"
        assert subject in (None, logged["subject"])
        assert logged["address"].startswith("ipv4:127.0.0.1:")


@pytest.mark.parametrize("mode", VERIFYING)
@pytest.mark.parametrize("name", OUTCOMES)
def test_verifying_mode_serves_verified_clients_only(server, name, mode):
    """A call succeeds exactly for the clients that are verified."""
    expected = "verified: None" if OUTCOMES[name] is None else None
    assert server.state_of(mode, name) == expected


@pytest.mark.parametrize("mode", LENIENT)
@pytest.mark.parametrize("name", OUTCOMES)
def test_other_modes_serve_every_client(server, name, mode):
    """In the modes that do not verify, a bad client is a claimed peer with a reason."""
    outcome = OUTCOMES[name]
    expected = "verified: None" if outcome is None else f"claimed: {outcome[1]}"
    assert server.state_of(mode, name) == expected


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
@pytest.mark.parametrize("mode", LENIENT)
def test_other_modes_accept_a_revoked_client(server, mode, version):
    """The handshake of a revoked client succeeds, in TLS 1.2 and 1.3."""
    assert server.alert(mode, "revoked", version) is None


def test_findings_predict_refusals(server):
    """Findings name each issuer whose CRL is missing, expired, early or unusable."""
    found = {
        (finding.code, issuer)
        for finding in server.server.report.findings
        for issuer in re.findall(r"`CN=([^`]+)`", f"{finding.message} {finding.label}")
        if finding.code in ("GS230", "GS231", "GS232")
    }
    assert found == {
        *{("GS230", "parent"), ("GS230", "sound"), ("GS230", "taken back")},
        *{("GS231", "late"), ("GS231", "early")},
        ("GS232", "bare"),
    }


def test_material_has_every_crl(server):
    """All CRLs of all files are loaded, PEM and DER, several per file too."""
    for held in server.server.materials.values():
        issuers = [crl.issuer for crl in held.revocation_lists]
        assert issuers == [
            *("CN=root", "CN=root", "CN=parent", "CN=sound"),
            *("CN=taken back", "CN=anchor", "CN=late", "CN=early"),
        ]
        assert len(held.crls) == len(issuers)


def test_banner_shows_when_the_next_list_is_due(server):
    """The start banner shows when the first of the CRLs expires."""
    fields = banner_fields(server.server, elapsed=0)
    lines = list(render_banner(server.server, fields, now=NOW))
    due = f"{PAST.not_after:%Y-%m-%d %H:%M} UTC"
    shown = f"checked against 8 revocation lists, the next due by {due}"
    assert [line.strip() for line in lines].count(shown) == 5


def test_server_does_not_start_with_a_file_that_has_no_crl(tmp_path):
    """A CRL file without a CRL is an error before anything listens."""
    infrastructure = Infrastructure(tmp_path)
    config = infrastructure.config("require_and_verify")
    infrastructure.write("sound.crl", infrastructure.root_pem)
    with pytest.raises(grpcsecure.ConfigError, match="GS204"):
        grpcsecure.load(config)


#: CA and certificate of the server, for tests that do not use `Infrastructure`.
CA = authority("server CA")
PAIR = certificate("localhost", issuer=CA, names=[DNSName("localhost")])


def reason_for(client, *, client_ca, crls):
    """Return why a client is not verified, or None if it is."""
    trusted = material(PAIR, client_ca=client_ca, crls=crls)
    listeners = {"public": (settings("require_but_dont_verify"), trusted)}
    with BridgedServer(listeners, host="thread") as bridged:
        assert try_call(bridged.target(), CA, client) is None
        return bridged.seen[0][1].unverified_reason


@pytest.mark.parametrize("is_revoked", [False, True])
def test_list_above_a_client_ca_only_revokes(is_revoked):
    """A CRL of the unknown issuer of a client CA matters only if it revokes that CA."""
    parent = authority("parent")
    anchor = authority("anchor", issuer=parent)
    above = revocation_list(parent, *([anchor] if is_revoked else []))
    reason = reason_for(
        certificate("client", issuer=anchor),
        client_ca=[anchor],
        crls=[revocation_list(anchor), above],
    )
    assert reason == ("certificate revoked" if is_revoked else None)


@pytest.mark.parametrize(
    ("limit", "reason"),
    [
        ("only_contains_user_certs", None),
        ("only_contains_ca_certs", "different CRL scope"),
        ("only_contains_attribute_certs", "different CRL scope"),
        ("full_name", "different CRL scope"),
    ],
)
def test_list_vouches_for_certificates_in_its_scope(limit, reason):
    """A CRL limited to user certificates suffices, any other scope does not."""
    credential = make_authority("root", now=NOW, days=30)
    root = Pair(certificate=credential.certificate, key=credential.key)
    point = [UniformResourceIdentifier("http://ca.test/crl")]
    limits = {limit: point if limit == "full_name" else True}
    crl = crl_with(credential, (scope(**limits), True))
    client = certificate("client", issuer=root)
    found = reason_for(client, client_ca=[root], crls=[crl])
    assert (found and found.lower()) == (reason and reason.lower())


def test_entry_that_takes_a_certificate_off_does_not_revoke_it():
    """With the reason removeFromCRL, OpenSSL lets the client in: hence GS239."""
    credential = make_authority("root", now=NOW, days=30)
    root = Pair(certificate=credential.certificate, key=credential.key)
    client = certificate("client", issuer=root)
    reasons = {}
    for reason in (ReasonFlags.remove_from_crl, ReasonFlags.superseded):
        crl = make_crl(
            credential, [client.certificate], validity=CURRENT, reason=reason
        ).public_bytes(Encoding.DER)
        reasons[reason] = reason_for(client, client_ca=[root], crls=[crl])
    assert reasons == {
        ReasonFlags.remove_from_crl: None,
        ReasonFlags.superseded: "certificate revoked",
    }


def test_server_starts_with_the_largest_crls_that_validate_allows(tmp_path):
    """Eight listeners with a CRL of almost 4 MiB each work."""
    infrastructure = Infrastructure(tmp_path)
    infrastructure.write("large.crl", large_crl(infrastructure.root, 3_900_000))
    infrastructure.crls = ("large",)
    modes = {f"l{number}": "require_and_verify" for number in range(8)}
    with serving(infrastructure, infrastructure.config_of(modes)) as server:
        for listener in modes:
            assert server.state_of(listener, "good") == "verified: None"


def test_crl_without_next_update_is_in_force(tmp_path):
    """A CRL without `nextUpdate` is current in handshakes, as in `validate`."""
    infrastructure = Infrastructure(tmp_path)
    infrastructure.write("endless.crl", endless_crl(infrastructure.root))
    infrastructure.crls = ("endless",)
    config = infrastructure.config("require_and_verify")
    with serving(infrastructure, config) as server:
        assert server.state_of("require_and_verify", "good") == "verified: None"
        assert server.state_of("require_and_verify", "below sound") is None
