"""The methods of a service that its servicer leaves to the generated base class."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from grpcsecure.server.services.recorder import Method

__all__ = ["Unimplemented", "describe_unimplemented"]


class Unimplemented(NamedTuple):
    """The texts of a finding about one service of a servicer."""

    message: str
    label: str
    notes: tuple[str, ...]
    help: str


def describe_unimplemented(
    servicer: str, methods: Sequence[Method]
) -> Iterator[Unimplemented]:
    """Yield the texts for each service that a servicer implements in part or not.

    Services such as Triton's have dozens of methods that most servers leave out: they
    are one finding, not dozens.
    """
    for service in dict.fromkeys(method.service for method in methods):
        declared = [method for method in methods if method.service == service]
        missing = [method for method in declared if not method.is_implemented]
        if len(missing) > 1:
            yield _describe_several(servicer, service, missing, len(declared))
        elif missing:
            (method,) = missing
            yield Unimplemented(
                f"{servicer} does not implement `{method.full_method}`",
                "calls to it end with UNIMPLEMENTED",
                (),
                f"define `{method.name}` in the servicer",
            )


def _describe_several(
    servicer: str, service: str, missing: Sequence[Method], declared: int
) -> Unimplemented:
    names = ", ".join(f"`{method.name}`" for method in missing)
    if len(missing) == declared:
        return Unimplemented(
            f"{servicer} implements no method of `{service}`",
            "calls to it end with UNIMPLEMENTED",
            (f"its methods: {names}",),
            "define them, or name your class that does",
        )
    return Unimplemented(
        f"{servicer} does not implement {len(missing)} of the {declared} methods of"
        f" `{service}`",
        "calls to them end with UNIMPLEMENTED",
        (f"not implemented: {names}",),
        "define those that clients call",
    )
