"""Quotes text from files and peers for messages: escaped, cut, without key material."""

from __future__ import annotations

import re

__all__ = ["holds_key_text", "quote"]

_MAX_QUOTED = 60

#: A DER key in base64 begins with M (a SEQUENCE begins with 0x30: RFC 5915, RFC 5958).
_BASE64_OF_DER = r"(?<![A-Za-z0-9+/])M[A-Za-z0-9+/]{39,}"
#: A line from the middle of a PEM block has 64 characters (RFC 7468). Hex digests and
#: long paths may have as many, but hardly capital letters, small letters beyond f, and
#: digits at once.
_PEM_LINE = (
    r"(?m)^[ \t\"'|>-]*(?=[^\n]*[A-Z])(?=[^\n]*[g-z])(?=[^\n]*\d)"
    r"[A-Za-z0-9+/]{64,}={0,2}[ \t\r\"']*$"
)


def holds_key_text(text: str) -> bool:
    """Whether `text` contains a possible private key: PEM, or base64 of DER.

    Users paste a key in place of its path. Certificates look the same; in case of
    doubt, the text is not shown.
    """
    return (
        "-----BEGIN" in text
        or "-----END" in text
        or re.search(_BASE64_OF_DER, text) is not None
        or re.search(_PEM_LINE, text) is not None
    )


def quote(value: object) -> str:
    """Return `value` in backticks for a message.

    Control characters are escaped and long text is cut. Text that may be a key is not
    shown at all: users paste a private key in place of its path.
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
