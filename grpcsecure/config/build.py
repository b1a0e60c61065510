"""From a tree that fits the schema to the model; the last step of the pipeline.

Knows units, addresses and paths. Invariant: a `ServerConfig` that comes out is correct
by construction, so that nobody checks its parts again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from grpcsecure.config.tree import Mapping, Node, Scalar, Sequence, plain
from grpcsecure.config.wording import invalid_value, remark
from grpcsecure.diagnostics.catalog import syntax as kinds
from grpcsecure.model.listener import (
    Engine,
    Listener,
    TlsSettings,
    TlsVersion,
    parse_address,
)
from grpcsecure.model.modes import ClientCertificateMode
from grpcsecure.model.server import (
    ImportPath,
    Runtime,
    ServerConfig,
    ServerSettings,
    ServiceEntry,
)
from grpcsecure.model.units import parse_duration

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Callable, Iterator
    from typing import TypeVar

    from grpcsecure.config.tree import Path
    from grpcsecure.diagnostics.model import Finding

    T = TypeVar("T")

__all__ = ["MAX_DURATION", "build_config"]

#: Seconds; timers of the interpreter end at 292 years, and patience well before.
MAX_DURATION = 366 * 86400.0


def build_config(
    root: Mapping, *, directory: pathlib.Path
) -> tuple[ServerConfig | None, list[Finding]]:
    """Return the config that `root` describes, or what only its parsers can refuse.

    Args:
        root: a tree that fits the schema.
        directory: where relative paths start.
    """
    builder = _Builder(directory)
    config = builder.build(root)
    return (None if builder.findings else config), builder.findings


class _Part:
    """A mapping of the tree, by the names of its keys."""

    def __init__(self, node: Node, path: Path) -> None:
        self.path = path
        self._entries = node.entries if isinstance(node, Mapping) else {}

    def node(self, key: str) -> Node | None:
        entry = self._entries.get(key)
        return entry.value if entry else None

    def items(self) -> Iterator[tuple[str, Node]]:
        for key, entry in self._entries.items():
            yield key, entry.value

    def part(self, key: str) -> _Part | None:
        node = self.node(key)
        return None if node is None else _Part(node, (*self.path, key))


class _Builder:
    def __init__(self, directory: pathlib.Path) -> None:
        self.findings: list[Finding] = []
        self._directory = directory

    def build(self, root: Mapping) -> ServerConfig:
        top = _Part(root, ())
        server = top.part("server")
        listeners = top.part("listeners")
        services = top.node("services")
        return ServerConfig(
            services=tuple(
                self._service(_Part(item, ("services", index)))
                for index, item in enumerate(_items(services))
            ),
            listeners=tuple(
                self._listener(name, _Part(node, ("listeners", name)))
                for name, node in (listeners.items() if listeners else ())
            ),
            server=self._server(server) if server else ServerSettings(),
            production=_value(top.node("production")) is True,
        )

    def _service(self, part: _Part) -> ServiceEntry:
        arguments = part.node("with")
        return ServiceEntry(
            **self._given(part, servicer=ImportPath.parse, register=ImportPath.parse),
            arguments={} if arguments is None else _arguments(arguments),
        )

    def _server(self, part: _Part) -> ServerSettings:
        paths = part.node("import_paths")
        options = part.part("channel_options")
        return ServerSettings(
            **self._given(
                part,
                runtime=Runtime,
                threads=int,
                switch_interval=_parse_bounded_duration,
                max_concurrent_rpcs=int,
                shutdown_grace=_parse_bounded_duration,
                reflection=bool,
                health=bool,
            ),
            import_paths=self._paths(paths),
            channel_options=tuple(
                (name, _option(node))
                for name, node in (options.items() if options else ())
            ),
        )

    def _listener(self, name: str, part: _Part) -> Listener:
        tls = part.part("tls")
        services = part.node("services")
        return Listener(
            name=name,
            **self._given(
                part,
                address=lambda text: parse_address(text, relative_to=self._directory),
            ),
            tls=self._tls(tls) if tls else None,
            services=None
            if services is None
            else tuple(str(_value(item)) for item in _items(services)),
        )

    def _tls(self, part: _Part) -> TlsSettings:
        return TlsSettings(
            **self._given(
                part,
                certificate=self._path,
                private_key=self._path,
                client_certificate=ClientCertificateMode.parse,
                client_ca=self._path,
                min_version=TlsVersion,
                engine=Engine,
                handshake_timeout=_parse_bounded_duration,
            ),
            crl=self._paths(part.node("crl")),
        )

    def _path(self, text: str) -> pathlib.Path:
        return self._directory / text

    def _paths(self, node: Node | None) -> tuple[pathlib.Path, ...]:
        return tuple(self._path(str(_value(item))) for item in _items(node))

    def _given(self, part: _Part, **parsers: Callable[[Any], object]) -> dict[str, Any]:
        """Parse the keys that are there; the model has the defaults of the others.

        What cannot be parsed becomes a finding, and None in a model that nobody gets.
        """
        given: dict[str, Any] = {}
        for key, parse in parsers.items():
            node = part.node(key)
            if node is None:
                continue
            try:
                given[key] = parse(_value(node))
            except ValueError as error:
                given[key] = None
                self._report((*part.path, key), node, error)
        return given

    def _report(self, path: Path, node: Node, error: ValueError) -> None:
        # The words of our own parsers; those of others would repeat the value.
        text = str(error)
        self.findings.append(
            kinds.INVALID_VALUE(
                invalid_value(node, path),
                span=node.span,
                label=remark(node),
                help="write " + text.removeprefix("expected ")
                if text.startswith("expected")
                else None,
            )
        )


def _value(node: Node | None) -> object:
    return node.value if isinstance(node, Scalar) else None


def _items(node: Node | None) -> tuple[Node, ...]:
    return node.items if isinstance(node, Sequence) else ()


def _arguments(node: Node) -> dict[str, object]:
    value = plain(node)
    return value if isinstance(value, dict) else {}


def _option(node: Node) -> int | str:
    value = _value(node)
    return value if isinstance(value, str) else int(str(value).partition(".")[0])


def _parse_bounded_duration(text: str) -> float:
    seconds = parse_duration(text)
    if seconds > MAX_DURATION:
        raise ValueError("expected at most `366d`")
    return seconds
