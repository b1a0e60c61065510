"""Checks for client CAs that an engine cannot verify clients with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grpcsecure.diagnostics.catalog import file_kinds
from grpcsecure.diagnostics.catalog import trust_kinds as kinds
from grpcsecure.model.listener import Engine
from grpcsecure.quoting import quote

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from grpcsecure.checking.key_files.file_uses import FileUse
    from grpcsecure.diagnostics.findings import Finding
    from grpcsecure.tls.ca_support import CaProblem, ClientCa

__all__ = ["check_ca_support"]

_GRPC, _BRIDGE = Engine.GRPC.value, Engine.BRIDGE.value


def check_ca_support(use: FileUse, cas: Sequence[ClientCa]) -> Iterator[Finding]:
    """Find CAs that let no client in on an engine that uses them, or not all."""
    unloaded = [*_check_loadable(use, cas)]
    yield from unloaded
    if unloaded:
        return
    authorities = [ca for ca in cas if ca.is_authority]
    yield from _check_usable(use, authorities)
    if _GRPC in use.engines:
        yield from _check_purpose(use, authorities)
        yield from _check_ip_constraints(use, authorities)


def _check_loadable(use: FileUse, cas: Iterable[ClientCa]) -> Iterator[Finding]:
    """Find certificates that stop an engine from loading the file."""
    for ca in cas:
        for name in use.engines:
            reason = ca.why_not_loadable(Engine(name))
            if reason is not None:
                yield use.report(
                    file_kinds.BROKEN_BLOCK,
                    f"engine `{name}` cannot load {_named(use, [ca])}: {reason}",
                    label="not in the encoding that X.509 prescribes",
                    help="have it issued again, or remove it",
                )


def _check_usable(use: FileUse, cas: Iterable[ClientCa]) -> Iterator[Finding]:
    found: dict[tuple[CaProblem, tuple[str, ...]], list[ClientCa]] = {}
    for ca in cas:
        problems = {name: ca.why_no_client(Engine(name)) for name in use.engines}
        for problem in dict.fromkeys(problems.values()):
            if problem is not None:
                names = tuple(name for name in problems if problems[name] == problem)
                found.setdefault((problem, names), []).append(ca)
    for (problem, names), which in found.items():
        yield _no_client(use, which, problem, names)


def _no_client(
    use: FileUse, cas: Sequence[ClientCa], problem: CaProblem, engines: Sequence[str]
) -> Finding:
    on_engines = " and ".join(f"`{name}`" for name in engines)
    takes_it = _BRIDGE not in engines and cas[0].why_no_client(Engine.BRIDGE) is None
    return use.report(
        kinds.UNUSABLE_CA,
        f"no client of the CA {_named(use, cas)} gets in on engine {on_engines}:"
        f" {problem.reason}",
        label=problem.reason,
        help="use `engine: bridge`, which can verify its clients"
        if takes_it
        else f"replace it by a CA with {problem.remedy}",
    )


def _check_purpose(use: FileUse, cas: Iterable[ClientCa]) -> Iterator[Finding]:
    """Find CAs whose own extensions speak against clients; BoringSSL ignores them."""
    found: dict[CaProblem, list[ClientCa]] = {}
    for ca in cas:
        problem = ca.why_no_client(Engine.BRIDGE)
        by_grpc = ca.why_no_client(Engine.GRPC) is None
        # There is another finding about keys that are too short.
        if problem is not None and by_grpc and not ca.is_too_short:
            found.setdefault(problem, []).append(ca)
    for problem, which in found.items():
        yield use.report(
            kinds.CA_NOT_FOR_CLIENTS,
            f"only engine `{_GRPC}` lets in clients of the CA {_named(use, which)}:"
            f" {problem.reason}",
            label=problem.reason,
            help=f"replace it by a CA with {problem.remedy}",
        )


def _check_ip_constraints(use: FileUse, cas: Iterable[ClientCa]) -> Iterator[Finding]:
    limited = [ca for ca in cas if ca.has_ip_constraint]
    if limited:
        yield use.report(
            kinds.IP_CONSTRAINT,
            f"engine `{_GRPC}` does not support the name constraint on IP addresses of"
            f" the CA {_named(use, limited)}",
            label="clients with an IP address in their certificates are refused",
            help="use `engine: bridge`, which supports it",
        )


def _named(use: FileUse, cas: Sequence[ClientCa]) -> str:
    more = f" (or of {len(cas) - 1} more)" if len(cas) > 1 else ""
    return f"{quote(cas[0].certificate.subject)} in {use.shown}{more}"
