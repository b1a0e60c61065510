"""Tests of the PEM parser."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grpcsecure.tls.pem import BrokenBlock, PemBlock, parse_pem, render_pem

SECRET = "MIGHAgEAMBMGByqGSM49SECRETSECRET"
BLOCK = f"-----BEGIN PRIVATE KEY-----\n{SECRET}\n-----END PRIVATE KEY-----\n"


def parse(text):
    """Parse text as the bytes of a file."""
    return list(parse_pem(text.encode()))


def test_blocks_keep_their_order_and_lines():
    """Text around blocks is allowed, and each block has the line of its BEGIN."""
    text = f"subject=CN=x\n\n{BLOCK}between\n{BLOCK.replace('PRIVATE KEY', 'X509 CRL')}"
    blocks = parse(text)
    assert [(block.label, block.line) for block in blocks] == [
        ("PRIVATE KEY", 3),
        ("X509 CRL", 7),
    ]
    assert blocks[0].der == blocks[1].der != b""


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("indent", ["", "  ", "\t"])
def test_line_endings_and_indentation_do_not_matter(ending, indent):
    """Files from other systems, or copied out of indented text, can be read."""
    text = "".join(indent + line + ending for line in BLOCK.splitlines())
    assert [type(block) for block in parse("\N{BOM}" + text)] == [PemBlock]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (BLOCK.replace("-----END", "END"), "it has no END line"),
        (BLOCK.partition("-----END")[0] + BLOCK, "it has no END line"),
        (BLOCK.replace("END PRIVATE", "END PUBLIC"), "its END line does not match"),
        (BLOCK.replace("MIGH", "M!GH"), "its base64 is damaged"),
        (BLOCK.replace("MIGH", "MIG"), "its base64 is damaged"),
        (BLOCK.replace(SECRET, ""), "it is empty"),
        (BLOCK.replace("\n", ""), "it is all in one line"),
        (BLOCK.replace("KEY-----\nM", "KEY---\nM"), "its BEGIN line is damaged"),
        (BLOCK.replace("PRIVATE", "private"), "its BEGIN line is damaged"),
    ],
)
def test_broken_block_is_reported_with_its_line(text, problem):
    """A damaged block is neither skipped nor repaired by guessing."""
    first = parse("text\n" + text)[0]
    assert isinstance(first, BrokenBlock)
    assert first.line == 2
    assert first.problem.startswith(problem)


def test_blocks_after_a_broken_one_are_found():
    """Unlike in gRPC, parsing continues after the damaged block."""
    damaged = BLOCK.replace("MIGH", "M!GH")
    assert [type(block) for block in parse(BLOCK + damaged + BLOCK)] == [
        PemBlock,
        BrokenBlock,
        PemBlock,
    ]


@pytest.mark.parametrize(
    "text",
    [
        BLOCK.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY"),
        BLOCK.replace(
            SECRET,
            f"Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\n{SECRET}",
        ),
    ],
)
def test_encrypted_blocks_are_recognised(text):
    """Both ways of encrypting a key are recognised from the PEM text alone."""
    (block,) = parse(text)
    assert block.is_encrypted


@pytest.mark.parametrize(
    "text", [BLOCK, BLOCK.replace("MIGH", "M!GH"), BLOCK.replace("\n", "")]
)
def test_repr_shows_nothing_of_a_block(text):
    """A key cannot get into a log through a repr."""
    (block,) = parse(text)
    assert "SECRET" not in repr(block)
    assert "SECRET" not in str(block)


@given(st.lists(st.binary(min_size=1, max_size=200), max_size=5))
def test_rendered_blocks_are_parsed_back(ders):
    """Rendering and parsing are inverse to each other."""
    blocks = list(parse_pem(render_pem("CERTIFICATE", ders)))
    assert [block.der for block in blocks] == ders


PIECES = st.sampled_from(
    [b"-----BEGIN ", b"-----END ", b"CERTIFICATE", b"-----", b"\n", b"QUJD", b":", b" "]
)


@given(st.lists(PIECES | st.binary(max_size=10), max_size=60).map(b"".join))
def test_any_bytes_can_be_parsed(data):
    """Parsing raises no exception, for any content of a file."""
    for block in parse_pem(data):
        assert 1 <= block.line <= data.count(b"\n") + data.count(b"\r") + 1
