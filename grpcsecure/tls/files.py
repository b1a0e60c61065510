"""Key material as it lies on disk: each file read once, whole, and never again.

What the checks look at and what gRPC gets are the same bytes, so that nothing can
change in between. Knows files and PEM; whether they are any good is for `checks`.
"""

from __future__ import annotations

import errno
import os
import stat
from enum import Enum
from typing import TYPE_CHECKING, TypeVar

from grpcsecure.errors import CertificateError
from grpcsecure.frozen import field, frozen
from grpcsecure.tls.pem import (
    CERTIFICATE_LABELS,
    CRL_LABEL,
    ENCRYPTED_KEY_LABEL,
    KEY_LABELS,
    BrokenBlock,
    PemBlock,
    parse_pem,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from collections.abc import Set as AbstractSet
    from pathlib import Path

    from grpcsecure.model.peer import Certificate
    from grpcsecure.tls.crl import RevocationList

__all__ = [
    "MAX_BYTES",
    "FileContent",
    "FileForm",
    "PemFile",
    "RawFile",
    "UnreadableFile",
    "read_files",
    "read_raw",
]

_T = TypeVar("_T")

#: A bundle of every public CA has a quarter of a MiB, a list of 80,000 revoked
#: certificates all of it.
MAX_BYTES = 4 * 1024 * 1024

#: The tag of a SEQUENCE, with which certificates, keys, revocation lists and PKCS #12
#: begin in DER.
_DER_SEQUENCE = b"\x30"


class FileForm(Enum):
    """What the bytes of a file look like."""

    PEM = "PEM"
    DER = "DER"
    EMPTY = "empty"
    OTHER = "other"


@frozen
class UnreadableFile:
    """A file that could not be read, and why, in the words of a message."""

    reason: str
    is_missing: bool = False


@frozen
class RawFile:
    """What lies on disk: all of a file's bytes, mode bits (`0o640`), owner (a uid)."""

    permissions: int
    owner: int
    data: bytes = field(repr=False)


@frozen
class PemFile:
    """A file's blocks, in their order; its mode bits (`0o640`) and its owner (a uid).

    `der` holds the bytes of a file that is binary, and is empty for all others.
    """

    form: FileForm
    permissions: int
    owner: int
    blocks: tuple[PemBlock | BrokenBlock, ...] = field(repr=False)
    der: bytes = field(default=b"", repr=False)

    def certificates(self) -> tuple[Certificate | BrokenBlock, ...]:
        """Return the certificates in it, and the blocks that should be one."""
        from grpcsecure.tls.certificate import parse_certificate

        return _parse_all(self.blocks, CERTIFICATE_LABELS, parse_certificate)

    def revocation_lists(self) -> tuple[RevocationList | BrokenBlock, ...]:
        """Return the revocation lists in it, and the blocks that should be one.

        A binary file is one list, or none.
        """
        from grpcsecure.tls.crl import parse_crl

        blocks = self.blocks
        if self.form is FileForm.DER:
            blocks = (PemBlock(label=CRL_LABEL, line=1, der=self.der),)
        return _parse_all(blocks, {CRL_LABEL}, parse_crl)

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
    return raw if isinstance(raw, UnreadableFile) else _understand(raw)


def read_raw(path: Path) -> RawFile | UnreadableFile:
    """Read a regular file whole, unless it is larger than `MAX_BYTES`."""
    try:
        # Without O_NONBLOCK, opening a FIFO waits for a writer, perhaps for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            return _read_open(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        return UnreadableFile(
            reason=(error.strerror or "it cannot be read").lower(),
            is_missing=error.errno in (errno.ENOENT, errno.ENOTDIR),
        )
    except ValueError:  # a NUL in the path
        return UnreadableFile(reason="no such file or directory", is_missing=True)


def _read_open(descriptor: int) -> RawFile | UnreadableFile:
    status = os.fstat(descriptor)
    mode = status.st_mode
    if not stat.S_ISREG(mode):
        what = "a directory" if stat.S_ISDIR(mode) else "not a regular file"
        return UnreadableFile(reason=f"it is {what}")
    with os.fdopen(descriptor, "rb", closefd=False) as stream:
        data = stream.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        return UnreadableFile(reason=f"it is larger than {MAX_BYTES >> 20} MiB")
    return RawFile(permissions=stat.S_IMODE(mode), owner=status.st_uid, data=data)


def _understand(raw: RawFile) -> PemFile:
    data = raw.data
    blocks = tuple(parse_pem(data))
    if blocks:
        form = FileForm.PEM
    elif not data.strip():
        form = FileForm.EMPTY
    elif data.startswith(_DER_SEQUENCE):
        form = FileForm.DER
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
