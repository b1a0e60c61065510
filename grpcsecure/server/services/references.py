"""Imports what `module:attribute` names, and describes why that is not possible.

Imports user code, and calls none of it.
"""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from grpcsecure.diagnostics.catalog import service_kinds as kinds
from grpcsecure.diagnostics.suggest import did_you_mean
from grpcsecure.server.services.health_board import early
from grpcsecure.server.services.import_paths import describe_search, similar_module
from grpcsecure.server.services.user_code import user_traceback

if TYPE_CHECKING:
    from grpcsecure.diagnostics.findings import Kind
    from grpcsecure.model.server_config import ImportPath

__all__ = ["ServiceError", "ServiceProblem", "resolve_reference"]


class ServiceProblem(NamedTuple):
    """A problem of one `services` entry: kind, texts and config key of a finding."""

    kind: Kind
    key: str
    message: str
    #: The path from the key to the value that is wrong.
    below: tuple[str | int, ...] = ()
    label: str = ""
    notes: tuple[str, ...] = ()
    help: str | None = None


class ServiceError(Exception):
    """Carries a problem to `load_service`, which returns it."""

    def __init__(self, kind: Kind, key: str, message: str, **parts: Any) -> None:
        super().__init__(message)
        self.problem = ServiceProblem(kind=kind, key=key, message=message, **parts)


def resolve_reference(
    path: ImportPath, *, key: str, noun: str = "a servicer class"
) -> Any:
    """Return what `path` names.

    Args:
        path: the module and its attribute.
        key: the key of the entry that names it.
        noun: the class that it may name, for a message.

    Raises:
        ServiceError: the module cannot be imported, or has no such attribute.
    """
    try:
        with early():
            target: Any = import_module(path.module)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise _import_error(path, error, key=key) from error
    is_function = key in ("register", "start", "close")
    wanted = "a function" if is_function else f"{noun}, factory or instance"
    for name in path.attribute.split("."):
        try:
            target = getattr(target, name)
        except AttributeError as error:
            raise ServiceError(
                kinds.MISSING_ATTRIBUTE,
                key,
                f"`{path.module}` has no attribute `{path.attribute}`",
                label=did_you_mean(name, _public_names(target))
                or ("" if inspect.ismodule(target) else f"it has no `{name}`"),
                help=f"name {wanted} in `{path.module}`",
            ) from error
    return target


def _public_names(target: object) -> list[str]:
    return [name for name in dir(target) if not name.startswith("_")]


def _import_error(path: ImportPath, error: BaseException, *, key: str) -> ServiceError:
    # The module itself or its package does not exist: a traceback would not help.
    missing = error.name if isinstance(error, ModuleNotFoundError) else None
    if missing and f"{path.module}.".startswith(f"{missing}."):
        return ServiceError(
            kinds.IMPORT_FAILED,
            key,
            f"no module named `{missing}`",
            label=similar_module(missing) or "cannot be imported",
            notes=tuple(filter(None, [describe_search()])),
            help="add its folder to `server.import_paths`, or install it",
        )
    return ServiceError(
        kinds.IMPORT_FAILED,
        key,
        f"importing `{path.module}` raised {type(error).__name__}",
        label="its own code failed",
        notes=(user_traceback(error),),
        help=_help_to_generate(missing) if missing else None,
    )


def _help_to_generate(module: str) -> str | None:
    if not module.endswith(("_pb2", "_pb2_grpc")):
        return None
    return (
        f"generate `{module}` with `python -m grpc_tools.protoc`, or add its folder to"
        " `server.import_paths`"
    )
