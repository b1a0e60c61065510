"""Tracebacks of user code contain no frames of grpcsecure or the importer."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

import grpcsecure
from grpcsecure.model.server_config import ImportPath
from grpcsecure.server.services.user_code import user_traceback


def compiled(text, path):
    """Return the namespace of `text`, executed as the file at `path`."""
    namespace = {"ImportPath": ImportPath}
    exec(compile(text, str(path), "exec"), namespace)
    return namespace


def trace(call):
    """Return the lines of the trimmed traceback of the exception `call` raises."""
    with pytest.raises(ValueError, match=r"no|expected") as caught:
        call()
    return user_traceback(caught.value).splitlines()


def files(lines):
    """Return the names of the files in a traceback."""
    return [Path(line.split('"')[1]).name for line in lines if "File " in line]


def test_frames_of_grpcsecure_are_left_out():
    """Frames of grpcsecure are left out anywhere in the traceback."""
    lines = trace(lambda: ImportPath.parse("no path"))
    assert files(lines) == ["test_user_code.py", "test_user_code.py"]
    assert lines[-1].startswith("ValueError: ")


def test_chained_exceptions_are_trimmed_too():
    """Frames are also left out of the causes of an exception."""
    text = (
        "def wrap():\n"
        "    try:\n        ImportPath.parse('no path')\n"
        "    except ValueError as error:\n        raise ValueError('no') from error\n"
    )
    wrap = compiled(text, "/app/mine.py")["wrap"]
    here = "test_user_code.py"
    assert files(trace(wrap)) == ["mine.py", here, "mine.py"]


def test_directories_with_a_similar_name_are_user_code():
    """A project `grpcsecure-demo` beside the package counts as the user's code."""
    neighbour = Path(grpcsecure.__file__).parent.with_name("grpcsecure-demo") / "it.py"
    fail = compiled("def fail():\n    raise ValueError('no')\n", neighbour)["fail"]
    assert files(trace(fail))[-1] == "it.py"


def test_the_importer_is_left_out(tmp_path, monkeypatch):
    """Between two modules of the user there are no frames of the importer."""
    (tmp_path / "outer_it.py").write_text("import inner_it\n")
    (tmp_path / "inner_it.py").write_text("raise ValueError('no')\n")
    monkeypatch.syspath_prepend(tmp_path)
    try:
        lines = trace(lambda: importlib.import_module("outer_it"))
    finally:
        sys.modules.pop("outer_it", None)
    assert files(lines)[-2:] == ["outer_it.py", "inner_it.py"]
    assert "__init__.py" not in files(lines)


@pytest.mark.parametrize(
    ("password", "shown"),
    [
        ("hunter2", "hunter2"),
        ('it\'s\n"hunter2"', None),
        (271828, None),
        ("db://user:hunter2@host", "hunter2@host"),
        ({"nested": ["hunter2"]}, "hunter2"),
    ],
)
def test_arguments_are_not_shown(password, shown):
    """Exceptions quote the values that they reject, as a whole or in part."""
    text = shown or password

    def create(password):
        raise ValueError(f"no {text!r} or {text}") from KeyError(text)

    with pytest.raises(ValueError, match="no ") as caught:
        create(password=password)
    for secret in ("hunter2", "271828"):
        found = user_traceback(caught.value, {"password": password})
        assert secret not in found
        assert "ValueError: no " in found


def test_short_arguments_change_no_other_text():
    """A number such as 1 is part of every traceback."""
    with pytest.raises(ValueError, match="no 1") as caught:
        raise ValueError("no 1")
    assert user_traceback(caught.value, {"a": 1, "b": True}).endswith("no 1")
