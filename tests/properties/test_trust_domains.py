"""Properties of the verdict on certificates where trust domains have their own CAs."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone
from functools import cache

from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st
from support.effort import repeats
from support.memory_handshakes import ders_of, material_of
from support.reloading import authority

from grpcsecure.devcerts.credentials import CA_USAGE, Profile, Validity, issue
from grpcsecure.tls.certificate import parse_certificate
from grpcsecure.tls.recheck import Rechecker

NOW = datetime.now(timezone.utc)
VALIDITY = Validity.of(3, now=NOW)
DOMAINS = ("a.test", "b.test", "c.test")

#: URIs, and the trust domain that each names; None is no trust domain at all.
URIS = {
    "spiffe://a.test/x": "a.test",
    "spiffe://b.test/x": "b.test",
    "spiffe://c.test": "c.test",
    "SpIfFe://B.tEsT/x": "b.test",
    "spiffe://d.test/x": "d.test",
    "spiffe://": "no domain",
    "spiffe:a.test/x": "no domain",
    "spiffe://a.test:443/x": "no domain",
    "spiffe://a%2etest/x": "no domain",
    "https://a.test/x": None,
    "urn:spiffe://a.test/x": None,
}


def ca(name, issuer=None):
    """Make a CA below another one."""
    profile = Profile(
        subject=name, validity=VALIDITY, purposes=(), usage=CA_USAGE, is_ca=True
    )
    return issue(profile, issuer=issuer)


ROOTS = [authority(f"root {number}") for number in range(4)]
MIDDLES = [ca(f"middle {number}", root) for number, root in enumerate(ROOTS)]
SERVER = issue(Profile(subject="server", validity=VALIDITY), issuer=ROOTS[0])


@cache
def client(root, uris, *, has_intermediate):
    """Return the leaf and the chain of a client below a root."""
    issuer = (MIDDLES if has_intermediate else ROOTS)[root]
    names = tuple(map(x509.UniformResourceIdentifier, uris))
    made = issue(Profile(subject="x", names=names, validity=VALIDITY), issuer=issuer)
    return ders_of(made.with_chain(issuer.certificate) if has_intermediate else made)


@cache
def read(root):
    """Return the certificate of a root as values."""
    return parse_certificate(ders_of(ROOTS[root])[0])


@cache
def rechecker(mapping):
    """Return a rechecker for trust domains, given as pairs of name and roots."""
    union = sorted({root for _, roots in mapping for root in roots})
    material = material_of(SERVER, client_ca=[ROOTS[one].certificate for one in union])
    domains = {name: tuple(map(read, roots)) for name, roots in mapping}
    return Rechecker(replace(material, trust_domains=domains))


MAPPINGS = st.dictionaries(
    st.sampled_from(DOMAINS),
    st.sets(st.integers(0, 2), min_size=1).map(lambda roots: tuple(sorted(roots))),
    min_size=1,
).map(lambda mapping: tuple(sorted(mapping.items())))


@settings(max_examples=repeats(60, 300))
@given(
    mapping=MAPPINGS,
    root=st.integers(0, 3),
    uris=st.lists(st.sampled_from([*URIS]), unique=True, max_size=3).map(tuple),
    has_intermediate=st.booleans(),
)
def test_verified_means_vouched_for_by_each_named_domain(
    mapping, root, uris, has_intermediate
):
    """The verdict is that of two lines: a known root, of each named domain."""
    by_domain = dict(mapping)
    is_known = any(root in roots for roots in by_domain.values())
    named = {URIS[uri] for uri in uris} - {None}
    is_vouched = all(root in by_domain.get(name, ()) for name in named)
    leaf, chain = client(root, uris, has_intermediate=has_intermediate)
    verdict = rechecker(mapping).verdict(leaf, chain, NOW)
    assert (verdict.reason is None) == (is_known and is_vouched), verdict.reason
    assert verdict.is_unvouched == (is_known and not is_vouched)
