"""GS228 to GS233, GS237 to GS239: certificate revocation lists."""

from __future__ import annotations

from grpcsecure.diagnostics.findings import Kind, Severity

__all__ = [
    "CA_WITHOUT_CRL",
    "CRL_DISTRIBUTION_POINT",
    "CRL_NOT_IN_FORCE",
    "CRL_REMOVALS",
    "CRL_SCOPE",
    "OVERSIZED_CRLS",
    "UNKNOWN_CRL_ISSUER",
    "UNSUPPORTED_CRL",
    "UNTRUSTED_CRL",
]


def _crl(*names: str, client_ca: str = "certs/ca.pem") -> str:
    files = ", ".join(f"certs/broken/{name}" for name in names)
    return (
        "listeners: {public: {tls: {client_certificate: require_and_verify,"
        f" client_ca: {client_ca}, crl: [{files}]}}}}}}"
    )


_GOOD_CRL = _crl("ca.crl")


UNSUPPORTED_CRL = Kind(
    code="GS228",
    name="unsupported-crl",
    severity=Severity.ERROR,
    what="A revocation list is of an unsupported kind: a delta CRL, an indirect CRL, a"
    " CRL for some reasons only, or one with an unknown critical extension.",
    why="Such a list alone does not show whether a certificate is revoked. Used as a"
    " complete list, it could let in a revoked certificate.",
    bad=_crl("ca-delta.crl"),
    good=_GOOD_CRL,
)

UNTRUSTED_CRL = Kind(
    code="GS229",
    name="untrusted-crl",
    severity=Severity.WARNING,
    production=True,
    applies_on_reload=True,
    what="A revocation list names a client CA as its issuer, but that CA did not sign"
    " it or may not sign CRLs.",
    why="No certificate of that CA could be verified: `CRL signature failure`.",
    bad=_crl("ca-forged.crl"),
    good=_GOOD_CRL,
)

UNKNOWN_CRL_ISSUER = Kind(
    code="GS230",
    name="unknown-crl-issuer",
    severity=Severity.WARNING,
    what="A revocation list was issued by a CA that is not among the client CAs.",
    why="It is used only for clients that send the certificate of that CA as an"
    " intermediate. A list of the wrong CA looks the same.",
    bad=_crl("ca.crl", "other-ca.crl"),
    good=_GOOD_CRL,
)

CRL_NOT_IN_FORCE = Kind(
    code="GS231",
    name="crl-not-in-force",
    severity=Severity.WARNING,
    production=True,
    applies_on_reload=True,
    what="A revocation list has expired or is not valid yet.",
    why="Certificates that were revoked later are not on the list. So no certificate of"
    " that CA is verified until there is a current list: modes that verify refuse its"
    " clients with `CRL has expired`.",
    bad=_crl("ca-expired.crl"),
    good=_GOOD_CRL,
)

CA_WITHOUT_CRL = Kind(
    code="GS232",
    name="ca-without-crl",
    severity=Severity.WARNING,
    production=True,
    applies_on_reload=True,
    what="The listener has revocation lists, but one of its client CAs has none.",
    why="It is not known which certificates that CA has revoked. So no certificate that"
    " it signed is verified, except for those that are client CAs themselves: modes"
    " that verify refuse its clients with `unable to get certificate CRL`.",
    bad=_crl("ca.crl", client_ca="certs/broken/ca-two.pem"),
    good=_crl("ca.crl", "other-ca.crl", client_ca="certs/broken/ca-two.pem"),
)

OVERSIZED_CRLS = Kind(
    code="GS233",
    name="oversized-crls",
    severity=Severity.ERROR,
    what="The revocation lists of all listeners together are larger than 32 MiB.",
    why="The bridge keeps them in memory for its handshakes, and accepts no more.",
)

CRL_SCOPE = Kind(
    code="GS237",
    name="crl-scope",
    severity=Severity.WARNING,
    production=True,
    applies_on_reload=True,
    what="The revocation lists of a CA are not for the certificates that need one: they"
    " are for CA or attribute certificates only, and vouch for no client; or for"
    " end-entity certificates only, while clients send intermediate CAs.",
    why="A list is used only for the certificates in its scope (RFC 5280, 5.2.5). The"
    " clients of that CA are refused with `different CRL scope`.",
    bad=_crl("ca-authorities.crl"),
    good=_GOOD_CRL,
)

CRL_DISTRIBUTION_POINT = Kind(
    code="GS238",
    name="crl-distribution-point",
    severity=Severity.WARNING,
    what="The revocation lists of a CA are only for certificates that name a certain"
    " distribution point.",
    why="A list that names its distribution point (issuingDistributionPoint) is used"
    " only for certificates that name it as well (cRLDistributionPoints). By default"
    " step-ca writes the point into its lists and not into the certificates that it"
    " issues: all clients are refused with `different CRL scope`. If all clients'"
    " certificates have the point, ignore this finding.",
    bad=_crl("ca-point.crl"),
    good=_GOOD_CRL,
)

CRL_REMOVALS = Kind(
    code="GS239",
    name="crl-removals",
    severity=Severity.WARNING,
    what="A complete revocation list has entries with the reason `removeFromCRL`.",
    why="That reason takes a certificate off an earlier list and belongs in delta lists"
    " (RFC 5280, 5.3.1). OpenSSL does not count these certificates as revoked.",
    bad=_crl("ca-removals.crl"),
    good=_GOOD_CRL,
)
