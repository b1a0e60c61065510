"""Files of key material as they are on disk; each is read once, as a whole.

The checks and gRPC get the same bytes, so that a file cannot change in between. Knows
files and PEM; `checking` decides whether the contents are usable.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, TypeVar

from grpcsecure.errors import CertificateError
from grpcsecure.tls.pem import (
    CERTIFICATE_LABELS,
    CRL_LABEL,
    ENCRYPTED_KEY_LABEL,
    KEY_LABELS,
    BrokenBlock,
    PemBlock,
    parse_pem,
)
from grpcsecure.watch.raw_file import RawFile, UnreadableFile, read_raw

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from collections.abc import Set as AbstractSet
    from pathlib import Path

    from grpcsecure.model.peer import Certificate
    from grpcsecure.tls.crl import RevocationList

__all__ = [
    "FileContent",
    "FileForm",
    "PemFile",
    "read_files",
]

_T = TypeVar("_T")

#: The tag of a SEQUENCE. Certificates, keys, revocation lists and PKCS #12 files in DER
#: begin with it.
_DER_SEQUENCE = b"\x30"
_JKS = b"\xfe\xed\xfe\xed"


class FileForm(Enum):
    """The format that the bytes of a file seem to have."""

    PEM = "PEM"
    DER = "DER"
    EMPTY = "empty"
    #: Java's own format.
    JKS = "JKS"
    #: The inside of a PEM block, without its BEGIN and END lines.
    BASE64 = "base64"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class PemFile:
    """A file's blocks, in their order; its mode bits (`0o640`) and its owner (a uid).

    `der` holds the bytes of a file in DER, and is empty for all other files.
    """

    form: FileForm
    permissions: int
    owner: int
    blocks: tuple[PemBlock | BrokenBlock, ...] = field(repr=False)
    der: bytes = field(default=b"", repr=False)

    def certificates(self) -> tuple[Certificate | BrokenBlock, ...]:
        """Return the certificates in it, and broken blocks in their place."""
        from grpcsecure.tls.certificate import parse_certificate

        return _parse_all(self.blocks, CERTIFICATE_LABELS, parse_certificate)

    def revocation_lists(self) -> tuple[RevocationList | BrokenBlock, ...]:
        """Return the revocation lists in it, and broken blocks in their place.

        A file in DER counts as one revocation list.
        """
        from grpcsecure.tls.crl import parse_crl

        blocks = self.blocks
        if self.form is FileForm.DER:
            blocks = (PemBlock(label=CRL_LABEL, line=1, der=self.der),)
        return _parse_all(blocks, {CRL_LABEL}, parse_crl)

    def lists(self) -> tuple[PemBlock, ...]:
        """Return the blocks of revocation lists in it, without parsing them."""
        return tuple(
            block
            for block in self.blocks
            if isinstance(block, PemBlock) and block.label == CRL_LABEL
        )

    def key(self) -> PemBlock | None:
        """Return the block of the first private key in it, encrypted or not."""
        labels = {*KEY_LABELS, ENCRYPTED_KEY_LABEL}
        for block in self.blocks:
            if isinstance(block, PemBlock) and block.label in labels:
                return block
        return None


FileContent = PemFile | UnreadableFile


def _parse_all(
    blocks: Iterable[PemBlock | BrokenBlock],
    labels: AbstractSet[str],
    parse: Callable[[bytes], _T],
) -> tuple[_T | BrokenBlock, ...]:
    return tuple(
        _parse(block, parse)
        for block in blocks
        if isinstance(block, BrokenBlock) or block.label in labels
    )


def _parse(
    block: PemBlock | BrokenBlock, parse: Callable[[bytes], _T]
) -> _T | BrokenBlock:
    if isinstance(block, BrokenBlock):
        return block
    try:
        return parse(block.der)
    except CertificateError as error:
        return BrokenBlock(line=block.line, label=block.label, problem=str(error))


def read_files(paths: Iterable[Path]) -> dict[Path, FileContent]:
    """Read each of `paths` once."""
    return {path: _read(path) for path in dict.fromkeys(paths)}


def _read(path: Path) -> FileContent:
    raw = read_raw(path)
    return raw if isinstance(raw, UnreadableFile) else _parse_file(raw)


def _parse_file(raw: RawFile) -> PemFile:
    data = raw.data
    blocks = tuple(parse_pem(data))
    if blocks:
        form = FileForm.PEM
    elif not data.strip():
        form = FileForm.EMPTY
    elif data.startswith(_DER_SEQUENCE):
        form = FileForm.DER
    elif data.startswith(_JKS):
        form = FileForm.JKS
    elif _is_base64(data):
        form = FileForm.BASE64
    else:
        form = FileForm.OTHER
    der = data if form is FileForm.DER else b""
    return PemFile(
        form=form,
        permissions=raw.permissions,
        owner=raw.owner,
        blocks=blocks,
        der=der,
    )


def _is_base64(data: bytes) -> bool:
    """Whether the bytes are base64 of DER, as between BEGIN and END."""
    try:
        der = base64.b64decode(b"".join(data.split()), validate=True)
    except ValueError:
        return False
    return der.startswith(_DER_SEQUENCE)
