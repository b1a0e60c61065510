"""Distinguished names as RFC 4514 strings, such as `CN=billing,O=Corp`.

The format is that of `cryptography`: it has the text of a string also where the
standard wants `#hex`, for types without a short name. `model.subject` reads both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from grpcsecure.tls.der import decode_string, dotted, is_string

if TYPE_CHECKING:
    from grpcsecure.tls.der import Element, Name

__all__ = ["name_text"]

#: The attribute types that RFC 4514 strings abbreviate (section 3).
_SHORT_NAMES = {
    "2.5.4.3": "CN",
    "2.5.4.7": "L",
    "2.5.4.8": "ST",
    "2.5.4.10": "O",
    "2.5.4.11": "OU",
    "2.5.4.6": "C",
    "2.5.4.9": "STREET",
    "0.9.2342.19200300.100.1.25": "DC",
    "0.9.2342.19200300.100.1.1": "UID",
}

#: RFC 4514, 2.4: characters that are escaped anywhere in a value.
_SPECIAL = '"+,;<>\\'


def name_text(name: Name) -> str:
    """Return a name as an RFC 4514 string: the most specific part first.

    Raises:
        DerError: a string is not valid in its encoding.
    """
    return ",".join(
        "+".join(_attribute_text(dotted(kind), value) for kind, value in group)
        for group in reversed(name)
    )


def _attribute_text(oid: str, value: Element) -> str:
    # Bits, whose content could look like a string.
    shown = f"#{value.whole.hex()}"
    if is_string(value):
        shown = _escape(decode_string(value))
    return f"{_SHORT_NAMES.get(oid, oid)}={shown}"


def _escape(value: str) -> str:
    """Escape a value (RFC 4514, 2.4)."""
    text = "".join(f"\\{c}" if c in _SPECIAL else c for c in value)
    text = text.replace("\0", "\\00")
    if value.startswith(("#", " ")):
        text = f"\\{text}"
    if value.endswith(" ") and len(value) > 1:
        text = f"{text[:-1]}\\ "
    return text
