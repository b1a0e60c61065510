"""Checks of the server certificate: names, allowed purposes, and strength."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grpcsecure.checking.key_files.server_names import check_server_names
from grpcsecure.diagnostics.catalog import file_kinds as kinds
from grpcsecure.model.listener import Engine
from grpcsecure.quoting import quote

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from grpcsecure.checking.key_files.file_uses import FileUse
    from grpcsecure.diagnostics.findings import Finding
    from grpcsecure.model.peer import Certificate
    from grpcsecure.tls.server_keys import ServerKey

__all__ = ["check_server_certificate", "check_strength"]

_BETTER_KEY = "use EC P-256, or RSA with 2048 bits or more"

#: The library of each engine, in notes about its release.
_LIBRARIES = {Engine.GRPC: "grpcio", Engine.BRIDGE: "OpenSSL"}


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
    yield from check_server_names(use, certificate)
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
    from grpcsecure.tls.purpose import describe_key, has_weak_key
    from grpcsecure.tls.server_keys import find_server_key

    name = describe_key(certificate)
    if has_weak_key(certificate):
        yield _weak_key(use, certificate, name)
        return
    key = find_server_key(certificate)
    unable = [
        engine
        for engine in map(Engine, use.engines)
        if key is None or not key.is_served_by(engine)
    ]
    if unable:
        yield _unsupported_key(use, name, key, unable)
    elif key is not None and key.clients is not None:
        yield use.report(
            kinds.RARE_KEY,
            f"no grpcio client can connect with the key of {use.shown}",
            label=f"its key is {name}",
            notes=[f"clients that can: those of {key.clients}"],
            help=_BETTER_KEY,
        )


def _unsupported_key(
    use: FileUse, name: str, key: ServerKey | None, unable: Sequence[Engine]
) -> Finding:
    """Report a key that an engine cannot serve with, and the remedy if there is one."""
    from grpcsecure.tls.server_keys import installed_version

    notes, remedy = [], _BETTER_KEY
    if key is not None:
        for engine in unable:
            since = key.since(engine)
            if since is not None:
                library = _LIBRARIES[engine]
                notes.append(
                    f"{library} {_spell(since)} or newer can;"
                    f" {_spell(installed_version(engine))} is installed"
                )
        if Engine.BRIDGE not in unable and key.is_served_by(Engine.BRIDGE):
            remedy = f"use `engine: bridge`, or {_BETTER_KEY.removeprefix('use ')}"
    engines = " and ".join(f"engine `{engine.value}`" for engine in unable)
    return use.report(
        kinds.UNSUPPORTED_KEY,
        f"{engines} cannot serve with the key of {use.shown}",
        label=f"its key is {name}",
        notes=notes,
        help=remedy,
    )


def _spell(version: Sequence[int]) -> str:
    return ".".join(map(str, version))


def _check_signers(use: FileUse, signers: Sequence[Certificate]) -> Iterator[Finding]:
    from grpcsecure.tls.purpose import describe_key, has_weak_key

    for signer in signers:
        if has_weak_key(signer):
            yield _weak_key(use, signer, describe_key(signer))


def _weak_key(use: FileUse, certificate: Certificate, key: str) -> Finding:
    return use.report(
        kinds.WEAK_KEY,
        f"the key of {quote(certificate.subject)} in {use.shown} is too short",
        label=f"{key}",
        help=_BETTER_KEY,
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
