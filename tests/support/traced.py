"""A module that turns tracing on when it is imported, as a user's does.

`TRACED_WITH` says by which library; spans are appended to the file `TRACED_FILE`.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from helloworld.greeter import Greeter as PlainGreeter
from helloworld.greeter_aio import Greeter as AioGreeter

__all__ = ["AioGreeter", "Greeter", "PlainGreeter"]

_FILE = Path(os.environ["TRACED_FILE"])


def _write(**fields):
    with _FILE.open("a") as file:
        file.write(json.dumps(fields) + "\n")


def _trace_with_opentelemetry():
    from opentelemetry import trace
    from opentelemetry.instrumentation.grpc import (
        GrpcAioInstrumentorServer,
        GrpcInstrumentorServer,
    )
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import (
        SimpleSpanProcessor,
        SpanExporter,
        SpanExportResult,
    )

    class Exporter(SpanExporter):
        def export(self, spans):
            for span in spans:
                _write(name=span.name, **span.attributes)
            return SpanExportResult.SUCCESS

    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(Exporter()))
    trace.set_tracer_provider(provider)
    GrpcInstrumentorServer().instrument()
    GrpcAioInstrumentorServer().instrument()


def _trace_with_sentry():
    import sentry_sdk
    from sentry_sdk.integrations.grpc import GRPCIntegration
    from sentry_sdk.transport import Transport

    class Writing(Transport):
        def capture_envelope(self, envelope):
            for item in envelope.items:
                if item.type == "transaction":
                    _write(name=item.payload.json["transaction"])

    sentry_sdk.init(
        dsn="http://key@127.0.0.1:9/1",
        transport=Writing,
        traces_sample_rate=1.0,
        integrations=[GRPCIntegration()],
        default_integrations=False,
        auto_enabling_integrations=False,
    )


{"opentelemetry": _trace_with_opentelemetry, "sentry": _trace_with_sentry}[
    os.environ["TRACED_WITH"]
]()


class Greeter(PlainGreeter):
    """The servicer of the traced server, for threads."""
