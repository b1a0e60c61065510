"""Tests of `include`: how files are merged, and findings where they cannot be."""

from __future__ import annotations

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.configs import GOOD, brief, source

from grpcsecure.config import includes
from grpcsecure.config.absolute_paths import PATH_KEYS
from grpcsecure.config.effective import render_effective
from grpcsecure.config.load import Parsed, parse_config
from grpcsecure.config.profiles import merge_patch
from grpcsecure.config.schema_file import load_schema
from grpcsecure.config.source import STDIN, Source, read_source
from grpcsecure.config.tree import Node, plain
from grpcsecure.config.yaml import parse_yaml

NAMES = st.text("abcx-", max_size=2)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(0, 9) | NAMES,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3)
    ),
    max_leaves=8,
)

IDENTITIES = "identities:\n  ada: {dns: ada.test}\n"


@pytest.fixture(name="load")
def _load(tmp_path, monkeypatch):
    """A function that writes files, and loads the first one with its includes."""
    monkeypatch.chdir(tmp_path)

    def load(main: str, profile=None, environ=None, **files: str) -> Parsed:
        for name, text in files.items():
            path = tmp_path / name.replace("__", "/")
            path = path.with_suffix(".yaml")
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        (tmp_path / "main.yaml").write_text(main)
        read = read_source("main.yaml")
        assert isinstance(read, Source)
        return parse_config(read, profile=profile, environ=environ or {})

    return load


def including(*names: str, more: str = "") -> str:
    """Return a config that includes files; `more` are further keys of it."""
    return f"include: [{', '.join(names)}]\n{GOOD}{more}"


def value(parsed: Parsed, *path):
    """Return a value of the effective config."""
    assert brief(parsed.findings) == []
    assert parsed.document is not None
    node = plain(parsed.document.tree)
    for step in path:
        node = node[step]
    return node


def only(parsed: Parsed) -> str:
    """Return the only finding as `file:line:column code message`."""
    [finding] = parsed.findings
    assert finding.span is not None
    return f"{finding.span.file}:{brief([finding])[0]}"


class TestMerge:
    """The merged config."""

    def test_order(self, load):
        """Later files win over earlier ones, and the file over all of them."""
        parsed = load(
            including("a.yaml", "b.yaml", more="server: {threads: 3}\n"),
            a="server: {threads: 1, max_concurrent_rpcs: 1, shutdown_grace: 1s}\n",
            b="server: {threads: 2, max_concurrent_rpcs: 2}\n",
        )
        assert value(parsed, "server") == {
            "threads": 3, "max_concurrent_rpcs": 2, "shutdown_grace": "1s",
        }  # fmt: skip

    def test_profile_is_last(self, load):
        """A profile is applied to the file with what it includes."""
        more = "profiles: {it: {identities: {ada: null, bob: {dns: bob.test}}}}\n"
        parsed = load(including("a.yaml", more=more), profile="it", a=IDENTITIES)
        assert value(parsed, "identities") == {"bob": {"dns": "bob.test"}}

    def test_nested_and_shared(self, load):
        """Two included files may include the same third one."""
        parsed = load(
            including("a.yaml", "b.yaml"),
            a="include: [c.yaml]\nserver: {threads: 1}\n",
            b="include: [c.yaml]\n",
            c="server: {threads: 9, import_paths: [lib]}\n",
        )
        # As RFC 7396 has it: `b` comes after `a`, with all that it includes.
        assert value(parsed, "server", "threads") == 9

    def test_file_removes(self, load):
        """A null in the file itself removes what is included."""
        more = "identities: {ada: null, bob: {dns: bob.test}}\n"
        parsed = load(including("a.yaml", more=more), a=IDENTITIES)
        assert value(parsed, "identities") == {"bob": {"dns": "bob.test"}}

    def test_null_that_removes_nothing_is_reported_as_without_includes(self, load):
        """An empty key does not vanish because the file includes another."""
        text = GOOD + "      crl:\n"
        [alone] = brief(load(text).findings)
        [including_too] = brief(
            load(f"{text}include: [a.yaml]\n", a=IDENTITIES).findings
        )
        assert (
            including_too
            == alone
            == ("11:7 GS105 `listeners.public.tls.crl` is empty; a list is expected")
        )

    @given(st.lists(st.dictionaries(NAMES, VALUES, max_size=4), max_size=4))
    def test_equals_merge_patches(self, objects):
        """Merging in turn gives what the pseudocode of RFC 7396 gives."""
        merged: Node | None = None
        expected: object = {}
        for one in objects:
            root, _ = parse_yaml(source(json.dumps(one)))
            assert root is not None
            merged = merge_patch(merged, root, replaced=[])
            expected = reference(expected, one)
        assert merged is None or plain(merged) == expected

    def test_extensions_are_ignored(self, load):
        """Keys with `x-` are ignored, in each file; their anchors are not."""
        main = f"x-grace: &grace 7s\nx-null:\n{including('a.yaml')}"
        main += "server: {shutdown_grace: *grace}\n"
        main += "profiles: {it: {x-more: '${UNSET}', reload: {interval: 5s}}}\n"
        included = "x-list: [1]\nx-empty:\nx-var: ${UNSET}\n"
        parsed = load(main, profile="it", a=included)
        assert value(parsed, "server") == {"shutdown_grace": "7s"}
        assert not [key for key in value(parsed) if key.startswith("x-")]

    def test_keys_like_extensions_below_the_top_are_unknown(self, load):
        """Only the top level has `x-…`."""
        [found] = brief(load(GOOD + "server: {x-a: 1}\n").findings)
        assert "GS102" in found


def reference(target: object, patch: object) -> object:
    """Merge by the pseudocode of RFC 7396, section 2."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, one in patch.items():
        if one is None:
            result.pop(name, None)
        else:
            result[name] = reference(result.get(name), one)
    return result


class TestPaths:
    """Paths in included files, and those of the files themselves."""

    def test_relative_to_their_file(self, load, tmp_path):
        """Each relative path starts at the directory of the file that has it."""
        shared = """\
listeners:
  public: {address: "unix:s.sock"}
  other:
    address: 127.0.0.1:1
    tls:
      certificate: b.pem
      private_key: ${KEY}
      client_certificate: require_and_verify
      client_ca: {a.test: ca.pem}
      crl: [crl.pem]
server: {import_paths: [lib]}
identities: {ada: {certificates: "pins/*.pem"}}
authorization:
  audit_file: audit.log
  rules: {all: {allow: [ada], methods: ["*"]}}
"""
        main = including("shared/a.yaml").replace("    address: 127.0.0.1:8443\n", "")
        parsed = load(main, environ={"KEY": "b.key"}, shared__a=shared)
        assert brief(parsed.findings) == []
        config = parsed.document.config
        public, other = sorted(config.listeners, key=lambda one: one.name != "public")
        folder = tmp_path / "shared"
        assert public.address.path == folder / "s.sock"
        assert public.tls.certificate == tmp_path / "certs/server.pem"
        assert other.tls.private_key == folder / "b.key"
        assert dict(other.tls.client_ca.files) == {"a.test": folder / "ca.pem"}
        assert other.tls.crl == (folder / "crl.pem",)
        assert config.server.import_paths == (folder / "lib",)
        assert config.authorization.audit.file == folder / "audit.log"
        assert config.identities[0].matchers[0].criteria[0].value == str(
            folder / "pins/*.pem"
        )
        # The effective config is one file, and means the same.
        text = render_effective(parsed.document)
        again = parse_config(
            Source("again", tmp_path, text), profile=None, environ={}
        ).document
        assert again.config == config

    def test_patched_block(self, load, tmp_path):
        """A profile changes one path of an included block; the others stay as meant."""
        tls = (
            "{certificate: a.pem, private_key: a.key, client_certificate: dont_request}"
        )
        shared = f"listeners: {{more: {{address: '127.0.0.1:1', tls: {tls}}}}}\n"
        more = "profiles: {it: {listeners: {more: {tls: {private_key: b.key}}}}}\n"
        parsed = load(including("s/a.yaml", more=more), profile="it", s__a=shared)
        assert brief(parsed.findings) == []
        [tls] = [
            one.tls for one in parsed.document.config.listeners if one.name == "more"
        ]
        assert tls.certificate == tmp_path / "s/a.pem"
        assert tls.private_key == tmp_path / "b.key"

    def test_keys_with_paths_are_known(self):
        """The effective config knows every key of the schema whose value is a path."""
        found = set()

        def walk(part, key):
            if isinstance(part, dict):
                if part.get("$ref") == "#/$defs/path":
                    found.add(key)
                for name, below in part.items():
                    is_key = not name.startswith("$") and name not in (
                        "properties", "items", "additionalProperties", "then", "else",
                    )  # fmt: skip
                    walk(below, name if is_key else key)

        walk(load_schema(), "")
        assert found - {"include"} == PATH_KEYS

    def test_variables_in_paths(self, load):
        """A path may have variables; one that is not set is one finding."""
        text = including("'${DIR}/a.yaml'")
        parsed = load(text, environ={"DIR": "s"}, s__a=IDENTITIES)
        assert value(parsed, "identities") == {"ada": {"dns": "ada.test"}}
        [found] = brief(load(text).findings)
        assert found == "1:12 GS109 the variable `DIR` is not set"

    def test_standard_input(self, tmp_path, monkeypatch):
        """The paths of a config from standard input start at the current directory."""
        (tmp_path / "a.yaml").write_text(IDENTITIES)
        monkeypatch.chdir(tmp_path)
        stdin = read_source("-", stdin=including("a.yaml").encode())
        parsed = parse_config(stdin, profile=None, environ={})
        assert value(parsed, "identities") == {"ada": {"dns": "ada.test"}}
        assert [*parsed.sources] == [STDIN, "a.yaml"]

    def test_names_of_files(self, tmp_path, monkeypatch):
        """A file is called as seen from where the config was named, without `..`."""
        for name in ("s/main.yaml", "shared/a.yaml", "link/x/b.yaml"):
            (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
            (tmp_path / name).write_text(IDENTITIES)
        (tmp_path / "s/x").symlink_to(tmp_path / "link/x")
        (tmp_path / "link/c.yaml").write_text(IDENTITIES)
        (tmp_path / "s/main.yaml").write_text(
            including("../shared/a.yaml", "x/b.yaml", "x/../c.yaml")
        )
        monkeypatch.chdir(tmp_path)
        parsed = parse_config(read_source("s/main.yaml"), profile=None, environ={})
        assert brief(parsed.findings) == []
        assert [*parsed.sources] == [
            "s/main.yaml", "shared/a.yaml", "s/x/b.yaml", "s/x/../c.yaml",
        ]  # fmt: skip


class TestFindings:
    """Mistakes, each at its place."""

    @pytest.mark.parametrize(
        ("include", "expected"),
        [
            ("a.yaml", "1:1 GS105 `include` is text; a list is expected"),
            ("{a: b}", "1:1 GS105 `include` is a mapping; a list is expected"),
            ("", "1:1 GS105 `include` is empty; a list is expected"),
            ("[]", "1:1 GS112 `include` is empty"),
            ("[1]", "1:11 GS105 `include[0]` is a number; a path is expected"),
            ("[a.yaml, ]", None),
            ("[[a.yaml]]", "1:11 GS105 `include[0]` is a list; a path is expected"),
            ("['']", "1:11 GS106 invalid value for `include[0]`"),
            ("['${file:a.yaml}']", "1:11 GS145 `include[0]` cannot come from a file"),
            ("[b.yaml]", ("1:11 GS138 cannot include `b.yaml`: no such file or"
             " directory")),
            ("[.]", "1:11 GS138 cannot include `.`: it is a directory"),
            ("[pipe]", "1:11 GS138 cannot include `pipe`: it is not a regular file"),
            ("[/dev/zero]", ("1:11 GS138 cannot include `/dev/zero`: it is not a"
             " regular file")),
        ],
    )  # fmt: skip
    def test_of_the_list(self, load, tmp_path, include, expected):
        """A list that names no file is one finding, at its place; none waits."""
        os.mkfifo(tmp_path / "pipe")
        parsed = load(f"include: {include}\n{GOOD}", a=IDENTITIES)
        assert brief(parsed.findings) == ([expected] if expected else [])

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("production: false\n",
             "1:1 GS141 the included file `a.yaml` has `production`"),
            ("profiles: {a: {}}\n",
             "1:1 GS141 the included file `a.yaml` has `profiles`"),
            ("version: 2\n", "1:10 GS107 unknown value for `version`"),
            ("server:\n", "1:1 GS142 `server` is null in an included file"),
            ("server: {health: null}\n",
             "1:10 GS142 `server.health` is null in an included file"),
            ("server: {healt: true}\n", "1:10 GS102 unknown key `healt` in `server`"),
            ("server: {threads: a}\n",
             "1:19 GS105 `server.threads` is text; a whole number is expected"),
            ("server: {threads: '${NO}'}\n", "1:20 GS109 the variable `NO` is not set"),
            ("server: [\n", "1:10 GS101 a value is missing before the end of the line"),
            ("a: 1\n", "1:1 GS102 unknown key `a` at the top level"),
            ("# nothing\n", "1:1 GS122 the config is empty"),
            ("x: &x {<<: {}}\n", "1:8 GS116 the merge key `<<` is not supported"),
            ("server: {shutdown_grace: 400d}\n",
             "1:26 GS106 invalid value `400d` for `server.shutdown_grace`"),
        ],
    )  # fmt: skip
    def test_in_an_included_file(self, load, text, expected):
        """Mistakes in an included file are found there, once."""
        parsed = load(including("a.yaml"), a=text)
        assert only(parsed) == f"a.yaml:{expected}"

    def test_not_text(self, load, tmp_path):
        """An included file that is not UTF-8 has a finding at the byte."""
        (tmp_path / "b.yaml").write_bytes(b"a: \xff\n")
        parsed = load(including("b.yaml"))
        assert "GS1" in only(parsed)
        assert only(parsed).startswith("b.yaml:1:4 ")

    def test_circle(self, load, tmp_path):
        """A circle names the files in it, also through a link."""
        parsed = load(
            including("a.yaml"), a="include: [b.yaml]\n", b="include: [a.yaml]\n"
        )
        assert only(parsed) == (
            "b.yaml:1:11 GS139 a file includes itself: `a.yaml` -> `b.yaml` -> `a.yaml`"
        )
        (tmp_path / "link.yaml").symlink_to("main.yaml")
        parsed = load(including("link.yaml"))
        assert only(parsed) == (
            "main.yaml:1:11 GS139 a file includes itself: `main.yaml` -> `link.yaml`"
        )

    def test_too_many(self, load):
        """The number of files and the length of a chain are bounded."""
        names = [f"f{i}" for i in range(includes.MAX_INCLUDES + 3)]
        files = dict.fromkeys(names, IDENTITIES)
        parsed = load(including(*(f"{name}.yaml" for name in names)), **files)
        assert "GS140 the config includes more than 100 files" in only(parsed)
        chain = {
            f"c{i}": f"include: [c{i + 1}.yaml]\n"
            for i in range(includes.MAX_DEPTH + 1)
        }
        parsed = load(including("c0.yaml"), **chain)
        assert only(parsed) == (
            "c15.yaml:1:11 GS140 includes are nested deeper than 16 files"
        )

    def test_too_large(self, load, monkeypatch):
        """The text and the values of all files are bounded as those of one config."""
        with monkeypatch.context() as patch:
            patch.setattr(includes, "MAX_BYTES", 60)
            parsed = load(including("a.yaml", "b.yaml"), a=IDENTITIES, b=IDENTITIES)
        assert "the included files are larger than 8 MiB" in only(parsed)
        monkeypatch.setattr(includes, "MAX_NODES", 3)
        assert "more than 3 values" in only(load(including("a.yaml"), a=IDENTITIES))

    def test_replaced_list(self, load):
        """A list in the place of an included one is a warning with both places."""
        more = "server: {import_paths: [.]}\n"
        parsed = load(
            including("a.yaml", more=more), a="server: {import_paths: [..]}\n"
        )
        assert parsed.document is not None
        [finding] = parsed.findings
        assert brief([finding]) == [
            "12:10 GS143 `server.import_paths` replaces the included list"
        ]
        [label] = finding.secondary
        assert label.span.file == "a.yaml"
        assert not finding.is_error

    @pytest.mark.parametrize("key", ["authorization", "listeners", "production"])
    def test_removed_key(self, load, key):
        """A file cannot take these keys away from what it includes by an empty one."""
        text = "include: [a.yaml]\nversion: 1\nservices: [{servicer: 'a:A'}]\n"
        rules = "authorization: {default: deny}\n"
        parsed = load(f"{text}{key}:\n", a=rules)
        assert brief(parsed.findings)[0] == f"4:1 GS134 the file removes `{key}`"

    def test_misspelled_name(self, load):
        """A name that the file removes has to be there."""
        more = "identities: {adda: null}\n"
        parsed = load(including("a.yaml", more=more), a=IDENTITIES)
        assert brief(parsed.findings) == [
            "12:14 GS136 the file removes `identities.adda`, which is not there"
        ]

    def test_similar_name(self, load):
        """A file may add a name that is similar to an included one."""
        more = "identities: {adb: {dns: b.test}}\n"
        assert brief(load(including("a.yaml", more=more), a=IDENTITIES).findings) == []

    def test_profile_cannot_include(self, load):
        """`include` in a profile is an error: it would be read too late."""
        more = "profiles: {it: {include: [a.yaml]}}\n"
        [found] = brief(load(GOOD + more, profile="it", a=IDENTITIES).findings)
        assert found == "11:17 GS131 the profile `it` changes `include`"

    def test_arguments_stay_hidden(self, load):
        """Lines with arguments of servicers are known in each file."""
        included = "services:\n  - servicer: a:A\n    with: {password: hunter2}\n"
        main = "version: 1\ninclude: [a.yaml]\nlisteners: {a: {plaintext: true}}\n"
        parsed = load(main, a=included)
        assert parsed.argument_lines["a.yaml"] == {3}
