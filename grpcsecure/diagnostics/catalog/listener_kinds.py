"""GS3xx: TLS settings and listeners. GS301 is retired."""

from __future__ import annotations

from grpcsecure.diagnostics.findings import Kind, Severity

__all__ = [
    "ADDRESS_CONFLICT",
    "CRL_WITHOUT_CA",
    "ENGINE_CANNOT",
    "LONG_SOCKET_PATH",
    "MISSING_CLIENT_CA",
    "MODE_NOT_VERIFYING",
    "PLAINTEXT_EXPOSED",
    "REFLECTION_OPEN",
    "UNKNOWN_CHANNEL_OPTION",
    "UNREACHABLE_HEALTH",
    "UNTIED_TRUST_DOMAINS",
    "UNUSABLE_SOCKET_PATH",
    "UNUSED_CLIENT_CA",
    "UNUSED_CRL",
    "WRONG_CHANNEL_OPTION",
]

MISSING_CLIENT_CA = Kind(
    code="GS302",
    name="missing-client-ca",
    severity=Severity.ERROR,
    what="A mode that verifies client certificates has no `client_ca`.",
    why="Without a CA, no client certificate can be verified, and no client could"
    " connect.",
    bad="listeners: {public: {tls: {client_certificate: require_and_verify}}}",
    good="listeners: {public: {tls:"
    " {client_certificate: require_and_verify, client_ca: certs/ca.pem}}}",
)

UNUSED_CLIENT_CA = Kind(
    code="GS303",
    name="unused-client-ca",
    severity=Severity.WARNING,
    what="There is a `client_ca`, but the mode never requests a client certificate.",
    why="The `client_ca` suggests that clients are verified, but none of them is.",
    bad="listeners: {public: {tls: {client_ca: certs/ca.pem}}}",
    good="listeners: {public: {tls:"
    " {client_certificate: require_and_verify, client_ca: certs/ca.pem}}}",
)

ENGINE_CANNOT = Kind(
    code="GS304",
    name="engine-cannot",
    severity=Severity.ERROR,
    what="The engine does not support a setting of the listener.",
    why="Ignoring the setting would silently weaken the listener.",
    bad="listeners: {public: {tls: {engine: grpc, min_version: TLSv1.3}}}",
    good="listeners: {public: {tls: {engine: grpc, min_version: TLSv1.2}}}",
)

ADDRESS_CONFLICT = Kind(
    code="GS305",
    name="address-conflict",
    severity=Severity.ERROR,
    what="Two listeners have the same address.",
    why="Only one of them can listen there. A wildcard address occupies every address"
    " of its port, IPv4 and IPv6 alike; `localhost` occupies 127.0.0.1 and ::1.",
    bad="listeners:\n  a: {address: '127.0.0.1:9001', plaintext: true}\n"
    "  b: {address: '127.0.0.1:9001', plaintext: true}",
    good="listeners:\n  a: {address: '127.0.0.1:9001', plaintext: true}\n"
    "  b: {address: '127.0.0.1:9002', plaintext: true}",
)

LONG_SOCKET_PATH = Kind(
    code="GS306",
    name="long-socket-path",
    severity=Severity.ERROR,
    what="The path of a unix socket is longer than the system allows.",
    why="The kernel allows 107 bytes; the socket could not be bound.",
    bad="listeners: {public: {address: 'unix:/tmp/" + "long/" * 25 + "s', tls: null,"
    " plaintext: true}}",
    good="listeners: {public: {address: 'unix:/tmp/s', tls: null, plaintext: true}}",
)

CRL_WITHOUT_CA = Kind(
    code="GS307",
    name="crl-without-ca",
    severity=Severity.ERROR,
    what="There are revocation lists, but no `client_ca`.",
    why="A list has the certificates that a CA revoked. If no CA is trusted, no"
    " certificate is verified and no list is ever used.",
    bad="listeners: {public: {tls:"
    " {client_certificate: request_but_dont_verify, crl: [certs/broken/ca.crl]}}}",
    good="listeners: {public: {tls: {client_certificate: request_but_dont_verify,"
    " client_ca: certs/ca.pem, crl: [certs/broken/ca.crl]}}}",
)

UNUSED_CRL = Kind(
    code="GS308",
    name="unused-crl",
    severity=Severity.WARNING,
    what="There are revocation lists, but the mode never requests a client"
    " certificate.",
    why="The lists suggest that revoked clients are refused, but none of them is.",
    bad="listeners: {public: {tls: {crl: [certs/broken/ca.crl]}}}",
    good="listeners: {public: {tls: {client_certificate: require_and_verify,"
    " client_ca: certs/ca.pem, crl: [certs/broken/ca.crl]}}}",
)

REFLECTION_OPEN = Kind(
    code="GS311",
    name="reflection-open",
    severity=Severity.WARNING,
    production=True,
    what="Reflection is on, and no rule limits who may use it.",
    why="Every client that connects can list the services and their messages.",
    bad="server: {reflection: true}",
    good="server: {reflection: false}",
)

PLAINTEXT_EXPOSED = Kind(
    code="GS312",
    name="plaintext-exposed",
    severity=Severity.WARNING,
    production=True,
    what="A plaintext listener that serves more than health can be reached from other"
    " machines.",
    why="Anyone on the network path can read and change every call.",
    bad="listeners: {public: {address: '0.0.0.0:8080', tls: null, plaintext: true}}",
    good="listeners: {public: {address: '127.0.0.1:8080', tls: null, plaintext: true}}",
)

MODE_NOT_VERIFYING = Kind(
    code="GS313",
    name="mode-not-verifying",
    severity=Severity.WARNING,
    production=True,
    what="The mode of a listener that serves more than health does not verify client"
    " certificates.",
    why="Anyone can connect under any name.",
    bad="listeners: {public: {tls: {client_certificate: dont_request}}}",
    good="listeners: {public: {tls:"
    " {client_certificate: require_and_verify, client_ca: certs/ca.pem}}}",
)

UNREACHABLE_HEALTH = Kind(
    code="GS330",
    name="unreachable-health",
    severity=Severity.WARNING,
    what="A rule lets anyone ask for health, but each of its listeners requires a"
    " client certificate.",
    why="Probes have none, those of Kubernetes with `mode: TLS` included: the handshake"
    " refuses them before the rule is asked, and the pod never becomes ready.",
    bad="listeners: {public: {tls: {client_certificate: require_and_verify,"
    " client_ca: certs/ca.pem}}}\n"
    "authorization: {rules: {probes: {allow: [anyone],"
    " methods: ['/grpc.health.v1.Health/*']},"
    " hello: {allow: [verified], methods: ['/helloworld.Greeter/*']}}}",
    good="listeners: {public: {tls: {client_certificate: require_and_verify,"
    " client_ca: certs/ca.pem}},\n"
    "  probes: {address: '127.0.0.1:0', plaintext: true,"
    " services: [grpc.health.v1.Health]}}\n"
    "authorization: {rules: {probes: {allow: [anyone],"
    " methods: ['/grpc.health.v1.Health/*']},"
    " hello: {allow: [verified], methods: ['/helloworld.Greeter/*']}}}",
)

UNTIED_TRUST_DOMAINS = Kind(
    code="GS314",
    name="untied-trust-domains",
    severity=Severity.WARNING,
    what="Rules of a listener name SPIFFE ids of several trust domains, and any of its"
    " client CAs may vouch for each of them.",
    why="The CA of a partner can sign a SPIFFE id of your own trust domain. A"
    " `client_ca` that maps each trust domain to the file of its CAs prevents it.",
    bad="""\
listeners: {public: {tls:
  {client_certificate: require_and_verify, client_ca: certs/ca.pem}}}
identities:
  billing: {spiffe: "spiffe://corp.example/billing"}
  orders: {spiffe: "spiffe://partner.example/orders"}
authorization: {rules: {all: {allow: [billing, orders], methods: ["*"]}}}
""",
    good="""\
listeners: {public: {tls: {client_certificate: require_and_verify, client_ca:
  {corp.example: certs/ca.pem, partner.example: certs/partner-ca.pem}}}}
identities:
  billing: {spiffe: "spiffe://corp.example/billing"}
  orders: {spiffe: "spiffe://partner.example/orders"}
authorization: {rules: {all: {allow: [billing, orders], methods: ["*"]}}}
""",
)

UNKNOWN_CHANNEL_OPTION = Kind(
    code="GS315",
    name="unknown-channel-option",
    severity=Severity.WARNING,
    what="gRPC core knows no channel option of this name, or only uses it in clients.",
    why="It ignores unknown options without a word. A newer release may know more of"
    " them than grpcsecure.",
    bad="server: {channel_options: {grpc.max_recieve_message_length: 4194304}}",
    good="server: {channel_options: {grpc.max_receive_message_length: 4194304}}",
)

WRONG_CHANNEL_OPTION = Kind(
    code="GS316",
    name="wrong-channel-option",
    severity=Severity.ERROR,
    what="The value of a channel option has another type than gRPC core expects.",
    why="gRPC core ignores such a value, and its default stays in force.",
    bad="server: {channel_options: {grpc.max_receive_message_length: '4194304'}}",
    good="server: {channel_options: {grpc.max_receive_message_length: 4194304}}",
)

UNUSABLE_SOCKET_PATH = Kind(
    code="GS317",
    name="unusable-socket-path",
    severity=Severity.ERROR,
    what="The unix socket of a listener cannot be created.",
    why="Its directory is missing or not writable, or another file has its path. The"
    " server could not listen.",
    bad="listeners: {public: {address: 'unix:/no/such/directory/s', tls: null,"
    " plaintext: true}}",
    good="listeners: {public: {address: 'unix:/tmp/s', tls: null, plaintext: true}}",
)
