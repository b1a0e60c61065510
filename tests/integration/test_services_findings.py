"""Findings about services, GS501 to GS530: their codes, places and messages."""

from __future__ import annotations

import itertools
import sys
import textwrap
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import pytest
from support.configs import brief, underlined
from support.process import ROOT, serving, write_config

from grpcsecure.checking.pipeline import Phase, load_config
from grpcsecure.config.source import Source

CONFIG = """\
version: 1
services:
  - {{servicer: '{0}'{1}}}
listeners:
  public: {{address: '127.0.0.1:0', plaintext: true}}
"""

_NUMBERS = itertools.count()


@pytest.fixture(name="module")
def _module(tmp_path, monkeypatch):
    """A function that writes a user module; returns its name, unique to the test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    written = []

    def write(text, name=None):
        written.append(name or f"mine_{next(_NUMBERS)}")
        (tmp_path / f"{written[-1]}.py").write_text(textwrap.dedent(text))
        return written[-1]

    yield write
    for name in written:
        sys.modules.pop(name, None)


def load(text, profile=None):
    """Load a config through all phases; omit the finding that it has no rules."""
    loaded = load_config(
        Source("server.yaml", Path.cwd(), text),
        profile=profile,
        environ={},
        now=datetime.now(timezone.utc),
    )
    findings = tuple(f for f in loaded.findings if f.code != "GS410")
    return replace(loaded, findings=findings)


def found(servicer, more="", config=CONFIG):
    """Return each finding about `servicer`, and the text that it points at."""
    text = config.format(servicer, more)
    loaded = load(text)
    is_bad = any(finding.is_error for finding in loaded.findings)
    assert loaded.failed is (Phase.SERVICES if is_bad else None)
    return [(*brief([f]), underlined(text, f)) for f in loaded.findings]


def only(servicer, more="", config=CONFIG):
    """Return the only finding about `servicer`."""
    (finding,) = load(config.format(servicer, more)).findings
    return finding


GREETER = "from helloworld.greeter import Greeter\n"


LISTED = """\
authorization:
  rules:
    all: {{allow: [anyone], methods: ["/helloworld.Greeter/*"]}}
profiles:
  it: {{listeners: {{public: {{services: [{}]}}}}}}
"""


@pytest.mark.parametrize(
    ("listed", "code", "label"),
    [
        ("helloworld.Greetr", "GS505", "did you mean `helloworld.Greeter`?"),
        ("Greeter", "GS505", "did you mean `helloworld.Greeter`?"),
        ("grpc.health.v1.Health", "GS404", "not served where the rule applies"),
    ],
)
def test_typo_in_the_services_of_a_listener(listed, code, label):
    """It is found where it stands; rules about the service are no mistake."""
    text = CONFIG.format("helloworld.greeter:Greeter", "") + LISTED.format(listed)
    (finding,) = [one for one in load(text, "it").findings if one.is_error]
    assert (finding.code, finding.label) == (code, label)


RULES = """\
authorization:
  rules:
    all: {allow: [anyone], methods: ["/helloworld.Greeter/*"]}
  tests: [{as: anonymous, call: /helloworld.Greeter/SayHello, expect: allow}]
"""


def test_rules_about_a_servicer_that_cannot_be_loaded_are_no_mistake():
    """One mistake has one finding, not one for each rule and test about the service."""
    (finding,) = [
        finding
        for finding in load(
            CONFIG.format("no_such_module:Greeter", "") + RULES
        ).findings
        if finding.is_error
    ]
    assert finding.code == "GS501"


class TestImport:
    """GS501 and GS502: the module, and the attribute in it."""

    def test_missing_module(self):
        """A module that does not exist is reported without a traceback."""
        assert found("no_such_module:Greeter") == [
            ("3:16 GS501 no module named `no_such_module`", "'no_such_module:Greeter'")
        ]
        assert "Traceback" not in str(only("no_such_module:Greeter").notes)

    def test_similar_module(self):
        """The nearest module of the package is suggested."""
        finding = only("helloworld.greter:Greeter")
        assert finding.label == "did you mean `helloworld.greeter`?"

    def test_missing_submodule(self):
        """The missing part of a dotted module name is named."""
        assert found("helloworld.none:Mine") == [
            (
                "3:16 GS501 no module named `helloworld.none`",
                "'helloworld.none:Mine'",
            )
        ]

    def test_module_that_needs_a_missing_one(self, module):
        """If the user's module imports a missing one, its traceback is shown."""
        name = module("import no_such_module\n")
        assert found(f"{name}:Greeter") == [
            (
                f"3:16 GS501 importing `{name}` raised ModuleNotFoundError",
                f"'{name}:Greeter'",
            )
        ]
        (note,) = only(f"{name}:Greeter").notes
        assert note.endswith("ModuleNotFoundError: No module named 'no_such_module'")

    def test_module_that_raises(self, module):
        """The traceback begins in the user's code, without frames of grpcsecure."""
        name = module("def fail():\n    1 / 0\n\nfail()\n")
        finding = only(f"{name}:Greeter")
        assert finding.message == f"importing `{name}` raised ZeroDivisionError"
        assert finding.label == "its own code failed"
        (note,) = finding.notes
        lines = [line.strip() for line in note.splitlines()]
        assert lines[0] == "Traceback (most recent call last):"
        assert lines[1].endswith(f'{name}.py", line 4, in <module>')
        assert sum(line.startswith("File ") for line in lines) == 2
        assert lines[-1] == "ZeroDivisionError: division by zero"

    def test_module_with_a_syntax_error(self, module):
        """The line that does not parse is shown."""
        name = module("def (:\n")
        (note,) = only(f"{name}:Greeter").notes
        assert f'{name}.py", line 1' in note
        assert "SyntaxError" in note

    def test_module_that_exits(self, module):
        """A module that calls `sys.exit` does not end `validate`."""
        name = module("import sys\nsys.exit(0)\n")
        finding = only(f"{name}:Greeter")
        assert finding.code == "GS501"
        assert finding.message == f"importing `{name}` raised SystemExit"

    def test_missing_attribute(self):
        """The nearest name in the module is suggested."""
        finding = only("helloworld.greeter:Greetr")
        assert brief([finding]) == [
            "3:16 GS502 `helloworld.greeter` has no attribute `Greetr`"
        ]
        assert finding.label == "did you mean `Greeter`?"

    def test_missing_inner_attribute(self):
        """Every part of a dotted attribute has to exist."""
        assert found("helloworld.greeter:Greeter.Inner") == [
            (
                "3:16 GS502 `helloworld.greeter` has no attribute `Greeter.Inner`",
                "'helloworld.greeter:Greeter.Inner'",
            )
        ]

    def test_dotted_attribute(self, module):
        """A class inside a class is named with dots."""
        name = module(f"{GREETER}class Outer:\n    Inner = Greeter\n")
        assert found(f"{name}:Outer.Inner") == []


class TestRegister:
    """GS503 and GS511: the function that registers the servicer."""

    def test_no_generated_base(self):
        """A class without a generated base needs `register`."""
        assert found("collections:OrderedDict") == [
            (
                (
                    "3:16 GS503 `collections:OrderedDict` has no generated servicer"
                    " class among its bases"
                ),
                "'collections:OrderedDict'",
            )
        ]

    def test_explicit_register(self, module):
        """With `register`, any object with the right methods serves."""
        name = module(
            """\
            class Duck:
                def SayHello(self, request, context): ...
                SayHelloManyTimes = SayHelloToAll = Chat = SayHello
            """
        )
        register = "helloworld.helloworld_pb2_grpc:add_GreeterServicer_to_server"
        assert found(f"{name}:Duck", f", register: '{register}'") == []

    def test_missing_register_function(self):
        """A misspelt register function is reported at its own place."""
        assert found(
            "helloworld.greeter:Greeter",
            ", register: 'helloworld.helloworld_pb2_grpc:add_Greeter_to_server'",
        ) == [
            (
                (
                    "3:56 GS502 `helloworld.helloworld_pb2_grpc` has no attribute"
                    " `add_Greeter_to_server`"
                ),
                "'helloworld.helloworld_pb2_grpc:add_Greeter_to_server'",
            )
        ]

    def test_register_that_registers_nothing(self):
        """A function that registers no method is rejected."""
        assert found("helloworld.greeter:Greeter", ", register: 'operator:eq'") == [
            ("3:56 GS511 `eq` registered no method", "'operator:eq'")
        ]

    def test_register_that_raises(self):
        """A register function of another service raises, which is a finding."""
        register = "grpc_health.v1.health_pb2_grpc:add_HealthServicer_to_server"
        ((message, _),) = found(
            "helloworld.greeter:Greeter", f", register: '{register}'"
        )
        assert message.startswith(
            "3:56 GS511 `add_HealthServicer_to_server` raised AttributeError: "
        )

    def test_register_that_cannot_be_called(self):
        """A `register` that is not a function is a finding, not a traceback."""
        ((message, _),) = found(
            "helloworld.greeter:Greeter", ", register: 'helloworld.greeter:__name__'"
        )
        assert message.startswith("3:56 GS511 ")

    def test_two_generated_bases(self, module):
        """A class may serve two services: both are registered."""
        name = module(
            """\
            from grpc_health.v1.health_pb2_grpc import HealthServicer
            from helloworld.greeter import Greeter
            class Both(Greeter, HealthServicer):
                def Check(self, request, context): ...
                def Watch(self, request, context): ...
                List = Check
            """
        )
        text = CONFIG.format(f"{name}:Both", "") + "server: {health: false}\n"
        loaded = load(text)
        assert loaded.findings == ()
        (service,) = loaded.services
        assert {method.service for method in service.methods} == {
            "helloworld.Greeter",
            "grpc.health.v1.Health",
        }


class TestCreation:
    """GS504, GS507 and GS508: classes, factories, instances and their arguments."""

    def test_abstract_class(self, module):
        """An abstract class is reported with the names of its abstract methods."""
        name = module(
            f"""\
            from abc import ABC, abstractmethod
            {GREETER.strip()}
            class Abstract(Greeter, ABC):
                @abstractmethod
                def style(self): ...
                @abstractmethod
                def accent(self): ...
            """
        )
        assert found(f"{name}:Abstract") == [
            (
                (
                    f"3:16 GS504 `{name}:Abstract` is abstract: `accent`, `style` not"
                    " implemented"
                ),
                f"'{name}:Abstract'",
            )
        ]

    def test_unknown_argument(self):
        """A misspelt argument is reported at `with`; the nearest one is suggested."""
        finding = only("helloworld.greeter:Greeter", ", with: {greting: Hi}")
        assert brief([finding]) == [
            ("3:46 GS507 `helloworld.greeter:Greeter` takes no argument `greting`")
        ]
        assert finding.label == "did you mean `greeting`?"

    def test_argument_values_are_not_shown(self, module):
        """Arguments may be secrets: no finding repeats them."""
        finding = only("helloworld.greeter:Greeter", ", with: {pass: s3cret}")
        assert "s3cret" not in repr(finding)

    def test_missing_argument(self, module):
        """A missing argument is reported at the servicer if there is no `with`."""
        name = module(
            f"{GREETER}class Needy(Greeter):\n    def __init__(self, url): ...\n"
        )
        assert found(f"{name}:Needy") == [
            (
                (f"3:16 GS507 `{name}:Needy` needs the argument `url`"),
                f"'{name}:Needy'",
            )
        ]
        assert found(f"{name}:Needy", ", with: {url: x}") == []

    def test_argument_of_another_type(self, module):
        """GS530: each value of another type than annotated, at its own place."""
        name = module(
            f"""\
            from __future__ import annotations
            {GREETER.strip()}
            class Typed(Greeter):
                def __init__(self, retries: int, hosts: list[str] | None = None):
                    raise SystemExit
            """
        )
        more = ", with: {retries: '3', hosts: [a, 5]}"
        assert [
            message.partition(" ")[2] for message, _ in found(f"{name}:Typed", more)
        ] == [
            f"GS530 `{name}:Typed` takes `int` for `retries`, not text",
            f"GS530 `{name}:Typed` takes `str` for `hosts[1]`, not a whole number",
        ]
        assert [place for _, place in found(f"{name}:Typed", more)] == ["'3'", "5"]
        assert found(f"{name}:Typed", ", with: {retries: 3, hosts: [a]}") == []

    def test_argument_from_a_file_is_text(self, module, tmp_path):
        """GS530 for `${file:PATH}` says so; a file that is not read has no finding."""
        name = module(
            f"{GREETER}class Typed(Greeter):\n    def __init__(self, n: int): ...\n"
        )
        (tmp_path / "n.txt").write_text("3\n")
        text = CONFIG.format(f"{name}:Typed", ", with: {n: '${file:n.txt}'}")
        (finding,) = load(text).findings
        assert finding.code == "GS530"
        assert finding.help == "a file gives text: annotate `str`, and convert it"
        loaded = load_config(
            Source("server.yaml", Path.cwd(), text),
            profile=None,
            environ={},
            now=datetime.now(timezone.utc),
            files=False,
        )
        assert "GS530" not in {finding.code for finding in loaded.findings}

    def test_instance_takes_no_arguments(self, module):
        """An instance is served as it is."""
        name = module(f"{GREETER}greeter = Greeter()\n")
        assert found(f"{name}:greeter") == []
        ((message, _),) = found(f"{name}:greeter", ", with: {greeting: Hi}")
        assert message == (
            f"3:{len(name) + 28} GS507 `{name}:greeter` is an instance and takes no"
            " arguments"
        )

    def test_factory_with_annotation_is_known(self, module):
        """`validate` never calls a factory, but takes the class from its annotation."""
        name = module(
            f"{GREETER}def make(greeting: str = '') -> Greeter:\n    raise SystemExit\n"
        )
        assert found(f"{name}:make", ", with: {greeting: Hi}") == []
        ((message, _),) = found(f"{name}:make", ", with: {greting: Hi}")
        assert "GS507" in message

    def test_factory_annotated_with_the_generated_base_is_trusted(self, module):
        """A factory annotated `-> GreeterServicer` gets no finding GS510."""
        name = module(
            """\
            from helloworld.helloworld_pb2_grpc import GreeterServicer
            def make() -> GreeterServicer: ...
            """
        )
        assert found(f"{name}:make") == []

    def test_factory_without_annotation_is_a_warning(self, module):
        """The services of a factory without an annotation are unknown until it runs."""
        name = module(f"{GREETER}def make():\n    return Greeter()\n")
        finding = only(f"{name}:make")
        assert not finding.is_error
        assert brief([finding]) == [
            f"3:16 GS508 the services of `{name}:make` are unknown until it is called"
        ]

    @pytest.mark.parametrize(
        ("names", "says"),
        [
            (
                ["SayHello", "Chat", "SayHelloToAll"],
                "does not implement `/helloworld.Greeter/SayHelloManyTimes`",
            ),
            (
                ["SayHello", "Chat"],
                "does not implement 2 of the 4 methods of `helloworld.Greeter`",
            ),
            ([], "implements no method of `helloworld.Greeter`"),
        ],
        ids=["one", "two", "all"],
    )
    def test_unimplemented_methods_are_one_warning(self, module, names, says):
        """Methods that only the generated base has are reported, once by service."""
        own = "".join(f"    def {name}(self, first, context): ...\n" for name in names)
        name = module(
            "from helloworld.helloworld_pb2_grpc import GreeterServicer\n"
            f"class Half(GreeterServicer):\n    pass\n{own}"
        )
        assert found(f"{name}:Half") == [
            (f"3:16 GS510 `{name}:Half` {says}", f"'{name}:Half'")
        ]


TWO = """\
version: 1
services:
  - {{servicer: '{0}'}}
  - {{servicer: '{1}'}}
listeners:
  public: {{address: '127.0.0.1:0', plaintext: true}}
"""

ONE = """\
version: 1
services: [{{servicer: 'helloworld.greeter:Greeter'}}]
listeners:
  public: {{address: '127.0.0.1:0', plaintext: true, services: [{0}]}}
  probes: {{address: '127.0.0.1:0', plaintext: true, services: [{1}]}}
"""


class TestCombinations:
    """GS505, GS506, GS509 and GS512: services, listeners and the runtime."""

    def test_two_servicers_of_one_service(self):
        """Two servicers of one service are rejected: gRPC would ignore one of them."""
        finding = only(
            "helloworld.greeter:Greeter", "helloworld.greeter:Greeter", config=TWO
        )
        assert brief([finding]) == [
            "4:16 GS509 two servicers provide `helloworld.Greeter`"
        ]
        assert finding.secondary[0].span.line == 3

    def test_service_that_grpcsecure_provides(self, module):
        """A user's own health service needs `health: false`."""
        name = module(
            """\
            from grpc_health.v1.health import HealthServicer as Mine
            """
        )
        findings = load(CONFIG.format(f"{name}:Mine", "")).findings
        (finding,) = [f for f in findings if f.is_error]
        assert brief([finding]) == [
            (
                f"3:16 GS509 `{name}:Mine` provides `grpc.health.v1.Health`, as"
                " grpcsecure does"
            )
        ]
        assert finding.help == "set `server.health: false` to serve your own"

    def test_listener_with_an_unknown_service(self):
        """A misspelt service is reported at its place in the listener's list."""
        text = ONE.format("helloworld.Greeter", "helloworld.Greetr")
        (finding,) = load(text).findings
        assert brief([finding]) == [
            (
                "5:64 GS505 listener `probes` names the service `helloworld.Greetr`,"
                " which no servicer provides"
            )
        ]
        assert underlined(text, finding) == "helloworld.Greetr"
        assert finding.label == "did you mean `helloworld.Greeter`?"

    def test_built_in_services_are_known_while_they_are_on(self):
        """Health is served by default, reflection if it is switched on."""
        text = ONE.format(
            "helloworld.Greeter",
            "grpc.health.v1.Health, grpc.reflection.v1alpha.ServerReflection",
        )
        (finding,) = load(text).findings
        assert finding.code == "GS505"
        loaded = load(text + "server: {reflection: true}\n")
        assert [f.code for f in loaded.findings] == ["GS311"]

    def test_service_on_no_listener(self):
        """If every listener has a list, a service on none of them is a warning."""
        text = ONE.format("grpc.health.v1.Health", "grpc.health.v1.Health")
        (finding,) = load(text).findings
        assert not finding.is_error
        assert brief([finding]) == [
            "2:23 GS512 `helloworld.Greeter` is served on no listener"
        ]

    def test_coroutines_in_threads(self):
        """In the threads runtime a coroutine would never be awaited."""
        text = CONFIG.format("helloworld.greeter_aio:Greeter", "")
        text += "server: {runtime: threads}\n"
        (finding,) = load(text).findings
        assert brief([finding]) == [
            (
                "3:16 GS506 `helloworld.greeter_aio:Greeter` has coroutines, which"
                " threads cannot call"
            )
        ]
        assert finding.label == "`SayHello` is one"
        assert finding.secondary[0].span.line == 6

    @pytest.mark.parametrize("runtime", ["auto", "asyncio"])
    def test_coroutines_elsewhere(self, runtime):
        """The other runtimes await coroutines, so there is no finding."""
        text = CONFIG.format("helloworld.greeter_aio:Greeter", "")
        assert load(f"{text}server: {{runtime: {runtime}}}\n").findings == ()

    def test_all_services_are_reported(self):
        """A bad service does not hide findings about the next one."""
        text = TWO.format("no_such_module:A", "collections:OrderedDict")
        assert [f.code for f in load(text).findings] == ["GS501", "GS503"]


class TestImportPaths:
    """The folders in which user modules are found."""

    def test_import_paths_are_searched(self, module, tmp_path):
        """`server.import_paths` are relative to the config."""
        folder = tmp_path / "lib"
        folder.mkdir()
        (folder / "only_in_lib.py").write_text(GREETER)
        try:
            text = CONFIG.format("only_in_lib:Greeter", "")
            assert [f.code for f in load(text).findings] == ["GS501"]
            assert load(f"{text}server: {{import_paths: [lib]}}\n").findings == ()
        finally:
            sys.modules.pop("only_in_lib", None)

    def test_import_paths_come_before_the_current_directory(self, module, tmp_path):
        """Of two modules with one name, that of `server.import_paths` is found."""
        name = module("raise RuntimeError")
        (tmp_path / "lib").mkdir()
        (tmp_path / "lib" / f"{name}.py").write_text(GREETER)
        text = CONFIG.format(f"{name}:Greeter", "")
        assert load(f"{text}server: {{import_paths: [lib]}}\n").findings == ()

    @pytest.mark.parametrize("import_paths", [(), (".",)])
    def test_modules_of_others_are_not_replaced(self, tmp_path, import_paths):
        """Neither those of Python nor those of packages, before and after the start."""
        for name in ("secrets", "random", "queue", "click", "yaml", "grpc", "OpenSSL"):
            (tmp_path / f"{name}.py").write_text("raise RuntimeError(__name__)\n")
        (tmp_path / "own_greeter.py").write_text(GREETER)
        examples = str(ROOT / "examples")
        paths = [*import_paths, examples]
        config = tmp_path / "config.yaml"
        write_config(config, "own_greeter:Greeter", import_paths=paths)
        with serving(config, cwd=tmp_path) as served:
            served.signal()
            assert served.wait() == 0, served.stderr

    def test_current_directory_is_importable(self, module):
        """A module in the current directory is found."""
        name = module(GREETER)
        assert found(f"{name}:Greeter") == []
