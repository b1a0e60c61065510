"""Builds the config model from a tree that fits the schema: the last step of loading.

Knows units, addresses and paths. Invariant: the resulting `ServerConfig` is correct by
construction, so that later code does not check its parts again.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from grpcsecure.config.build_policy import build_authorization, build_identities
from grpcsecure.config.parts import Part, Reader, items_of, texts_of, value_of
from grpcsecure.config.tree import Mapping, plain
from grpcsecure.model.authorization import LogFormat
from grpcsecure.model.listener import (
    Engine,
    KeyPair,
    Listener,
    SystemdAddress,
    TlsSettings,
    TlsVersion,
    TrustDomains,
    parse_address,
)
from grpcsecure.model.modes import ClientCertificateMode
from grpcsecure.model.server_config import (
    ErrorDetail,
    ImportPath,
    InterceptorEntry,
    LoggingSettings,
    LogLevel,
    ReloadSettings,
    Runtime,
    Sees,
    ServerConfig,
    ServerSettings,
    ServiceEntry,
)
from grpcsecure.model.transport import Compression, Keepalive, Limits
from grpcsecure.model.units import parse_duration, parse_size

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Mapping as AbcMapping

    from grpcsecure.config.tree import Node, Path
    from grpcsecure.diagnostics.findings import Finding

__all__ = ["MAX_DURATION", "build_config"]

#: Largest size in bytes: gRPC has 32 bits for it.
_MAX_SIZE = 2**31 - 1

#: Longest duration in seconds. The interpreter's timers overflow at 292 years; no
#: setting is useful at anything near that.
MAX_DURATION = 366 * 86400.0


def build_config(
    root: Mapping, *, directories: AbcMapping[str, pathlib.Path]
) -> tuple[ServerConfig | None, list[Finding]]:
    """Build the config from `root`, or return findings for values that do not parse.

    The findings are about values that fit the schema's patterns but not their parsers.

    Args:
        root: a tree that fits the schema.
        directories: the base of relative paths, by the name of the file with the path.
    """
    reader = Reader(directories)
    config = _config(reader, Part(root, ()))
    return (None if reader.findings else config), reader.findings


def _config(reader: Reader, top: Part) -> ServerConfig:
    server = top.part("server")
    authorization = top.part("authorization")
    reload = top.part("reload")
    logging = top.part("logging")
    return ServerConfig(
        services=tuple(
            _service(reader, Part(item, ("services", index)))
            for index, item in enumerate(items_of(top.node("services")))
        ),
        listeners=tuple(
            _listener(reader, name, part) for name, part in top.parts("listeners")
        ),
        server=_server(reader, server) if server else ServerSettings(),
        identities=build_identities(reader, top),
        authorization=build_authorization(reader, authorization)
        if authorization
        else None,
        reload=_reload(reader, reload) if reload else ReloadSettings(),
        logging=_logging(reader, logging) if logging else LoggingSettings(),
        production=value_of(top.node("production")) is True,
    )


def _service(reader: Reader, part: Part) -> ServiceEntry:
    arguments = part.node("with")
    return ServiceEntry(
        **reader.given(
            part,
            servicer=ImportPath.parse,
            register=ImportPath.parse,
            start=ImportPath.parse,
            close=ImportPath.parse,
        ),
        arguments={} if arguments is None else _arguments(arguments),
    )


def _interceptor(reader: Reader, node: Node, path: Path) -> InterceptorEntry:
    if not isinstance(node, Mapping):
        interceptor = reader.parsed(node, path, ImportPath.parse)
        # If it did not parse, there is a finding, and no config is built.
        return InterceptorEntry(interceptor=interceptor, is_plain=True)  # type: ignore[arg-type]
    part = Part(node, path)
    arguments = part.node("with")
    return InterceptorEntry(
        **reader.given(part, interceptor=ImportPath.parse, sees=Sees),
        arguments={} if arguments is None else _arguments(arguments),
    )


def _arguments(node: Node) -> dict[str, object]:
    value = plain(node)
    return value if isinstance(value, dict) else {}


def _server(reader: Reader, part: Part) -> ServerSettings:
    options = part.part("channel_options")
    keepalive = part.part("keepalive")
    return ServerSettings(
        **reader.given(
            part,
            runtime=Runtime,
            threads=int,
            switch_interval=_parse_bounded_duration,
            max_concurrent_rpcs=int,
            shutdown_grace=_parse_bounded_duration,
            drain_delay=_parse_bounded_duration,
            max_receive_message_size=_parse_bounded_size,
            max_send_message_size=_parse_bounded_size,
            compression=Compression,
            reflection=bool,
            health=bool,
            error_detail=ErrorDetail,
        ),
        keepalive=_keepalive(reader, keepalive) if keepalive else Keepalive(),
        import_paths=reader.paths(part.node("import_paths")),
        interceptors=tuple(
            _interceptor(reader, item, (*part.path, "interceptors", index))
            for index, item in enumerate(items_of(part.node("interceptors")))
        ),
        channel_options=tuple(
            (name, _option(node)) for name, node in (options.items() if options else ())
        ),
    )


def _keepalive(reader: Reader, part: Part) -> Keepalive:
    return Keepalive(
        **reader.given(
            part,
            time=_parse_bounded_duration,
            timeout=_parse_bounded_duration,
            without_calls=bool,
            min_client_interval=_parse_bounded_duration,
            max_ping_strikes=int,
        )
    )


def _reload(reader: Reader, part: Part) -> ReloadSettings:
    return ReloadSettings(
        **reader.given(part, interval=_parse_bounded_duration, events=bool)
    )


def _logging(reader: Reader, part: Part) -> LoggingSettings:
    levels = part.part("levels")
    return LoggingSettings(
        **reader.given(part, format=LogFormat, level=LogLevel),
        levels={
            name: LogLevel(value_of(node))
            for name, node in (levels.items() if levels else ())
        },
    )


def _option(node: Node) -> int | str:
    value = value_of(node)
    return value if isinstance(value, str) else int(str(value).partition(".")[0])


def _listener(reader: Reader, name: str, part: Part) -> Listener:
    tls = part.part("tls")
    services = part.node("services")
    limits = part.part("limits")
    address = part.node("address")
    assert address is not None  # noqa: S101 - required by the schema
    base = reader.directory_of(address)
    listener = Listener(
        name=name,
        **reader.given(
            part,
            address=lambda text: parse_address(text, relative_to=base),
            max_connection_age=_parse_bounded_duration,
            max_connection_age_grace=_parse_bounded_duration,
        ),
        tls=_tls(reader, tls) if tls else None,
        limits=_limits(reader, limits) if limits else Limits(),
        services=None if services is None else texts_of(services),
    )
    settings = listener.tls
    if isinstance(listener.address, SystemdAddress) and settings is not None:
        # grpcio cannot serve on a socket that is open already.
        engine = Engine.BRIDGE if settings.engine is Engine.AUTO else settings.engine
        return replace(listener, tls=replace(settings, engine=engine))
    return listener


def _limits(reader: Reader, part: Part) -> Limits:
    return Limits(
        **reader.given(
            part, max_connections=int, max_calls=int, max_calls_per_connection=int
        )
    )


def _tls(reader: Reader, part: Part) -> TlsSettings:
    pairs = tuple(
        _key_pair(reader, Part(item, (*part.path, "certificates", index)))
        for index, item in enumerate(items_of(part.node("certificates")))
    )
    first = pairs[0] if pairs else _key_pair(reader, part)
    names = part.node("server_names")
    return TlsSettings(
        certificate=first.certificate,
        private_key=first.private_key,
        certificates=pairs,
        server_names=() if names is None else texts_of(names),
        **reader.given(
            part,
            client_certificate=ClientCertificateMode.parse,
            min_version=TlsVersion,
            engine=Engine,
            handshake_timeout=_parse_bounded_duration,
        ),
        client_ca=_client_ca(reader, part),
        crl=reader.paths(part.node("crl")),
        ciphers=texts_of(part.node("ciphers")),
        groups=texts_of(part.node("groups")),
    )


def _key_pair(reader: Reader, part: Part) -> KeyPair:
    return KeyPair(**reader.given_paths(part, "certificate", "private_key"))


def _client_ca(reader: Reader, part: Part) -> pathlib.Path | TrustDomains | None:
    node = part.node("client_ca")
    if isinstance(node, Mapping):
        files = Part(node, (*part.path, "client_ca")).items()
        return TrustDomains(tuple((name, reader.path(file)) for name, file in files))
    return None if node is None else reader.path(node)


def _parse_bounded_duration(text: str) -> float:
    seconds = parse_duration(text)
    if seconds > MAX_DURATION:
        raise ValueError("expected at most `366d`")
    return seconds


def _parse_bounded_size(text: str) -> int:
    size = parse_size(text)
    if not 0 < size <= _MAX_SIZE:
        raise ValueError("expected from `1B` to `2047MiB`")
    return size
