"""What is said of a text that a parser of the model refuses."""

from __future__ import annotations

__all__ = ["why_refused"]


def why_refused(parse, text):
    """Return what `parse` says is wrong with a text, or None if nothing is."""
    try:
        parse(text)
    except ValueError as error:
        return str(error)
    return None
