"""What a command line will load, guessed before its library is there to read it.

A guess is used only if it turns out to be what `serve` was told, so a wrong one costs
some time of another core and nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["DEFAULT_CONFIG", "FLAGS", "VALUED", "foresee"]

#: The config of a command that is given none.
DEFAULT_CONFIG = "grpcsecure.yaml"

#: The options that `serve` may have before or after it, with and without a value.
VALUED = frozenset(
    {
        "--client-command",
        "--color",
        "--log-format",
        "--log-level",
        "--profile",
        "--ready-file",
    }
)
FLAGS = frozenset({"-q", "--quiet", "-v", "--verbose"})


def foresee(
    arguments: Sequence[str], environ: Mapping[str, str]
) -> tuple[str, str | None] | None:
    """Return the config and the profile that `serve` will load; None: do not guess."""
    profile = environ.get("GRPCSECURE_PROFILE") or None
    words = []
    rest = iter(arguments)
    for argument in rest:
        option, equals, value = argument.partition("=")
        if option in VALUED:
            value = value if equals else next(rest, "")
            profile = value if option == "--profile" else profile
        elif argument.startswith("-") and argument not in FLAGS:
            return None  # help, standard input, a mistake
        elif argument not in FLAGS:
            words.append(argument)
    if not words or words[0] != "serve":
        return None
    names = words[1:] or [environ.get("GRPCSECURE_CONFIG") or DEFAULT_CONFIG]
    return names[0], profile
