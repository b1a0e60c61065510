"""GS138 to GS145: included files, and values of `${file:PATH}`."""

from __future__ import annotations

from grpcsecure.diagnostics.findings import Kind, Severity

__all__ = [
    "CIRCULAR_INCLUDE",
    "MISPLACED_INCLUDED_KEY",
    "NULL_IN_INCLUDE",
    "REPLACED_LIST",
    "SHOWN_FILE_VALUE",
    "TOO_MANY_INCLUDES",
    "UNREADABLE_FILE_VALUE",
    "UNREADABLE_INCLUDE",
]

UNREADABLE_INCLUDE = Kind(
    code="GS138",
    name="unreadable-include",
    severity=Severity.ERROR,
    what="A file in `include` cannot be read.",
    why="Its identities, rules and listeners would be missing. It is a part of the"
    " config, so `--no-files` reads it too.",
    bad="include: [shared/identites.yaml]",
    good="include: [shared/identities.yaml]",
)

CIRCULAR_INCLUDE = Kind(
    code="GS139",
    name="circular-include",
    severity=Severity.ERROR,
    what="A file includes itself, perhaps through others.",
    why="A file is merged over what it includes, so what it includes must be known"
    " first. Two files may include the same third one.",
    bad="include: [shared/circle.yaml]",
    good="include: [shared/identities.yaml]",
)

TOO_MANY_INCLUDES = Kind(
    code="GS140",
    name="too-many-includes",
    severity=Severity.ERROR,
    what="A config includes more than 100 files, or files nested more than 16 deep.",
    why="Limits keep a mistake, such as a link to a directory above, from making a"
    " start or a reload endless.",
)

MISPLACED_INCLUDED_KEY = Kind(
    code="GS141",
    name="misplaced-included-key",
    severity=Severity.ERROR,
    what="An included file has `profiles` or `production`.",
    why="Whether a server is in production, and its variants, are decided in its own"
    " config, where a reader looks for them, and not in a file that many share.",
    bad="include: [shared/production.yaml]",
    good="include: [shared/identities.yaml]",
)

NULL_IN_INCLUDE = Kind(
    code="GS142",
    name="null-in-include",
    severity=Severity.ERROR,
    what="A key of an included file is null.",
    why="Null removes a key (RFC 7396), and a key without a value is null. An included"
    " file only adds; a rule that it took away would be missed by no reader of it.",
    bad="include: [shared/removal.yaml]",
    good="include: [shared/identities.yaml]",
)

REPLACED_LIST = Kind(
    code="GS143",
    name="replaced-list",
    severity=Severity.WARNING,
    what="A list replaces an included list.",
    why="Mappings are merged, lists are not (RFC 7396): the included items are gone.",
    bad="include: [shared/server.yaml]\nserver: {import_paths: [.]}",
    good="include: [shared/server.yaml]",
)

UNREADABLE_FILE_VALUE = Kind(
    code="GS144",
    name="unreadable-file-value",
    severity=Severity.ERROR,
    what="The file of a `${file:PATH}` cannot be read, is larger than 64 KiB, or is not"
    " text in UTF-8.",
    why="The value is not known, and the server would start with another one.",
    bad="server: {shutdown_grace: '${file:secrets/graze}'}",
    good="server: {shutdown_grace: '${file:secrets/grace}'}",
)

SHOWN_FILE_VALUE = Kind(
    code="GS145",
    name="shown-file-value",
    severity=Severity.ERROR,
    what="`${file:PATH}` gives a value that the server shows: an address, a path, a"
    " name, a method, the mode of a listener.",
    why="The text of such a file is never shown, since it may be a secret; these values"
    " are in logs and findings. `${VAR}` may give them.",
    bad="listeners: {public: {address: '${file:secrets/address}'}}",
    good="listeners: {public: {address: '127.0.0.1:8444'}}",
)
