"""Every kind of finding, one module per hundred codes: pure data.

GS0xx tool · GS1xx YAML, variables, schema · GS2xx files and key material · GS3xx
TLS and listeners · GS4xx identities and rules · GS5xx services. A retired code is
never used again.
"""

from __future__ import annotations

from grpcsecure.diagnostics.catalog import (
    files,
    listeners,
    policy,
    services,
    syntax,
    tool,
)
from grpcsecure.diagnostics.model import Kind

__all__ = ["CATALOG", "files", "listeners", "policy", "services", "syntax", "tool"]

#: Code to kind, in the order of the codes.
CATALOG: dict[str, Kind] = {
    kind.code: kind
    for module in (tool, syntax, files, listeners, policy, services)
    for kind in vars(module).values()
    if isinstance(kind, Kind)
}
