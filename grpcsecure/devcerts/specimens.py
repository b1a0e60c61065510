"""Deliberately broken certificates and files, to test servers and checks with.

The clients are the rows of the table of modes; the servers and the CA files have the
mistakes that `validate` finds. All keys are throw-away.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from ipaddress import ip_network
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

from grpcsecure.devcerts.credentials import (
    ANY_PURPOSE,
    CA_USAGE,
    CLIENT_AUTH,
    SERVER_AUTH,
    Profile,
    Validity,
    issue,
    make_authority,
    new_key,
    pem_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from grpcsecure.devcerts.credentials import Credential

__all__ = ["Specimens"]

_DAY = timedelta(days=1)
_WEAK_RSA_BITS = 1024
_MANY = 31


class Specimens:
    """Broken certificates around one CA.

    Args:
        authority: the CA of the good certificates.
        names: the names of the servers.
        now: the time of issue.
        days: the validity of certificates whose dates are not the mistake.
    """

    def __init__(
        self,
        authority: Credential,
        *,
        names: tuple[x509.GeneralName, ...],
        now: datetime,
        days: float,
    ) -> None:
        self._authority = authority
        self._now = now
        self._days = days
        self._names = names
        self._intermediate = self._issue(self._ca("intermediate"))

    def _profile(self, subject: str) -> Profile:
        validity = Validity.of(self._days, now=self._now)
        return Profile(subject=subject, validity=validity)

    def _ca(self, subject: str) -> Profile:
        profile = self._profile(subject)
        return replace(profile, purposes=(), usage=CA_USAGE, is_ca=True)

    def _server(self, subject: str) -> Profile:
        profile = self._profile(subject)
        return replace(profile, names=self._names, purposes=(SERVER_AUTH,))

    def _issue(self, profile: Profile) -> Credential:
        return issue(profile, issuer=self._authority)

    def _past(self, profile: Profile) -> Profile:
        validity = Validity(self._now - 30 * _DAY, self._now - _DAY)
        return replace(profile, validity=validity)

    def _future(self, profile: Profile) -> Profile:
        validity = Validity(self._now + _DAY, self._now + 30 * _DAY)
        return replace(profile, validity=validity)

    def clients(self) -> Iterator[tuple[str, Credential]]:
        """Yield the clients that at least one mode refuses, by name."""
        good = self._profile
        yield "expired", self._issue(self._past(good("expired")))
        yield (
            "not-yet-valid",
            self._issue(self._future(good("not yet valid"))),
        )
        yield "no-eku", self._issue(replace(good("no EKU"), purposes=()))
        yield "any-eku", self._issue(replace(good("any EKU"), purposes=(ANY_PURPOSE,)))
        yield "server-eku", self._issue(replace(good("s EKU"), purposes=(SERVER_AUTH,)))
        usage = ("key_agreement",)
        yield "no-signature", self._issue(replace(good("no signature"), usage=usage))
        yield "self-signed", issue(good("self-signed"))
        other = make_authority("another CA", now=self._now, days=self._days)
        yield "other-ca", issue(good("from another CA"), issuer=other)
        leaf = issue(good("of an intermediate"), issuer=self._intermediate)
        yield "intermediate", leaf.with_chain(self._intermediate.certificate)
        yield "no-chain", leaf
        no_ca = self._issue(good("no CA"))
        leaf = issue(good("issued by a leaf"), issuer=no_ca)
        yield "issuer-no-ca", leaf.with_chain(no_ca.certificate)
        yield "wrong-key", replace(self._issue(good("wrong key")), key=new_key())

    def servers(self) -> Iterator[tuple[str, Credential]]:
        """Yield the servers that `validate` has something to say about, by name."""
        good = self._server
        yield "expired", self._issue(self._past(good("expired")))
        yield (
            "not-yet-valid",
            self._issue(self._future(good("not yet valid"))),
        )
        soon = Validity.of(min(3, self._days), now=self._now)
        yield "expiring", self._issue(replace(good("expiring"), validity=soon))
        yield "self-signed", issue(good("self-signed"))
        yield "no-san", self._issue(replace(good("no-san"), names=()))
        yield "client-eku", self._issue(replace(good("EKU"), purposes=(CLIENT_AUTH,)))
        usage = ("key_agreement",)
        yield "no-signature", self._issue(replace(good("no signature"), usage=usage))
        yield "wrong-key", replace(self._issue(good("wrong key")), key=new_key())
        weak = rsa.generate_private_key(65537, _WEAK_RSA_BITS)
        yield "weak-key", issue(good("weak key"), issuer=self._authority, key=weak)
        edwards = ed25519.Ed25519PrivateKey.generate()
        yield "ed25519", issue(good("Ed25519"), issuer=self._authority, key=edwards)
        longer = ed448.Ed448PrivateKey.generate()
        yield "ed448", issue(good("Ed448"), issuer=self._authority, key=longer)
        yield from self._chains()
        odd = ("203.0.113.1", "f*.example", "grpc.example.")
        names = (*self._names, *map(x509.DNSName, odd))
        yield "odd-names", self._issue(replace(good("odd names"), names=names))
        url = (x509.DNSName("https://grpc.example"),)
        yield "impossible-name", self._issue(replace(good("a URL"), names=url))
        wildcard = (x509.DNSName("*.grpc.example"),)
        yield "wildcard", self._issue(replace(good("wildcard"), names=wildcard))
        exact = (x509.DNSName("api.grpc.example"), x509.DNSName("billing"))
        yield "exact", self._issue(replace(good("exact"), names=exact))
        twice = (exact[0], x509.DNSName("partner.example"))
        yield "same-name", self._issue(replace(good("same name"), names=twice))
        both = ("digital_signature", "key_cert_sign")
        yield "ca", self._issue(replace(good("a CA"), usage=both, is_ca=True))

    def _chains(self) -> Iterator[tuple[str, Credential]]:
        middle, root = self._intermediate, self._authority.certificate
        leaf = issue(self._server("of an intermediate"), issuer=middle)
        yield "chain", leaf.with_chain(middle.certificate)
        yield "disordered", leaf.with_chain(root, middle.certificate)
        yield "incomplete", leaf.with_chain(root)
        yield (
            "leaf-last",
            replace(leaf, certificate=middle.certificate, chain=(leaf.certificate,)),
        )

    def files(self) -> Iterator[tuple[str, bytes]]:
        """Yield files by name that contain no certificate, or the wrong content."""
        ca = self._authority.certificate
        expired = issue(self._past(self._ca("expired CA"))).certificate
        leaf = self._issue(self._profile("a leaf")).certificate
        weak = rsa.generate_private_key(65537, _WEAK_RSA_BITS)
        weak_ca = issue(self._ca("weak CA"), key=weak).certificate
        text = pem_of(ca)
        yield "ca-broken.pem", text + text.replace(b"M", b"!", 1) + pem_of(leaf)
        yield "ca-expired.pem", pem_of(expired)
        yield "ca-one-expired.pem", text + pem_of(expired)
        yield "ca-leaf.pem", pem_of(leaf)
        yield "ca-and-leaf.pem", text + pem_of(leaf)
        yield "ca-weak.pem", text + pem_of(weak_ca)
        several = (issue(self._ca(f"CA {number}")) for number in range(_MANY))
        yield "ca-many.pem", pem_of(*(each.certificate for each in several))
        for_servers = replace(self._ca("CA for servers"), purposes=(SERVER_AUTH,))
        large = ec.generate_private_key(ec.SECP521R1())
        client = issue(self._profile("P-521"), key=large)
        yield "pinned-p521.pem", client.certificate_pem
        yield "pinned-p521.key", client.key_pem
        yield "ca-server-eku.pem", pem_of(issue(for_servers).certificate)
        network = x509.IPAddress(ip_network("10.0.0.0/8"))
        limited = replace(
            self._ca("limited CA"), constraints=x509.NameConstraints([network], None)
        )
        yield "ca-ip-constraint.pem", pem_of(issue(limited).certificate)
        yield "empty.pem", b""
        yield "text.pem", b"no PEM in here\n"
        yield "server.der", ca.public_bytes(serialization.Encoding.DER)
        password = serialization.BestAvailableEncryption(b"secret")
        encrypted = self._issue(self._server("encrypted key"))
        yield "server-encrypted.pem", encrypted.certificate_pem
        yield "server-encrypted.key", encrypted.key_pem_with(password)
        twice = self._issue(self._server("two keys"))
        yield "server-two-keys.pem", twice.certificate_pem
        yield "server-two-keys.key", twice.key_pem + encrypted.key_pem
