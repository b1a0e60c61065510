"""Tests of building the model from a tree that fits the schema."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.configs import FOLDER, GOOD, brief, parse, patched

from grpcsecure.model.listener import (
    Engine,
    Listener,
    TcpAddress,
    TlsSettings,
    TlsVersion,
    UnixAddress,
)
from grpcsecure.model.modes import ClientCertificateMode
from grpcsecure.model.server_config import (
    ImportPath,
    Runtime,
    ServerConfig,
    ServerSettings,
    ServiceEntry,
)
from grpcsecure.model.transport import Compression, Keepalive, Limits

FULL = """\
version: 1
production: true
services:
  - servicer: shop.orders:Orders.Public
    with: {greeting: Hello, limits: [1, 2.5, null], deep: {a: true}}
    register: shop_pb2_grpc:add_OrdersServicer_to_server
  - servicer: b:B
server:
  runtime: asyncio
  threads: 64
  switch_interval: 5ms
  max_concurrent_rpcs: 1000
  shutdown_grace: 1.5m
  import_paths: [../src, /opt/lib]
  reflection: true
  health: false
  max_receive_message_size: 16MiB
  max_send_message_size: 512KiB
  compression: gzip
  keepalive:
    {time: 1m, timeout: 5s, without_calls: true, min_client_interval: 30s,
     max_ping_strikes: 0}
  channel_options: {grpc.max_metadata_size: 4194304, grpc.b: text, grpc.c: 1.0}
  error_detail: none
listeners:
  public:
    address: "[::]:8443"
    tls:
      certificate: certs/server.pem
      private_key: /run/keys/server.key
      client_certificate: GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY
      client_ca: ../ca.pem
      min_version: TLSv1.3
      engine: bridge
      handshake_timeout: 500ms
  probes:
    address: unix:run/probes.sock
    plaintext: true
    services: [grpc.health.v1.Health]
    limits: {max_connections: 10, max_calls: 20, max_calls_per_connection: 5}
"""


def test_every_key_reaches_the_model():
    """Each value has its unit, its resolved path or its enum."""
    document = parse(FULL).document
    assert document is not None
    assert document.config == ServerConfig(
        production=True,
        services=(
            ServiceEntry(
                servicer=ImportPath("shop.orders", "Orders.Public"),
                arguments={
                    "greeting": "Hello",
                    "limits": [1, 2.5, None],
                    "deep": {"a": True},
                },
                register=ImportPath("shop_pb2_grpc", "add_OrdersServicer_to_server"),
            ),
            ServiceEntry(servicer=ImportPath("b", "B")),
        ),
        server=ServerSettings(
            runtime=Runtime.ASYNCIO,
            threads=64,
            switch_interval=0.005,
            max_concurrent_rpcs=1000,
            shutdown_grace=90.0,
            import_paths=(FOLDER / "../src", Path("/opt/lib")),
            reflection=True,
            health=False,
            max_receive_message_size=16 * 1024**2,
            max_send_message_size=512 * 1024,
            compression=Compression.GZIP,
            keepalive=Keepalive(
                time=60.0,
                timeout=5.0,
                without_calls=True,
                min_client_interval=30.0,
                max_ping_strikes=0,
            ),
            channel_options=(
                ("grpc.max_metadata_size", 4194304),
                ("grpc.b", "text"),
                ("grpc.c", 1),
            ),
        ),
        listeners=(
            Listener(
                name="public",
                address=TcpAddress("::", 8443),
                tls=TlsSettings(
                    certificate=FOLDER / "certs/server.pem",
                    private_key=Path("/run/keys/server.key"),
                    client_certificate=ClientCertificateMode.REQUIRE_AND_VERIFY,
                    client_ca=FOLDER / "../ca.pem",
                    min_version=TlsVersion.TLS_1_3,
                    engine=Engine.BRIDGE,
                    handshake_timeout=0.5,
                ),
            ),
            Listener(
                name="probes",
                address=UnixAddress(FOLDER / "run/probes.sock"),
                tls=None,
                services=("grpc.health.v1.Health",),
                limits=Limits(
                    max_connections=10, max_calls=20, max_calls_per_connection=5
                ),
            ),
        ),
    )


def test_absent_keys_have_the_defaults_of_the_model():
    """The smallest config equals the model's defaults."""
    document = parse(GOOD).document
    assert document is not None
    assert document.config.server == ServerSettings()
    assert document.config.production is False
    assert document.config.services[0].arguments == {}


def test_plaintext_false_is_tls():
    """`plaintext: false` beside `tls` changes nothing."""
    document = patched("listeners: {public: {plaintext: false}}").document
    assert document is not None
    assert document.config.listeners[0].tls is not None


def test_listeners_are_in_the_order_of_the_file():
    """The banner and the logs show listeners in the order of the file."""
    document = patched("listeners: {a: {address: 'x:1', plaintext: true}}").document
    assert document is not None
    assert [listener.name for listener in document.config.listeners] == ["public", "a"]


@pytest.mark.parametrize(
    ("patch", "expected"),
    [
        ("listeners: {public: {address: 'a:65536'}}",
         "13:35 GS106 invalid value `a:65536` for `listeners.public.address`"),
        ("listeners: {public: {address: '[::1::]:80'}}",
         "13:35 GS106 invalid value `[::1::]:80` for `listeners.public.address`"),
        ("services: [{servicer: 'a:1b'}]",
         "13:27 GS106 invalid value `a:1b` for `services[0].servicer`"),
        ("services: [{servicer: 'a:b', register: 'a:é-ö'}]",
         "13:44 GS106 invalid value `a:é-ö` for `services[0].register`"),
        ("server: {shutdown_grace: 8785h}",
         "13:30 GS106 invalid value `8785h` for `server.shutdown_grace`"),
    ],
)  # fmt: skip
def test_value_that_fits_the_schema_but_does_not_parse_is_a_finding(patch, expected):
    """The patterns of the schema are coarser than the parsers of the values."""
    parsed = patched(patch)
    assert brief(parsed.findings) == [expected]
    assert parsed.failed == "schema"
    assert parsed.document is None


def test_error_texts_of_the_standard_library_are_not_shown():
    """The error text of `ipaddress` has the value, which may come from a variable."""
    parsed = patched("listeners: {public: {address: '${A}'}}", {"A": "[::12345]:1"})
    [finding] = parsed.findings
    assert finding.message == "invalid value for `listeners.public.address`"
    assert finding.label == "comes from a variable"
    assert "12345" not in repr((finding.label, finding.help, finding.notes))


@given(st.integers(0, 10**9), st.sampled_from(["us", "ms", "s", "m", "h", "d"]))
def test_any_duration_is_a_timer_or_a_finding(count, unit):
    """A duration beyond 292 years would overflow the interpreter's timers."""
    parsed = patched(f"server: {{shutdown_grace: {count}{unit}}}")
    if parsed.document is not None:
        assert 0 <= parsed.document.config.server.shutdown_grace <= 366 * 86400
