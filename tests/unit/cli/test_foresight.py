"""A guess about the command line is right, or none."""

from __future__ import annotations

import pytest

from grpcsecure.cli.commands import cli
from grpcsecure.cli.foresight import FLAGS, VALUED, foresee
from grpcsecure.cli.serve import serve

GUESSES = [
    ("serve a.yaml", {}, ("a.yaml", None)),
    ("serve", {}, ("grpcsecure.yaml", None)),
    ("serve", {"GRPCSECURE_CONFIG": "b.yaml"}, ("b.yaml", None)),
    ("serve a.yaml", {"GRPCSECURE_CONFIG": "b.yaml"}, ("a.yaml", None)),
    ("serve a.yaml", {"GRPCSECURE_PROFILE": "dev"}, ("a.yaml", "dev")),
    ("serve a.yaml", {"GRPCSECURE_PROFILE": ""}, ("a.yaml", None)),
    ("serve --profile dev a.yaml", {"GRPCSECURE_PROFILE": "x"}, ("a.yaml", "dev")),
    ("serve a.yaml --profile=dev", {}, ("a.yaml", "dev")),
    ("-q --color never serve a.yaml --log-format json", {}, ("a.yaml", None)),
    ("serve --ready-file=r a.yaml", {}, ("a.yaml", None)),
]

UNGUESSED = [
    "",
    "-q",
    "validate a.yaml",
    "a.yaml serve",
    "serve -",
    "serve -h",
    "--help serve a.yaml",
    "serve --profil dev a.yaml",
    "serve -- a.yaml",
]


@pytest.mark.parametrize(("line", "environ", "expected"), GUESSES)
def test_a_plain_serve_is_foreseen(line, environ, expected):
    """The config and the profile are those that the command will get."""
    assert foresee(line.split(), environ) == expected


@pytest.mark.parametrize("line", UNGUESSED)
def test_what_is_not_plain_is_not_guessed(line):
    """Other commands, help, standard input and mistakes begin nothing."""
    assert foresee(line.split(), {}) is None


def test_every_option_is_known():
    """An option that is not known would only make the start slower, so nobody sees."""
    options = [
        option for option in [*cli.params, *serve.params] if hasattr(option, "is_flag")
    ]
    flags = {name for option in options if option.is_flag for name in option.opts}
    valued = {name for option in options if not option.is_flag for name in option.opts}
    assert flags - {"--version"} == FLAGS
    assert valued == VALUED
