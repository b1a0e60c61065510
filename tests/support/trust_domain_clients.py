"""Clients of SPIFFE trust domains, and their outcomes if each has its own CAs."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, NamedTuple

from cryptography import x509
from support.reloading import authority, text_of

from grpcsecure.devcerts.credentials import CA_USAGE, Profile, Validity, issue

if TYPE_CHECKING:
    from grpcsecure.devcerts.credentials import Credential

__all__ = [
    "CLIENTS",
    "IDENTITIES",
    "TrustDomainClient",
    "authorities",
    "make_client",
    "write_bundles",
]

CORP, PARTNER = "spiffe://corp.example/app", "spiffe://partner.example/app"

#: The identities of the configs, whose names the clients' certificates have.
IDENTITIES = {
    "corp": {"spiffe": "spiffe://corp.example/*"},
    "corp-uri": {"uri": CORP},
    "partner": {"spiffe": PARTNER},
    "other": {"spiffe": "spiffe://other.example/app"},
    "named": {"common_name": "app"},
}

_BY_OTHER_CA = "trust domain corp.example is not vouched for by its CA"
_NO_DOMAIN = "its SPIFFE id names no valid trust domain"


class TrustDomainClient(NamedTuple):
    """A client: its URIs, its issuer, why it is not verified, and the granted names."""

    uris: tuple[str, ...]
    issuer: str
    reason: str | None = None
    granted: tuple[str, ...] = ()

    @property
    def is_verified(self) -> bool:
        """Whether a CA of each trust domain that it names vouches for it."""
        return self.reason is None


CLIENTS = {
    "corp": TrustDomainClient((CORP,), "corp", None, ("corp", "corp-uri", "named")),
    "corp by an intermediate": TrustDomainClient(
        (CORP,), "corp-middle", None, ("corp", "corp-uri", "named")
    ),
    "partner": TrustDomainClient((PARTNER,), "partner", None, ("partner", "named")),
    "corp by the partner": TrustDomainClient((CORP,), "partner", _BY_OTHER_CA),
    "corp by the partner's intermediate": TrustDomainClient(
        (CORP,), "partner-middle", _BY_OTHER_CA
    ),
    "corp in capitals by the partner": TrustDomainClient(
        ("SPIFFE://CORP.example/app",), "partner", _BY_OTHER_CA
    ),
    "corp by the partner, whom corp has certified": TrustDomainClient(
        (CORP,), "partner-by-corp", None, ("corp", "corp-uri", "named")
    ),
    "corp beside another URI": TrustDomainClient(
        (CORP, "https://corp.example/app"), "corp", None, ("corp-uri", "named")
    ),
    "corp beside another URI, by the partner": TrustDomainClient(
        ("https://corp.example/app", CORP), "partner", _BY_OTHER_CA
    ),
    "both by corp": TrustDomainClient(
        (CORP, PARTNER),
        "corp",
        "trust domain partner.example is not vouched for by its CA",
    ),
    "another domain by corp": TrustDomainClient(
        ("spiffe://other.example/app",),
        "corp",
        "no client CA is given for trust domain other.example",
    ),
    "a user in the domain": TrustDomainClient(
        ("spiffe://x@corp.example/app",), "corp", _NO_DOMAIN
    ),
    "no slashes": TrustDomainClient(("spiffe:corp.example/app",), "corp", _NO_DOMAIN),
    "no SPIFFE id by corp": TrustDomainClient((), "corp", None, ("named",)),
    "no SPIFFE id by the partner": TrustDomainClient(
        ("https://corp.example/app",), "partner", None, ("named",)
    ),
}


def authorities() -> dict[str, Credential]:
    """Make the CAs of both trust domains, each with an intermediate.

    The root of corp has also certified the key of the partner's root.
    """
    roots = {name: authority(name) for name in ("corp", "partner")}
    middle = {
        f"{name}-middle": _certified(f"{name}-middle", root)
        for name, root in roots.items()
    }
    crossed = _certified("partner", roots["corp"], key=roots["partner"].key)
    return {**roots, **middle, "partner-by-corp": crossed}


def _certified(name: str, issuer: Credential, **key) -> Credential:
    profile = Profile(
        subject=name, validity=_validity(), purposes=(), usage=CA_USAGE, is_ca=True
    )
    made = issue(profile, issuer=issuer, **key)
    return made.with_chain(made.certificate)


def make_client(cas: dict[str, Credential], one: TrustDomainClient) -> Credential:
    """Issue the certificate of a client; it sends the intermediate of its issuer."""
    issuer = cas[one.issuer]
    names = tuple(map(x509.UniformResourceIdentifier, one.uris))
    profile = Profile(subject="app", names=names, validity=_validity())
    made = issue(profile, issuer=issuer)
    return made.with_chain(*issuer.chain)


def write_bundles(site, cas: dict[str, Credential]) -> dict[str, str]:
    """Write the CA files of both trust domains; return the value of `client_ca`."""
    for name in ("corp", "partner"):
        site.put(f"{name}.pem", text_of(cas[name]))
    return {f"{name}.example": f"{name}.pem" for name in ("corp", "partner")}


def _validity() -> Validity:
    return Validity.of(3, now=datetime.now(timezone.utc))
