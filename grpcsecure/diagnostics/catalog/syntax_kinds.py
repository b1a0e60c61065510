"""GS1xx: encoding, YAML, variables, profiles and the JSON Schema."""

from __future__ import annotations

from grpcsecure.diagnostics.findings import Kind, Severity

__all__ = [
    "AMBIGUOUS_SCALAR",
    "CONTROL_CHARACTER",
    "DUPLICATE_ITEM",
    "DUPLICATE_KEY",
    "EFFECT_CONFLICT",
    "EMPTY_CONFIG",
    "EMPTY_VALUE",
    "EXPLICIT_TAG",
    "INVALID_ENCODING",
    "INVALID_NAME",
    "INVALID_VALUE",
    "INVALID_YAML",
    "MALFORMED_VARIABLE",
    "MERGE_KEY",
    "MISSING_KEY",
    "NESTING_TOO_DEEP",
    "NON_TEXT_KEY",
    "OVERSIZED_CONFIG",
    "PASTED_KEY",
    "RECURSIVE_ALIAS",
    "REMOVED_KEY",
    "RESERVED_OPTION",
    "SCHEMA_MISMATCH",
    "SEVERAL_DOCUMENTS",
    "TOO_MANY_VALUES",
    "TRANSPORT_CONFLICT",
    "UNKNOWN_ALIAS",
    "UNKNOWN_KEY",
    "UNKNOWN_VALUE",
    "UNPATCHABLE_KEY",
    "UNREPLACED_VARIABLE",
    "UNSET_VARIABLE",
    "UNUSABLE_NUMBER",
    "UNUSABLE_VARIABLE",
    "WRONG_TYPE",
]

INVALID_YAML = Kind(
    code="GS101",
    name="invalid-yaml",
    severity=Severity.ERROR,
    what="The file is not valid YAML at this place.",
    why="The rest of the file could not be read.",
    bad="server: {import_paths: [../src, ../lib}",
    good="server: {import_paths: [../src, ../lib]}",
)

UNKNOWN_KEY = Kind(
    code="GS102",
    name="unknown-key",
    severity=Severity.ERROR,
    what="The key is not valid at this place.",
    why="It is misspelled or misplaced. If it were ignored, the intended setting would"
    " have no effect.",
    bad="server: {thread: 8}",
    good="server: {threads: 8}",
)

DUPLICATE_KEY = Kind(
    code="GS103",
    name="duplicate-key",
    severity=Severity.ERROR,
    what="The key is written twice in one mapping.",
    why="YAML parsers keep one of the two and silently drop the other.",
    bad="server: {threads: 8, runtime: threads, threads: 16}",
    good="server: {threads: 16, runtime: threads}",
)

MISSING_KEY = Kind(
    code="GS104",
    name="missing-key",
    severity=Severity.ERROR,
    what="A required key is missing.",
    why="It has no default, because none would be safe.",
    bad="services: [{with: {greeting: Hello}}]",
    good="services: [{servicer: 'greeter:Greeter', with: {greeting: Hello}}]",
)

WRONG_TYPE = Kind(
    code="GS105",
    name="wrong-type",
    severity=Severity.ERROR,
    what="The value has the wrong type for the key.",
    why="YAML reads text without quotes as a number, a boolean or null if it looks like"
    " one. Values are never converted by guessing.",
    bad="server: {threads: '16'}",
    good="server: {threads: 16}",
)

INVALID_VALUE = Kind(
    code="GS106",
    name="invalid-value",
    severity=Severity.ERROR,
    what="The value has the right type, but not a valid form or size for the key.",
    why="Durations need a unit, addresses need a port, numbers have a range: nothing is"
    " guessed.",
    bad="server: {shutdown_grace: 30 seconds}",
    good="server: {shutdown_grace: 30s}",
)

UNKNOWN_VALUE = Kind(
    code="GS107",
    name="unknown-value",
    severity=Severity.ERROR,
    what="The value is not one of the valid values of the key.",
    why="It is misspelled; the nearest valid value may mean something else.",
    bad="server: {runtime: asyncoi}",
    good="server: {runtime: asyncio}",
)

AMBIGUOUS_SCALAR = Kind(
    code="GS108",
    name="ambiguous-scalar",
    severity=Severity.ERROR,
    what="YAML 1.1 and YAML 1.2 read the value differently.",
    why="`off` is false in one and text in the other, `0777` is 511 or 777, `1:30` is"
    " 90 or text. Another program that reads the file may disagree with this one.",
    bad="services: [{servicer: 'greeter:Greeter', with: {greeting: off}}]",
    good="services: [{servicer: 'greeter:Greeter', with: {greeting: 'off'}}]",
)

UNSET_VARIABLE = Kind(
    code="GS109",
    name="unset-variable",
    severity=Severity.ERROR,
    what="The config uses an environment variable that is not set and has no default.",
    why="An empty value in its place would mean something else.",
    bad="server: {shutdown_grace: '${NO_SUCH_VARIABLE}'}",
    good="server: {shutdown_grace: '${NO_SUCH_VARIABLE:-30s}'}",
)

MALFORMED_VARIABLE = Kind(
    code="GS110",
    name="malformed-variable",
    severity=Severity.ERROR,
    what="A variable is not written as `${VAR}`, `${VAR:-default}` or"
    " `${VAR:?message}`.",
    why="If it were kept, the server would get the text with the `${` in it. The"
    " spellings of other tools (`$VAR`, `$(VAR)`, `%VAR%`, `{{ … }}`) are not replaced"
    " either. A literal dollar sign is written `$$`.",
    bad="server: {shutdown_grace: '${GRACE-30s}'}",
    good="server: {shutdown_grace: '${GRACE:-30s}'}",
)

UNUSABLE_VARIABLE = Kind(
    code="GS111",
    name="unusable-variable",
    severity=Severity.ERROR,
    what="The value of an environment variable cannot be used.",
    why="It is not UTF-8 text, or so long that the config would not fit into memory.",
)

EMPTY_VALUE = Kind(
    code="GS112",
    name="empty-value",
    severity=Severity.ERROR,
    what="A list or a mapping is empty, but needs at least one entry.",
    why="An empty one has no effect, which is hardly intended.",
    bad="services: []",
    good="services: [{servicer: 'greeter:Greeter'}]",
)

DUPLICATE_ITEM = Kind(
    code="GS113",
    name="duplicate-item",
    severity=Severity.ERROR,
    what="A list has the same item twice.",
    why="One of the two was probably meant to be another item.",
    bad="listeners: {public: {services: [grpc.health.v1.Health,"
    " grpc.health.v1.Health]}}",
    good="listeners: {public: {services: [grpc.health.v1.Health]}}",
)

NON_TEXT_KEY = Kind(
    code="GS114",
    name="non-text-key",
    severity=Severity.ERROR,
    what="A key is a number, a boolean, null, a list or a mapping.",
    why="Keys are names. YAML reads `1` and `true` as something else unless quoted.",
    bad="listeners: {8443: {address: '127.0.0.1:8444', plaintext: true}}",
    good="listeners: {'8443': {address: '127.0.0.1:8444', plaintext: true}}",
)

EXPLICIT_TAG = Kind(
    code="GS115",
    name="explicit-tag",
    severity=Severity.ERROR,
    what="A value carries a YAML tag, such as `!!str` or `!!python/object`.",
    why="Tags make YAML parsers create objects; this one never does. To write text, use"
    " quotes.",
    bad="server: {runtime: !!str asyncio}",
    good="server: {runtime: asyncio}",
)

MERGE_KEY = Kind(
    code="GS116",
    name="merge-key",
    severity=Severity.ERROR,
    what="The merge key `<<` is not supported.",
    why="YAML 1.2 has no merge key, so parsers disagree on its meaning.",
    bad="server: {<<: {threads: 8}}",
    good="server: {threads: 8}",
)

UNKNOWN_ALIAS = Kind(
    code="GS117",
    name="unknown-alias",
    severity=Severity.ERROR,
    what="An alias `*name` has no anchor `&name` before it.",
    why="Text that begins with `*` is an alias in YAML; quote it if text is meant.",
    bad="listeners: {public: {services: [*everything]}}",
    good="listeners: {public: {services: [grpc.health.v1.Health]}}",
)

RECURSIVE_ALIAS = Kind(
    code="GS118",
    name="recursive-alias",
    severity=Severity.ERROR,
    what="An alias refers to a value that contains it.",
    why="The value would be infinitely large.",
    bad="server: &server {channel_options: *server}",
    good="server: {threads: 8}",
)

NESTING_TOO_DEEP = Kind(
    code="GS119",
    name="nesting-too-deep",
    severity=Severity.ERROR,
    what="The values are nested deeper than 64 levels.",
    why="No config needs that; the limit prevents hostile files from exhausting the"
    " stack.",
)

TOO_MANY_VALUES = Kind(
    code="GS120",
    name="too-many-values",
    severity=Severity.ERROR,
    what="The file has too many values, counted with every alias replaced.",
    why="A few lines with aliases of aliases can expand to billions of values.",
)

SEVERAL_DOCUMENTS = Kind(
    code="GS121",
    name="several-documents",
    severity=Severity.ERROR,
    what="The file has more than one YAML document.",
    why="Only one config is served; the others would be ignored. Use profiles.",
)

EMPTY_CONFIG = Kind(
    code="GS122",
    name="empty-config",
    severity=Severity.ERROR,
    what="The file has no values.",
    why="It is empty, or contains only comments.",
)

INVALID_ENCODING = Kind(
    code="GS123",
    name="invalid-encoding",
    severity=Severity.ERROR,
    what="The file is not UTF-8 text.",
    why="It is binary, or was saved in another encoding.",
)

CONTROL_CHARACTER = Kind(
    code="GS124",
    name="control-character",
    severity=Severity.ERROR,
    what="The file has an invisible character that changes how it is read.",
    why="Control characters, exotic line breaks and marks that change the direction of"
    " text make the content of a file differ from its appearance.",
)

OVERSIZED_CONFIG = Kind(
    code="GS125",
    name="oversized-config",
    severity=Severity.ERROR,
    what="The file is larger than 8 MiB.",
    why="No config is that large; it is probably another file.",
)

UNUSABLE_NUMBER = Kind(
    code="GS126",
    name="unusable-number",
    severity=Severity.ERROR,
    what="A number is infinite, not a number, or does not fit into 64 bits.",
    why="Programs disagree on such numbers. Quote it if text is meant.",
    bad="services: [{servicer: 'greeter:Greeter', with: {limit: .inf}}]",
    good="services: [{servicer: 'greeter:Greeter', with: {limit: 100}}]",
)

TRANSPORT_CONFLICT = Kind(
    code="GS127",
    name="transport-conflict",
    severity=Severity.ERROR,
    what="A listener has both `tls` and `plaintext: true`, or neither.",
    why="Whether a port is encrypted is never left to a default.",
    bad="listeners: {public: {plaintext: true}}",
    good="listeners: {public: {plaintext: true, tls: null}}",
)

PASTED_KEY = Kind(
    code="GS128",
    name="pasted-key",
    severity=Severity.ERROR,
    what="The config contains key material in place of the path of a file.",
    why="Configs are committed and copied; a private key in a config is soon public.",
    bad="listeners: {public: {tls:"
    " {private_key: '-----BEGIN PRIVATE KEY----- (the key itself)'}}}",
    good="listeners: {public: {tls: {private_key: certs/server.key}}}",
)

INVALID_NAME = Kind(
    code="GS129",
    name="invalid-name",
    severity=Severity.ERROR,
    what="A name in the config has characters that are not allowed in names.",
    why="Names appear in logs, commands and other keys, and must be readable there.",
    bad="listeners: {'the public one': {address: '127.0.0.1:0', plaintext: true}}",
    good="listeners: {the-public-one: {address: '127.0.0.1:0', plaintext: true}}",
)

RESERVED_OPTION = Kind(
    code="GS130",
    name="reserved-option",
    severity=Severity.ERROR,
    what="The config sets a channel option that grpcsecure sets itself.",
    why="Two places for one setting would contradict each other.",
    bad="server: {channel_options: {grpc.so_reuseport: 1}}",
    good="server: {channel_options: {grpc.max_receive_message_length: 4194304}}",
)

UNPATCHABLE_KEY = Kind(
    code="GS131",
    name="unpatchable-key",
    severity=Severity.ERROR,
    what="A profile changes `version` or `profiles`.",
    why="They determine how the file itself is read, before any profile is applied.",
)

SCHEMA_MISMATCH = Kind(
    code="GS132",
    name="schema-mismatch",
    severity=Severity.ERROR,
    what="The config does not fit the schema, but the place is not known.",
    why="The two validators that read the schema disagree, which is a bug in"
    " grpcsecure. A config that one of them rejects is not served.",
)

EFFECT_CONFLICT = Kind(
    code="GS133",
    name="effect-conflict",
    severity=Severity.ERROR,
    what="A rule has both `allow` and `deny`.",
    why="A rule has one effect. All deny rules are evaluated before all allow rules, so"
    " a rule with both would be two rules, at two places in that order.",
    bad="identities: {ci: {dns: ci.example}, shop: {dns: shop.example}}\n"
    "authorization: {rules: {r:"
    " {allow: [shop], deny: [ci], methods: ['/helloworld.Greeter/*']}}}",
    good="identities: {ci: {dns: ci.example}, shop: {dns: shop.example}}\n"
    "authorization: {rules: {\n"
    "  a: {deny: [ci], methods: ['/helloworld.Greeter/*']},\n"
    "  b: {allow: [shop], methods: ['/helloworld.Greeter/*']}}}",
)

REMOVED_KEY = Kind(
    code="GS134",
    name="removed-key",
    severity=Severity.ERROR,
    what="A profile, or a file over its includes, sets `authorization`, `listeners` or"
    " `production` to null.",
    why="Null removes a key, and a key without a value is null. Without `authorization`"
    " every call is allowed, so a block that was left empty would open the server.",
    bad="authorization:",
    good="authorization: {default: deny}",
)

UNREPLACED_VARIABLE = Kind(
    code="GS135",
    name="unreplaced-variable",
    severity=Severity.WARNING,
    what="An argument of a servicer has `$VAR` in it, which is not replaced.",
    why="A variable needs braces, `${VAR}`. An argument may be any text, so this is an"
    " error only elsewhere (GS110); `$$` is a dollar sign.",
    bad="services: [{servicer: 'greeter:Greeter', with: {greeting: $GREETING}}]",
    good="services: [{servicer: 'greeter:Greeter', with: {greeting: '$$GREETING'}}]",
)
