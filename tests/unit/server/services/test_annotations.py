"""Values under `with`, compared with the annotations of a servicer."""

# ruff: noqa: UP007, UP045, PYI061 - the spellings of older code count too

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import (
    Annotated,
    Any,
    Literal,
    NewType,
    Optional,
    TypedDict,
    Union,
)

import pytest

from grpcsecure.server.services.annotations import find_type_misfits


class Colour(Enum):
    """An enum."""

    RED = "red"


class Tone(str, Enum):
    """An enum of text."""

    LOW = "low"


@dataclass
class Limits:
    """A dataclass."""

    retries: int


class Options(TypedDict):
    """A mapping."""

    retries: int


Port = NewType("Port", int)


def misfits(annotation, value, default=inspect.Parameter.empty):
    """Return where a value does not fit, what is expected there, and what is found."""

    def servicer(argument): ...

    servicer.__annotations__ = {"argument": annotation}
    parameter = inspect.Parameter(
        "argument",
        inspect.Parameter.KEYWORD_ONLY,
        default=default,
        annotation=annotation,
    )
    found = find_type_misfits(
        servicer, inspect.Signature([parameter]), {"argument": value}
    )
    return [(one.path[1:], one.expected, one.found) for one in found]


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (int, 3),
        (float, 3),
        (float, 0.5),
        (str, "3"),
        (bool, True),
        (int, True),  # a bool is an int in Python
        (Any, "x"),
        (object, 3),
        (None, None),
        (Optional[int], None),
        (int | None, 3),
        (Union[int, str], "x"),
        (list, [1, "x"]),
        (list[int], [1, 2]),
        (list[str], ["a"]),
        (Sequence[str], ["a"]),
        (Sequence[str], "text is a sequence"),
        (tuple[int, str], [1, "a"]),
        (dict, {"a": 1}),
        (dict[str, int], {"a": 1}),
        (Mapping[str, list[int]], {"a": [1]}),
        (Options, {"retries": 3}),
        (Literal["low", "high"], "low"),
        (Literal[1, None], None),
        (Annotated[int, "seconds"], 3),
        (Port, 8080),
        ("int", 3),
        ("list[int] | None", [3]),
        # Types that YAML has no values of are not judged, nor what cannot be evaluated.
        (Path, "data"),
        (Tone, "low"),
        (Optional[Path], 3),
        ("Unimported", "x"),
        ("1 +", "x"),
        (inspect.Parameter.empty, "x"),
    ],
    ids=str,
)
def test_fitting_value(annotation, value):
    """A value of the annotated type has no finding, nor one of a type not judged."""
    assert misfits(annotation, value) == []


@pytest.mark.parametrize(
    ("annotation", "value", "misfit"),
    [
        (int, "3", ((), "int", "text")),
        (int, 2.5, ((), "int", "a number")),
        (int, None, ((), "int", "`null`")),
        (float, "x", ((), "float", "text")),
        (str, 3, ((), "str", "a whole number")),
        (str, True, ((), "str", "`true` or `false`")),
        (str, ["a"], ((), "str", "a list")),
        (bool, "yes", ((), "bool", "text")),
        (bool, 1, ((), "bool", "a whole number")),
        (bytes, "x", ((), "bytes", "text")),
        (list, "a", ((), "list", "text")),
        (list[int], [1, "2"], ((1,), "int", "text")),
        (tuple[int, ...], ["2"], ((0,), "int", "text")),
        (set[str], "a", ((), "set[str]", "text")),
        (dict, ["a"], ((), "dict", "a list")),
        (dict[str, int], {"a": {"b": 1}}, (("a",), "int", "a mapping")),
        (dict[str, list[int]], {"a": [1, "x"]}, (("a", 1), "int", "text")),
        (Optional[int], "3", ((), "int", "text")),
        (Optional[list[int]], ["3"], ((0,), "int", "text")),
        (int | list[int], "3", ((), "int | list[int]", "text")),
        (int | bool | None, "3", ((), "int | bool | None", "text")),
        (Literal["low", "high"], "mid", ((), "Literal['low', 'high']", "text")),
        (Literal[1], True, ((), "Literal[1]", "`true` or `false`")),
        (Port, "8080", ((), "int", "text")),
        ("int", "3", ((), "int", "text")),
        (Options, ["a"], ((), f"{__name__}.Options", "a list")),
        (Colour, "red", ((), f"{__name__}.Colour", "text")),
        (Limits, {"retries": 3}, ((), f"{__name__}.Limits", "a mapping")),
    ],
    ids=str,
)
def test_misfit(annotation, value, misfit):
    """A value of another type is reported at its place, without the value."""
    assert misfits(annotation, value) == [misfit]


def test_default_of_none():
    """`retries: int = None` takes None, as older code spells it."""
    assert misfits(int, None, default=None) == []


def _found(target, **arguments):
    return [
        one.path
        for one in find_type_misfits(target, inspect.signature(target), arguments)
    ]


def test_constructor_of_a_class():
    """The annotations of `__init__`, of a dataclass and of `**rest` count."""

    class Plain:
        def __init__(self, retries: int, **rest: str): ...

    class Derived(Plain): ...

    assert _found(Derived, retries="3", region=1, zone="a") == [
        ("retries",),
        ("region",),
    ]
    assert _found(Limits, retries="3") == [("retries",)]
    assert _found(object) == []


def test_decorated_function_is_not_judged():
    """A decorator may convert the values, as pydantic's does."""

    def converting(function):
        @functools.wraps(function)
        def call(**arguments):
            return function(**{name: int(one) for name, one in arguments.items()})

        return call

    @converting
    def make(retries: int): ...

    assert _found(make, retries="3") == []
    assert _found(functools.partial(make), retries="3") == []
