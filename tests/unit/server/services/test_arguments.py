"""Descriptions of arguments under `with` that a servicer lacks or does not take."""

from __future__ import annotations

import inspect

import pytest

from grpcsecure.server.services.arguments import describe_misfit


def _plain(database, region, *, currency, tax=0): ...


def _takes_any(database, **rest): ...


def _by_position(database, /, region): ...


@pytest.mark.parametrize(
    ("function", "arguments", "misfit"),
    [
        (_plain, ("database", "region", "currency"), None),
        (_plain, ("database", "region", "currency", "tax"), None),
        (_takes_any, ("database", "anything"), None),
        (
            _plain,
            (),
            (
                "`it` needs the arguments `database`, `region` and `currency`",
                "no arguments are given",
                "add `with: {database: …, region: …, currency: …}`",
            ),
        ),
        (
            _plain,
            ("database", "region"),
            (
                "`it` needs the argument `currency`",
                "not given",
                "add `currency: …` to `with`",
            ),
        ),
        (
            _plain,
            ("databse", "region"),
            (
                "`it` takes no argument `databse`, and needs the argument `currency`",
                "did you mean `database`?",
                "it takes `database`, `region`, `currency` and `tax`",
            ),
        ),
        (
            _plain,
            ("database", "region", "currency", "a", "b"),
            (
                "`it` takes no arguments `a` and `b`",
                "",
                "it takes `database`, `region`, `currency` and `tax`",
            ),
        ),
        (
            _by_position,
            ("region",),
            (
                "`it` takes `database` by position only",
                "`with` gives arguments by name",
                "name a function that takes it by name, and calls this one",
            ),
        ),
    ],
)
def test_all_that_does_not_fit_is_described(function, arguments, misfit):
    """All missing and unknown arguments are named, a misspelled one only once."""
    signature = inspect.signature(function)
    assert describe_misfit("`it`", signature, arguments) == misfit
