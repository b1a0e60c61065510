"""jsonschema_rs, which decides, and jsonschema, which explains, accept the same."""

from __future__ import annotations

import copy
import random

import pytest
import yaml
from support.effort import repeats
from support.process import ROOT

from grpcsecure.config.schema_check import _explaining_validator, is_valid

#: Configs are mutated once to three times each; one process checks this many of them.
SHARES, CONFIGS = 4, repeats(500, 2_500)

BASES = [
    yaml.safe_load(path.read_text()) for path in sorted(ROOT.glob("configs/*.yaml"))
]

#: Values that are right somewhere, that nearly are, or that are of another type.
VALUES = [
    *(None, True, False, 0, 1, -1, 65535, 2**31, 2**63, 2**64, 0.5, 1.0, 1e300),
    *("", " ", "a", "a\n", "\n", "é", "a b", "a.b:C", "a:B.c", "../x", "unix:/x"),
    *("1s", "500us", "0s", "1 s", "1s\n", "01s", "4MiB", "4mib", "TLSv1.2", "TLSv1.3"),
    *(
        "127.0.0.1:0",
        "[::1]:0",
        ":1",
        "x:65536",
        "x:1\n",
        "/a.B/C",
        "/a.B/*",
        "*",
        "**",
    ),
    *("allow", "deny", "auto", "bridge", "grpc", "full", "none", "all", "denials"),
    *("require_and_verify", "GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE", "verified"),
    *("spiffe://a.test/b", "sha256:" + ":".join(["9f"] * 32), "sha256:9f", "*.a.test"),
    *([], [1], ["a"], ["a", "a"], [[]], [{}], {}, {"a": 1}, {"a": {}}, {"": ""}),
]

KEYS = [
    "x",
    "tls",
    "name",
    "allow",
    "deny",
    "Listeners",
    "",
    "a b",
    "a" * 200,
    "é",
    "\n",
]


def nodes(value, path=()):
    """Yield the path of every node below a value."""
    below = value.items() if isinstance(value, dict) else enumerate(value)
    for key, child in below:
        yield (*path, key)
        if isinstance(child, (dict, list)):
            yield from nodes(child, (*path, key))


def mutate(config, chance):
    """Change, remove, rename or add one node of a config."""
    *path, key = chance.choice([*nodes(config)])
    parent = config
    for step in path:
        parent = parent[step]
    kind = chance.randrange(5)
    if kind == 0:
        del parent[key]
    elif kind == 1 and isinstance(parent, dict):
        parent[chance.choice(KEYS)] = parent.pop(key)
    elif kind == 2 and isinstance(parent, dict):
        parent[chance.choice(KEYS)] = copy.deepcopy(chance.choice(VALUES))
    elif kind == 3 and isinstance(parent, list):
        parent.append(copy.deepcopy(chance.choice([*VALUES, parent[key]])))
    else:
        parent[key] = copy.deepcopy(chance.choice(VALUES))


@pytest.mark.parametrize("share", range(SHARES))
def test_both_validators_accept_the_same_configs(share):
    """Of many mutated configs, none is valid for one and not for the other.

    Ten thousand with the full effort.
    """
    chance = random.Random(share)
    explaining = _explaining_validator()
    outcomes = {True: 0, False: 0}
    for _ in range(CONFIGS):
        config = copy.deepcopy(chance.choice(BASES))
        for _ in range(chance.randint(1, 3)):
            mutate(config, chance)
        valid = is_valid(config)
        assert valid is explaining.is_valid(config), config
        outcomes[valid] += 1
    # Both answers occur often enough for the comparison to mean something.
    assert min(outcomes.values()) > CONFIGS // 20, outcomes
