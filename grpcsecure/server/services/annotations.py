"""Compares the values under `with` with the type annotations of the servicer.

Knows the types of which YAML has values, and says nothing about any other type: a class
of the user may accept what its annotation does not say. Names types and parameters,
never values, which may be secrets.
"""

from __future__ import annotations

import inspect
import typing
from collections import abc
from dataclasses import dataclass, is_dataclass
from enum import Enum, EnumMeta
from functools import partial
from inspect import Parameter
from types import FunctionType, NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union

from grpcsecure.config.scalars import resolve

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from inspect import Signature

__all__ = ["TypeMisfit", "find_type_misfits"]

#: The types of values, as messages name them.
_FOUND = {
    str: "text",
    bool: "`true` or `false`",
    int: "a whole number",
    float: "a number",
    NoneType: "`null`",
    list: "a list",
    dict: "a mapping",
}

#: What a type accepts. `int` for `float` is PEP 484; a `bool` is an `int` in Python.
_SCALARS: dict[object, tuple[type, ...]] = {
    str: (str,),
    bool: (bool,),
    int: (int,),
    float: (float, int),
    bytes: (bytes,),  # YAML has none
    NoneType: (NoneType,),
}

_LISTS = {list, abc.Sequence, abc.MutableSequence, abc.Collection, abc.Iterable}

#: A list in their place mostly works; its items are still compared.
_LIKE_LISTS = {tuple, set, frozenset, abc.Set, abc.MutableSet}

_MAPPINGS = {dict, abc.Mapping, abc.MutableMapping}


@dataclass(frozen=True, slots=True, kw_only=True)
class TypeMisfit:
    """A value that is not of the annotated type; `path` leads to it from `with`."""

    path: tuple[str | int, ...]
    expected: str
    found: str
    help: str


def find_type_misfits(
    target: Any, signature: Signature, arguments: Mapping[str, object]
) -> Iterator[TypeMisfit]:
    """Yield the arguments whose values do not fit the annotations of `target`.

    Nothing is called. An annotation that cannot be evaluated is ignored.
    """
    function = _function_of(target)
    # A decorator, or pydantic, may convert the arguments before they are used.
    if hasattr(function, "__wrapped__") or hasattr(target, "__pydantic_decorators__"):
        return
    rest = next(
        (p for p in signature.parameters.values() if p.kind is Parameter.VAR_KEYWORD),
        None,
    )
    for name, value in arguments.items():
        parameter = signature.parameters.get(name, rest)
        if parameter is None or (value is None and parameter.default is None):
            continue
        expected = _evaluate(parameter.annotation, function)
        yield from _misfits(value, expected, (name,))


def _function_of(target: Any) -> Any:
    """Return the function that takes the arguments."""
    while isinstance(target, partial):
        target = target.func
    if not inspect.isclass(target):
        return target
    made: Any = target
    return made.__init__ if made.__init__ is not object.__init__ else made.__new__


def _evaluate(annotation: Any, function: Any) -> Any:
    """Return an annotation, evaluated if it is text; `Any` if that is not possible."""
    if annotation is Parameter.empty:
        return Any
    holder = FunctionType((lambda: None).__code__, getattr(function, "__globals__", {}))
    holder.__annotations__ = {"value": annotation}
    try:
        return typing.get_type_hints(holder)["value"]
    except Exception:  # noqa: BLE001 - such as a name that only type checkers import
        return Any


def _misfits(
    value: object, expected: Any, path: tuple[str | int, ...]
) -> Iterator[TypeMisfit]:
    expected = _bare(expected)
    origin = typing.get_origin(expected)
    if origin in (Union, UnionType):
        yield from _misfits_of_union(value, expected, path)
        return
    if not _may_be(value, expected, origin):
        yield _misfit(value, expected, path)
        return
    arguments = typing.get_args(expected)
    if isinstance(value, list) and origin in _LISTS | _LIKE_LISTS and arguments:
        is_fixed = origin is tuple and arguments[1:] != (...,)
        for index, item in enumerate(value):
            if not is_fixed:
                yield from _misfits(item, arguments[0], (*path, index))
    elif isinstance(value, dict) and origin in _MAPPINGS and len(arguments) > 1:
        for key, item in value.items():
            yield from _misfits(item, arguments[1], (*path, key))


def _bare(expected: Any) -> Any:
    """Return a type without its other names."""
    while True:
        if isinstance(expected, typing.NewType):
            expected = expected.__supertype__
        elif typing.get_origin(expected) is Annotated:
            expected = typing.get_args(expected)[0]
        elif type(expected).__name__ == "TypeAliasType":  # `type X = …`, Python 3.12
            expected = expected.__value__
        else:
            return NoneType if expected is None else expected


def _misfits_of_union(
    value: object, union: Any, path: tuple[str | int, ...]
) -> Iterator[TypeMisfit]:
    members = [_bare(member) for member in typing.get_args(union)]
    if value is not None:
        members = [member for member in members if member is not NoneType]
    found = [next(_misfits(value, member, path), None) for member in members]
    first = found[0]
    if None in found or first is None:  # it fits one of them
        return
    yield first if len(found) == 1 else _misfit(value, union, path)


def _may_be(value: object, expected: Any, origin: Any) -> bool:
    """Whether a value may be of a type that is no union; its items do not count."""
    kind = origin or expected
    if kind is Literal:
        members = typing.get_args(expected)
        return any(isinstance(one, Enum) for one in members) or any(
            type(one) is type(value) and one == value for one in members
        )
    if kind in _SCALARS:
        return isinstance(value, _SCALARS[kind])
    if kind is list or kind in _LIKE_LISTS:
        return isinstance(value, list)
    if kind in _LISTS:  # text, and the keys of a mapping, can be iterated over
        return isinstance(value, (list, str, dict))
    if kind in _MAPPINGS or typing.is_typeddict(kind):
        return isinstance(value, dict)
    return not _is_foreign_to_yaml(kind)


def _is_foreign_to_yaml(kind: Any) -> bool:
    """Whether it is a dataclass or an enum; a member of a `str` enum equals text."""
    is_enum = isinstance(kind, EnumMeta) and not issubclass(kind, (str, int))
    return is_enum or (inspect.isclass(kind) and is_dataclass(kind))


def _misfit(value: object, expected: Any, path: tuple[str | int, ...]) -> TypeMisfit:
    return TypeMisfit(
        path=path,
        expected=inspect.formatannotation(expected).replace("typing.", ""),
        found=_FOUND.get(type(value), type(value).__name__),
        help=_advise(value, expected),
    )


def _advise(value: object, expected: Any) -> str:
    unquoted = resolve(value) if isinstance(value, str) else None
    if unquoted is not None and isinstance(unquoted, _SCALARS.get(expected, ())):
        return "write it without quotes"
    if expected is str and not isinstance(value, (list, dict, NoneType)):
        return "put it in quotes"
    if expected is bytes or _is_foreign_to_yaml(expected):
        return "annotate a type that YAML has, such as `str`, and convert it"
    wanted = _FOUND.get(typing.get_origin(expected) or expected, "such a value")
    return f"write {wanted}, or correct the annotation"
