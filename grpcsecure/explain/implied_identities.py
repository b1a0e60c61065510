"""Callers with one name: what else such a caller is on a listener, and who gets in.

Names come together: whoever has a certificate where a mode verifies is verified.
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


def rules_of(scene: LoadedConfig) -> tuple[Rule, ...]:
    """Return the rules of a config, in the order of the file."""
    authorization = scene.config.authorization
    return () if authorization is None else authorization.rules


def principal_of(
    scene: LoadedConfig, listener: Listener, name: str
) -> Principal | None:
    """Return the principal of a caller with one name, or None where it changes nothing.

    Its other names are those that every such caller has on this listener.

        the name there       the caller
        can be had           has it, and claims it
        can be claimed only  claims it, if some deny rule asks for it
        neither              is not there
    """
    identity = next((one for one in scene.config.identities if one.name == name), None)
    names = frozenset(_implied(listener, name, identity))
    is_known = identity is not None or BuiltIn.VERIFIED.value in names
    if can_have(name, Effect.ALLOW, listener, scene.config.identities):
        return Principal(granted=names, claimed=names, is_known=is_known)
    if is_only_claimed(scene, listener, name):
        granted = names - {name, BuiltIn.VERIFIED.value}
        return Principal(granted=granted, claimed=granted | {name}, is_known=False)
    return None


def is_only_claimed(scene: LoadedConfig, listener: Listener, name: str) -> bool:
    """Whether a name proves nothing on a listener, and counts in deny rules there."""
    identities = scene.config.identities
    return (
        not can_have(name, Effect.ALLOW, listener, identities)
        and can_have(name, Effect.DENY, listener, identities)
        and any(
            rule.effect is Effect.DENY
            and name in rule.identities
            and (rule.listeners is None or listener.name in rule.listeners)
            for rule in rules_of(scene)
        )
    )


def _implied(listener: Listener, name: str, identity: Identity | None) -> Iterator[str]:
    """Yield a name, and those that every caller with it has on a listener."""
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
    """Whether some matcher asks for registered certificates or keys, and no name."""
    return any(
        all(criterion.kind.is_pin for criterion in matcher.criteria)
        for matcher in identity.matchers
    )
