"""Tests of profiles: RFC 7396 merge patches that keep the places of values."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.configs import GOOD, JSON, brief, parse, source

from grpcsecure.config.profiles import merge_patch, profile_names
from grpcsecure.config.tree import Node, find, plain
from grpcsecure.config.yaml import parse_yaml
from grpcsecure.errors import UsageError


def node(value: object) -> Node:
    """Return the tree of a value, below the root's key `it`."""
    root, findings = parse_yaml(source(json.dumps({"it": value}, ensure_ascii=False)))
    assert root is not None
    assert brief(findings) == []
    return root.entries["it"].value


#: RFC 7396, appendix A: original, patch, result.
RFC_7396 = [
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    (["a", "b"], ["c", "d"], ["c", "d"]),
    ({"a": "b"}, ["c"], ["c"]),
    ({"a": "foo"}, None, None),
    ({"a": "foo"}, "bar", "bar"),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
]


@pytest.mark.parametrize(("target", "patch", "expected"), RFC_7396)
def test_examples_of_the_rfc(target, patch, expected):
    """All examples of RFC 7396, appendix A, merge as stated there."""
    assert plain(merge_patch(node(target), node(patch))) == expected


def reference(target: object, patch: object) -> object:
    """Merge by the pseudocode of RFC 7396, section 2."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = reference(result.get(name), value)
    return result


#: Values without floats, whose spelling could be ambiguous, and without surrogates.
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(0, 9) | st.sampled_from(["a", "b"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from("abcd"), inner, max_size=4)
    ),
    max_leaves=10,
)


@given(VALUES, VALUES)
def test_merging_is_the_algorithm_of_the_rfc(target, patch):
    """For any two values, merging equals the RFC's pseudocode."""
    assert plain(merge_patch(node(target), node(patch))) == reference(target, patch)


@given(VALUES, VALUES)
def test_merging_twice_changes_nothing(target, patch):
    """Applying a patch a second time has no effect."""
    once = merge_patch(node(target), node(patch))
    assert plain(merge_patch(once, node(patch))) == plain(once)


@given(st.dictionaries(st.sampled_from("abcd"), VALUES))
def test_empty_patch_changes_nothing(target):
    """The profile `dev: {}` leaves the file as it is."""
    assert plain(merge_patch(node(target), node({}))) == target


def test_values_keep_their_places():
    """A finding about a value of a profile points into the profile."""
    root, _ = parse_yaml(source("a: {b: 1, c: 2}\np:\n  a:\n    c: 3\n    d: 4\n"))
    assert root is not None
    merged = merge_patch(root, root.entries["p"].value)
    lines = {
        path: tuple(span.line for span in find(merged, path))
        for path in [("a",), ("a", "b"), ("a", "c"), ("a", "d")]
    }
    assert lines == {("a",): (1, 1), ("a", "b"): (1, 1), ("a", "c"): (4, 4)} | {
        ("a", "d"): (5, 5)
    }


def test_order_is_that_of_the_file():
    """Rules keep the file's order; those that a profile adds come last."""
    merged = merge_patch(node({"a": 1, "b": 2}), node({"c": 3, "a": 4}))
    value = plain(merged)
    assert isinstance(value, dict)
    assert list(value) == ["a", "b", "c"]


def test_names_are_in_the_order_of_the_file():
    """`--all-profiles` runs the profiles in the order of the file."""
    root, _ = parse_yaml(source("profiles: {dev: {}, ci: {}, prod: {}}"))
    assert root is not None
    assert profile_names(root) == ("dev", "ci", "prod")


@pytest.mark.parametrize(
    ("profiles", "message"),
    [
        ("", "no profile `prdo`: the config has no profiles"),
        ("profiles: 3", "no profile `prdo`: the config has no profiles"),
        ("profiles: {dev: {}, prod: {}}", "no profile `prdo`; did you mean `prod`?"),
        (
            "profiles: {dev: {}, ci: {}}",
            "no profile `prdo`; the config has `dev`, `ci`",
        ),
    ],
)
def test_unknown_profile_is_a_usage_error(profiles, message):
    """An unknown profile is a mistake of the command line, not of the file."""
    with pytest.raises(UsageError) as caught:
        parse(GOOD + profiles, profile="prdo")
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("profiles", "expected"),
    [
        ("dev: {version: 1}", ["11:18 GS131 the profile `dev` changes `version`"]),
        ("dev: {profiles: {}}", ["11:18 GS131 the profile `dev` changes `profiles`"]),
        ("dev: {version: null}", ["11:18 GS131 the profile `dev` changes `version`"]),
        ("dev: 3", ["11:12 GS105 the profile `dev` is not a mapping"]),
        ("dev: ", ["11:12 GS105 the profile `dev` is not a mapping"]),
        ("dev: {server: {threads: '${NO}'}}",
         ["11:37 GS109 the variable `NO` is not set"]),
        ("dev: {server: {treads: 1}}",
         ["11:27 GS102 unknown key `treads` in `server`"]),
        ("dev: {listeners: null}",
         ["11:18 GS134 the profile `dev` removes `listeners`"]),
        ("dev: {authorization: , production: ~}",
         ["11:18 GS134 the profile `dev` removes `authorization`",
          "11:35 GS134 the profile `dev` removes `production`"]),
        ("dev: {server: {threads: null}}", []),
    ],
)  # fmt: skip
def test_mistake_in_a_profile_is_found_in_the_profile(profiles, expected):
    """The finding has the line and column inside the profile."""
    parsed = parse(f"{GOOD}profiles: {{{profiles}}}", profile="dev")
    assert brief(parsed.findings) == expected


def test_empty_authorization_of_the_file_is_an_error():
    """A block without a value is not the same as no block."""
    assert brief(parse(f"{GOOD}authorization:\n").findings) == [
        "11:1 GS105 `authorization` is empty; a mapping is expected"
    ]


@pytest.mark.parametrize(
    ("file", "profile", "expected"),
    [
        ("", "production: false", True),
        ("production: true", "production: false", True),
        ("", "production: ${NO:-false}", True),
        ("production: false", "", False),
        ("", "", False),
        ("", "production: true", False),
        ("production: false", "production: true", False),
    ],
)
def test_profile_for_development_says_so_itself(file, profile, expected):
    """Only `production: false` in the profile counts, not what it inherits."""
    text = f"{GOOD}{file}\nprofiles:\n  dev:\n    {profile or '{}'}\n"
    document = parse(text, profile="dev").document
    assert document is not None
    assert document.is_development is expected
    whole = parse(text).document
    assert whole is not None
    assert not whole.is_development


def test_other_profiles_are_not_checked():
    """Variables and mistakes of profiles that are not selected do not matter."""
    text = f"{GOOD}profiles: {{dev: {{}}, prod: {{server: {{threads: '${{NO}}'}}}}}}"
    assert parse(text, profile="dev").findings == ()
    assert parse(text).findings == ()
    assert brief(parse(text, profile="prod").findings) == [
        "11:47 GS109 the variable `NO` is not set"
    ]


def test_variable_cannot_remove_a_key():
    """An empty variable in a profile does not remove a listener's CA."""
    text = GOOD + (
        "      client_ca: ca.pem\n"
        "profiles:\n  dev:\n    listeners: {public: {tls: {client_ca: '${NO:-}'}}}\n"
    )
    parsed = parse(text, profile="dev")
    assert [finding.code for finding in parsed.findings] == ["GS106"]


@given(JSON)
def test_any_profile_is_applied_or_has_findings(value):
    """Any value under `profiles` raises nothing but the usage error."""
    text = GOOD + "profiles: " + json.dumps({"dev": value}, ensure_ascii=True)
    parse(text, profile="dev")
