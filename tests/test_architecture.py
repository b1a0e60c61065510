"""The structure that docs/contributing.md draws, held to by reading the source."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "grpcsecure"
MODULES = sorted(PACKAGE.rglob("*.py"))

#: What everybody may import: exceptions, and what makes values.
COMMON = {"errors", "frozen"}

#: What each part of the package may import of the others, besides `COMMON`.
MAY_IMPORT = {
    "__main__": {"cli"},
    "grpcsecure": {"errors", "model", "server"},  # the public names
    "frozen": set(),
    "errors": {"diagnostics"},
    "model": set(),
    "diagnostics": set(),
    "config": {"diagnostics", "model"},
    "tls": {"model"},  # no policy, no config, no findings: bytes, and what they prove
    "policy": {"model"},  # no gRPC, no TLS, no clock: values in, a decision out
    "devcerts": set(),
    "checks": {"config", "diagnostics", "model", "policy", "tls"},
    "server": {"checks", "config", "diagnostics", "model", "policy", "tls"},
    # Reads off what would be decided; decides nothing, and prints nothing.
    "explain": {
        "checks",
        "config",
        "diagnostics",
        "model",
        "policy",
        "server",
        "tls",
    },
    "cli": {
        "checks",
        "config",
        "devcerts",
        "diagnostics",
        "explain",
        "grpcsecure",
        "model",
        "policy",
        "server",
        "tls",
    },
}

#: The one home of each third party: it is imported nowhere else.
HOMES = {
    "OpenSSL": ("tls/bridge/",),
    "click": ("cli/",),
    "cryptography": ("tls/", "devcerts/"),
    "google": ("server/",),
    "grpc": ("server/", "tls/grpcio/server_credentials.py"),
    "grpc_health": ("server/services/health.py", "server/services/inventory.py"),
    "grpc_reflection": (
        "server/services/reflection.py",
        "server/services/inventory.py",
    ),
    "jsonschema": ("config/schema_check.py",),
    "jsonschema_rs": ("config/schema_check.py",),
    "typing_extensions": ("",),  # for type checkers only
    "watchdog": ("watch/events.py",),
    "yaml": ("config/yaml.py",),
}

#: Calls that have one home as well, and the reason for it.
BANNED = {
    "print": ((), "the console owns the streams"),
    "input": ((), "nobody may be there to answer"),
    "open": (("server/ahead.py",), "files are read whole, once, where they are named"),
    "sys.exit": (
        ("cli/main.py", "tls/bridge/child/__main__.py"),
        "one place ends a process",
    ),
    "os._exit": (("cli/main.py", "server/ahead.py"), "one place ends a process"),
    "time.time": ((), "the clock is passed in, and it is aware"),
    "datetime.utcnow": ((), "a moment without a time zone is no moment"),
    "eval": ((), "a config is data"),
    "exec": ((), "a config is data"),
}

MOST_LINES = 400


def place(path):
    """Return the path of a module inside the package."""
    return path.relative_to(PACKAGE).as_posix()


def part(module):
    """Return the part of the package that a module of ours belongs to."""
    names = module.split(".")
    return names[1] if len(names) > 1 else names[0]


def imports(path):
    """Return the modules that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{place(path)}: imports are absolute"
            yield node.module


@pytest.mark.parametrize("path", MODULES, ids=place)
def test_parts_depend_in_one_direction(path):
    """Text becomes data, data a model, a model a server: nothing reaches back."""
    parts = place(path).removesuffix(".py").split("/")
    own = "grpcsecure" if parts == ["__init__"] else parts[0]
    wanted = {part(name) for name in imports(path) if name.startswith("grpcsecure")}
    assert wanted - COMMON - {own} <= MAY_IMPORT[own]


@pytest.mark.parametrize("path", MODULES, ids=place)
def test_third_parties_are_imported_at_home(path):
    """A library that is known in one place can be replaced in one place."""
    for name in {name.partition(".")[0] for name in imports(path)}:
        if name not in sys.stdlib_module_names and name != "grpcsecure":
            assert name in HOMES, f"{name} has no home"
            assert place(path).startswith(HOMES[name]), f"{name} lives elsewhere"


@pytest.mark.parametrize("path", MODULES, ids=place)
def test_banned_calls_stay_at_home(path):
    """Streams, files, the clock and the end of the process have their places."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            homes, reason = BANNED.get(ast.unparse(node.func), ((place(path),), ""))
            assert place(path) in homes, f"line {node.lineno}: {reason}"


@pytest.mark.parametrize("path", MODULES, ids=place)
def test_modules_are_short_and_explained(path):
    """A module has one idea, says which, and fits in a reader's head."""
    text = path.read_text()
    assert ast.get_docstring(ast.parse(text))
    if not place(path).startswith("diagnostics/catalog/"):  # data, not code
        assert len(text.splitlines()) <= MOST_LINES


def test_command_line_starts_without_the_heavy_libraries(tmp_path):
    """`validate --syntax-only` of a good config needs no gRPC and no cryptography."""
    config = tmp_path / "server.yaml"
    config.write_text(
        "version: 1\nservices: [{servicer: 'a:B'}]\n"
        "listeners: {a: {address: '127.0.0.1:1', plaintext: true}}\n"
    )
    code = f"""if True:
        import sys
        from grpcsecure.cli.main import main
        try:
            main(["validate", "--syntax-only", {str(config)!r}])
        except SystemExit as end:
            assert end.code == 0, end
        heavy = {{"grpc", "cryptography", "OpenSSL", "jsonschema", "asyncio", "ssl"}}
        assert not heavy & set(sys.modules), heavy & set(sys.modules)
        """
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
