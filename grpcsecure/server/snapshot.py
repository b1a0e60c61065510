"""The snapshot in force: what TLS and the rules need, of one generation.

Swapped whole, by assignment; start-up and reload build it with the same code.
Invariant: a call that takes the snapshot in force once sees one generation.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from grpcsecure.server.rpc.peer_cache import PeerResolver

if TYPE_CHECKING:
    from collections.abc import Mapping

    from grpcsecure.model.listener import Listener
    from grpcsecure.model.server_config import ServerConfig
    from grpcsecure.policy.decision import Policy
    from grpcsecure.tls.material import Material
    from grpcsecure.tls.recheck import Rechecker

__all__ = ["InForce", "Snapshot", "build_snapshot"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """One generation: the config, each listener's material and resolver, the rules.

    `materials` has the TLS listeners, `resolvers` all of them; `policy` is None where
    every call is allowed.
    """

    generation: int
    config: ServerConfig
    materials: Mapping[str, Material] = field(repr=False)
    resolvers: Mapping[str, PeerResolver] = field(repr=False)
    policy: Policy | None = field(repr=False)
    #: Fingerprints by the pattern that registers them.
    pins: Mapping[str, frozenset[str]] = field(default_factory=dict, repr=False)

    def warm_up(self) -> None:
        """Load what the first call needs, so that it does not have to wait."""
        for resolver in self.resolvers.values():
            resolver.warm_up()


class InForce:
    """Holds the snapshot in force, and nothing else."""

    __slots__ = ("snapshot",)

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot


def build_snapshot(
    config: ServerConfig,
    materials: Mapping[str, Material],
    *,
    pins: Mapping[str, frozenset[str]],
    generation: int,
) -> Snapshot:
    """Put a snapshot together from what was loaded and checked.

    Args:
        config: the checked config.
        materials: listener name to its key material.
        pins: fingerprints by the pattern that registers them.
        generation: its number.
    """
    policy = _compile(config, pins)
    return Snapshot(
        generation=generation,
        config=config,
        materials=materials,
        policy=policy,
        pins=pins,
        resolvers={
            listener.name: PeerResolver(
                listener.name,
                rechecks=_rechecks(materials.get(listener.name), listener),
                policy=policy,
            )
            for listener in config.listeners
        },
    )


def _compile(config: ServerConfig, pins: Mapping[str, frozenset[str]]) -> Policy | None:
    if config.authorization is None:
        return None
    from grpcsecure.policy.decision import compile_policy

    return compile_policy(config.authorization, config.identities, pins=pins)


def _rechecks(material: Material | None, listener: Listener) -> Rechecker | None:
    if listener.tls is None or material is None or not material.client_cas:
        return None
    from grpcsecure.tls.recheck import Rechecker

    return Rechecker(material, listener.tls.engine_in_use)
