"""HTTP/2 settings: those that are set twice, and pings that disconnect clients."""

from __future__ import annotations

import pytest
from support.configs import brief, patched, underlined

from grpcsecure.checking.listeners.http2_settings import (
    check_keepalive,
    check_options_twice,
)
from grpcsecure.model.transport import LISTENER_ARGUMENTS, SERVER_ARGUMENTS

#: A value for each key, by its name.
_VALUES = {
    "compression": "gzip",
    "max_connection_age": "1m",
    "max_connection_age_grace": "1m",
    "without_calls": "true",
    "max_receive_message_size": "1MiB",
    "max_send_message_size": "1MiB",
}


def value_of(key):
    """Return a value for a key of the config."""
    return _VALUES.get(key, "1" if key.startswith("max_") else "1m")


def patch_of(path, key):
    """Return the patch that sets one key."""
    text = value_of(key[-1])
    for name in reversed((*path, *key)):
        text = f"{{{name}: {text}}}"
    return text[1:-1]


@pytest.mark.parametrize(
    ("path", "key", "option"),
    [
        (path, key, option)
        for path, table in (
            (("server",), SERVER_ARGUMENTS),
            (("listeners", "public"), LISTENER_ARGUMENTS),
        )
        for key, options in table.items()
        for option in options
    ],
)
def test_key_and_channel_option(path, key, option):
    """A key and its channel option are an error with both places."""
    inner = patch_of(path, key)
    other = f"channel_options: {{{option}: 1}}"
    if path == ("server",):
        inner = f"{inner[:-1]}, {other}}}"
    else:
        inner = f"{inner}\nserver: {{{other}}}"
    document = patched(inner).document
    (finding,) = check_options_twice(document)
    text = document.source.text
    assert finding.code == "GS320"
    assert underlined(text, finding) == option
    (label,) = finding.secondary
    assert underlined(text, label) == key[-1]
    name = ".".join((*path, *key))
    assert finding.message == f"`{name}` and the channel option `{option}` set the same"


def test_one_of_them_alone_is_right():
    """A channel option without the key, and one for another key, have no finding."""
    document = patched(
        "server: {compression: gzip, keepalive: {time: 1h},"
        " channel_options: {grpc.keepalive_timeout_ms: 1,"
        " grpc.max_concurrent_streams: 2}}"
    ).document
    assert list(check_options_twice(document)) == []


@pytest.mark.parametrize(
    ("server", "place", "message"),
    [
        (
            "keepalive: {min_client_interval: 30s}",
            "30s",
            "clients without calls are disconnected if they ping every 30s",
        ),
        (
            "keepalive: {without_calls: true}",
            "true",
            "clients are disconnected if they ping more often than every 5m",
        ),
        (
            "keepalive: {time: 30s}",
            "30s",
            "clients are disconnected if they ping as often as the server, every 30s",
        ),
        (
            "channel_options: {grpc.keepalive_time_ms: 30000}",
            "30000",
            "clients are disconnected if they ping as often as the server, every 30s",
        ),
    ],
)
def test_pings_that_disconnect(server, place, message):
    """The finding has the setting that suggests pings."""
    document = patched(f"server: {{{server}}}").document
    (finding,) = check_keepalive(document)
    assert finding.code == "GS321"
    assert underlined(document.source.text, finding) == place
    assert finding.message == message


@pytest.mark.parametrize(
    "keepalive",
    [
        "time: 5m",
        "timeout: 1s",
        "time: 30s, min_client_interval: 5m, without_calls: false",
        "without_calls: true, min_client_interval: 30s",
        "without_calls: false, min_client_interval: 30s",
        "without_calls: false",
        "time: 1s, max_ping_strikes: 0",
        "min_client_interval: 2h",
    ],
)
def test_explicit_settings_are_meant(keepalive):
    """A config that says what clients may do has no finding."""
    document = patched(f"server: {{keepalive: {{{keepalive}}}}}").document
    assert list(check_keepalive(document)) == []


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ("4194304", "write `4MiB`"),
        ("4MB", "write `4MiB`"),
        ("'100 kb'", "write `100KiB`"),
        ("1g", "write `1GiB`"),
        ("0B", "write a size above zero, such as `512KiB` or `4MiB`"),
        ("3GiB", "write from `1B` to `2047MiB`"),
        ("lots", "write a size above zero, such as `512KiB` or `4MiB`"),
    ],
)
def test_size_in_another_form(size, expected):
    """The help has the size as it is written here."""
    parsed = patched(f"server: {{max_receive_message_size: {size}}}")
    (finding,) = parsed.findings
    assert finding.help == expected, brief(parsed.findings)
