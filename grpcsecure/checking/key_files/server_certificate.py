"""Checks of the server certificate: names, allowed purposes, and strength."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grpcsecure.diagnostics.catalog import file_kinds as kinds
from grpcsecure.quoting import quote

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from grpcsecure.checking.key_files.file_uses import FileUse
    from grpcsecure.diagnostics.findings import Finding
    from grpcsecure.model.peer import Certificate

__all__ = ["check_server_certificate", "check_strength"]


def check_server_certificate(
    use: FileUse, certificate: Certificate
) -> Iterator[Finding]:
    """Find properties that make clients refuse a server certificate."""
    from grpcsecure.tls import purpose as fitness

    if not fitness.has_server_names(certificate):
        yield use.report(
            kinds.NO_SERVER_NAMES,
            f"the certificate in {use.shown} has no subjectAltName for a host",
            label="no DNS name and no IP address",
            help="have it issued again with the names that clients dial",
        )
    if not fitness.allows_server_auth(certificate):
        yield use.report(
            kinds.NO_SERVER_AUTH,
            f"the certificate in {use.shown} is not for servers",
            label="its extendedKeyUsage lacks serverAuth",
            help="have it issued again with serverAuth",
        )
    if not fitness.allows_signing(certificate):
        yield use.report(
            kinds.CANNOT_SIGN,
            f"the certificate in {use.shown} must not sign handshakes",
            label="its keyUsage lacks digitalSignature",
            help="have it issued again with digitalSignature",
        )
    if fitness.is_self_signed(certificate):
        yield use.report(
            kinds.SELF_SIGNED,
            f"the certificate in {use.shown} is self-signed",
            label="no CA signed it",
            help="have a CA sign it",
        )


def check_strength(use: FileUse, chain: Sequence[Certificate]) -> Iterator[Finding]:
    """Find keys and signatures that clients refuse, or that gRPC cannot use."""
    yield from _check_key(use, chain[0])
    yield from _check_signers(use, chain[1:])
    yield from _check_signatures(use, chain)


def _check_key(use: FileUse, certificate: Certificate) -> Iterator[Finding]:
    from grpcsecure.tls.purpose import KeySupport, describe_key, key_support

    support, key = key_support(certificate), describe_key(certificate)
    if support is KeySupport.NONE:
        yield use.report(
            kinds.UNSUPPORTED_KEY,
            f"gRPC cannot serve with the key of {use.shown}",
            label=f"its key is {key}",
            help="use EC P-256, or RSA with 2048 bits or more",
        )
    elif support is KeySupport.WEAK:
        yield _weak_key(use, certificate, key)
    elif support is KeySupport.NOT_BY_GRPC_CLIENTS:
        yield use.report(
            kinds.RARE_KEY,
            f"many gRPC clients cannot connect with the key of {use.shown}",
            label=f"its key is {key}",
            help="use EC P-256, or RSA with 2048 bits or more",
        )


def _check_signers(use: FileUse, signers: Sequence[Certificate]) -> Iterator[Finding]:
    from grpcsecure.tls.purpose import KeySupport, describe_key, key_support

    for signer in signers:
        if key_support(signer) is KeySupport.WEAK:
            yield _weak_key(use, signer, describe_key(signer))


def _weak_key(use: FileUse, certificate: Certificate, key: str) -> Finding:
    return use.report(
        kinds.WEAK_KEY,
        f"the key of {quote(certificate.subject)} in {use.shown} is too short",
        label=f"{key}",
        help="use EC P-256, or RSA with 2048 bits or more",
    )


def _check_signatures(use: FileUse, chain: Sequence[Certificate]) -> Iterator[Finding]:
    from grpcsecure.tls.purpose import is_self_signed, weak_digest

    for certificate in chain:
        digest = weak_digest(certificate)
        # The signature of a root is never checked: a root is trusted as such.
        if digest is not None and not is_self_signed(certificate):
            yield use.report(
                kinds.WEAK_SIGNATURE,
                f"{quote(certificate.subject)} in {use.shown} is signed with"
                f" {digest.upper()}",
                label="such signatures can be forged",
                help="have it issued again, signed with SHA-256",
            )
