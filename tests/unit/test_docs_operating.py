"""docs/operating.md lists every log event, option, exit code and variable."""

from __future__ import annotations

import ast
import re
from typing import NamedTuple

import click
import pytest
from support.process import ROOT

from grpcsecure.cli.commands import cli
from grpcsecure.errors import ExitCode

PAGE = (ROOT / "docs" / "operating.md").read_text()

LEVELS = ("debug", "info", "warning", "error", "critical")

#: The form of event names, to find those that are not literals in a logging call.
EVENT = re.compile(r"(?!grpcsecure\.)[a-z]+\.[a-z_]+")

#: Modules that get loggers only to set their levels.
ONLY_SET_LEVELS = {"cli/logs.py", "server/log_levels.py", "watch/events.py"}


class Logged(NamedTuple):
    """An event as the code logs it; the level is None if the call computes it."""

    logger: str
    event: str
    level: str | None
    fields: frozenset[str]


def table(*head):
    """Return the rows of the table with this head, as lists of cells."""
    _, found, below = PAGE.partition(f"| {' | '.join(head)} |\n")
    assert found, head
    body = below.partition("\n\n")[0].splitlines()[1:]
    return [[cell.strip() for cell in row[1:-1].split("|")] for row in body]


def names(cell):
    """Return the texts in backticks."""
    return re.findall(r"`([^`]+)`", cell)


def modules_that_log():
    """Yield name, logger name and syntax tree of each module that logs."""
    for path in sorted((ROOT / "grpcsecure").rglob("*.py")):
        name = str(path.relative_to(ROOT / "grpcsecure"))
        text = path.read_text()
        # Most of them are not worth parsing.
        if "getLogger" not in text or name in ONLY_SET_LEVELS:
            continue
        tree = ast.parse(text)
        loggers = [
            node.args[0].value
            for node in ast.walk(tree)
            if isinstance(node, ast.Call)
            and ast.unparse(node.func) == "logging.getLogger"
            and node.args
        ]
        if loggers:
            (logger,) = loggers
            yield name, logger, tree


def docstrings(tree):
    """Return the ids of the constants that are statements, such as docstrings."""
    return {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }


def texts(tree):
    """Return the string literals of a module that look like event names."""
    alone = docstrings(tree)
    return {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and id(node) not in alone
        and EVENT.fullmatch(node.value)
    }


def fields_of(call):
    """Return the field names that are literals in a logging call."""
    fields = set()
    for keyword in call.keywords:
        if keyword.arg == "exc_info":
            fields.add("traceback")
        elif keyword.arg == "extra" and isinstance(keyword.value, ast.Dict):
            fields |= {key.value for key in keyword.value.keys}
    return fields


def logged_by(logger, tree):
    """Yield the events that a module logs."""
    literal, is_dynamic = set(), False
    for call in ast.walk(tree):
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
            continue
        if ast.unparse(call.func.value) != "_LOGGER":
            continue
        method = call.func.attr
        event = call.args[1 if method == "log" else 0]
        if not isinstance(event, ast.Constant):
            is_dynamic = True
            continue
        fields = fields_of(call)
        if method == "exception":
            method, fields = "error", fields | {"traceback"}
        literal.add(event.value)
        yield Logged(
            logger,
            event.value,
            method if method in LEVELS else None,
            frozenset(fields),
        )
    if is_dynamic:
        for event in sorted(texts(tree) - literal):
            yield Logged(logger, event, None, frozenset())


LOGGED = [
    event for _, logger, tree in modules_that_log() for event in logged_by(logger, tree)
]

EVENTS = {
    names(event)[0]: (f"grpcsecure.{names(logger)[0]}", level, fields, means, do)
    for event, logger, level, fields, means, do in table(
        "event", "logger", "level", "fields", "means", "do"
    )
}


def test_loggers_have_one_name():
    """Every module calls its logger `_LOGGER`, on which the tests below rely."""
    for name, _, tree in modules_that_log():
        bound = [ast.unparse(n.targets[0]) for n in tree.body if type(n) is ast.Assign]
        assert "_LOGGER" in bound, name
    assert len(LOGGED) > 20


def test_events_have_the_form_of_names():
    """Every event is called `noun.past_participle`, so that logs can be searched."""
    assert [one.event for one in LOGGED if not EVENT.fullmatch(one.event)] == []


def test_every_event_is_in_the_table():
    """Every event that the code logs has a row in the table."""
    assert {one.event for one in LOGGED} - EVENTS.keys() == set()


def test_the_table_has_no_other_events():
    """Every event in the table is logged by the code."""
    assert EVENTS.keys() - {one.event for one in LOGGED} == set()


@pytest.mark.parametrize("one", LOGGED, ids=[one.event for one in LOGGED])
def test_row_matches_the_code(one):
    """Logger, level and fields of a row are those of the logging call."""
    logger, level, fields, means, _ = EVENTS[one.event]
    assert logger == one.logger
    assert level == (one.level or level)
    assert level in LEVELS
    assert one.fields <= set(names(fields))
    assert means


def commands():
    """Yield every command with its path, the names of its groups and its own."""
    waiting = [((), cli)]
    while waiting:
        path, command = waiting.pop()
        yield path, command
        if isinstance(command, click.Group):
            context = click.Context(command)
            waiting += [
                ((*path, name), command.get_command(context, name))
                for name in command.list_commands(context)
            ]


def options():
    """Yield the options of each command; `--help` is yielded for the top level only."""
    for path, command in commands():
        words = " ".join(path)
        context = click.Context(command, **command.context_settings)
        for option in command.get_params(context):
            if not isinstance(option, click.Option):
                continue
            if path and "--help" in option.opts:
                continue
            for spelling in option.opts:
                yield pytest.param(words, spelling, id=f"{words} {spelling}".strip())


def documented_options():
    """Return the commands by option, as in the table of options."""
    found = {}
    for options_of_row, of, _ in table("option", "of", "does"):
        for option in names(options_of_row):
            found.setdefault(option, set()).update(names(of) or [""])
    return found


@pytest.mark.parametrize(("command", "option"), list(options()))
def test_option_is_in_the_table(command, option):
    """Every option of every command is in the table."""
    assert command in documented_options().get(option, ())


def test_the_table_has_no_other_options():
    """Every option in the table exists."""
    there = {each.values for each in options()}
    for option, of in documented_options().items():
        assert {(command, option) for command in of} <= there


def test_environment_variables_are_named():
    """Every `GRPCSECURE_*` variable in the code is in the table of variables."""
    named = {names(row[0])[0] for row in table("variable", "means") if row}
    found = set()
    for path in (ROOT / "grpcsecure").rglob("*.py"):
        found |= set(re.findall(r"\bGRPCSECURE_[A-Z_]+\b", path.read_text()))
    assert found
    assert found <= named


def test_exit_codes_have_columns_and_commands_rows():
    """The table of exit codes has a column for each code and a row for each command."""
    codes = [str(code.value) for code in ExitCode]
    rows = table("command", *codes)
    named = " ".join(row[0] for row in rows)
    for path, command in commands():
        if not isinstance(command, click.Group):
            assert f"`{' '.join(path)}" in named
