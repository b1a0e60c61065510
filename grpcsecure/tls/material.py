"""Key material of one listener: an immutable snapshot, replaced as a whole.

Holds the files as read and parsed; `checking`, which gets the same bytes, decides
whether they should be used. Invariant: no repr, log or message ever shows the private
key.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from grpcsecure.errors import KeyMaterialError
from grpcsecure.model.peer import Certificate
from grpcsecure.tls.files import PemFile, read_files
from grpcsecure.tls.pem import BrokenBlock, render_pem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from grpcsecure.model.listener import KeyPair, TlsSettings
    from grpcsecure.tls.crl import RevocationList
    from grpcsecure.tls.files import FileContent

__all__ = [
    "Material",
    "ServerPair",
    "build_material",
    "load_material",
    "material_paths",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerPair:
    """A server certificate with its key, in the forms that `Material` has."""

    certificate_chain: bytes = field(repr=False)
    private_key: bytes = field(repr=False)
    chain: tuple[Certificate, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """Certificates, key and revocation lists of one listener.

    `certificate_chain`, `private_key` and `client_ca` are PEM for gRPC and OpenSSL,
    `crls` are DER; `chain`, `client_cas` and `revocation_lists` are the parsed
    equivalents, the chain leaf first. `further` are the server certificates beside that
    default, for clients that ask for one of their names. `client_ca` has all client
    CAs; `trust_domains` has those of each SPIFFE trust domain, and is None where any CA
    vouches for any of them. `generation` increases with each reload.
    """

    generation: int
    certificate_chain: bytes = field(repr=False)
    private_key: bytes = field(repr=False)
    client_ca: bytes | None = field(default=None, repr=False)
    crls: tuple[bytes, ...] = field(default=(), repr=False)
    chain: tuple[Certificate, ...]
    further: tuple[ServerPair, ...] = ()
    client_cas: tuple[Certificate, ...] = ()
    trust_domains: Mapping[str, tuple[Certificate, ...]] | None = None
    revocation_lists: tuple[RevocationList, ...] = ()

    @property
    def pairs(self) -> tuple[ServerPair, ...]:
        """All server certificates with their keys, the default first."""
        first = ServerPair(
            certificate_chain=self.certificate_chain,
            private_key=self.private_key,
            chain=self.chain,
        )
        return (first, *self.further)

    @property
    def leaves(self) -> tuple[Certificate, ...]:
        """The server certificates themselves, the default first."""
        return (self.chain[0], *(pair.chain[0] for pair in self.further))


def material_paths(tls: TlsSettings) -> Iterator[Path]:
    """Yield the paths of the files that `tls` refers to."""
    for pair in tls.key_pairs:
        yield pair.certificate
        yield pair.private_key
    for _, path in tls.client_ca_files:
        yield path
    yield from tls.crl


def load_material(tls: TlsSettings, *, generation: int) -> Material:
    """Read the files of `tls` and return them as material.

    Raises:
        KeyMaterialError: a file is missing or damaged, or the files do not fit.
    """
    files = read_files(material_paths(tls))
    return build_material(tls, files, generation=generation)


def build_material(
    tls: TlsSettings, files: Mapping[Path, FileContent], *, generation: int
) -> Material:
    """Return the material of `tls`, from `files` that were read before.

    Its PEM is rendered from the parsed blocks: gRPC silently stops reading a CA file at
    the first line that it cannot parse, and must not see fewer CAs than grpcsecure.

    Raises:
        KeyMaterialError: a file is missing or damaged, or the files do not fit.
    """
    first, *further = (_server_pair(files, pair) for pair in tls.key_pairs)
    by_domain = [
        (domain, _client_cas(files, tls, path)) for domain, path in tls.client_ca_files
    ]
    cas = tuple(ca for _, found in by_domain for ca in found)
    if len(by_domain) > 1:  # a CA of several trust domains is one anchor
        cas = tuple(dict.fromkeys(cas))
    lists = tuple(crl for path in tls.crl for crl in _revocation_lists(files, path))
    return Material(
        generation=generation,
        certificate_chain=first.certificate_chain,
        private_key=first.private_key,
        client_ca=_render(cas) if cas else None,
        crls=tuple(crl.der for crl in lists),
        chain=first.chain,
        further=tuple(further),
        client_cas=cas,
        trust_domains={str(domain): found for domain, found in by_domain}
        if tls.trust_domains is not None
        else None,
        revocation_lists=lists,
    )


def _server_pair(files: Mapping[Path, FileContent], pair: KeyPair) -> ServerPair:
    from grpcsecure.tls.keys import load_public_half

    chain = _certificates(files, pair.certificate)
    block = _pem(files, pair.private_key).key()
    if block is None:
        raise KeyMaterialError(f"`{pair.private_key}` holds no private key")
    if not load_public_half(block).fits(chain[0]):
        raise KeyMaterialError(
            f"the key `{pair.private_key}` does not fit"
            f" the certificate `{pair.certificate}`"
        )
    return ServerPair(
        certificate_chain=_render(chain),
        private_key=render_pem(block.label, [block.der]),
        chain=chain,
    )


def _pem(files: Mapping[Path, FileContent], path: Path) -> PemFile:
    content = files[path]
    if not isinstance(content, PemFile):
        raise KeyMaterialError(f"cannot read `{path}`: {content.reason}")
    return content


def _certificates(
    files: Mapping[Path, FileContent], path: Path
) -> tuple[Certificate, ...]:
    """Return the certificates of a file: all of them, and at least one."""
    found = _pem(files, path).certificates()
    good = tuple(entry for entry in found if isinstance(entry, Certificate))
    if len(good) < len(found):
        raise KeyMaterialError(f"`{path}` has a broken block")
    if not good:
        raise KeyMaterialError(f"`{path}` holds no certificate")
    return good


def _client_cas(
    files: Mapping[Path, FileContent], tls: TlsSettings, path: Path
) -> tuple[Certificate, ...]:
    """Return the CAs of a file, which holds no list that would be ignored.

    Such a list would seem to be in force.
    """
    cas = _certificates(files, path)
    if path not in tls.crl and _pem(files, path).lists():
        raise KeyMaterialError(
            f"`{path}` holds a revocation list that `crl` does not name"
        )
    return cas


def _revocation_lists(
    files: Mapping[Path, FileContent], path: Path
) -> tuple[RevocationList, ...]:
    """Return the revocation lists of a file: all of them, and at least one.

    A list that OpenSSL would skip is refused: it must not seem to be in force.
    """
    found = _pem(files, path).revocation_lists()
    good = tuple(entry for entry in found if not isinstance(entry, BrokenBlock))
    if len(good) < len(found):
        raise KeyMaterialError(f"`{path}` has a broken block")
    if not good:
        raise KeyMaterialError(f"`{path}` holds no revocation list")
    for entry in good:
        if entry.limitation is not None:
            raise KeyMaterialError(f"`{path}` cannot be used: {entry.limitation}")
    return good


def _render(certificates: tuple[Certificate, ...]) -> bytes:
    return render_pem("CERTIFICATE", [entry.der for entry in certificates])
