"""`grpcsecure certs`: certificates for development."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from grpcsecure.errors import GrpcSecureError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from grpcsecure.cli.console import Console
    from grpcsecure.devcerts import DevFile

__all__ = ["certs"]

_T = TypeVar("_T")

_DEFAULT_SERVERS = ("localhost", "127.0.0.1", "::1")
_DEFAULT_CLIENT = "spiffe:spiffe://grpcsecure.test/client"

#: The most that browsers and platforms accept; enough for development.
_MAX_DAYS = 398


@click.group(
    epilog="""\b
Examples:
  grpcsecure certs dev certs
  grpcsecure certs dev --help

\b
Exit codes: 0 success, 2 could not do the job.""",
)
def certs() -> None:
    """Make certificates for development."""


@certs.command(
    epilog="""\b
Examples:
  grpcsecure certs dev certs
  grpcsecure certs dev certs --server api.test --server 10.0.0.7
  grpcsecure certs dev certs --client dns:billing.test --client email:ops@corp.test
  grpcsecure certs dev certs --broken --force

\b
KIND is one of spiffe, uri, dns, email, ip, common_name, organizational_unit.
--broken adds DIR/broken: certificates that are expired, revoked, of another CA, …

\b
Exit codes: 0 written, 2 nothing written (a file exists already, a wrong name).""",
)
@click.argument(
    "directory", metavar="DIR", type=click.Path(path_type=Path, file_okay=False)
)
@click.option(
    "--server",
    "servers",
    metavar="NAME",
    multiple=True,
    default=_DEFAULT_SERVERS,
    help="DNS name or IP address of the server; repeatable."
    f" [default: {', '.join(_DEFAULT_SERVERS)}]",
)
@click.option(
    "--client",
    "clients",
    metavar="KIND:VALUE",
    multiple=True,
    default=(_DEFAULT_CLIENT,),
    help="Name of a client; repeatable, one certificate each."
    f" [default: {_DEFAULT_CLIENT}]",
)
@click.option(
    "--broken", is_flag=True, help="Add certificates that servers must refuse."
)
@click.option("--force", is_flag=True, help="Replace existing files.")
@click.option(
    "--days",
    type=click.IntRange(1, _MAX_DAYS),
    default=30,
    show_default=True,
    help="How long the certificates are valid.",
)
@click.pass_obj
def dev(  # noqa: PLR0913 - the options of the command
    console: Console,
    *,
    directory: Path,
    servers: Sequence[str],
    clients: Sequence[str],
    broken: bool,
    force: bool,
    days: int,
) -> None:
    """Make a CA with server and client certificates in DIR, for development."""
    from grpcsecure.devcerts import make_files, parse_client, parse_server

    files = make_files(
        servers=_parse_all(servers, "--server", parse_server),
        clients=_parse_all(clients, "--client", parse_client),
        now=datetime.now(timezone.utc),
        days=days,
        broken=broken,
    )
    _write(directory, files, force=force)
    console.narrate(
        f"wrote {len(files)} files to {directory}, valid for {days} days;"
        " for development only: the key of the CA is among them"
    )
    console.result("\n".join(_instructions(directory, servers, clients)))


def _parse_all(
    texts: Iterable[str], option: str, parse: Callable[[str], _T]
) -> list[_T]:
    from grpcsecure.quoting import quote

    parsed = []
    for text in texts:
        try:
            parsed.append(parse(text))
        except ValueError as error:
            raise UsageError(f"{option} {quote(text)}: {error}") from None
    return parsed


def _write(directory: Path, files: list[DevFile], *, force: bool) -> None:
    from grpcsecure.devcerts import write_files

    try:
        write_files(directory, files, force=force)
    except FileExistsError as error:
        raise UsageError(
            f"`{error.filename or directory}` exists already; nothing was written"
            " (--force replaces it)"
        ) from error
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise GrpcSecureError(
            f"cannot write to `{error.filename or directory}`: {reason};"
            " nothing was changed"
        ) from error


def _instructions(
    directory: Path, servers: Sequence[str], clients: Sequence[str]
) -> Iterator[str]:
    """Yield config lines and a client command, both to paste."""
    host = next((name for name in servers if name in _DEFAULT_SERVERS), None)
    # Quoted, because an unquoted bracket begins a list in YAML.
    address = '"[::1]:8443"' if host == "::1" else "127.0.0.1:8443"
    yield "# in the config, below `listeners:`"
    yield "  public:"
    yield f"    address: {address}"
    yield "    tls:"
    yield f"      certificate: {_yaml(directory / 'server.pem')}"
    yield f"      private_key: {_yaml(directory / 'server.key')}"
    yield "      client_certificate: require_and_verify"
    yield f"      client_ca: {_yaml(directory / 'ca.pem')}"
    yield ""
    for number, client in enumerate(clients, 1):
        stem = "client" if number == 1 else f"client-{number}"
        yield f"# {client}"
        yield _grpcurl(directory, stem, host, servers[0])


def _yaml(path: Path) -> str:
    """Quote a path for YAML if necessary; escape `$`, which starts a variable."""
    import json

    text = str(path).replace("$", "$$")
    plain = text.replace("/", "").replace(".", "").replace("-", "").replace("_", "")
    return text if plain.isalnum() else json.dumps(text, ensure_ascii=False)


def _grpcurl(directory: Path, stem: str, host: str | None, authority: str) -> str:
    """Return a command that lists the services.

    Args:
        directory: the directory of the certificates.
        stem: the file name of the client's certificate, without suffix.
        host: a name of the server that resolves to this machine, or None.
        authority: the name to expect in the server's certificate if `host` is None.
    """
    from shlex import quote

    paths = {
        option: quote(str(directory / name))
        for option, name in (
            ("-cacert", "ca.pem"),
            ("-cert", f"{stem}.pem"),
            ("-key", f"{stem}.key"),
        )
    }
    options = " ".join(f"{option} {path}" for option, path in paths.items())
    if host is None:
        # No name resolves to this machine: connect to it, but verify that name.
        options += f" -authority {quote(authority)}"
        host = "127.0.0.1"
    target = f"[{host}]:8443" if ":" in host else f"{host}:8443"
    return f"grpcurl {options} {quote(target)} list"
