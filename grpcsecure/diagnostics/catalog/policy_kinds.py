"""GS4xx: identities, rules, policy tests and registered certificates."""

from __future__ import annotations

from grpcsecure.diagnostics.model import Kind, Severity

__all__ = [
    "ALLOWED_BY_DEFAULT",
    "EMPTY_PIN_PATTERN",
    "ERROR_DETAIL_FULL",
    "EXPIRED_PIN",
    "FAILED_POLICY_TEST",
    "IMPOSSIBLE_RULE",
    "NO_AUTHORIZATION",
    "OPEN_TO_ANYONE",
    "SHADOWED_RULE",
    "UNDEFINED_IDENTITY",
    "UNKNOWN_LISTENER",
    "UNKNOWN_METHOD",
    "UNREACHABLE_METHOD",
    "UNUSABLE_PIN",
    "UNUSED_IDENTITY",
    "UNVERIFIED_IDENTITY",
    "VAGUE_CALLER",
]

_VERIFYING = (
    "listeners: {public: {tls:"
    " {client_certificate: require_and_verify, client_ca: certs/ca.pem}}}\n"
)

#: All that the example's server serves, so that nothing else is to be said.
_ALL = (
    "    all: {allow: [verified], methods: ['/helloworld.Greeter/*',"
    " '/grpc.health.v1.Health/*']}\n"
)

_RULES = f"{_VERIFYING}authorization:\n  rules:\n{_ALL}"

_OPS = "identities: {ops: {dns: ops.corp.example}}\n"

UNDEFINED_IDENTITY = Kind(
    code="GS401",
    name="undefined-identity",
    severity=Severity.ERROR,
    what="A rule names an identity that is not defined.",
    why="It matches nobody. A deny rule for nobody denies nothing.",
    bad=f"{_RULES}    no-one: {{deny: [opps], methods: ['*']}}\n{_OPS}",
    good=f"{_RULES}    no-ops: {{deny: [ops], methods: ['*']}}\n{_OPS}",
)

UNVERIFIED_IDENTITY = Kind(
    code="GS402",
    name="unverified-identity",
    severity=Severity.ERROR,
    what="A rule names an identity that no client can have where the rule applies.",
    why="Names in a certificate count only where its chain is verified: on a listener"
    " whose mode verifies, or that has a `client_ca`. Registered certificates"
    " (`fingerprint`, `public_key`, `certificates`) count wherever one is presented.",
    bad="listeners: {public: {tls: {client_certificate: require_but_dont_verify}}}\n"
    f"{_OPS}authorization: {{rules: {{ops: {{allow: [ops], methods: ['*']}}}}}}",
    good="listeners: {public: {tls: {client_certificate: require_but_dont_verify,"
    " client_ca: certs/ca.pem}}}\n"
    f"{_OPS}authorization: {{rules: {{ops: {{allow: [ops], methods: ['*']}}}}}}",
)

UNUSED_IDENTITY = Kind(
    code="GS403",
    name="unused-identity",
    severity=Severity.WARNING,
    what="No rule names the identity.",
    why="Whoever defined it probably expects that it may call something.",
    bad=f"{_RULES}{_OPS}",
    good=f"{_RULES}    no-ops: {{deny: [ops], methods: ['*']}}\n{_OPS}",
)

IMPOSSIBLE_RULE = Kind(
    code="GS404",
    name="impossible-rule",
    severity=Severity.ERROR,
    what="No call can ever match the rule.",
    why="None of its listeners serves its methods, or it asks for metadata that gRPC"
    " keeps for itself. A deny rule like that denies nothing.",
    bad=f"{_RULES}    odd: {{deny: [anyone], methods: ['*'],"
    " metadata: {grpc-timeout: [1S]}}",
    good=f"{_RULES}    odd: {{deny: [anyone], methods: ['*'],"
    " metadata: {x-env: [test]}}",
)

SHADOWED_RULE = Kind(
    code="GS405",
    name="shadowed-rule",
    severity=Severity.WARNING,
    what="An earlier rule matches everything that the rule matches.",
    why="The rule never decides: deny rules are asked first, then allow rules, each in"
    " the order of the file.",
    bad=f"{_RULES}    hello: {{allow: [verified],"
    " methods: [/helloworld.Greeter/SayHello]}",
    good=f"{_RULES}    hello: {{deny: [verified],"
    " methods: [/helloworld.Greeter/SayHello]}",
)

UNKNOWN_METHOD = Kind(
    code="GS406",
    name="unknown-method",
    severity=Severity.ERROR,
    what="A rule or a test names a method that no service has.",
    why="The method that was meant is governed by other rules, or by the default.",
    bad=f"{_RULES}    quiet: {{deny: [anyone], methods: [/helloworld.Greeter/Chatt]}}",
    good=f"{_RULES}    quiet: {{deny: [anyone], methods: [/helloworld.Greeter/Chat]}}",
)

UNREACHABLE_METHOD = Kind(
    code="GS407",
    name="unreachable-method",
    severity=Severity.WARNING,
    what="No rule allows any call of the method, and the default denies it.",
    why="The server has it, and nobody can call it.",
    bad=f"{_VERIFYING}authorization: {{rules: {{hello: {{allow: [verified],"
    " methods: ['*/SayHello', '/grpc.health.v1.Health/*']}}}",
    good=_RULES,
)

OPEN_TO_ANYONE = Kind(
    code="GS408",
    name="open-to-anyone",
    severity=Severity.WARNING,
    production=True,
    what="A rule lets anyone call methods beyond health and reflection.",
    why="Every client that connects may call them, also one without a certificate"
    " where the mode allows that. A wildcard opens what is added later, too.",
    bad="authorization: {rules: {all: {allow: [anyone], methods: ['*']}}}",
    good=f"{_RULES}    probes: {{allow: [anyone],"
    " methods: ['/grpc.health.v1.Health/*']}",
)

ERROR_DETAIL_FULL = Kind(
    code="GS409",
    name="error-detail-full",
    severity=Severity.WARNING,
    production=True,
    what="A refused caller is told why.",
    why="The reason says which rules and identities there are, to whoever asks.",
    bad="server: {error_detail: full}",
    good="server: {error_detail: none}",
)

NO_AUTHORIZATION = Kind(
    code="GS410",
    name="no-authorization",
    severity=Severity.WARNING,
    production=True,
    what="There is no `authorization` block.",
    why="Every call is allowed, to everybody who can connect.",
    bad="production: false",
    good="authorization: {default: deny}",
)

ALLOWED_BY_DEFAULT = Kind(
    code="GS411",
    name="allowed-by-default",
    severity=Severity.WARNING,
    production=True,
    what="The default allows what no rule denies.",
    why="A method that is added later is open, and so is what a rule misspells.",
    bad="authorization: {default: allow}",
    good=_RULES,
)

UNKNOWN_LISTENER = Kind(
    code="GS412",
    name="unknown-listener",
    severity=Severity.ERROR,
    what="A rule or a test names a listener that is not there.",
    why="The rule does not hold where it was meant to.",
    bad=f"{_RULES}    odd: {{deny: [anyone], methods: ['*'], listeners: [publik]}}",
    good=f"{_RULES}    odd: {{deny: [anyone], methods: ['*'], listeners: [public]}}",
)

VAGUE_CALLER = Kind(
    code="GS413",
    name="vague-caller",
    severity=Severity.ERROR,
    what="The caller of a policy test is not one certificate.",
    why="A pattern stands for many certificates, of which some may be allowed and some"
    " not. What `certificates` names says everything there is to say itself.",
    bad=f"{_RULES}  tests:\n  - {{as: {{dns: '*.corp.example'}},"
    " call: /helloworld.Greeter/SayHello, expect: allow}",
    good=f"{_RULES}  tests:\n  - {{as: {{dns: a.corp.example}},"
    " call: /helloworld.Greeter/SayHello, expect: allow}",
)

FAILED_POLICY_TEST = Kind(
    code="GS414",
    name="failed-policy-test",
    severity=Severity.ERROR,
    what="The policy decides otherwise than a test expects.",
    why="Either the rules or the test are not what was meant.",
    bad=f"{_RULES}  tests:\n  - {{as: anonymous,"
    " call: /helloworld.Greeter/SayHello, expect: allow}",
    good=f"{_RULES}  tests:\n  - {{as: anonymous,"
    " call: /helloworld.Greeter/SayHello, expect: deny}",
)

_PINNED = (
    "listeners: {public: {tls: {client_certificate: require_but_dont_verify}}}\n"
    "authorization: {rules: {all: {allow: [units],"
    " methods: ['/helloworld.Greeter/*', '/grpc.health.v1.Health/*']}}}\n"
)

UNUSABLE_PIN = Kind(
    code="GS415",
    name="unusable-pin",
    severity=Severity.ERROR,
    what="A file of registered certificates is missing, or holds no certificate.",
    why="Its owner could not call, or could not be kept out.",
    bad=f"{_PINNED}identities: {{units: {{certificates: certs/no-such.pem}}}}",
    good=f"{_PINNED}identities: {{units: {{certificates: certs/client.pem}}}}",
)

EXPIRED_PIN = Kind(
    code="GS416",
    name="expired-pin",
    severity=Severity.WARNING,
    what="A registered certificate is not valid now.",
    why="It no longer matches, or does not yet, so that its owner is not allowed in.",
    bad=f"{_PINNED}identities:"
    " {units: {certificates: certs/broken/client-expired.pem}}",
    good=f"{_PINNED}identities: {{units: {{certificates: certs/client.pem}}}}",
)

EMPTY_PIN_PATTERN = Kind(
    code="GS417",
    name="empty-pin-pattern",
    severity=Severity.WARNING,
    what="A folder or pattern of registered certificates has no file in it.",
    why="Nobody is registered. In a folder, only files that end with `.pem`, `.crt` or"
    " `.cer` count; no pattern descends into folders.",
    bad=f"{_PINNED}identities: {{units: {{certificates: 'certs/*.nothing'}}}}",
    good=f"{_PINNED}identities: {{units: {{certificates: 'certs/clie*.pem'}}}}",
)
