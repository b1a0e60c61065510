"""Describes what is probably meant by a value in another form: durations, sizes, …."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from grpcsecure.config.address_advice import describe_address
from grpcsecure.config.tree import Scalar
from grpcsecure.config.wording import shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from grpcsecure.config.tree import Node, Path

__all__ = ["advise_value"]

#: Label and help of a finding.
Advice = tuple[str, str]


def advise_value(path: Path, node: Node | None, expected: str) -> Advice | None:
    """Return label and help for a value that does not fit its key, or None.

    Args:
        path: the path of the value.
        node: the value.
        expected: the description of valid values in the schema.
    """
    # Like a message, a help repeats no value of a variable, and no key.
    if not isinstance(node, Scalar) or node.from_variable:
        return None
    if path[-1] in ("fingerprint", "public_key"):
        return _advise_digest(node.text)  # repeats nothing of it, and it is long
    if shown(node) != f"`{node.text}`":
        return None
    return _advise_text(path, node.text, expected)


def _advise_text(path: Path, text: str, expected: str) -> Advice | None:
    if text[:1] in _TYPOGRAPHIC:
        return "begins with a typographic quote", "write ordinary quotes"
    match = re.fullmatch(r"(\S+)#\S+", text)
    if match is not None and path[-1] not in _MAY_HAVE_HASH:
        return "a comment needs a space before its `#`", f"write `{match[1]} # …`"
    if expected.startswith("a duration"):
        return _advise_duration(text)
    if expected.startswith("a size"):
        return _advise_size(text)
    advise = _BY_KEY.get(str(path[-1]))
    return None if advise is None else advise(text)


#: What word processors make of `"` and `'`.
_TYPOGRAPHIC = ("\u201c", "\u201d", "\u201e", "\u2018", "\u2019", "\u00ab")

_MAY_HAVE_HASH = ("uri", "subject", "common_name", "organizational_unit")

#: The units of durations, by their first letters.
_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART = re.compile(r"(\d{1,6}) ?(us|micros?|ms|millis?|s|m|h|d)[a-z]*\.?")


def _advise_duration(text: str) -> Advice | None:
    if re.fullmatch(r"\d{1,6}", text):
        return "the unit is missing", f"write `{text}s`, `{text}ms` or `{text}m`"
    parts = text.lower().split(",")[0].replace(" and ", " ")
    if not re.fullmatch(rf"(?:{_PART.pattern}\s*)+", parts):
        return None
    units = {"micro": "us", "micros": "us", "milli": "ms", "millis": "ms"}
    seconds = sum(
        int(match[1]) * _UNITS[units.get(match[2], match[2])]
        for match in _PART.finditer(parts)
    )
    for unit in ("d", "h", "m", "s", "ms"):
        count = seconds / _UNITS[unit]
        if count >= 1 and count == int(count):
            return "", f"write `{int(count)}{unit}`"
    return None


#: The units of sizes as others write them, in bytes; decimal ones mean binary ones.
_SIZES = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_SIZE_UNITS = {"GiB": 1 << 30, "MiB": 1 << 20, "KiB": 1 << 10, "B": 1}


def _advise_size(text: str) -> Advice | None:
    match = re.fullmatch(r"(\d{1,12}) ?([kmg]?)(?:i?b|ibytes|bytes)?", text.lower())
    size = int(match[1]) * _SIZES[match[2]] if match else 0
    if match is None or not size:
        return None
    unit, count = next(
        (unit, size // factor)
        for unit, factor in _SIZE_UNITS.items()
        if size % factor == 0
    )
    label = "the unit is missing" if text.isdecimal() else ""
    return label, f"write `{count}{unit}`"


def _advise_servicer(text: str) -> Advice | None:
    if text.endswith(")") and "(" in text:
        bare = text.partition("(")[0]
        return (
            "named here, and not called",
            f"write `{bare}`; arguments go under `with`",
        )
    if "/" in text or text.partition(":")[0].endswith(".py"):
        module, _, attribute = text.partition(":")
        name = module.removesuffix(".py").strip("./").replace("/", ".")
        return (
            "a module, and not its file",
            f"write `{name}:{attribute or 'Servicer'}`, from its import path on",
        )
    if ":" in text:
        return None
    module, dot, attribute = text.rpartition(".")
    if not dot:
        return "the module is missing", f"write `module:{text}`"
    return "a `:` goes before the attribute", f"write `{module}:{attribute}`"


def _advise_ip(text: str) -> Advice | None:
    if "/" in text:
        return "a network", "write single addresses, such as `10.0.0.7`"
    return None


def _advise_digest(text: str) -> Advice | None:
    digits = re.sub(r"[^0-9a-f]", "", text.lower().removeprefix("sha256"))
    if len(digits) == 40:  # noqa: PLR2004 - 20 bytes
        return "as long as SHA-1", "write the SHA-256 of the certificate: `sha256:…`"
    if len(digits) == 64 and not text.startswith("sha256:"):  # noqa: PLR2004
        return "`sha256:` is missing", "write `sha256:` before the digits"
    return None


_BY_KEY: dict[str, Callable[[str], Advice | None]] = {
    "address": describe_address,
    "interceptor": _advise_servicer,
    "servicer": _advise_servicer,
    "register": _advise_servicer,
    "ip": _advise_ip,
}
