"""TLS 1.3 sessions of `openssl s_client`, forged to allow early data.

A session file is an SSL_SESSION_ASN1 of OpenSSL: a sequence of fields in the order of
their tags.
"""

from __future__ import annotations

import base64

__all__ = ["forge_early_data"]

#: Context tags of the ticket, and of the amount of early data that the server accepts.
_TICKET, _MAX_EARLY_DATA = 0xAA, 0xAF

_NAME = "SSL SESSION PARAMETERS"


def _split(data):
    """Return the elements (tag, content) of a sequence's content."""
    elements = []
    while data:
        size, start = data[1], 2
        if size & 0x80:
            start += size & 0x7F
            size = int.from_bytes(data[2:start], "big")
        elements.append((data[0], data[start : start + size]))
        data = data[start + size :]
    return elements


def _element(tag, content):
    return bytes([tag, 0x82]) + len(content).to_bytes(2, "big") + content


def forge_early_data(pem: str, *, valid: bool) -> str:
    """Return a session with which the client sends early data.

    Args:
        pem: the output of `s_client -sess_out`.
        valid: whether the server will accept the ticket.
    """
    der = base64.b64decode("".join(pem.split("-----")[2].split()))
    ((_, content),) = _split(der)
    fields = dict(_split(content))
    fields[_MAX_EARLY_DATA] = bytes.fromhex("02047fffffff")
    if not valid:
        fields[_TICKET] = fields[_TICKET][:-1] + bytes([fields[_TICKET][-1] ^ 1])
    # The fields without a context tag come first.
    plain = [item for item in _split(content) if item[0] < 0xA0]
    tagged = sorted(item for item in fields.items() if item[0] >= 0xA0)
    forged = _element(0x30, b"".join(_element(*item) for item in [*plain, *tagged]))
    text = base64.encodebytes(forged).decode()
    return f"-----BEGIN {_NAME}-----\n{text}-----END {_NAME}-----\n"
