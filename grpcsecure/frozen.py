"""Immutable classes for plain values, made quickly.

`@frozen` is `@dataclass(frozen=True, slots=True, kw_only=True)`, and type checkers see
just that. The standard library writes and compiles six functions for every such class
when it is imported, half a millisecond each; with the forty classes of this package
that was 25 ms of the 130 ms that `serve` may take to start. Here nothing is compiled.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from dataclasses import field, replace

    from typing_extensions import dataclass_transform
else:

    def dataclass_transform(**_options):
        """Stand in for what only type checkers look at."""
        return lambda function: function

    def field(*, default=..., default_factory=None, repr=True):
        """Say more of an attribute than its default, as `dataclasses.field` does."""
        factory = default_factory if default is ... else lambda: default
        return _Field(factory, is_shown=repr)

    def replace(value, /, **changes):
        """Return a copy of an instance with some of its attributes changed."""
        return type(value)(**{**_state(value), **changes})


__all__ = ["field", "frozen", "replace"]


class _Field:
    """An attribute: what makes its default (None: it has none), and is it shown."""

    __slots__ = ("factory", "is_shown")

    def __init__(self, factory: Callable[[], Any] | None, *, is_shown: bool) -> None:
        self.factory = factory
        self.is_shown = is_shown


@dataclass_transform(
    frozen_default=True, kw_only_default=True, field_specifiers=(field,)
)
def frozen(cls: Any = None, /, *, kw_only: bool = True) -> Any:
    """Make the annotated names of a class the attributes of its instances.

    Methods that the class has itself are kept. A frozen class may extend another one.

    Args:
        cls: the class, where the decorator is used without arguments.
        kw_only: whether they have to be named when an instance is created.
    """
    if cls is None:
        return lambda cls: frozen(cls, kw_only=kw_only)
    namespace = {k: v for k, v in vars(cls).items() if k not in _OF_PLAIN_CLASSES}
    annotations = namespace.get("__annotations__", {})
    own = [name for name in annotations if "ClassVar" not in annotations[name]]
    fields = {
        **getattr(cls, "_frozen_fields", {}),
        **{name: _as_field(namespace.pop(name, ...)) for name in own},
    }
    made = type(cls)(
        cls.__name__,
        cls.__bases__,
        {
            **_SHARED,
            **namespace,
            "__slots__": tuple(own),
            "__match_args__": () if kw_only else tuple(fields),
            "_frozen_fields": fields,
            "_frozen_values": attrgetter(*fields),
        },
    )
    if "__init__" not in namespace:
        made.__init__ = _initializer(made)
    return made


#: What a class without `__slots__` has and one with them must not.
_OF_PLAIN_CLASSES = frozenset({"__dict__", "__weakref__"})


def _as_field(default: Any) -> _Field:
    if isinstance(default, _Field):
        return default
    return _Field(None if default is ... else lambda: default, is_shown=True)


def _initializer(cls: Any) -> Callable[..., None]:
    # The setters of the slots do not go through `__setattr__`, which refuses.
    parts = [
        (name, getattr(cls, name).__set__, field.factory)
        for name, field in cls._frozen_fields.items()
    ]
    positional = cls.__match_args__
    count = len(parts)

    def initialize(self: Any, /, *values: Any, **named: Any) -> None:
        # Configs have places by the hundred thousand: the usual cases come first.
        if not named and len(values) == len(positional) == count:
            for (_, assign, _), value in zip(parts, values, strict=True):
                assign(self, value)
            return
        if values:
            _name(cls, positional, values, named)
        given = 0
        for name, assign, factory in parts:
            if name in named:
                assign(self, named[name])
                given += 1
            elif factory is not None:
                assign(self, factory())
            else:
                raise TypeError(f"{cls.__name__} needs `{name}`")
        if given < len(named):
            unknown = next(n for n in named if n not in cls._frozen_fields)
            raise TypeError(f"{cls.__name__} has no `{unknown}`")

    return initialize


def _name(
    cls: Any, names: tuple[str, ...], values: tuple[Any, ...], named: dict[str, Any]
) -> None:
    if len(values) > len(names):
        raise TypeError(f"{cls.__name__} takes {len(names)} unnamed values")
    for name, value in zip(names, values, strict=False):
        if name in named:
            raise TypeError(f"{cls.__name__} got `{name}` twice")
        named[name] = value


def _state(value: Any) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value._frozen_fields}


def _restore(cls: Any, state: Mapping[str, Any]) -> Any:
    return cls(**state)


def _repr(self: Any) -> str:
    shown = (
        f"{name}={getattr(self, name)!r}"
        for name, field in self._frozen_fields.items()
        if field.is_shown
    )
    return f"{type(self).__qualname__}({', '.join(shown)})"


def _eq(self: Any, other: Any) -> Any:
    if type(other) is not type(self):
        return NotImplemented
    return self._frozen_values(self) == self._frozen_values(other)


def _hash(self: Any) -> int:
    return hash(self._frozen_values(self))


def _refuse(self: Any, name: str, _value: object = None) -> None:
    raise AttributeError(f"{type(self).__name__} cannot be changed: `{name}`")


_SHARED = {
    "__repr__": _repr,
    "__eq__": _eq,
    "__hash__": _hash,
    "__setattr__": _refuse,
    "__delattr__": _refuse,
    "__reduce__": lambda self: (_restore, (type(self), _state(self))),
}
