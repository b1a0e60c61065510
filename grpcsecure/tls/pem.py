"""Parser of PEM text (RFC 7468) into blocks, each with its line number.

Decodes the base64 but not the DER inside. A broken block is reported, never skipped:
gRPC silently stops reading a CA file there. Invariant: no text of a block ever reaches
a message or a repr, since it may be a private key.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = [
    "CERTIFICATE_LABELS",
    "CRL_LABEL",
    "ENCRYPTED_KEY_LABEL",
    "ESCAPED",
    "JOINED",
    "KEY_LABELS",
    "ONE_LINE",
    "PARAMETER_LABELS",
    "BrokenBlock",
    "PemBlock",
    "parse_pem",
    "render_pem",
]

#: The second is an old OpenSSL label for certificates.
CERTIFICATE_LABELS = frozenset({"CERTIFICATE", "X509 CERTIFICATE"})

CRL_LABEL = "X509 CRL"

#: PKCS #8, RFC 5915 and PKCS #1: the key formats that OpenSSL and gRPC load.
KEY_LABELS = frozenset({"PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY"})
ENCRYPTED_KEY_LABEL = "ENCRYPTED PRIVATE KEY"

#: `openssl ecparam -genkey` writes such a block before a key, which repeats its
#: content.
PARAMETER_LABELS = frozenset({"EC PARAMETERS", "DH PARAMETERS"})

#: Problems of blocks that are intact but for their line breaks.
JOINED = "the next BEGIN follows its END without a newline"
ONE_LINE = "it is all in one line"
ESCAPED = "it has `\\n` as text in place of newlines"

_BEGIN = b"-----BEGIN "
_END = b"-----END "
_DASHES = b"-----"
_BOM = b"\xef\xbb\xbf"
_MAX_LABEL = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class PemBlock:
    """A block: its label, its decoded bytes, and the line of its BEGIN, from 1 on.

    `is_encrypted` means that a passphrase is needed to use the bytes.
    """

    label: str
    line: int
    der: bytes = field(repr=False)
    is_encrypted: bool = False


class BrokenBlock(NamedTuple):
    """A block that cannot be read; `problem` is the reason, without any of its text."""

    line: int
    problem: str
    label: str | None = None


def parse_pem(data: bytes) -> Iterator[PemBlock | BrokenBlock]:
    """Yield the blocks of `data` in their order; text outside of blocks is allowed."""
    opened: _OpenBlock | None = None
    for number, raw in enumerate(data.removeprefix(_BOM).splitlines(), 1):
        line = raw.strip()
        if line.startswith(_BEGIN[:-1]):
            if opened is not None:
                yield opened.broken("it has no END line")
            label = _label(line, _BEGIN)
            opened = _OpenBlock(label, number) if label is not None else None
            if label is None:
                yield BrokenBlock(line=number, problem=_describe_damage(line))
        elif line.startswith(_END[:-1]):
            _, joined, label_after = line.partition(_DASHES + _BEGIN)
            if opened is not None:
                yield (
                    opened.broken(JOINED)
                    if joined
                    else opened.close(_label(line, _END))
                )
            opened = None
            if joined:  # `cat` of files of which the first has no newline at its end
                after = _label(_BEGIN + label_after, _BEGIN)
                opened = None if after is None else _OpenBlock(after, number)
        elif opened is not None:
            opened.lines.append(line)
    if opened is not None:
        yield opened.broken("it has no END line")


def _describe_damage(line: bytes) -> str:
    if rb"\n" in line:
        return ESCAPED
    return ONE_LINE if _END in line else "its BEGIN line is damaged"


def _label(line: bytes, start: bytes) -> str | None:
    """Return the label of a boundary line, or None if it is not a boundary line."""
    if not (line.startswith(start) and line.endswith(_DASHES)):
        return None
    label = line[len(start) : -len(_DASHES)]
    # If a whole PEM text was put on one line, all its base64 is in this label.
    if not label.isascii() or len(label) > _MAX_LABEL or _DASHES in label:
        return None
    return label.decode() if label.isupper() else None


class _OpenBlock:
    """A block whose END line has not been read yet."""

    def __init__(self, label: str, line: int) -> None:
        self.label = label
        self.line = line
        self.lines: list[bytes] = []

    def broken(self, problem: str) -> BrokenBlock:
        return BrokenBlock(line=self.line, label=self.label, problem=problem)

    def close(self, label: str | None) -> PemBlock | BrokenBlock:
        if label != self.label:
            return self.broken("its END line does not match its BEGIN line")
        headers, body = _split_headers(self.lines)
        if any(header.startswith(b"Proc-Type:") for header in headers):
            # RFC 1421 encryption of the older key formats; the body is ciphertext.
            return PemBlock(label=label, line=self.line, der=b"", is_encrypted=True)
        try:
            der = base64.b64decode(b"".join(body), validate=True)
        except binascii.Error:
            return self.broken("its base64 is damaged")
        if not der:
            return self.broken("it is empty")
        return PemBlock(
            label=label,
            line=self.line,
            der=der,
            is_encrypted=label == ENCRYPTED_KEY_LABEL,
        )


def _split_headers(lines: list[bytes]) -> tuple[list[bytes], list[bytes]]:
    """Separate RFC 1421 headers, up to a blank line, from the base64."""
    if not lines or b":" not in lines[0]:
        return [], lines
    blank = lines.index(b"") if b"" in lines else len(lines)
    return lines[:blank], lines[blank:]


def render_pem(label: str, ders: Iterable[bytes]) -> bytes:
    """Return `ders` as PEM text, in the format that every library reads."""
    return b"".join(_render_block(label.encode(), der) for der in ders)


def _render_block(label: bytes, der: bytes) -> bytes:
    text = base64.b64encode(der)
    lines = [text[start : start + 64] for start in range(0, len(text), 64)]
    return b"\n".join(
        [_BEGIN + label + _DASHES, *lines, _END + label + _DASHES, b""],
    )
