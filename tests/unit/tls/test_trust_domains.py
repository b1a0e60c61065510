"""Tests of verdicts where SPIFFE trust domains have CAs of their own."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from support.memory_handshakes import ders_of, material_of

from grpcsecure.devcerts import Profile, Validity, issue, make_crl
from grpcsecure.devcerts.credentials import CA_USAGE
from grpcsecure.model.name_patterns import trust_domain_of
from grpcsecure.tls.certificate import parse_certificate
from grpcsecure.tls.recheck import Rechecker

DAY = timedelta(days=1)
NOW = datetime.now(timezone.utc).replace(microsecond=0)
LONG = Validity(NOW - 9 * DAY, NOW + 90 * DAY)
SOON = Validity(NOW - 9 * DAY, NOW + DAY)
UNVOUCHED = "trust domain corp.test is not vouched for by its CA"
CORP = "spiffe://corp.test/app"


def authority(name, issuer=None, *, validity=LONG, key=None):
    """Make a CA, self-signed unless there is an `issuer`."""
    profile = Profile(
        subject=name, validity=validity, purposes=(), usage=CA_USAGE, is_ca=True
    )
    return issue(profile, issuer=issuer, key=key)


def client(issuer, uri=CORP):
    """Make a client with one URI."""
    names = (x509.UniformResourceIdentifier(uri),)
    return issue(Profile(subject="x", names=names, validity=LONG), issuer=issuer)


ROOT, OTHER = authority("root"), authority("other")
SERVER = issue(Profile(subject="server", validity=LONG), issuer=ROOT)


def rechecker(*, crls=(), **domains):
    """Return a rechecker for trust domains, such as `corp=[root]` for `corp.test`."""
    anchors = {ca.certificate: None for cas in domains.values() for ca in cas}
    material = material_of(SERVER, client_ca=anchors, crls=crls)
    by_domain = {
        f"{name}.test": tuple(parse_certificate(ders_of(ca)[0]) for ca in cas)
        for name, cas in domains.items()
    }
    return Rechecker(replace(material, trust_domains=by_domain))


def test_verdict_is_cached():
    """Also one that is not good; the next calls of the connection cost nothing."""
    by = rechecker(corp=[ROOT], other=[OTHER])
    for issuer, reason in ((ROOT, None), (OTHER, UNVOUCHED)):
        leaf, chain = ders_of(client(issuer))
        first = by.verdict(leaf, chain, NOW)
        assert (first.reason, first.code) == (reason, None)
        assert by.verdict(leaf, chain, NOW + DAY) is first


def test_verdict_of_all_cas_comes_first():
    """A chain that no CA verifies has OpenSSL's reason, and is not called unvouched."""
    by = rechecker(corp=[ROOT])
    verdict = by.verdict(*ders_of(client(OTHER)), NOW)
    assert verdict.reason == "unable to get local issuer certificate"
    assert not verdict.is_unvouched


def test_verdict_ends_with_the_ca_of_the_trust_domain():
    """Though another domain still has that CA, issued again with later dates."""
    short = authority("renewed", validity=SOON)
    renewed = authority("renewed", key=short.key)
    by = rechecker(corp=[short], other=[renewed])
    leaf, chain = ders_of(client(short))
    verdict = by.verdict(leaf, chain, NOW)
    assert verdict.reason is None
    assert verdict.until <= SOON.not_after + timedelta(seconds=1)
    later = by.verdict(leaf, chain, SOON.not_after + timedelta(minutes=1))
    assert (later.reason, later.is_unvouched) == (UNVOUCHED, True)


def test_revoked_path_to_the_own_ca_does_not_vouch():
    """The path to another domain's CA is good, the one to its own CA is revoked."""
    key = OTHER.key
    own = authority("middle", ROOT, key=key)
    theirs = authority("middle", OTHER, key=key)
    leaf = client(own)
    sent = leaf.with_chain(own.certificate, theirs.certificate)
    lists = [
        make_crl(ROOT, [own.certificate], validity=LONG),
        make_crl(OTHER, validity=LONG),
        make_crl(own, validity=LONG),
    ]
    good = [make_crl(ROOT, validity=LONG), *lists[1:]]
    domains = {"corp": [ROOT], "other": [OTHER]}
    assert rechecker(crls=good, **domains).verdict(*ders_of(sent), NOW).reason is None
    alone = sent.with_chain(theirs.certificate)
    others = rechecker(crls=lists, **domains).verdict(*ders_of(alone), NOW)
    assert others.reason == UNVOUCHED
    assert rechecker(crls=lists, **domains).verdict(*ders_of(sent), NOW).reason


def test_domain_whose_ca_has_no_list_is_not_vouched_for():
    """With lists, each certificate below a CA needs one of its issuer."""
    by = rechecker(crls=[make_crl(OTHER, validity=LONG)], corp=[ROOT], other=[OTHER])
    verdict = by.verdict(*ders_of(client(ROOT)), NOW)
    assert verdict.reason == "unable to get certificate CRL"


def test_trust_domain_without_a_ca_that_loads_vouches_for_nothing():
    """Fails closed: the other CAs load, those of the domain do not."""
    material = material_of(SERVER, client_ca=[ROOT.certificate])
    broken = replace(parse_certificate(ders_of(ROOT)[0]), der=b"\x30\x00")
    by = Rechecker(replace(material, trust_domains={"corp.test": (broken,)}))
    assert by.verdict(*ders_of(client(ROOT)), NOW).reason == UNVOUCHED


@pytest.mark.parametrize(
    ("uri", "domain"),
    [
        ("spiffe://corp.test/app", "corp.test"),
        ("spiffe://corp.test", "corp.test"),
        ("SPIFFE://Corp.TEST/App", "corp.test"),
        ("spiffe://1.2_3-4/x", "1.2_3-4"),
        ("spiffe:///x", ""),
        ("spiffe://", ""),
        ("spiffe:", ""),
        ("spiffe:corp.test", ""),
        ("spiffe://corp.test?x", ""),
        ("spiffe://u@corp.test/x", ""),
        ("spiffe://corp.test:1/x", ""),
        ("spiffe://corp\u212a.test/x", ""),
        (f"spiffe://{'a' * 256}/x", ""),
        ("https://corp.test/x", None),
        ("spiffee://corp.test/x", None),
        (" spiffe://corp.test/x", None),
        ("", None),
    ],
)
def test_trust_domain_of_a_uri(uri, domain):
    """Empty where a `spiffe:` URI has none, which no `client_ca` can list."""
    assert trust_domain_of(uri) == domain


def test_certificate_has_the_trust_domain_of_each_uri():
    """Whether or not it is an X509-SVID."""
    leaf = client(ROOT)
    read = parse_certificate(leaf.certificate.public_bytes(Encoding.DER))
    uris = ("https://x.test", "spiffe://b.test/x", "SPIFFE://B.test/y", "spiffe:a")
    assert read.trust_domains == ("corp.test",)
    assert replace(read, uris=uris).trust_domains == ("b.test", "")
    assert replace(read, uris=("https://x.test",)).trust_domains == ()
