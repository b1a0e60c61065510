"""The structure that CONTRIBUTING.md draws, held to by reading the source."""

from __future__ import annotations

import ast
import collections
import graphlib
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "grpcsecure"

#: Modules that every part may import.
COMMON = {"descriptor_reserve", "errors", "name_lookup", "quoting"}

#: What each part of the package may import of the others, besides `COMMON`.
MAY_IMPORT = {
    "__main__": {"cli"},
    # The public names.
    "grpcsecure": {"errors", "model", "server", "server.services"},
    "name_lookup": {"errors"},
    "quoting": set(),
    "descriptor_reserve": set(),
    "errors": {"diagnostics"},
    "model": set(),
    "diagnostics": set(),
    "config": {"diagnostics", "model"},
    "watch": set(),  # no TLS: the config file is watched too
    # No policy, no config, no findings: bytes, and what they prove.
    "tls": {"model", "watch"},
    "policy": {"model"},  # no gRPC, no TLS, no clock: values in, a decision out
    "devcerts": set(),
    # Loads user code and lists its methods; serves nothing.
    "server.services": {"config", "diagnostics", "model", "server"},
    "checking": {
        "config",
        "diagnostics",
        "model",
        "policy",
        "server.services",
        "tls",
        "watch",
    },
    "server": {
        "checking",
        "config",
        "diagnostics",
        "model",
        "policy",
        "server.services",
        "tls",
        "watch",
    },
    # Reads off what would be decided; decides nothing, watches nothing, prints nothing.
    "explain": {
        "checking",
        "config",
        "diagnostics",
        "model",
        "policy",
        "server",
        "server.services",
        "tls",
    },
    "cli": {
        "checking",
        "config",
        "devcerts",
        "diagnostics",
        "explain",
        "grpcsecure",
        "model",
        "server",
        "server.services",
        "tls",
    },
}

#: Modules of a part that one of the parts above may import of another: those only.
ONLY = {
    ("server.services", "server"): {"server.grpcio._bindings"},
    ("explain", "server"): {"server.snapshot", "server.rpc.peer_cache"},
    ("explain", "checking"): {"checking.pipeline", "checking.rules.methods"},
    ("explain", "tls"): {"tls.simulated_handshake"},
    ("cli", "tls"): {"tls.certificate", "tls.files", "tls.material", "tls.pem"},
}

#: Which rooms run in which process: a room imports no other process's rooms. The
#: exception starts the bridge in a thread of the server process, for tests.
PROCESSES = {
    "tls.bridge.child": {"server", "checking", "policy", "config", "tls.bridge.parent"},
    "tls.bridge.ipc": {"server", "tls.bridge.parent", "tls.bridge.child"},
    "tls.bridge.parent": {"server", "tls.bridge.child"},
    "server": {"tls.bridge.child"},
    "tls.openssl": {"tls.bridge", "tls.grpcio", "tls.boringssl"},
    "tls.boringssl": {"tls.bridge", "tls.grpcio", "tls.openssl"},
    "tls.grpcio": {"tls.bridge", "tls.openssl"},
}
PROCESS_EXCEPTIONS = {("tls/bridge/parent/hosts.py", "tls.bridge.child.event_loop")}

#: Module names that stand for the same thing in two rooms.
SAME_THING = {
    "_bindings": "the private names of a library, in the room of that library",
    "__main__": "what `python -m` runs, in each package that has a process",
    "explain": "the command, and the package that does its work",
    "grpcio": "the library: its private names, and its own TLS",
    "render": "renderers, of findings and of explanations",
}

#: The one home of each third party: it is imported nowhere else.
HOMES = {
    "OpenSSL": ("tls/bridge/child/", "tls/openssl/"),
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
    "input": ((), "there may be no terminal to answer"),
    "open": ((), "files are read whole, once, where they are named"),
    "sys.exit": (
        ("cli/main.py", "tls/bridge/child/__main__.py"),
        "one place ends a process",
    ),
    "os._exit": (("cli/main.py",), "one place ends a process"),
    "time.time": ((), "the clock is passed in, and it is aware"),
    "datetime.utcnow": ((), "a moment without a time zone is no moment"),
    "eval": ((), "a config is data"),
    "exec": ((), "a config is data"),
}

#: Where private names of these libraries may be used: in these rooms only.
PRIVATE_ROOMS = ("server/grpcio/", "tls/openssl/_bindings.py")
LIBRARIES = ("OpenSSL", "cryptography", "grpc", "grpc_health", "grpc_reflection")

#: Names of cffi, by which cryptography's bindings are called.
CFFI = {"ffi", "lib"}

#: Private names of other objects that are used elsewhere, none of them a library's.
NOT_OF_LIBRARIES = {
    ("cli/main.py", "os._exit"),
    ("cli/repository_paths.py", "case._replace"),  # of a NamedTuple, public
    ("cli/repository_paths.py", "label._replace"),
    ("cli/repository_paths.py", "span._replace"),
    ("explain/table.py", "call._replace"),
    ("server/reload/reloader.py", "result._replace"),
    ("server/rpc/bridged_caller.py", "context._grpcsecure_caller"),
    ("server/rpc/call_context.py", "_grpcsecure_view"),
    ("server/rpc/interceptor_chain.py", "_grpcsecure_call"),
    ("server/rpc/threads_interception.py", "context._grpcsecure_call"),
    ("server/rpc/threads_handlers.py", "context._context"),  # a `CallContext`
    ("watch/digest.py", "other._by_pattern"),
}

MOST_LINES = 400


class Module:
    """A module of the package: its place in it, its text and its syntax tree."""

    def __init__(self, path):
        self.place = path.relative_to(PACKAGE).as_posix()
        self.text = path.read_text()
        self.tree = ast.parse(self.text)
        self.nodes = list(ast.walk(self.tree))

    @property
    def part(self):
        """The part of the package that the module belongs to."""
        return part_of(self.name)

    @property
    def name(self):
        """The dotted name of the module."""
        parts = self.place.removesuffix(".py").split("/")
        return ".".join(["grpcsecure", *parts]).removesuffix(".__init__")

    @property
    def imports(self):
        """The modules that it imports, anywhere in it."""
        for node in self.nodes:
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                yield node.module if node.level == 0 else "." * node.level

    @property
    def imported_names(self):
        """The same with the names that are imported from modules appended."""
        for node in self.nodes:
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


def part_of(name):
    """Return the part of the package that an imported module belongs to."""
    names = name.split(".")
    if names[1:3] == ["server", "services"]:
        return "server.services"
    return names[1] if len(names) > 1 else names[0]


@pytest.fixture(name="modules", scope="module")
def _modules():
    """Every module of the package, read once."""
    modules = [Module(path) for path in sorted(PACKAGE.rglob("*.py"))]
    assert len(modules) > 100
    return modules


def test_imports_are_absolute(modules):
    """An import says from where, so that the other rules can be read off it."""
    assert [m.place for m in modules if any(n.startswith(".") for n in m.imports)] == []


def test_parts_depend_in_one_direction(modules):
    """Text becomes data, data a model, a model a server: nothing reaches back."""
    assert [
        f"{module.place} imports {name}"
        for module in modules
        for name in module.imports
        if name.partition(".")[0] == "grpcsecure"
        and part_of(name) not in {module.part, *COMMON, *MAY_IMPORT[module.part]}
    ] == []


def test_only_these_modules_cross_a_border(modules):
    """Where a part needs little of another, the rest of it is out of bounds."""
    assert [
        f"{module.place} imports {name}"
        for module in modules
        for name in module.imports
        if name.startswith("grpcsecure.")
        and (module.part, part_of(name)) in ONLY
        and name.removeprefix("grpcsecure.") not in ONLY[module.part, part_of(name)]
    ] == []


def test_each_process_has_its_own_rooms(modules):
    """The bridge's process never runs code of the server, nor the other way round."""
    assert [
        f"{module.place} imports {name}"
        for module in modules
        for room, forbidden in PROCESSES.items()
        if is_inside(module.name, f"grpcsecure.{room}")
        for name in module.imports
        if any(is_inside(name, f"grpcsecure.{other}") for other in forbidden)
        and (module.place, name.removeprefix("grpcsecure.")) not in PROCESS_EXCEPTIONS
    ] == []


def test_bridge_process_loads_nothing_of_the_server():
    """The bridge's process imports neither gRPC nor any code of the server."""
    code = (
        "import sys, grpcsecure.tls.bridge.child.__main__;"
        "print(*(m for m in sys.modules if m.startswith(("
        "'grpc.', 'grpcsecure.server', 'grpcsecure.policy', 'grpcsecure.config',"
        "'grpcsecure.checking', 'grpcsecure.tls.bridge.parent'))))"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    assert found.stdout.split() == []


def is_inside(name, room):
    """Whether a module is in a room, or is the room itself."""
    return name == room or name.startswith(f"{room}.")


def test_no_modules_import_each_other(modules):
    """There are no circles of imports, those for type checkers included."""
    known = {module.name: module for module in modules}
    graph = {name: set() for name in known}
    for module in modules:
        for imported in module.imported_names:
            nearest = imported if imported in known else imported.rpartition(".")[0]
            if nearest in known and nearest != module.name:
                graph[module.name].add(nearest)
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        pytest.fail(f"circle of imports: {' -> '.join(error.args[1])}")


def test_a_name_stands_for_one_thing(modules):
    """No two modules share a name, and no two classes, but for the same thing."""
    rooms = collections.defaultdict(set)
    classes = collections.defaultdict(set)
    for module in modules:
        rooms[module.name.rpartition(".")[2]].add(module.place)
        for node in module.nodes:
            if isinstance(node, ast.ClassDef):
                classes[node.name.lstrip("_")].add(module.place)
    twice = {n: sorted(p) for n, p in (rooms | classes).items() if len(p) > 1}
    assert {n: p for n, p in twice.items() if n not in SAME_THING} == {}


def test_third_parties_are_imported_at_home(modules):
    """A library that is known in one place can be replaced in one place."""
    own = {*sys.stdlib_module_names, "grpcsecure"}
    found = {(m.place, n.partition(".")[0]) for m in modules for n in m.imports}
    assert [
        f"{place} imports {name}, whose home is {HOMES.get(name, 'unknown')}"
        for place, name in sorted(found)
        if name not in own and not place.startswith(HOMES.get(name, ()))
    ] == []


def test_banned_calls_stay_at_home(modules):
    """Streams, files, the clock and the end of the process have their places."""
    banned = []
    for module in modules:
        for node in module.nodes:
            if isinstance(node, ast.Call) and isinstance(
                node.func, (ast.Name, ast.Attribute)
            ):
                name = ast.unparse(node.func)
                homes, reason = BANNED.get(name, ((module.place,), ""))
                if module.place not in homes:
                    where = f"{module.place}:{node.lineno}"
                    banned.append(f"{where}: {name}, but {reason}")
    assert banned == []


def is_private(name):
    """Whether a name, or a part of a dotted one, is private or one of cffi."""
    return any(
        part in CFFI or (part.startswith("_") and not part.startswith("__"))
        for part in name.split(".")
    )


def private_names(module):
    """Yield what a module uses of other objects, or imports, that is private."""
    for name in module.imported_names:
        if name.partition(".")[0] in LIBRARIES and is_private(name):
            yield name
    for node in module.nodes:
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            owner = ast.unparse(node.value)
            if owner not in ("self", "cls", "super()"):
                yield f"{owner}.{node.attr}"
        elif isinstance(node, ast.Name) and node.id in CFFI:
            yield node.id
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("attr"):
            yield from filter(is_private, map(constant, node.args[1:2]))
        elif isinstance(node, ast.Constant):
            name, _, rest = constant(node).partition(".")
            is_name = all(part.isidentifier() for part in rest.split("."))
            if name in LIBRARIES and is_name and is_private(rest):
                yield node.value


def constant(node):
    """Return a constant text, and an empty one for anything else."""
    is_text = isinstance(node, ast.Constant) and isinstance(node.value, str)
    return node.value if is_text else ""


def test_name_lookup_of_libraries_have_two_rooms(modules):
    """Each is looked up at the start, and a release without it is found out there."""
    used = {
        (module.place, name)
        for module in modules
        if not module.place.startswith(PRIVATE_ROOMS)
        for name in private_names(module)
    }
    assert used == NOT_OF_LIBRARIES


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("from OpenSSL._util import binding", "OpenSSL._util.binding"),
        ("from OpenSSL import _util", "OpenSSL._util"),
        ("import grpc._cython.cygrpc", "grpc._cython.cygrpc"),
        ("from cryptography.hazmat.bindings import lib", "cryptography"),
        ("connection._ssl", "connection._ssl"),
        ("self.connection._ssl", "self.connection._ssl"),
        ("lib.SSL_read()", "lib"),
        ("binding.lib.SSL_read()", "binding.lib"),
        ("getattr(handler, '_method_handlers', None)", "_method_handlers"),
        ("hasattr(grpc, '_server')", "_server"),
        ("import_module('grpc._server')", "grpc._server"),
        ("find('grpc.aio._server.Server')", "grpc.aio._server.Server"),
    ],
)
def test_name_lookup_are_found(tmp_path, monkeypatch, code, expected):
    """The rule above sees each way to use one."""
    monkeypatch.setattr(f"{__name__}.PACKAGE", tmp_path)
    (tmp_path / "a.py").write_text(code)
    assert any(
        name.startswith(expected) for name in private_names(Module(tmp_path / "a.py"))
    )


def test_modules_are_explained(modules):
    """A module says what it is for."""
    assert [m.place for m in modules if not ast.get_docstring(m.tree)] == []


def test_modules_are_short(modules):
    """A module has one idea, and fits in a reader's head."""
    assert [
        f"{module.place}: {lines} lines"
        for module in modules
        if (lines := len(module.text.splitlines())) > MOST_LINES
    ] == []


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
