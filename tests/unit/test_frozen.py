"""Frozen classes behave as the dataclasses that they stand in for."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from typing import ClassVar

import pytest

from grpcsecure.frozen import field, frozen, replace


@frozen
class Pet:
    """A frozen class with every kind of attribute."""

    kind: ClassVar[str] = "pet"

    name: str
    secret: str = field(repr=False)
    legs: int = 4
    tags: list[str] = field(default_factory=list)
    chip: bytes | None = field(default=None, repr=False)

    @property
    def is_bird(self) -> bool:
        """Something derived."""
        return self.legs == 2


@frozen(kw_only=False)
class Point:
    """A frozen class with attributes by position."""

    x: int
    y: int = 0


@frozen
class Dog(Pet):
    """One that extends another."""

    breed: str = "mixed"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DogDataclass:
    """What `Dog` is as a dataclass."""

    name: str
    secret: str = dataclasses.field(repr=False)
    legs: int = 4
    tags: list[str] = dataclasses.field(default_factory=list)
    chip: bytes | None = dataclasses.field(default=None, repr=False)
    breed: str = "mixed"


def test_attributes_have_their_values_and_defaults():
    """What is not given gets its default; a list is not shared."""
    one, other = Pet(name="Tweety", secret="s", legs=2), Pet(name="Rex", secret="t")
    assert (one.name, one.legs, one.chip, one.is_bird) == ("Tweety", 2, None, True)
    assert (other.legs, other.kind) == (4, "pet")
    assert one.tags == other.tags == []
    assert one.tags is not other.tags


def test_repr_is_that_of_a_dataclass():
    """The repr names the class and its attributes, hidden ones left out."""
    dog = Dog(name="Rex", secret="s")
    same = DogDataclass(name="Rex", secret="s")
    assert repr(dog) == repr(same).replace("DogDataclass", "Dog")
    assert "secret" not in repr(dog)


def test_equality_needs_the_same_class():
    """Instances are equal by class and values, and hash alike then."""
    assert Point(1, 2) == Point(x=1, y=2)
    assert hash(Point(1, 2)) == hash(Point(x=1, y=2))
    assert Point(1, 2) != Point(2, 1)
    assert Point(1, 2) != (1, 2)
    assert Pet(name="Rex", secret="s") != Dog(name="Rex", secret="s")


def test_instances_cannot_be_changed():
    """Attributes can neither be set, nor deleted, nor invented."""
    point = Point(1)
    for change in (
        lambda: setattr(point, "x", 2),
        lambda: setattr(point, "z", 2),
        lambda: delattr(point, "x"),
    ):
        with pytest.raises(AttributeError):
            change()
    assert point == Point(1, 0)


@pytest.mark.parametrize(
    ("create", "message"),
    [
        (Point, "Point needs `x`"),
        (lambda: Point(1, z=3), "Point has no `z`"),
        (lambda: Point(1, 2, 3), "Point takes 2 unnamed values"),
        (lambda: Point(1, x=1), "Point got `x` twice"),
        (lambda: Pet("Rex", secret="s"), "Pet takes 0 unnamed values"),
    ],
    ids=["missing", "unknown", "too many", "twice", "unnamed"],
)
def test_wrong_arguments_are_type_errors(create, message):
    """Arguments that do not fit raise as they do for any function."""
    with pytest.raises(TypeError, match=f"^{message}$"):
        create()


def test_replace_changes_a_copy():
    """`replace` returns a new instance and leaves the old one."""
    dog = Dog(name="Rex", secret="s")
    assert replace(dog, legs=3) == Dog(name="Rex", secret="s", legs=3)
    assert dog.legs == 4
    with pytest.raises(TypeError):
        replace(dog, wings=2)


def test_instances_can_be_copied_and_pickled():
    """Copies and unpickled instances are equal to the original."""
    dog = Dog(name="Rex", secret="s", tags=["good"])
    assert pickle.loads(pickle.dumps(dog)) == dog
    assert copy.deepcopy(dog) == dog


def test_instances_can_be_matched():
    """Patterns take attributes by name, and by position where they have one."""
    match Point(1, 2):
        case Point(x, y):
            assert (x, y) == (1, 2)


def test_instances_have_no_dict():
    """Slots hold the attributes: many small values stay small."""
    assert not hasattr(Dog(name="Rex", secret="s"), "__dict__")


def test_own_methods_are_kept():
    """A method of the class is not replaced by a generated one."""

    @frozen
    class Shy:
        name: str

        def __repr__(self) -> str:
            return "Shy()"

    assert repr(Shy(name="x")) == "Shy()"
