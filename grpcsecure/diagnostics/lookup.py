"""Looks up a kind of finding by code or name, and suggests the nearest one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grpcsecure.diagnostics.catalog import CATALOG
from grpcsecure.diagnostics.suggest import nearest

if TYPE_CHECKING:
    from grpcsecure.diagnostics.findings import Kind

__all__ = ["find_kind", "nearest_finding"]


def find_kind(name: str) -> Kind | None:
    """Return the kind of finding with a code or name (in any case), or None."""
    wanted = name.casefold()
    for kind in CATALOG.values():
        if wanted in (kind.code.casefold(), kind.name.casefold()):
            return kind
    return None


def nearest_finding(name: str) -> str | None:
    """Return the code or name that was probably meant, or None."""
    codes = sorted(CATALOG)
    if name[:2].upper() == "GS" and name[2:].isascii() and name[2:].isdecimal():
        # Codes that differ in a digit are unrelated, so edit distance is useless here:
        # suggest the numerically nearest code of the same hundred.
        return min(codes, key=lambda code: _distance(code, int(name[2:][:9])))
    return nearest(name, [*(kind.name for kind in CATALOG.values()), *codes])


def _distance(code: str, number: int) -> tuple[int, int]:
    own = int(code[2:])
    return abs(own // 100 - number // 100), abs(own - number)
