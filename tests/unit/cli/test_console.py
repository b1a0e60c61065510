"""The output streams: destination, colour, encoding, and streams that are closed."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from grpcsecure.cli.console import COLORS, Console
from grpcsecure.errors import ExitCode, GrpcSecureError

#: A file whose disk is full, on Linux.
FULL = Path("/dev/full")


class Terminal(io.StringIO):
    """A stream that is a terminal."""

    def isatty(self):
        """Return True."""
        return True


def make(**options):
    """Return a console that writes to two buffers, and the buffers."""
    out, err = io.StringIO(), io.StringIO()
    return Console(stdout=out, stderr=err, environ={}, **options), out, err


def run(code, **more):
    """Run `code` in a new interpreter whose streams are pipes."""
    code = f"from grpcsecure.cli.console import Console\nconsole = Console()\n{code}"
    more = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more}
    return subprocess.run([sys.executable, "-c", code], check=False, timeout=60, **more)


def test_result_goes_to_stdout_and_the_rest_to_stderr():
    """Only the result goes to stdout, so that it can be piped."""
    console, out, err = make()
    console.narrate("looking")
    console.result("found")
    console.error("error: but")
    assert out.getvalue() == "found\n"
    assert err.getvalue() == "looking\nerror: but\n"


def test_quiet_drops_narration_only():
    """With `-q` the result and the errors are still written."""
    console, out, err = make(quiet=True)
    console.narrate("looking")
    console.result("found")
    console.error("error: but")
    assert (out.getvalue(), err.getvalue()) == ("found\n", "error: but\n")


@pytest.mark.parametrize(("text", "written"), [("a\n", "a\n"), ("a", "a\n"), ("", "")])
def test_result_ends_with_one_line_end(text, written):
    """A missing line end is added; an empty result writes nothing."""
    console, out, _ = make()
    console.result(text)
    assert out.getvalue() == written


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal(), None])
@pytest.mark.parametrize(
    "environ", [{}, {"NO_COLOR": "1"}, {"FORCE_COLOR": "1"}], ids=str
)
@pytest.mark.parametrize("color", ["always", "never"])
def test_color_option_beats_all(color, environ, stream):
    """`--color` has precedence over the environment and the kind of stream."""
    console = Console(color=color, environ=environ)
    assert console.use_color(stream) is (color == "always")


@pytest.mark.parametrize(
    ("environ", "on_terminal", "on_pipe"),
    [
        pytest.param({}, True, False, id="isatty"),
        pytest.param({"NO_COLOR": "1"}, False, False, id="no-color"),
        pytest.param({"NO_COLOR": ""}, True, False, id="no-color-empty"),
        pytest.param({"FORCE_COLOR": "1"}, True, True, id="force-color"),
        pytest.param({"FORCE_COLOR": ""}, True, False, id="force-color-empty"),
        pytest.param(
            {"NO_COLOR": "0", "FORCE_COLOR": "1"}, False, False, id="no-color-first"
        ),
    ],
)
def test_auto_color_checks_environment_then_stream(environ, on_terminal, on_pipe):
    """NO_COLOR has precedence over FORCE_COLOR; both count only if not empty."""
    console = Console(environ=environ)
    assert console.use_color(Terminal()) is on_terminal
    assert console.use_color(io.StringIO()) is on_pipe


def test_color_is_decided_per_stream():
    """A result in a file has no colour even if stderr is a terminal."""
    console = Console(stdout=io.StringIO(), stderr=Terminal(), environ={})
    assert (console.color_stdout, console.color_stderr) == (False, True)


def test_color_choices_are_those_of_the_option():
    """The command line offers exactly the values that `Console` supports."""
    assert COLORS == ("auto", "always", "never")


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [
        ("utf-8", "a ⋮ ✗ … 名 \\udcff\n"),
        ("ascii", "a : x ~ \\u540d \\udcff\n"),
        ("latin-1", "a : x ~ \\u540d \\udcff\n"),
    ],
)
def test_stream_that_lacks_a_character(encoding, shown):
    """Signs become ASCII of the same width, other characters are escaped."""
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding)
    Console(stdout=stream, environ={}).result("a ⋮ ✗ … 名 \udcff")
    assert raw.getvalue().decode(encoding) == shown


def test_internal_error_is_one_line():
    """A bug is reported in one line; a private key in its text is not shown."""
    console, _, err = make()
    console.internal_error(ValueError("two\nlines"))
    console.internal_error(ValueError("-----BEGIN PRIVATE KEY-----"))
    console.internal_error(KeyError())
    lines = err.getvalue().splitlines()
    assert lines[0] == (
        "internal error: ValueError: two lines"
        " (this is a bug in grpcsecure; -v shows the traceback)"
    )
    assert "PRIVATE" not in lines[1]
    assert lines[2].startswith("internal error: KeyError (")
    assert len(lines) == 3


def test_internal_error_has_its_traceback_when_verbose():
    """`-v` shows the traceback before the line about the error."""
    console, out, err = make(verbose=True)
    with pytest.raises(ValueError, match="here") as raised:
        int("here")
    console.internal_error(raised.value)
    assert err.getvalue().startswith("Traceback")
    assert err.getvalue().endswith("(this is a bug in grpcsecure)\n")
    assert out.getvalue() == ""


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_closed_pipe_is_not_an_error(stream):
    """`grpcsecure … | head` ends without a traceback and with its normal exit code."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = run(
            "for n in range(5):\n"
            "    console.result('x' * 100_000)\n"
            "    console.error('y' * 100_000)\n"
            "console.flush()\n"
            "raise SystemExit(1)",
            **{stream: writing},
        )
    finally:
        os.close(writing)
    assert done.returncode == 1
    other = done.stderr if stream == "stdout" else done.stdout
    assert len(other) == 500_005
    assert b"Broken" not in other


@pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")
def test_full_disk_is_reported_once():
    """A result that cannot be written is reported as an error, once."""
    with FULL.open("w") as full:
        done = run(
            "from grpcsecure.errors import GrpcSecureError\n"
            "try:\n"
            "    console.result('x')\n"
            "except GrpcSecureError as error:\n"
            "    console.error(str(error))\n"
            "    raise SystemExit(error.exit_code)",
            stdout=full,
        )
    assert done.returncode == ExitCode.CANNOT
    assert done.stderr == b"cannot write the result: No space left on device\n"


def test_full_disk_of_stderr_does_not_stop_the_command():
    """If stderr cannot be written, the result is still written to stdout."""

    class Full(io.StringIO):
        def write(self, text):
            raise OSError(28, "No space left on device")

    console = Console(stdout=(out := io.StringIO()), stderr=Full(), environ={})
    console.narrate("looking")
    console.result("found")
    console.flush()
    assert out.getvalue() == "found\n"
    with pytest.raises(GrpcSecureError, match="No space left"):
        Console(stdout=Full(), environ={}).result("found")


def test_process_without_streams():
    """The command works if a service manager closed its streams."""
    done = run(
        "import sys\n"
        "sys.stdout = sys.stderr = None\n"
        "console.result('x')\n"
        "console.narrate('y')\n"
        "console.flush()\n"
        "assert not console.color_stdout"
    )
    assert done.returncode == 0


def test_closed_stream_is_not_written():
    """Writing to a stream that was closed elsewhere does nothing."""
    console, out, _ = make()
    out.close()
    console.result("x")
    assert not console.color_stdout
