"""The catalogue of all kinds of findings: pure data, one module per subject.

GS0xx tool · GS1xx YAML, variables, schema · GS2xx files and key material · GS3xx
TLS and listeners · GS4xx identities and rules · GS5xx services. A retired code is
never reused.
"""

from __future__ import annotations

from grpcsecure.diagnostics.catalog import (
    activation_kinds,
    file_kinds,
    include_kinds,
    listener_kinds,
    name_choice_kinds,
    policy_kinds,
    profile_kinds,
    revocation_kinds,
    server_name_kinds,
    service_kinds,
    syntax_kinds,
    tool_kinds,
    transport_kinds,
    trust_kinds,
)
from grpcsecure.diagnostics.findings import Kind

__all__ = [
    "CATALOG",
    "activation_kinds",
    "file_kinds",
    "include_kinds",
    "listener_kinds",
    "name_choice_kinds",
    "policy_kinds",
    "profile_kinds",
    "revocation_kinds",
    "server_name_kinds",
    "service_kinds",
    "syntax_kinds",
    "tool_kinds",
    "transport_kinds",
    "trust_kinds",
]

_KINDS = [
    kind
    for module in (
        tool_kinds,
        syntax_kinds,
        profile_kinds,
        include_kinds,
        file_kinds,
        revocation_kinds,
        trust_kinds,
        server_name_kinds,
        name_choice_kinds,
        listener_kinds,
        transport_kinds,
        activation_kinds,
        policy_kinds,
        service_kinds,
    )
    for kind in vars(module).values()
    if isinstance(kind, Kind)
]

#: All kinds of findings by code, in the order of the codes.
CATALOG: dict[str, Kind] = {
    kind.code: kind for kind in sorted(_KINDS, key=lambda kind: kind.code)
}
