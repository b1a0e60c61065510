"""Hides private names of libraries from grpcsecure, but not from the libraries.

The libraries still use these names, as after a release that renamed them.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from contextlib import ExitStack, contextmanager
from enum import Enum
from pathlib import Path
from types import ModuleType

__all__ = ["fresh", "hidden", "hiding"]

#: The module that looks names up.
LOOKER = "grpcsecure.name_lookup"

TESTS = Path(__file__).parent.parent

#: Runs at the start of each Python process that has its folder on PYTHONPATH.
SITECUSTOMIZE = """\
from support.hidden_names import hide_for_good
hide_for_good()
"""


def fresh(module):
    """Return a new copy of a module, which looks its names up again."""
    spec = importlib.util.find_spec(module)
    copy = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(copy)
    return copy


@contextmanager
def hidden(full_name):
    """Hide a name while the block runs."""
    with ExitStack() as undo:
        _hide(full_name, undo)
        yield


def hiding(folder, *names):
    """Return environment variables that hide names in a process and its children.

    Args:
        folder: a folder for a file.
        names: the full names.
    """
    (folder / "sitecustomize.py").write_text(SITECUSTOMIZE)
    path = os.pathsep.join([str(folder), str(TESTS)])
    return {"PYTHONPATH": path, "HIDDEN_NAMES": " ".join(names)}


def hide_for_good():
    """Hide the names that are listed in the environment."""
    for name in os.environ.get("HIDDEN_NAMES", "").split():
        _hide(name, ExitStack())


def _hide(full_name, undo):
    if full_name == "grpc.method_handlers_generic_handler()._method_handlers":
        full_name = "grpc._utilities.DictionaryGenericHandler._method_handlers"
    module, attributes = _split(full_name)
    if not attributes:
        before = sys.modules[full_name]
        sys.modules[full_name] = None
        undo.callback(sys.modules.__setitem__, full_name, before)
        return
    parent, owner, owner_name = None, module, module.__name__
    while len(attributes) > 1 and hasattr(owner, attributes[0]):
        owner_name = attributes.pop(0)
        parent, owner = owner, getattr(owner, owner_name)
    name = attributes[0]
    if isinstance(owner, ModuleType):
        before = owner.__class__
        get = _without(before.__getattribute__, name)
        lacking = {"__getattribute__": get}
        if hasattr(before, "__getattr__"):
            lacking["__getattr__"] = _without(before.__getattr__, name)
        # Not by `setattr`: cryptography's modules have a `__setattr__` of their own.
        object.__setattr__(owner, "__class__", type("Lacking", (before,), lacking))
        undo.callback(object.__setattr__, owner, "__class__", before)
    elif isinstance(owner, type) and not hasattr(owner, name):  # only objects have it
        owner.__getattribute__ = _without(owner.__getattribute__, name)
        undo.callback(delattr, owner, "__getattribute__")
    else:
        derives = isinstance(owner, type) and not issubclass(owner, Enum)
        stand_in = (_derived if derives else _Proxy)(owner, name)
        setattr(parent, owner_name, stand_in)
        undo.callback(setattr, parent, owner_name, owner)


def _split(full_name):
    """Return the module of a name, imported, and what follows it in the name."""
    parts = full_name.split(".")
    for count in range(len(parts), 0, -1):
        try:
            return importlib.import_module(".".join(parts[:count])), parts[count:]
        except ImportError:
            continue
    raise LookupError(full_name)


def _is_looked_up():
    return sys._getframe(2).f_globals.get("__name__") == LOOKER


def _without(get, hidden_name):
    """Return `get`, a `__getattribute__`, with one name that it does not find."""

    def __getattribute__(self, name):  # noqa: N807
        if name == hidden_name and _is_looked_up():
            raise AttributeError(name)
        return get(self, name)

    return __getattribute__


def _derived(kind, name):
    """Return a class like `kind` that lacks a name, as do its objects."""
    meta = type(kind)
    lacking = type(
        "Lacking", (meta,), {"__getattribute__": _without(meta.__getattribute__, name)}
    )
    own = {
        "__getattribute__": _without(kind.__getattribute__, name),
        "__module__": kind.__module__,
    }
    return lacking(kind.__name__, (kind,), own)


class _Proxy:
    """An object without one attribute."""

    def __init__(self, wrapped, hidden_name):
        self._wrapped = wrapped
        self._hidden_name = hidden_name

    def __getattr__(self, name):
        if name == self._hidden_name and _is_looked_up():
            raise AttributeError(name)
        return getattr(self._wrapped, name)
