"""Channel options: the names and types that gRPC core knows."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest
from support.configs import patched

from grpcsecure.checking.listeners.channel_options import check_channel_options
from grpcsecure.model.channel_arguments import CLIENT_ARGUMENTS, INTEGERS, TEXTS

#: Only in gRPC for other systems, or no more in the releases of these days.
_ABSENT = {
    "grpc.loadreporting",
    "grpc.http2.min_ping_interval_without_data_ms",
    "grpc.http2.min_time_between_pings_ms",
    "grpc.optimization_target",
}


def only(option):
    """Return the only finding about an option."""
    document = patched(f"server: {{channel_options: {{{option}}}}}").document
    (finding,) = check_channel_options(document)
    return finding


@pytest.mark.parametrize(
    ("option", "code", "label", "advice"),
    [
        (
            "grpc.max_recieve_message_length: 1",
            "GS315",
            "did you mean `grpc.max_receive_message_length`?",
            "write one of the names in gRPC's `channel_arg_names.h`",
        ),
        (
            "max_send_message_length: 1",
            "GS315",
            "did you mean `grpc.max_send_message_length`?",
            None,
        ),
        ("grpc.something_new: 1", "GS315", "would be ignored", None),
        (
            "grpc.enable_retries: 1",
            "GS315",
            "has no effect on a server",
            "remove it",
        ),
        ("grpc.resource_quota: 1", "GS316", "no config can hold it", "remove it"),
        (
            "grpc.keepalive_time_ms: '30000'",
            "GS316",
            "text, which gRPC core ignores",
            "write `30000`",
        ),
        ("grpc.max_metadata_size: 16 KiB", "GS316", None, "write `16384`"),
        ("grpc.max_metadata_size: many", "GS316", None, "write `1000`"),
        (
            "grpc.http2_scheme: 1",
            "GS316",
            "a number, which gRPC core ignores",
            "quote it",
        ),
    ],
)
def test_option_that_would_be_ignored(option, code, label, advice):
    """The finding has the nearest name, or the value in the right type."""
    finding = only(option)
    assert finding.code == code
    assert label is None or finding.label == label
    assert advice is None or finding.help == advice


def test_known_options():
    """Options of servers with values of their type are no mistake."""
    options = "grpc.max_receive_message_length: 1, grpc.http2_scheme: https"
    document = patched(f"server: {{channel_options: {{{options}}}}}").document
    assert list(check_channel_options(document)) == []


def test_boolean_is_written_as_a_number():
    """There are no booleans among the types of gRPC core."""
    (finding,) = patched("server: {channel_options: {grpc.census: true}}").findings
    assert finding.help == "write `1`"


def test_names_are_in_the_installed_grpc():
    """The names of the list are those of gRPC core."""
    if tuple(map(int, grpc.__version__.split(".")[:2])) < (1, 85):
        pytest.skip("some arguments came later")
    (library,) = Path(grpc.__file__).parent.glob("_cython/cygrpc*.so")
    data = library.read_bytes()
    names = INTEGERS | TEXTS | CLIENT_ARGUMENTS
    absent = {name for name in names if f"{name}\0".encode() not in data}
    assert absent <= _ABSENT | {"grpc.channel_id", "grpc.channel_pooling_domain"}
