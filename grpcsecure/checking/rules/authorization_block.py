"""Runs all checks of identities, rules and the callers of policy tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grpcsecure.checking.rules.identity_names import check_identities
from grpcsecure.checking.rules.identity_use import check_identity_use
from grpcsecure.checking.rules.policy_tests import check_callers
from grpcsecure.checking.rules.rule_effect import check_rules
from grpcsecure.checking.rules.shadowing import check_shadowing
from grpcsecure.checking.rules.untied_trust_domains import check_trust_domains

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from grpcsecure.config.document import Document
    from grpcsecure.diagnostics.findings import Finding
    from grpcsecure.policy.scopes import Scope

__all__ = ["check_policy"]


def check_policy(document: Document, scopes: Sequence[Scope]) -> Iterator[Finding]:
    """Find mistakes in identities, rules and the callers of policy tests."""
    yield from check_identities(document)
    yield from check_identity_use(document, scopes)
    yield from check_trust_domains(document, scopes)
    yield from check_rules(document, scopes)
    yield from check_shadowing(document, scopes)
    yield from check_callers(document)
