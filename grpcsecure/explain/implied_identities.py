"""The names that a caller with one given name also has on a listener.

One name can imply others: on a listener that verifies, every caller with a certificate
is also `verified`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from grpcsecure.model.authorization import BuiltIn, Effect
from grpcsecure.policy.decision import Principal
from grpcsecure.policy.feasibility import can_have

if TYPE_CHECKING:
    from collections.abc import Iterator

    from grpcsecure.explain.loaded_config import LoadedConfig
    from grpcsecure.model.authorization import Identity, Rule
    from grpcsecure.model.listener import Listener

__all__ = ["is_only_claimed", "principal_of", "rules_of"]


def rules_of(loaded: LoadedConfig) -> tuple[Rule, ...]:
    """Return the rules of a config, in the order of the file."""
    authorization = loaded.config.authorization
    return () if authorization is None else authorization.rules


def principal_of(
    loaded: LoadedConfig, listener: Listener, name: str
) -> Principal | None:
    """Return the principal of a caller with one name, or None if there is none.

    Its other names are those that every such caller has on this listener.

        the name on this listener  the principal
        can be granted             has it as granted and as claimed
        can only be claimed        has it as claimed, if some deny rule names it
        neither                    None
    """
    identity = next((one for one in loaded.config.identities if one.name == name), None)
    names = frozenset(_implied(listener, name, identity))
    is_known = identity is not None or BuiltIn.VERIFIED.value in names
    if can_have(name, Effect.ALLOW, listener, loaded.config.identities):
        return Principal(granted=names, claimed=names, is_known=is_known)
    if is_only_claimed(loaded, listener, name):
        granted = names - {name, BuiltIn.VERIFIED.value}
        return Principal(granted=granted, claimed=granted | {name}, is_known=False)
    return None


def is_only_claimed(loaded: LoadedConfig, listener: Listener, name: str) -> bool:
    """Whether a name can only be claimed on a listener, and some deny rule names it.

    A mode that verifies refuses a client that cannot prove the name.
    """
    identities = loaded.config.identities
    tls = listener.tls
    return (
        not (tls is not None and tls.client_certificate.verifies)
        and not can_have(name, Effect.ALLOW, listener, identities)
        and can_have(name, Effect.DENY, listener, identities)
        and any(
            rule.effect is Effect.DENY
            and name in rule.identities
            and (rule.listeners is None or listener.name in rule.listeners)
            for rule in rules_of(loaded)
        )
    )


def _implied(listener: Listener, name: str, identity: Identity | None) -> Iterator[str]:
    """Yield a name, and the names that every caller with it has on a listener."""
    yield name
    yield BuiltIn.ANYONE.value
    tls = listener.tls
    verifies = tls is not None and tls.client_certificate.verifies
    is_certified = (
        identity is not None
        or name in {BuiltIn.PRESENTED.value, BuiltIn.VERIFIED.value}
        or listener.requires
    )
    if is_certified:
        yield BuiltIn.PRESENTED.value
        if verifies or (identity is not None and not _has_pin_only(identity)):
            yield BuiltIn.VERIFIED.value
    elif not listener.asks:
        yield BuiltIn.ANONYMOUS.value


def _has_pin_only(identity: Identity) -> bool:
    """Whether some matcher requires only registered certificates or keys, no names."""
    return any(
        all(criterion.kind.is_pin for criterion in matcher.criteria)
        for matcher in identity.matchers
    )
