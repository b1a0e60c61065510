"""Text from a file or a peer, made fit for a message: escaped, cut, and never a key."""

from __future__ import annotations

import re

__all__ = ["holds_key_text", "quote"]

_MAX_QUOTED = 60

#: A DER object in base64 begins with M (a SEQUENCE is 0x30: RFC 5915, RFC 5958).
_BASE64_OF_DER = r"(?<![A-Za-z0-9+/])M[A-Za-z0-9+/]{39,}"
#: A line from the middle of a PEM block has 64 characters (RFC 7468). Digests in hex
#: and long paths do too, but not capitals, small letters past f, and digits at once.
_PEM_LINE = (
    r"(?m)^[ \t\"'|>-]*(?=[^\n]*[A-Z])(?=[^\n]*[g-z])(?=[^\n]*\d)"
    r"[A-Za-z0-9+/]{64,}={0,2}[ \t\r\"']*$"
)


def holds_key_text(text: str) -> bool:
    """Whether `text` has in it what may be a private key: PEM, or base64 of DER.

    People paste a key where its path belongs. Certificates look the same, and a
    doubt is decided against showing.
    """
    return (
        "-----BEGIN" in text
        or "-----END" in text
        or re.search(_BASE64_OF_DER, text) is not None
        or re.search(_PEM_LINE, text) is not None
    )


def quote(value: object) -> str:
    """Return `value` in backticks, fit for a message.

    Control characters are escaped and long text is cut. Text that may be a key is not
    shown at all: people paste a private key where its path belongs.
    """
    text = value if isinstance(value, str) else repr(value)
    if "-----BEGIN" in text:
        return "`-----BEGIN …` (PEM text, not shown)"
    if holds_key_text(text):
        return "`…` (looks like a key, not shown)"
    text = text[: _MAX_QUOTED + 1]
    text = "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode() for c in text
    )
    if len(text) > _MAX_QUOTED:
        text = f"{text[:_MAX_QUOTED]}…"
    return f"`{text}`"
