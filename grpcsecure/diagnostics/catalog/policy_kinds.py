"""GS4xx: identities, rules, policy tests and registered certificates."""

from __future__ import annotations

from grpcsecure.diagnostics.findings import Kind, Severity

__all__ = [
    "ALLOWED_BY_DEFAULT",
    "AUDIT_FILE_CONFLICT",
    "EMPTY_PIN_PATTERN",
    "ERROR_DETAIL_FULL",
    "EXACT_USER_AGENT",
    "EXPIRED_PIN",
    "FAILED_POLICY_TEST",
    "IMPOSSIBLE_RULE",
    "NO_AUTHORIZATION",
    "OPEN_TO_ANYONE",
    "SHADOWED_RULE",
    "UNDEFINED_IDENTITY",
    "UNKNOWN_LISTENER",
    "UNKNOWN_METHOD",
    "UNLISTED_TRUST_DOMAIN",
    "UNREACHABLE_METHOD",
    "UNUSABLE_AUDIT_FILE",
    "UNUSABLE_PIN",
    "UNUSED_IDENTITY",
    "UNVERIFIED_IDENTITY",
    "VAGUE_CALLER",
]

_VERIFYING = (
    "listeners: {public: {tls:"
    " {client_certificate: require_and_verify, client_ca: certs/ca.pem}}}\n"
)

#: A rule for all services of the example's server, so that there is no other finding.
_ALL = (
    "    all: {allow: [verified], methods: ['/helloworld.Greeter/*',"
    " '/grpc.health.v1.Health/*']}\n"
)

_RULES = f"{_VERIFYING}authorization:\n  rules:\n{_ALL}"

_TIED = (
    "listeners: {public: {tls: {client_certificate: require_and_verify,"
    " client_ca: {corp.example: certs/ca.pem}}}}\n"
    f"authorization:\n  rules:\n{_ALL}"
)

_OPS = "identities: {ops: {dns: ops.corp.example}}\n"

UNDEFINED_IDENTITY = Kind(
    code="GS401",
    name="undefined-identity",
    severity=Severity.ERROR,
    what="A rule names an identity that is not defined.",
    why="It matches no caller, so a deny rule for it denies nothing.",
    bad=f"{_RULES}    no-one: {{deny: [opps], methods: ['*']}}\n{_OPS}",
    good=f"{_RULES}    no-ops: {{deny: [ops], methods: ['*']}}\n{_OPS}",
)

UNVERIFIED_IDENTITY = Kind(
    code="GS402",
    name="unverified-identity",
    severity=Severity.ERROR,
    what="A rule names an identity that no client can have where the rule applies.",
    why="Names in a certificate count only if its chain is verified: on a listener"
    " whose mode verifies, or that has a `client_ca`. Registered certificates"
    " (`fingerprint`, `public_key`, `certificates`) count in every mode that requests a"
    " certificate.",
    bad="listeners: {public: {tls: {client_certificate: require_but_dont_verify}}}\n"
    f"{_OPS}authorization: {{rules: {{ops: {{allow: [ops], methods: ['*']}}}}}}",
    good="listeners: {public: {tls: {client_certificate: require_but_dont_verify,"
    " client_ca: certs/ca.pem}}}\n"
    f"{_OPS}authorization: {{rules: {{ops: {{allow: [ops], methods: ['*']}}}}}}",
)

UNLISTED_TRUST_DOMAIN = Kind(
    code="GS422",
    name="unlisted-trust-domain",
    severity=Severity.WARNING,
    what="A rule names an identity of a SPIFFE trust domain that is not in the"
    " `client_ca` of the rule's listeners.",
    why="Where `client_ca` maps trust domains to their CAs, a SPIFFE id of another"
    " domain is never verified: the rule allows nothing for that identity.",
    bad=f"{_TIED}    ops: {{allow: [ops], methods: ['*']}}\n"
    'identities: {ops: {spiffe: "spiffe://partner.example/ops"}}',
    good=f"{_TIED}    ops: {{allow: [ops], methods: ['*']}}\n"
    'identities: {ops: {spiffe: "spiffe://corp.example/ops"}}',
)

UNUSED_IDENTITY = Kind(
    code="GS403",
    name="unused-identity",
    severity=Severity.WARNING,
    what="No rule names the identity.",
    why="The definition suggests that the identity may call something; it may not.",
    bad=f"{_RULES}{_OPS}",
    good=f"{_RULES}    no-ops: {{deny: [ops], methods: ['*']}}\n{_OPS}",
)

IMPOSSIBLE_RULE = Kind(
    code="GS404",
    name="impossible-rule",
    severity=Severity.ERROR,
    what="No call can ever match the rule, or be the call of the test.",
    why="None of its listeners serves its methods, or it is about metadata that gRPC"
    " removes before handlers see it, such as `grpc-timeout` or `grpc-trace-bin`. Such"
    " a deny rule denies nothing.",
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
    why="The rule never decides: deny rules are evaluated first, then allow rules, each"
    " in the order of the file.",
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
    why="The intended method is decided by other rules, or by the default.",
    bad=f"{_RULES}    quiet: {{deny: [anyone], methods: [/helloworld.Greeter/Chatt]}}",
    good=f"{_RULES}    quiet: {{deny: [anyone], methods: [/helloworld.Greeter/Chat]}}",
)

UNREACHABLE_METHOD = Kind(
    code="GS407",
    name="unreachable-method",
    severity=Severity.WARNING,
    what="No rule allows any call of the method, and the default denies it.",
    why="The server provides the method, but no client can call it.",
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
    why="Every client that connects may call them, even without a certificate if the"
    " mode allows that. A wildcard also opens methods that are added later.",
    bad="authorization: {rules: {all: {allow: [anyone], methods: ['*']}}}",
    good=f"{_RULES}    probes: {{allow: [anyone],"
    " methods: ['/grpc.health.v1.Health/*']}",
)

ERROR_DETAIL_FULL = Kind(
    code="GS409",
    name="error-detail-full",
    severity=Severity.WARNING,
    production=True,
    what="Refused callers get the reason of the refusal.",
    why="The reason reveals names of rules and identities to every caller.",
    bad="server: {error_detail: full}",
    good="server: {error_detail: none}",
)

NO_AUTHORIZATION = Kind(
    code="GS410",
    name="no-authorization",
    severity=Severity.WARNING,
    production=True,
    what="There is no `authorization` block.",
    why="Every client that can connect may call every method.",
    bad="production: false",
    good="authorization: {default: deny}",
)

ALLOWED_BY_DEFAULT = Kind(
    code="GS411",
    name="allowed-by-default",
    severity=Severity.WARNING,
    production=True,
    what="The default allows every call that no rule denies.",
    why="A method that is added later is open, and so is a method that a deny rule"
    " misses.",
    bad="authorization: {default: allow}",
    good=_RULES,
)

UNKNOWN_LISTENER = Kind(
    code="GS412",
    name="unknown-listener",
    severity=Severity.ERROR,
    what="A rule or a test names a listener that does not exist.",
    why="The rule does not apply on the intended listener.",
    bad=f"{_RULES}    odd: {{deny: [anyone], methods: ['*'], listeners: [publik]}}",
    good=f"{_RULES}    odd: {{deny: [anyone], methods: ['*'], listeners: [public]}}",
)

VAGUE_CALLER = Kind(
    code="GS413",
    name="vague-caller",
    severity=Severity.ERROR,
    what="The caller of a policy test is not one certificate.",
    why="A pattern matches many certificates, of which some may be allowed and some"
    " not. `certificates` must be the only key: the file determines the whole caller.",
    bad=f"{_RULES}  tests:\n  - {{as: {{dns: '*.corp.example'}},"
    " call: /helloworld.Greeter/SayHello, expect: allow}",
    good=f"{_RULES}  tests:\n  - {{as: {{dns: a.corp.example}},"
    " call: /helloworld.Greeter/SayHello, expect: allow}",
)

FAILED_POLICY_TEST = Kind(
    code="GS414",
    name="failed-policy-test",
    severity=Severity.ERROR,
    what="The decision of the policy differs from the one that a test expects.",
    why="Either the rules or the test are wrong.",
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
    what="A file of registered certificates is missing, or contains no certificate.",
    why="Its client could not be allowed, or could not be denied.",
    bad=f"{_PINNED}identities: {{units: {{certificates: certs/no-such.pem}}}}",
    good=f"{_PINNED}identities: {{units: {{certificates: certs/client.pem}}}}",
)

EXPIRED_PIN = Kind(
    code="GS416",
    name="expired-pin",
    severity=Severity.WARNING,
    production=True,
    applies_on_reload=True,
    what="A registered certificate is not valid now.",
    why="An expired or not yet valid certificate does not match, so its client does not"
    " have the identity.",
    bad=f"{_PINNED}identities:"
    " {units: {certificates: certs/broken/client-expired.pem}}",
    good=f"{_PINNED}identities: {{units: {{certificates: certs/client.pem}}}}",
)

EMPTY_PIN_PATTERN = Kind(
    code="GS417",
    name="empty-pin-pattern",
    severity=Severity.WARNING,
    what="A directory or pattern of registered certificates matches no file.",
    why="No certificate is registered. In a directory, only files that end with `.pem`,"
    " `.crt` or `.cer` count; patterns do not descend into directories.",
    bad=f"{_PINNED}identities: {{units: {{certificates: 'certs/*.nothing'}}}}",
    good=f"{_PINNED}identities: {{units: {{certificates: 'certs/clie*.pem'}}}}",
)

EXACT_USER_AGENT = Kind(
    code="GS418",
    name="exact-user-agent",
    severity=Severity.WARNING,
    what="A rule requires a certain value of the metadata `user-agent`.",
    why="Client libraries compose it. If a client sets `billing`, a server sees"
    " `billing grpc-python/1.85.3 grpc-c/58.0.0 (linux; chttp2)` from grpcio,"
    " `billing grpc-go/1.85.0` from grpc-go and `billing grpc-java-netty/…`, with a"
    " version, from grpc-java. A rule on one of these stops matching when the library"
    " is updated.",
    bad=f"{_RULES}    old: {{deny: [anyone], methods: ['*'],"
    " metadata: {user-agent: [billing]}}",
    good=f"{_RULES}    old: {{deny: [anyone], methods: ['*'],"
    " metadata: {x-client: [billing]}}",
)

_AUDITED = f"{_RULES}  audit_file: "

AUDIT_FILE_CONFLICT = Kind(
    code="GS420",
    name="audit-file-conflict",
    severity=Severity.ERROR,
    what="`audit_file` is the config itself, or a file that the config reads.",
    why="Audit events would be appended to that file, which would then be broken.",
    bad=f"{_AUDITED}certs/server.pem",
    good=f"{_AUDITED}audit.jsonl",
)

UNUSABLE_AUDIT_FILE = Kind(
    code="GS421",
    name="unusable-audit-file",
    severity=Severity.ERROR,
    what="`audit_file` cannot be created or appended to: its directory does not exist,"
    " or it is a directory, a symbolic link or a socket.",
    why="Audit events would be in the log only. A link is not followed, because a user"
    " who may write to the directory could redirect the audit.",
    bad=f"{_AUDITED}no-such-directory/audit.jsonl",
    good=f"{_AUDITED}audit.jsonl",
)
