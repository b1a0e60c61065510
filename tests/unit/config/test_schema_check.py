"""Tests of the JSON Schema: complete, annotated, packaged, and read alike by both."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import jsonschema_rs
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from support.configs import GOOD, JSON, brief, parse, source
from support.effort import repeats

from grpcsecure.config import schema_check as schema
from grpcsecure.config import schema_file
from grpcsecure.config.schema_check import (
    check_schema,
    find_errors,
    is_valid,
    schema_text,
)
from grpcsecure.config.schema_file import dereference, home_of, load_schema
from grpcsecure.config.tree import plain
from grpcsecure.config.yaml import parse_yaml
from grpcsecure.model.authorization import (
    AuditLevel,
    AuditSettings,
    Authorization,
    BuiltIn,
    Effect,
    LogFormat,
    MatcherKind,
)
from grpcsecure.model.cipher_suites import GROUPS, TLS12_SUITES, TLS13_SUITES
from grpcsecure.model.listener import Engine, TlsSettings, TlsVersion
from grpcsecure.model.modes import ClientCertificateMode
from grpcsecure.model.server_config import (
    ErrorDetail,
    Runtime,
    ServerConfig,
    ServerSettings,
)
from grpcsecure.model.transport import Compression, Keepalive, Limits
from grpcsecure.model.units import parse_duration

if TYPE_CHECKING:
    from enum import Enum

ROOT = Path(__file__).parents[3]


def parts(part: dict[str, Any], path: str = "") -> list[tuple[str, dict[str, Any]]]:
    """Return every part of the schema that describes a key, with its path."""
    found = []
    for key, below in part.get("properties", {}).items():
        resolved = dereference(below)
        found += [(f"{path}.{key}", resolved), *parts(resolved, f"{path}.{key}")]
    for keyword in ("additionalProperties", "items", "else"):
        below = part.get(keyword)
        if isinstance(below, dict) and below:
            found += parts(dereference(below), f"{path}.*")
    return found


PARTS = parts(load_schema())


def values(*path: str) -> Any:
    """Return the part of the schema at `path`; `*` stands for names and items."""
    part = load_schema()
    for step in path:
        below = part.get("properties", {}).get(step)
        below = below or part.get("additionalProperties") or part.get("items")
        part = dereference(below)
    return part


def test_schema_is_a_schema():
    """The schema is valid for the draft that it declares."""
    jsonschema.Draft202012Validator.check_schema(load_schema())
    jsonschema_rs.meta.validate(load_schema())


def test_schema_has_every_key():
    """The schema has every documented key."""
    paths = {path for path, _ in PARTS}
    authorization = {
        "default", "rules", "audit", "audit_file", "audit_format", "tests",
    }  # fmt: skip
    policy_test = {"as", "call", "expect", "listener", "metadata"}
    tls = {
        "certificate", "private_key", "client_certificate", "client_ca", "crl",
        "min_version", "engine", "handshake_timeout", "ciphers", "groups",
    }  # fmt: skip
    server = {
        "runtime", "threads", "switch_interval", "max_concurrent_rpcs",
        "shutdown_grace", "max_receive_message_size", "max_send_message_size",
        "compression", "keepalive",
        "import_paths", "reflection", "health", "channel_options", "error_detail",
    }  # fmt: skip
    matcher = {
        "spiffe", "uri", "dns", "email", "ip", "common_name", "organizational_unit",
        "subject", "fingerprint", "public_key", "certificates",
    }  # fmt: skip
    rule = {"allow", "deny", "methods", "listeners", "metadata", "enforce"}
    assert paths >= {
        *(f".{key}" for key in ("version", "services", "server", "listeners")),
        *(f".{key}" for key in ("identities", "authorization", "profiles")),
        ".production",
        *(f".services.*.{key}" for key in ("servicer", "with", "register")),
        *(f".server.{key}" for key in server),
        *(f".listeners.*.{key}" for key in ("address", "tls", "plaintext", "services")),
        *(f".listeners.*.tls.{key}" for key in tls),
        *(f".server.keepalive.{key}" for key in Keepalive._fields),
        *(f".listeners.*.limits.{key}" for key in Limits._fields),
        *(f".authorization.{key}" for key in authorization),
        *(f".authorization.rules.*.{key}" for key in rule),
        *(f".authorization.tests.*.{key}" for key in policy_test),
        *(f".identities.*.*.{key}" for key in matcher),
    }


@pytest.mark.parametrize(("path", "part"), PARTS, ids=[path for path, _ in PARTS])
def test_key_is_described(path, part):
    """Editors show the descriptions, and a page is generated from them."""
    assert part["title"]
    assert part["description"].endswith(".")
    if "x-reserved" not in part:
        assert part.get("examples"), "editors offer them"
    if "properties" in part and "channel_options" not in path:
        assert part["additionalProperties"] is False


@pytest.mark.parametrize(("path", "part"), PARTS, ids=[path for path, _ in PARTS])
def test_examples_and_defaults_fit(path, part):
    """Every example and default of the schema is valid."""
    del path
    if "x-reserved" in part:
        return
    validator = jsonschema.Draft202012Validator(
        {**part, "$defs": load_schema()["$defs"]}
    )
    for value in (
        *part.get("examples", ()),
        *([part["default"]] if "default" in part else ()),
    ):
        validator.validate(value)


@pytest.mark.parametrize(
    ("path", "enum"),
    [
        (("server", "runtime"), Runtime),
        (("listeners", "*", "tls", "engine"), Engine),
        (("listeners", "*", "tls", "min_version"), TlsVersion),
        (("server", "error_detail"), ErrorDetail),
        (("server", "compression"), Compression),
        (("authorization", "audit"), AuditLevel),
        (("authorization", "audit_format"), LogFormat),
    ],
)
def test_choices_are_those_of_the_model(path, enum: type[Enum]):
    """The enums of schema and model have the same values in the same order."""
    assert values(*path)["enum"] == [member.value for member in enum]


def test_suites_and_groups_are_those_of_the_model():
    """The schema has the suites and groups that the bridge can be given."""
    definitions = load_schema()["$defs"]
    assert definitions["cipher"]["enum"] == [*TLS13_SUITES, *TLS12_SUITES]
    assert definitions["group"]["enum"] == [*GROUPS]


def test_modes_are_the_five_in_both_spellings():
    """The kebab-case names come first; no help lists the aliases, gRPC's constants."""
    part = values("listeners", "*", "tls", "client_certificate")
    constants = [mode.traits.grpc_constant for mode in ClientCertificateMode]
    assert part["enum"] == [*(mode.value for mode in ClientCertificateMode), *constants]
    assert part["x-aliases"] == constants
    assert "default" not in part
    assert all(ClientCertificateMode.parse(value) for value in part["enum"])


def test_policy_has_the_words_of_the_model():
    """Matchers, reserved names and effects are those of the model, in its order."""
    matcher = load_schema()["$defs"]["matcher"]["properties"]
    assert list(matcher) == [kind.value for kind in MatcherKind]
    taken = load_schema()["properties"]["identities"]["propertyNames"]["not"]["enum"]
    assert taken == [name.value for name in BuiltIn]
    effects = [effect.value for effect in Effect]
    assert sorted(values("authorization", "default")["enum"]) == sorted(effects)
    assert sorted(values("authorization", "tests", "*", "expect")["enum"]) == sorted(
        effects
    )


def test_defaults_are_those_of_the_model():
    """The documented defaults are those that the model uses."""
    config = parse(GOOD).document.config
    server, tls = ServerSettings(), config.listeners[0].tls
    expected = {
        "runtime": server.runtime.value,
        "threads": server.threads,
        "reflection": server.reflection,
        "health": server.health,
        "error_detail": server.error_detail.value,
    }
    part = values("server")["properties"]
    assert {key: dereference(part[key])["default"] for key in expected} == expected
    assert parse_duration(values("server", "switch_interval")["default"]) == (
        server.switch_interval
    )
    assert parse_duration(values("server", "shutdown_grace")["default"]) == (
        server.shutdown_grace
    )
    assert isinstance(tls, TlsSettings)
    assert values("listeners", "*", "tls", "engine")["default"] == tls.engine.value
    assert values("listeners", "*", "tls", "min_version")["default"] == (
        tls.min_version.value
    )
    assert parse_duration(
        values("listeners", "*", "tls", "handshake_timeout")["default"]
    ) == (tls.handshake_timeout)
    assert values("authorization", "default")["default"] == (
        Authorization().default.value
    )
    assert values("authorization", "audit")["default"] == AuditSettings().level.value
    assert values("authorization", "audit_format")["default"] == (
        AuditSettings().format.value
    )
    assert values("production")["default"] == (
        ServerConfig(services=(), listeners=()).production
    )


def test_home_of_a_key_is_known():
    """The right mapping is found for a misplaced key."""
    assert home_of("reflection") == ("server",)
    assert home_of("certificate") == ("listeners", "<name>", "tls")
    assert home_of("version") == ()
    assert home_of("nonsense") is None
    assert home_of("services") is None, "it is at home in two places"
    assert home_of("interval") == ("reload",)


# Instances: the good config with pieces replaced by anything.

_GOOD = plain(parse_yaml(source(GOOD))[0])  # type: ignore[arg-type]

_WORDS = st.sampled_from(
    ["", "a", "a:B", "a.b:c", "30s", "0s", "1.5ms", "30s\n", "a\n", "127.0.0.1:80",
     "[::1]:80", "unix:x", "dont_request", "auto", "TLSv1.2", "x y", "\n", "\u2028",
     "-----BEGIN X-----", "certs/a.pem", "é:ü", "٣s", "a" * 64, "\x00", "1\u0661s"]
)  # fmt: skip
_ANY = (
    JSON | _WORDS | st.lists(_WORDS, max_size=3) | st.sampled_from([1, 1.0, True, 16.0])
)


@st.composite
def instances(draw) -> object:
    """Return the good config with a few values changed."""
    instance = json.loads(json.dumps(_GOOD))
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(PATHS))
        node = instance
        for step in path[:-1]:
            if not isinstance(node, dict):
                break
            if step == "*":
                step = draw(st.sampled_from(["public", "a b", "é", "x\n"]))  # noqa: PLW2901
            node = node.setdefault(step, {})
            if isinstance(node, list):
                node = node[0] if node else {}
        if isinstance(node, dict):
            node[path[-1] if path[-1] != "*" else "name"] = draw(_ANY)
    return instance


PATHS = [tuple(path.strip(".").split(".")) for path, _ in PARTS]


@settings(
    suppress_health_check=[HealthCheck.too_slow],
    deadline=None,
    max_examples=repeats(60, 300),
)
@given(instances() | JSON)
@example({"version": True, "services": [], "listeners": {}})
@example({**_GOOD, "version": 1.0})  # type: ignore[dict-item]
def test_both_validators_agree(instance):
    """An instance that jsonschema_rs accepts has no errors in jsonschema."""
    assert is_valid(instance) == (not find_errors(instance))


def test_number_that_the_fast_validator_cannot_represent_is_refused():
    """A number that jsonschema_rs cannot represent is not valid."""
    assert not is_valid({**_GOOD, "version": float("nan")})  # type: ignore[dict-item]


def test_refusal_without_a_reason_is_a_finding(monkeypatch):
    """A config that only one of the two validators rejects is not served."""
    root, _ = parse_yaml(source(GOOD))
    assert root is not None
    monkeypatch.setattr(schema, "is_valid", lambda _: False)
    findings = check_schema(root)
    assert brief(findings) == ["1:1 GS132 the config does not fit the schema"]


def test_schema_is_printed_as_it_is_written():
    """`grpcsecure schema` prints the file of the repository unchanged."""
    path = ROOT / "schemas" / "config.schema.json"
    assert schema_text() == path.read_text(encoding="utf-8")


def test_schema_in_the_package_comes_first(monkeypatch, tmp_path):
    """A wheel has the schema as package data, without `schemas/` beside it."""
    package = tmp_path / "grpcsecure"
    (package / "config").mkdir(parents=True)
    (package / "schemas").mkdir()
    (package / "schemas" / "config.schema.json").write_text('{"from": "the wheel"}')
    (tmp_path / "schemas").mkdir()
    (tmp_path / "schemas" / "config.schema.json").write_text('{"from": "elsewhere"}')
    monkeypatch.setattr(
        schema_file, "__file__", str(package / "config" / "schema_file.py")
    )
    assert schema_text() == '{"from": "the wheel"}'


def test_wheel_contains_the_schema(tmp_path):
    """The schema is readable from a wheel that is installed without the checkout."""
    pytest.importorskip("hatchling")
    environment = {**os.environ, "PYTHONPATH": ""}
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path],
        cwd=ROOT, check=True, capture_output=True, env=environment,
    )  # fmt: skip
    [wheel] = tmp_path.glob("*.whl")
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]);"
        "from grpcsecure.config.schema_file import schema_text, __file__ as f;"
        "assert sys.argv[1] in f; print(schema_text(), end='')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, wheel],
        cwd=tmp_path, check=True, capture_output=True, env=environment, text=True,
    )  # fmt: skip
    assert done.stdout == schema_text()
