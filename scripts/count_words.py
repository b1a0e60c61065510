"""Counts turns of phrase that CONTRIBUTING.md asks to avoid, per 10,000 words.

python scripts/count_words.py            # the figures of the whole tree
python scripts/count_words.py PATH…      # each place below these paths
"""

from __future__ import annotations

import io
import re
import subprocess
import sys
import tokenize
from pathlib import Path

ROOT = Path(__file__).parent.parent

#: Each turn of phrase, and the most of it per 10,000 words. A ceiling only goes down.
CEILINGS = {
    "nobody": 1.0,
    "what": 3.0,
    "whoever": 2.0,
    "ours": 0.5,
}

PATTERNS = {
    "nobody": re.compile(r"\b(?:nobody|somebody|everybody)(?:'s)?\b", re.IGNORECASE),
    # At the begin of a text or a line of a list, or after the end of a sentence.
    "what": re.compile(r"(?:\A|(?<=[.!?:] )|(?<=\n\n))[\s#:>*|`\"'-]*What\b"),
    "whoever": re.compile(r"\b(?:whoever|whatever)(?:'s)?\b", re.IGNORECASE),
    "ours": re.compile(r"\bof (?:ours|theirs)\b", re.IGNORECASE),
}

_WORD = re.compile(r"[A-Za-z][A-Za-z'-]*")
_SUFFIXES = {".md", ".py", ".sh", ".toml", ".yaml", ".yml", ""}


def prose(path: Path) -> list[tuple[int, str]]:
    """Return the texts of a file, each with its line: of Python, comments and strings.

    Lines of comments that follow each other are one text.
    """
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        return [(1, text)]
    found: list[tuple[int, str]] = []
    last = -1
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        line = token.start[0]
        if token.type == tokenize.COMMENT:
            if last == line - 1 and found:
                found[-1] = (found[-1][0], f"{found[-1][1]} {token.string[1:].strip()}")
            else:
                found.append((line, token.string.lstrip("#: ")))
            last = line
        elif token.type == tokenize.STRING:
            found.append((line, token.string.lstrip("rbfuRBFU").strip("\"'")))
    return found


def files() -> list[Path]:
    """Return the text files of the tree that git knows, but for this one."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],  # noqa: S607 - found on PATH
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    paths = (ROOT / name for name in listed.split("\0") if name)
    return [
        path
        for path in paths
        if path.suffix in _SUFFIXES
        and path.is_file()
        and not path.name.endswith(("_pb2.py", "_pb2_grpc.py"))
        and path != Path(__file__)
    ]


def places(paths: list[Path]) -> list[tuple[str, Path, int, str]]:
    """Return each match: the name of its pattern, file, line and text around it."""
    return [
        (
            name,
            path,
            line + text.count("\n", 0, match.start()),
            " ".join(text[max(0, match.start() - 30) : match.end() + 50].split()),
        )
        for path in paths
        for line, text in prose(path)
        for name, pattern in PATTERNS.items()
        for match in pattern.finditer(text)
    ]


def rates() -> dict[str, float]:
    """Return how often each turn of phrase occurs in the tree, per 10,000 words."""
    texts = [text for path in files() for _, text in prose(path)]
    words = sum(len(_WORD.findall(text)) for text in texts)
    return {
        name: 10_000 * sum(len(pattern.findall(text)) for text in texts) / words
        for name, pattern in PATTERNS.items()
    }


def main(arguments: list[str]) -> None:
    """Print the figures, or the places below the paths that are given."""
    if not arguments:
        for name, rate in rates().items():
            print(f"{name:8} {rate:6.2f}  at most {CEILINGS[name]}")
        return
    roots = [Path(argument).resolve() for argument in arguments]
    inside = [
        path
        for path in files()
        if any(path == root or root in path.parents for root in roots)
    ]
    for name, path, line, text in places(inside):
        print(f"{path.relative_to(ROOT)}:{line}: {name}: {text}")


if __name__ == "__main__":
    main(sys.argv[1:])
