"""Describes arguments under `with` that are missing, unknown or of a wrong type.

Names parameters only, never their values, which may be secrets.
"""

from __future__ import annotations

import inspect
from inspect import Parameter
from typing import TYPE_CHECKING, Any

from grpcsecure.diagnostics.catalog import service_kinds as kinds
from grpcsecure.diagnostics.suggest import nearest
from grpcsecure.quoting import quote
from grpcsecure.server.services.references import ServiceProblem

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping
    from inspect import Signature

__all__ = [
    "describe_misfit",
    "describe_unusable_hook",
    "find_type_problems",
    "takes_nothing",
]

_VARIADIC = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)

#: Message, label and help of a finding.
Misfit = tuple[str, str, str]


def describe_misfit(
    name: str, signature: Signature, arguments: Collection[str]
) -> Misfit | None:
    """Return message, label and help if the keyword arguments do not fit, or None.

    Args:
        name: the class or factory, in backticks.
        signature: its signature.
        arguments: the names of the arguments that it would be called with.
    """
    parameters = [p for p in signature.parameters.values() if p.kind not in _VARIADIC]
    known = [p.name for p in parameters if p.kind is not Parameter.POSITIONAL_ONLY]
    needed = [p.name for p in parameters if p.default is Parameter.empty]
    unreachable = [one for one in needed if one not in known]
    if unreachable:
        return (
            f"{name} takes {_spell(unreachable)} by position only",
            "`with` gives arguments by name",
            "name a function that takes it by name, and calls this one",
        )
    takes_any = any(
        p.kind is Parameter.VAR_KEYWORD for p in signature.parameters.values()
    )
    unknown = [] if takes_any else [one for one in arguments if one not in known]
    missing = [one for one in needed if one not in arguments]
    if unknown:
        return _describe_unknown(name, unknown, known, missing)
    if missing:
        added = ", ".join(f"{one}: …" for one in missing)
        return (
            f"{name} needs {_arguments(missing)}",
            "not given" if arguments else "no arguments are given",
            f"add `{added}` to `with`" if arguments else f"add `with: {{{added}}}`",
        )
    return None


def _describe_unknown(
    name: str, unknown: list[str], known: list[str], missing: list[str]
) -> Misfit:
    # One mistake, one finding: a missing argument may be the unknown one, misspelled.
    guesses = [nearest(one, missing) or nearest(one, known) for one in unknown]
    label = next((f"did you mean `{one}`?" for one in guesses if one is not None), "")
    absent = [one for one in missing if one not in guesses]
    message = f"{name} takes no {_arguments(unknown, article='')}"
    if absent:
        message += f", and needs {_arguments(absent)}"
    advice = f"it takes {_spell(known)}" if known else "remove `with`"
    return message, label, advice


def _arguments(names: list[str], *, article: str = "the ") -> str:
    return f"{article}argument{'s' * (len(names) > 1)} {_spell(names)}"


def _spell(names: Iterable[str]) -> str:
    *before, last = [quote(name) for name in names]
    return f"{', '.join(before)} and {last}" if before else last


def takes_nothing(function: Any) -> bool:
    """Whether a hook function can be called without the servicer."""
    return _accepts(function)


def find_type_problems(
    name: str, target: Any, signature: Signature, arguments: Mapping[str, object]
) -> Iterator[ServiceProblem]:
    """Yield the arguments whose values do not fit the type annotations of `target`.

    Args:
        name: the class or factory, in backticks.
        target: the class or factory.
        signature: its signature.
        arguments: the arguments that it would be called with.
    """
    if not arguments:
        return
    # Imported late: most configs have no arguments.
    from grpcsecure.config.wording import dotted
    from grpcsecure.server.services.annotations import find_type_misfits

    for misfit in find_type_misfits(target, signature, arguments):
        yield ServiceProblem(
            kind=kinds.WRONG_ARGUMENT_TYPE,
            key="with",
            below=misfit.path,
            message=f"{name} takes {quote(misfit.expected)} for"
            f" {quote(dotted(misfit.path))}, not {misfit.found}",
            label=misfit.found,
            help=misfit.help,
        )


def describe_unusable_hook(function: Any) -> str | None:
    """Return why a function cannot be a hook, or None."""
    if not callable(function):
        return "is not a function"
    body = inspect.unwrap(function)
    if inspect.isgeneratorfunction(body) or inspect.isasyncgenfunction(body):
        return "is a generator or context manager, which a call does not run"
    if not (takes_nothing(function) or _accepts(function, object())):
        return "cannot be called with the servicer alone"
    return None


def _accepts(function: Any, *arguments: object) -> bool:
    try:
        inspect.signature(function).bind(*arguments)
    except TypeError:
        return False
    except ValueError:  # an extension function without a signature
        return bool(arguments)
    return True
