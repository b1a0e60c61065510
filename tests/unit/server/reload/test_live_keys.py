"""Every key of the model is listed here as live or as needing a restart."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import pytest

from grpcsecure.model.authorization import Authorization, Identity, LogFormat
from grpcsecure.model.listener import (
    Engine,
    KeyPair,
    Listener,
    TcpAddress,
    TlsSettings,
    TlsVersion,
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
    ServerConfig,
    ServerSettings,
    ServiceEntry,
)
from grpcsecure.model.transport import Compression, Keepalive, Limits
from grpcsecure.server.reload.live_keys import keys_that_need_a_restart

TLS = TlsSettings(
    certificate=Path("/a.pem"),
    private_key=Path("/a.key"),
    client_ca=Path("/ca.pem"),
    client_certificate=ClientCertificateMode.REQUIRE_AND_VERIFY,
)
LISTENER = Listener(name="public", address=TcpAddress("127.0.0.1", 1), tls=TLS)
CONFIG = ServerConfig(
    services=(ServiceEntry(servicer=ImportPath("a", "B")),), listeners=(LISTENER,)
)

LIVE = "live"

#: For each attribute a changed value, and the key that then needs a restart.
SERVER_CONFIG = {
    "services": ((ServiceEntry(servicer=ImportPath("a", "C")),), ("services",)),
    "listeners": ((LISTENER, replace(LISTENER, name="b")), ("listeners", "b")),
    "server": (ServerSettings(threads=1), ("server", "threads")),
    "identities": ((Identity("a", ()),), LIVE),
    "authorization": (Authorization(), LIVE),
    "reload": (ReloadSettings(interval=1.0), ("reload", "interval")),
    "logging": (LoggingSettings(level=LogLevel.DEBUG), ("logging", "level")),
    "production": (True, LIVE),
}
LOGGING = {
    "format": (LogFormat.JSON, "format"),
    "level": (LogLevel.DEBUG, "level"),
    "levels": ({"shop": LogLevel.DEBUG}, LIVE),
}
SERVER = {
    "runtime": (Runtime.THREADS, "runtime"),
    "threads": (1, "threads"),
    "switch_interval": (1.0, "switch_interval"),
    "max_concurrent_rpcs": (1, "max_concurrent_rpcs"),
    "shutdown_grace": (1.0, "shutdown_grace"),
    "drain_delay": (1.0, "drain_delay"),
    "max_receive_message_size": (1, "max_receive_message_size"),
    "max_send_message_size": (1, "max_send_message_size"),
    "compression": (Compression.GZIP, "compression"),
    "keepalive": (Keepalive(time=1.0), "keepalive"),
    "import_paths": ((Path("/a"),), "import_paths"),
    "interceptors": (
        (InterceptorEntry(interceptor=ImportPath("a", "B")),),
        "interceptors",
    ),
    "reflection": (True, "reflection"),
    "health": (False, "health"),
    "channel_options": ((("a", 1),), "channel_options"),
    "error_detail": (ErrorDetail.FULL, LIVE),
}
RELOAD = {"interval": (1.0, "interval"), "events": (False, "events")}
LISTENERS = {
    "name": ("other", None),  # one listener is removed, and another one added
    "address": (TcpAddress("127.0.0.1", 2), ("address",)),
    "tls": (None, ("tls",)),
    "services": (("a",), ("services",)),
    "max_connection_age": (1.0, ("max_connection_age",)),
    "max_connection_age_grace": (1.0, ("max_connection_age_grace",)),
    "limits": (Limits(max_calls=1), ("limits",)),
}
TLS_SETTINGS = {
    "certificate": (Path("/b.pem"), LIVE),
    "private_key": (Path("/b.key"), LIVE),
    "certificates": ((KeyPair(Path("/b.pem"), Path("/b.key")),), LIVE),
    "server_names": (("shop.example",), LIVE),
    "client_ca": (Path("/b.pem"), LIVE),
    "client_certificate": (
        ClientCertificateMode.DONT_REQUEST,
        ("tls", "client_certificate"),
    ),
    "min_version": (TlsVersion.TLS_1_3, ("tls", "min_version")),
    "handshake_timeout": (1.0, ("tls", "handshake_timeout")),
    "ciphers": (("TLS_AES_128_GCM_SHA256",), ("tls", "ciphers")),
    "groups": (("P-256",), ("tls", "groups")),
    "engine": (Engine.BRIDGE, ("tls", "engine")),
    # `TLS` has no revocation list, so grpcio's engine serves, which supports none.
    "crl": ((Path("/a.crl"),), ("tls", "crl")),
}

TABLES = [
    (ServerConfig, SERVER_CONFIG),
    (ServerSettings, SERVER),
    (ReloadSettings, RELOAD),
    (LoggingSettings, LOGGING),
    (Listener, LISTENERS),
    (TlsSettings, TLS_SETTINGS),
]


def differences(new):
    """Return the keys of `new` that differ from `CONFIG` and need a restart."""
    return sorted(keys_that_need_a_restart(CONFIG, new))


def with_listener(listener):
    """Return the config with another listener."""
    return replace(CONFIG, listeners=(listener,))


@pytest.mark.parametrize(
    ("kind", "table"), TABLES, ids=lambda value: getattr(value, "__name__", "")
)
def test_every_attribute_is_decided_on(kind, table):
    """A new key fails here until it has a row in the table."""
    assert set(table) == {field.name for field in fields(kind)}


@pytest.mark.parametrize("name", SERVER_CONFIG)
def test_blocks(name):
    """Of the top-level keys, those about authorization and `production` are live."""
    value, key = SERVER_CONFIG[name]
    expected = [] if key is LIVE else [key]
    assert differences(replace(CONFIG, **{name: value})) == expected


@pytest.mark.parametrize("name", SERVER)
def test_server(name):
    """Of the `server` block, `error_detail` is live."""
    value, key = SERVER[name]
    new = replace(CONFIG, server=replace(CONFIG.server, **{name: value}))
    assert differences(new) == ([] if key is LIVE else [("server", key)])


@pytest.mark.parametrize("name", LOGGING)
def test_logging(name):
    """Of the `logging` block, `levels` is live."""
    value, key = LOGGING[name]
    new = replace(CONFIG, logging=replace(CONFIG.logging, **{name: value}))
    assert differences(new) == ([] if key is LIVE else [("logging", key)])


@pytest.mark.parametrize("name", RELOAD)
def test_reload(name):
    """Of the `reload` block, nothing is live."""
    value, key = RELOAD[name]
    new = replace(CONFIG, reload=replace(CONFIG.reload, **{name: value}))
    assert differences(new) == [("reload", key)]


@pytest.mark.parametrize("name", LISTENERS)
def test_listeners(name):
    """Of a listener, nothing but key material is live."""
    value, key = LISTENERS[name]
    expected = [("listeners", "public", *(key or ()))]
    if key is None:
        expected = [("listeners", "other"), ("listeners", "public")]
    assert differences(with_listener(replace(LISTENER, **{name: value}))) == expected


@pytest.mark.parametrize("name", TLS_SETTINGS)
def test_tls(name):
    """Of a `tls` block, the files are live."""
    value, key = TLS_SETTINGS[name]
    new = with_listener(replace(LISTENER, tls=replace(TLS, **{name: value})))
    expected = [] if key is LIVE else [("listeners", "public", *key)]
    assert differences(new) == expected


def test_plaintext_to_tls():
    """Turning TLS on needs a restart."""
    old = with_listener(replace(LISTENER, tls=None))
    assert [*keys_that_need_a_restart(old, CONFIG)] == [("listeners", "public", "tls")]


def test_crl_is_live_if_the_bridge_serves_anyway():
    """Adding the first list or removing the last one then changes no engine."""
    bridged = replace(TLS, engine=Engine.BRIDGE)
    listed = replace(bridged, crl=(Path("/a.crl"),))
    old, new = (
        with_listener(replace(LISTENER, tls=each)) for each in (bridged, listed)
    )
    assert [*keys_that_need_a_restart(old, new)] == []
    assert [*keys_that_need_a_restart(new, old)] == []


def test_naming_the_engine_in_use_is_not_a_change():
    """Replacing `auto` by the engine that it chose needs no restart."""
    new = with_listener(replace(LISTENER, tls=replace(TLS, engine=Engine.GRPC)))
    assert differences(new) == []
