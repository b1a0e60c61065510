"""The error of a parser of the model, for tests."""

from __future__ import annotations

__all__ = ["why_refused"]


def why_refused(parse, text):
    """Return the error text of `parse` for `text`, or None if there is no error."""
    try:
        parse(text)
    except ValueError as error:
        return str(error)
    return None
