"""GS5xx: servicers and their methods."""

from __future__ import annotations

from grpcsecure.diagnostics.findings import Kind, Severity

__all__ = [
    "ABSTRACT_SERVICER",
    "ASYNC_HOOK",
    "DUPLICATE_SERVICE",
    "IMPORT_FAILED",
    "INTERCEPTOR_OF_OTHER_RUNTIME",
    "MISSING_ATTRIBUTE",
    "NOTHING_SERVED",
    "NOT_AN_INTERCEPTOR",
    "NO_REGISTER_FUNCTION",
    "OPAQUE_FACTORY",
    "OPAQUE_INTERCEPTOR",
    "REGISTER_FAILED",
    "RUNTIME_MISMATCH",
    "UNIMPLEMENTED_METHOD",
    "UNKNOWN_SERVICE",
    "UNUSABLE_HOOK",
    "WRONG_ARGUMENTS",
    "WRONG_ARGUMENT_TYPE",
]

IMPORT_FAILED = Kind(
    code="GS501",
    name="import-failed",
    severity=Severity.ERROR,
    what="The module of a servicer could not be imported.",
    why="The service cannot be served without it. The traceback leads to the place in"
    " the module that failed.",
    bad="services: [{servicer: 'no_such_module:Greeter'}]",
    good="services: [{servicer: 'greeter:Greeter'}]",
)

MISSING_ATTRIBUTE = Kind(
    code="GS502",
    name="missing-attribute",
    severity=Severity.ERROR,
    what="The module was imported, but has no such attribute.",
    why="`module:attribute` names a class, a factory or an instance in that module.",
    bad="services: [{servicer: 'greeter:Greetr'}]",
    good="services: [{servicer: 'greeter:Greeter'}]",
)

NO_REGISTER_FUNCTION = Kind(
    code="GS503",
    name="no-register-function",
    severity=Severity.ERROR,
    what="The function that registers the servicer with a server is not known.",
    why="It is inferred from the generated base class: `GreeterServicer` has"
    " `add_GreeterServicer_to_server` in the same module. An object without such a base"
    " class needs `register`.",
    bad="services: [{servicer: 'collections:OrderedDict'}]",
    good="services: [{servicer: 'greeter:Greeter'}]",
)

ABSTRACT_SERVICER = Kind(
    code="GS504",
    name="abstract-servicer",
    severity=Severity.ERROR,
    what="The servicer class has abstract methods, so it cannot be instantiated.",
    why="Python refuses to create an instance.",
    bad="services: [{servicer: 'greeter:AbstractGreeter'}]",
    good="services: [{servicer: 'greeter:Greeter'}]",
)

UNKNOWN_SERVICE = Kind(
    code="GS505",
    name="unknown-service",
    severity=Severity.ERROR,
    what="A listener names a service that no servicer provides.",
    why="The listener would serve less than the config lists.",
    bad="listeners: {public: {services: [helloworld.Greeter, helloworld.Greetr]}}",
    good="listeners: {public: {services: [helloworld.Greeter]}}",
)

RUNTIME_MISMATCH = Kind(
    code="GS506",
    name="runtime-mismatch",
    severity=Severity.ERROR,
    what="A method is a coroutine, but the runtime is `threads`.",
    why="A thread would not await the coroutine, and every call would fail.",
    bad="server: {runtime: threads}\nservices: [{servicer: 'greeter:AsyncGreeter'}]",
    good="server: {runtime: asyncio}\nservices: [{servicer: 'greeter:AsyncGreeter'}]",
)

WRONG_ARGUMENTS = Kind(
    code="GS507",
    name="wrong-arguments",
    severity=Severity.ERROR,
    what="The servicer does not accept the arguments under `with`.",
    why="Calling it would raise a `TypeError`.",
    bad="services: [{servicer: 'greeter:Greeter', with: {greting: Hello}}]",
    good="services: [{servicer: 'greeter:Greeter', with: {greeting: Hello}}]",
)

OPAQUE_FACTORY = Kind(
    code="GS508",
    name="opaque-factory",
    severity=Severity.WARNING,
    what="The type of the servicer that a factory returns is not known in advance.",
    why="User code is only called when the server starts, so the services and methods"
    " of the servicer cannot be checked before.",
    bad="services: [{servicer: 'greeter:make_anything'}]",
    good="services: [{servicer: 'greeter:make_greeter'}]",
)

DUPLICATE_SERVICE = Kind(
    code="GS509",
    name="duplicate-service",
    severity=Severity.ERROR,
    what="Two servicers provide the same service.",
    why="gRPC would call one of them and silently ignore the other.",
    bad="services: [{servicer: 'greeter:Greeter'}, {servicer: 'greeter:Greeter'}]",
    good="services: [{servicer: 'greeter:Greeter'}]",
)

UNIMPLEMENTED_METHOD = Kind(
    code="GS510",
    name="unimplemented-method",
    severity=Severity.WARNING,
    what="The servicer does not override a method of its generated base class.",
    why="Calls to it end with UNIMPLEMENTED.",
    bad="services: [{servicer: 'greeter:HalfGreeter'}]",
    good="services: [{servicer: 'greeter:Greeter'}]",
)

REGISTER_FAILED = Kind(
    code="GS511",
    name="register-failed",
    severity=Severity.ERROR,
    what="The register function does not fit the servicer.",
    why="It raised an exception, or registered nothing.",
    bad="services: [{servicer: 'greeter:Greeter', register: 'builtins:print'}]",
    good="services: [{servicer: 'greeter:Greeter'}]",
)

NOTHING_SERVED = Kind(
    code="GS512",
    name="nothing-served",
    severity=Severity.WARNING,
    what="A service is served on no listener.",
    why="Every listener has a `services` list, and none of them names it.",
    bad="listeners: {public: {services: [grpc.health.v1.Health]}}",
    good="listeners: {public: {services: [helloworld.Greeter]}}",
)

WRONG_ARGUMENT_TYPE = Kind(
    code="GS530",
    name="wrong-argument-type",
    severity=Severity.ERROR,
    what="An argument under `with` is not of the type that the servicer or interceptor"
    " declares.",
    why="Python does not compare annotations with values: the call would fail"
    " later, when it uses the value. Only types of which YAML has values are compared,"
    " with lists and mappings of them, `Optional`, unions and `Literal`, and enums and"
    " dataclasses, which YAML cannot give.",
    bad="services: [{servicer: 'greeter:Greeter', with: {greeting: 5}}]",
    good="services: [{servicer: 'greeter:Greeter', with: {greeting: '5'}}]",
)

ASYNC_HOOK = Kind(
    code="GS531",
    name="async-hook",
    severity=Severity.ERROR,
    what="A start or close hook is a coroutine, but the runtime is `threads`.",
    why="A thread would not await the coroutine. This holds for `start` and `close`,"
    " and for a servicer with `__aenter__` and without `__enter__`.",
    bad="server: {runtime: threads}\nservices: [{servicer: 'greeter:Greeter', start:"
    " 'greeter:connect_async'}]",
    good="server: {runtime: threads}\nservices: [{servicer: 'greeter:Greeter', start:"
    " 'greeter:connect'}]",
)

UNUSABLE_HOOK = Kind(
    code="GS532",
    name="unusable-hook",
    severity=Severity.ERROR,
    what="`start` or `close` names something that cannot be called as a hook.",
    why="A hook is called with the servicer if it needs an argument, and otherwise with"
    " none. Calling a generator or a context manager would do nothing.",
    bad="services: [{servicer: 'greeter:Greeter', close: 'greeter:STARTED'}]",
    good="services: [{servicer: 'greeter:Greeter', close: 'greeter:disconnect'}]",
)

INTERCEPTOR_OF_OTHER_RUNTIME = Kind(
    code="GS520",
    name="interceptor-of-other-runtime",
    severity=Severity.ERROR,
    what="An interceptor is for threads and the runtime is asyncio, or the other way"
    " round.",
    why="A thread would not await its coroutine, and asyncio would await what is none:"
    " every call would fail.",
    bad="server: {interceptors: ['greeter:AsyncCounting']}",
    good="server: {interceptors: ['greeter:Counting']}",
)

NOT_AN_INTERCEPTOR = Kind(
    code="GS521",
    name="not-an-interceptor",
    severity=Severity.ERROR,
    what="The object has no method `intercept_service`.",
    why="The server calls that method for each call.",
    bad="server: {interceptors: ['greeter:Greeter']}",
    good="server: {interceptors: ['greeter:Counting']}",
)

OPAQUE_INTERCEPTOR = Kind(
    code="GS522",
    name="opaque-interceptor",
    severity=Severity.WARNING,
    what="The type of the interceptor that a factory returns is not known in advance.",
    why="User code is only called when the server starts, so the runtime of the"
    " interceptor cannot be checked before.",
    bad="server: {interceptors: ['greeter:make_interceptor']}",
    good="server: {interceptors: ['greeter:Counting']}",
)
