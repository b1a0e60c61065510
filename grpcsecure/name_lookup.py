"""Lookup of a library's private names, with a record of those that are missing.

Libraries may rename them in any release. They are looked up once, when a process comes
to need them, so that a missing name is a clear error at the start and not a failure of
calls or handshakes later.
"""

from __future__ import annotations

from importlib import import_module
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from grpcsecure.errors import UnsupportedLibraryError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["PrivateNames"]


class PrivateNames:
    """The private names of one library.

    Args:
        library: its name.
        version: the installed version.
        tried: the versions that are known to have the names: the oldest that
            pyproject.toml allows, and the newest.

    Attributes:
        looked_up: all names, in full.
        missing: those of them that the library does not have.
    """

    def __init__(self, library: str, version: str, tried: tuple[str, ...]) -> None:
        self.library = library
        self.version = version
        self.tried = tried
        self.looked_up: list[str] = []
        self.missing: list[str] = []

    def module(self, name: str) -> Any:  # noqa: ANN401 - a part of the library
        """Return a module, None if it is missing."""
        self.looked_up.append(name)
        try:
            return import_module(name)
        except ImportError:
            self.missing.append(name)
            return None

    def find(self, owner: object, where: str, name: str) -> Any:  # noqa: ANN401 - a part of the library
        """Return an attribute, which may be one of an attribute; None if it is missing.

        Args:
            owner: what has it; None if that is missing itself.
            where: the full name of the owner.
            name: the attribute.
        """
        if owner is None:
            return None
        full_name = f"{where}.{name}"
        self.looked_up.append(full_name)
        try:
            return attrgetter(name)(owner)
        except AttributeError:
            self.missing.append(full_name)
            return None

    def function(self, owner: object, where: str, name: str, count: int) -> Any:  # noqa: ANN401 - a part of the library
        """Return a function that takes `count` arguments; None if it is missing."""
        found = self.find(owner, where, name)
        if found is not None and found.__code__.co_argcount != count:
            self.missing.append(f"{where}.{name} with {count} arguments")
            return None
        return found

    def example(self, where: str, make: Callable[[], Any]) -> Any:  # noqa: ANN401 - a part of the library
        """Return an object that has attributes to find, None if it cannot be made."""
        try:
            return make()
        except Exception:  # noqa: BLE001 - whatever it is, the class is another one
            self.missing.append(f"{where} without arguments")
            return None

    def require(self) -> None:
        """Check that no name is missing.

        Raises:
            UnsupportedLibraryError: some are.
        """
        if self.missing:
            raise UnsupportedLibraryError(
                self.library, self.version, self.missing, self.tried
            )
