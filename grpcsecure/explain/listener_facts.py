"""Human-readable facts about listeners and identities, shared by all renderers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from grpcsecure.model.authorization import BuiltIn
from grpcsecure.model.matrix import CLIENTS
from grpcsecure.model.modes import ClientCertificateMode
from grpcsecure.model.peer import PeerState

if TYPE_CHECKING:
    from collections.abc import Iterator

    from grpcsecure.diagnostics.findings import Span
    from grpcsecure.explain.loaded_config import LoadedConfig
    from grpcsecure.model.authorization import Identity
    from grpcsecure.model.listener import Listener

__all__ = [
    "Caller",
    "ListenerFacts",
    "callers_of",
    "client_ca_of",
    "listener_facts",
    "trust_domains_of",
]

PLAINTEXT = "plaintext"


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenerFacts:
    """A listener, and the effect of its mode on clients and their names."""

    name: str
    address: str
    #: The value of `client_certificate`, or `plaintext`.
    mode: str
    engine: str | None
    client_ca: str | None
    #: The files of the server certificates, as in the config, the default first.
    certificates: tuple[str, ...]
    #: The file with the CAs of each trust domain, if these are tied to their CAs.
    trust_domains: dict[str, str]
    place: Span
    #: Which clients the handshake accepts.
    lets_in: str
    #: Whether names in their certificates are proved.
    names: str
    #: Kinds of clients, by their certificate, and the resulting state of each.
    clients: tuple[tuple[str, str], ...]


def listener_facts(loaded: LoadedConfig, listener: Listener) -> ListenerFacts:
    """Return the facts of a listener."""
    tls = listener.tls
    ca = client_ca_of(loaded, listener)
    domains = trust_domains_of(loaded, listener)
    return ListenerFacts(
        name=listener.name,
        address=_address(loaded, listener),
        mode=PLAINTEXT if tls is None else tls.client_certificate.value,
        engine=None if tls is None else tls.engine_in_use.value,
        client_ca=ca,
        certificates=tuple(_certificates(loaded, listener)),
        trust_domains=domains,
        place=loaded.document.key("listeners", listener.name),
        lets_in=_lets_in(listener, ca),
        names=_names(listener, ca) + (_TIED if domains else ""),
        clients=tuple(_clients(listener)),
    )


def _address(loaded: LoadedConfig, listener: Listener) -> str:
    written = loaded.written("listeners", listener.name, "address")
    return str(written)


def _certificates(loaded: LoadedConfig, listener: Listener) -> Iterator[str]:
    if listener.tls is None:
        return
    tls = loaded.written("listeners", listener.name, "tls")
    if isinstance(tls, dict):
        for pair in tls.get("certificates", [tls]):
            yield str(pair["certificate"])


def client_ca_of(loaded: LoadedConfig, listener: Listener) -> str | None:
    """Return the paths of the client CAs that a listener uses, as in the config.

    Not absolute paths, so that the output is the same on every machine.
    """
    if listener.tls is None or listener.tls.client_ca is None or not listener.asks:
        return None
    domains = trust_domains_of(loaded, listener)
    if domains:
        return " or ".join(dict.fromkeys(domains.values()))
    return str(loaded.written("listeners", listener.name, "tls", "client_ca"))


def trust_domains_of(loaded: LoadedConfig, listener: Listener) -> dict[str, str]:
    """Return the file of each trust domain that is tied to its CAs, as written."""
    if listener.tls is None or listener.tls.trust_domains is None or not listener.asks:
        return {}
    written = loaded.written("listeners", listener.name, "tls", "client_ca")
    if not isinstance(written, dict):
        return {}
    return {str(name): str(path) for name, path in written.items()}


#: Added where each trust domain has CAs of its own.
_TIED = "; a SPIFFE id only by a CA of its own trust domain"


def _lets_in(listener: Listener, ca: str | None) -> str:
    mode = None if listener.tls is None else listener.tls.client_certificate
    match mode:
        case None:
            return "every client that can connect; nothing is encrypted"
        case ClientCertificateMode.DONT_REQUEST:
            return "every client; no client certificate is requested"
        case ClientCertificateMode.REQUEST_BUT_DONT_VERIFY:
            return "every client, with any certificate or none"
        case ClientCertificateMode.REQUEST_AND_VERIFY:
            return f"clients without a certificate, or with one signed by {ca}"
        case ClientCertificateMode.REQUIRE_BUT_DONT_VERIFY:
            return "every client with a certificate, even a self-signed one"
        case ClientCertificateMode.REQUIRE_AND_VERIFY:
            return f"only clients with a certificate signed by {ca}"


def _names(listener: Listener, ca: str | None) -> str:
    if not listener.asks:
        return "none: every caller is anonymous"
    if not listener.can_verify:
        return (
            "not proved: no certificate is verified, so only registered certificates"
            " and keys count"
        )
    mode = listener.tls.client_certificate if listener.tls else None
    if mode is not None and mode.verifies:
        return "proved by the certificate"
    return (
        f"proved if the certificate is signed by {ca}; any other one is accepted, but"
        " counts only if it is registered"
    )


#: The kinds of clients shown, out of the table of modes, and how they are called.
_CLIENTS = {
    "none": "missing",
    "self-signed": "self-signed",
    "other-ca": "of an unknown CA",
    "trusted": "of a client CA",
}


def _clients(listener: Listener) -> Iterator[tuple[str, str]]:
    """Yield each kind of client with its state there, such as refused or claimed."""
    kinds = {kind.name: kind for kind in CLIENTS}
    tls = listener.tls
    for name, words in _CLIENTS.items():
        if tls is not None and not kinds[name].is_served_by(tls.client_certificate):
            yield words, "refused"
        elif name == "none" or not listener.asks:
            yield words, PeerState.ANONYMOUS.value
        elif name == "trusted" and listener.can_verify:
            yield words, PeerState.VERIFIED.value
        else:
            yield words, PeerState.CLAIMED.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """A column of the table: a caller with one name and the names that it implies.

    `matchers` are those of the identity, each a tuple of (key, value) as written.
    """

    name: str
    is_built_in: bool
    means: str
    matchers: tuple[tuple[tuple[str, str], ...], ...] = ()
    place: Span | None = None


_MEANS = {
    BuiltIn.ANYONE: "every caller",
    BuiltIn.ANONYMOUS: "a caller without a certificate",
    BuiltIn.PRESENTED: "a caller with any certificate",
    BuiltIn.VERIFIED: "a caller whose certificate was verified",
}


def callers_of(loaded: LoadedConfig) -> tuple[Caller, ...]:
    """Return the built-in names, then the identities in the order of the file."""
    return (
        *(
            Caller(name=one.value, is_built_in=True, means=means)
            for one, means in _MEANS.items()
        ),
        *(_caller(loaded, identity) for identity in loaded.config.identities),
    )


def _caller(loaded: LoadedConfig, identity: Identity) -> Caller:
    written = loaded.written("identities", identity.name)
    matchers = written if isinstance(written, list) else [written]
    spelled = tuple(
        tuple((str(key), str(value)) for key, value in matcher.items())
        for matcher in matchers
        if isinstance(matcher, dict)
    )
    return Caller(
        name=identity.name,
        is_built_in=False,
        means=" or ".join(
            " and ".join(f"{key} {value}" for key, value in matcher)
            for matcher in spelled
        ),
        matchers=spelled,
        place=loaded.document.key("identities", identity.name),
    )
