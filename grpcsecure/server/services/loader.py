"""Loads servicers by `module:attribute` and finds out which methods they serve.

Imports user code, but calls none of it before `construct`: the methods of a class are
read from the class itself. Knows nothing of positions in the config file: a problem
names the config key, and `checks` looks up its position.
"""

from __future__ import annotations

import inspect
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from grpcsecure.diagnostics.catalog import service_kinds as kinds
from grpcsecure.errors import StartupError
from grpcsecure.server.services.arguments import (
    describe_misfit,
    describe_unusable_hook,
    find_type_problems,
)
from grpcsecure.server.services.lifespan import is_async_only
from grpcsecure.server.services.recorder import Method, is_coroutine, record
from grpcsecure.server.services.references import (
    ServiceError,
    ServiceProblem,
    resolve_reference,
)
from grpcsecure.server.services.user_code import CreationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from grpcsecure.model.server_config import ImportPath, ServiceEntry

__all__ = [
    "LoadedService",
    "find_register_functions",
    "load_service",
    "record_created",
]

Register = Any  # Callable[[servicer, server], None], but generated code is untyped


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedService:
    """An imported servicer that may not be created yet.

    `methods` is None if a factory has to be called to find out; `register` may be empty
    then, too.
    """

    entry: ServiceEntry
    target: Any
    is_created: bool
    register: tuple[Register, ...]
    methods: tuple[Method, ...] | None
    #: The functions that `start` and `close` of the entry name.
    start: Any = None
    close: Any = None

    def construct(self) -> object:
        """Return the servicer: call the class or factory, or return the instance.

        Raises:
            StartupError: the user's code raised; `__cause__` is that exception.
        """
        if self.is_created:
            return self.target
        try:
            return self.target(**self.entry.arguments)
        except (Exception, SystemExit) as error:
            raise CreationError(
                f"`{self.entry.servicer}` raised {type(error).__name__}"
                " when it was created",
                self.entry.arguments,
            ) from error

    def settled(self) -> LoadedService:
        """Return the same service with its actual methods.

        A factory may return a subclass of the annotated class. If its methods may turn
        out to be coroutines, it is called here, before the runtime is chosen.

        Raises:
            StartupError: the factory raised, or returned something that cannot serve.
        """
        if self.methods is not None and (
            not self.is_factory or any(method.is_coroutine for method in self.methods)
        ):
            return self
        servicer = self.construct()
        registers = self.register or find_register_functions(type(servicer))
        if not registers:
            raise StartupError(
                f"`{self.entry.servicer}` returned {type(servicer).__name__},"
                " which has no generated servicer class among its bases"
            )
        return replace(
            self,
            target=servicer,
            is_created=True,
            register=registers,
            methods=record_created(self.entry, registers, servicer),
        )

    @property
    def async_hook(self) -> tuple[str, str] | None:
        """The key and name of a hook that only asyncio can run, or None."""
        produced = _produced_class(self.target)
        if produced is not None and is_async_only(produced):
            return "servicer", "__aenter__"
        for key in ("start", "close"):
            function = getattr(self, key)
            if function is not None and is_coroutine(function):
                return key, str(getattr(self.entry, key))
        return None

    @property
    def is_factory(self) -> bool:
        """Whether it must be called to find out for certain which methods it serves."""
        return not (self.is_created or inspect.isclass(self.target))


def record_created(
    entry: ServiceEntry, registers: Iterable[Register], servicer: object
) -> tuple[Method, ...]:
    """Return the methods of a servicer that has been created.

    Raises:
        StartupError: a register function does not fit it.
    """
    methods: list[Method] = []
    for register in registers:
        try:
            methods.extend(record(register, servicer))
        except Exception as error:
            raise StartupError(
                f"`{_name_of(register)}` does not fit what `{entry.servicer}` returned"
                f" ({type(servicer).__name__}): {error}"
            ) from error
    return tuple(methods)


def load_service(
    entry: ServiceEntry,
) -> tuple[LoadedService | None, list[ServiceProblem]]:
    """Import the servicer of `entry` and find out which methods it serves.

    Returns the service, or None if it cannot be served, and the problems found.
    """
    try:
        target = resolve_reference(entry.servicer, key="servicer")
        registers = _registers(entry, target)
        misfits = _check_arguments(entry, target)
        methods = _methods(entry, target, registers)
        start = _hook_function(entry.start, "start")
        close = _hook_function(entry.close, "close")
    except ServiceError as error:
        return None, [error.problem]
    service = LoadedService(
        entry=entry,
        target=target,
        is_created=_is_instance(target),
        register=registers,
        methods=methods,
        start=start,
        close=close,
    )
    return service, [*misfits, *_remarks(service)]


def _registers(entry: ServiceEntry, target: Any) -> tuple[Register, ...]:
    if entry.register is not None:
        return (resolve_reference(entry.register, key="register"),)
    produced = _produced_class(target)
    if produced is None:
        return ()
    found = find_register_functions(produced)
    if not found:
        raise ServiceError(
            kinds.NO_REGISTER_FUNCTION,
            "servicer",
            f"`{entry.servicer}` has no generated servicer class among its bases",
            label="its register function cannot be inferred",
            help="derive it from the generated `…Servicer` class, or name `register:"
            " module:add_…Servicer_to_server`",
        )
    return found


def _hook_function(path: ImportPath | None, key: str) -> Any:
    if path is None:
        return None
    function = resolve_reference(path, key=key)
    reason = describe_unusable_hook(function)
    if reason is not None:
        raise ServiceError(
            kinds.UNUSABLE_HOOK,
            key,
            f"`{path}` {reason}",
            label="cannot be called as a hook",
            help="name a function that takes the servicer, or nothing",
        )
    return function


def find_register_functions(cls: type) -> tuple[Register, ...]:
    """Return the `add_…_to_server` functions beside the generated bases of `cls`.

    A class may implement several services: it then has several generated bases.
    """
    found = []
    for base in inspect.getmro(cls):
        module = sys.modules.get(base.__module__)
        function = getattr(module, f"add_{base.__name__}_to_server", None)
        if callable(function):
            found.append(function)
    return tuple(found)


def _is_instance(target: Any) -> bool:
    """Whether `target` is a servicer itself, rather than a factory or class of one."""
    if inspect.isclass(target):
        return False
    return not callable(target) or bool(find_register_functions(type(target)))


def _produced_class(target: Any) -> type | None:
    """Return the servicer class: `target`, its type, or a factory's annotation."""
    if inspect.isclass(target):
        return target
    if _is_instance(target):
        return type(target)
    try:
        annotation = inspect.signature(target, eval_str=True).return_annotation
    except (TypeError, ValueError, NameError):
        return None
    return (
        annotation
        if inspect.isclass(annotation) and annotation is not inspect.Signature.empty
        else None
    )


def _check_arguments(entry: ServiceEntry, target: Any) -> list[ServiceProblem]:
    """Return the arguments of a wrong type; raise if they cannot be passed at all."""
    if inspect.isabstract(target):
        names = ", ".join(f"`{name}`" for name in sorted(target.__abstractmethods__))
        raise ServiceError(
            kinds.ABSTRACT_SERVICER,
            "servicer",
            f"`{entry.servicer}` is abstract: {names} not implemented",
            label="cannot be created",
            help="implement these methods, or name the class that does",
        )
    if _is_instance(target):
        if entry.arguments:
            raise ServiceError(
                kinds.WRONG_ARGUMENTS,
                "with",
                f"`{entry.servicer}` is an instance and takes no arguments",
                help="remove `with`, or name the class",
            )
        return []
    try:
        signature = inspect.signature(target)
    except (TypeError, ValueError):  # an extension type without a signature
        return []
    problem = describe_misfit(f"`{entry.servicer}`", signature, entry.arguments)
    if problem is not None:
        message, label, advice = problem
        name = getattr(target, "__name__", "")
        if name.startswith("add_") and name.endswith("_to_server"):
            label = "a register function, not a servicer"
            advice = "name your class that derives from the generated `…Servicer`"
        key = "with" if entry.arguments else "servicer"
        raise ServiceError(
            kinds.WRONG_ARGUMENTS, key, message, label=label, help=advice
        )
    name = f"`{entry.servicer}`"
    return list(find_type_problems(name, target, signature, entry.arguments))


def _methods(
    entry: ServiceEntry, target: Any, registers: Sequence[Register]
) -> tuple[Method, ...] | None:
    servicer = target if _is_instance(target) else _produced_class(target)
    if servicer is None:
        return None
    methods: list[Method] = []
    for register in registers:
        try:
            methods.extend(record(register, servicer))
        except Exception as error:
            raise _register_error(entry, register, error) from error
    if registers and not methods:
        raise _register_error(entry, registers[0], None)
    return tuple(methods)


def _name_of(register: Register) -> str:
    return str(getattr(register, "__name__", type(register).__name__))


def _register_error(
    entry: ServiceEntry, register: Register, error: Exception | None
) -> ServiceError:
    reason = (
        f"raised {type(error).__name__}: {error}" if error else "registered no method"
    )
    return ServiceError(
        kinds.REGISTER_FAILED,
        "register" if entry.register else "servicer",
        f"`{_name_of(register)}` {reason}",
        label="does not fit the servicer",
        help="name the generated `add_…Servicer_to_server` function of the service",
    )


def _remarks(service: LoadedService) -> Iterable[ServiceProblem]:
    if service.methods is None:
        yield ServiceProblem(
            kind=kinds.OPAQUE_FACTORY,
            key="servicer",
            message=f"the services of `{service.entry.servicer}` are unknown until it"
            " is called",
            label="has no return annotation that is a servicer class",
            help="annotate the factory with the class it returns",
        )
        return
    are_there = [method.is_implemented for method in service.methods]
    # A factory may be annotated with the generated class and return a subclass of it.
    if all(are_there) or (service.is_factory and not any(are_there)):
        return
    from grpcsecure.server.services.unimplemented import describe_unimplemented

    for texts in describe_unimplemented(f"`{service.entry.servicer}`", service.methods):
        yield ServiceProblem(
            kind=kinds.UNIMPLEMENTED_METHOD,
            key="servicer",
            message=texts.message,
            label=texts.label,
            notes=texts.notes,
            help=texts.help,
        )
