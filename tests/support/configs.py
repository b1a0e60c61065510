"""Configs as text for tests, and their findings in a form that is easy to compare."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from hypothesis import strategies as st

from grpcsecure.config.load import Parsed, parse_config
from grpcsecure.config.source import Source

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from grpcsecure.diagnostics.findings import Finding, Label

FOLDER = Path("/etc/greeter")

#: A config without mistakes; its mapping `profiles` is open at the end.
GOOD = """\
version: 1
services:
  - servicer: greeter:Greeter
listeners:
  public:
    address: 127.0.0.1:8443
    tls:
      certificate: certs/server.pem
      private_key: certs/server.key
      client_certificate: dont_request
"""

#: PyYAML's two loaders; grpcsecure uses the first one if it is available.
LOADERS: list[Any] = [
    loader
    for loader in (getattr(yaml, "CSafeLoader", None), yaml.SafeLoader)
    if loader is not None
]


def source(text: str) -> Source:
    """Return `text` as the content of a file `server.yaml`."""
    return Source("server.yaml", FOLDER, text)


def parse(
    text: str, *, profile: str | None = None, environ: Mapping[str, str] | None = None
) -> Parsed:
    """Parse a whole config."""
    return parse_config(source(text), profile=profile, environ=environ or {})


def patched(patch: str, environ: Mapping[str, str] | None = None) -> Parsed:
    """Parse the good config with `patch` applied as a profile."""
    text = f"{GOOD}profiles:\n  it:\n{textwrap.indent(patch or '{}', '    ')}\n"
    return parse(text, profile="it", environ=environ)


def brief(findings: Iterable[Finding]) -> list[str]:
    """Return each finding as `line:column code message`."""
    return [
        f"{f.span.line}:{f.span.column} {f.code} {f.message}"
        if f.span
        else f"{f.code} {f.message}"
        for f in findings
    ]


def underlined(text: str, finding: Finding | Label) -> str:
    """Return the characters that a finding or a label underlines."""
    span = finding.span
    assert span is not None
    lines = text.split("\n")[span.line - 1 : span.end_line]
    lines[-1] = lines[-1][: span.end_column - 1]
    lines[0] = lines[0][span.column - 1 :]
    return "\n".join(lines)


#: JSON values.
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=12,
)

#: Pieces of text with a meaning in YAML, variables or the schema.
_PIECES = [
    *":-?[]{}&*!|>%@`'\"#,$~=\n\t ",
    "\n  ", "\n    ", "\n- ", ": ", "- ", "${", "}", "${A}", "${A:-", "${B:?", "$$",
    "&a ", "*a", "!!str ", "!!python/object/apply:os.system ", "<<: ", "---\n", "...\n",
    "%YAML 1.1\n", "off", "0777", "1:30", "1e999", ".inf", "9" * 30, "\\u0000", "\r\n",
    "version: 1\n", "services:\n", "listeners:\n", "profiles:\n", "tls", "address",
    "-----BEGIN PRIVATE KEY-----", "\ufeff", "\u2028", "é", "😀", "\x00",
]  # fmt: skip

#: Text that resembles YAML, and mostly is not valid YAML.
YAMLISH = st.lists(st.sampled_from(_PIECES) | st.text(max_size=3), max_size=40).map(
    "".join
)
