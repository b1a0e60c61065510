"""A collector of OTLP traces, with the generated code of `opentelemetry-proto`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as pb
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
)

import grpcsecure

if TYPE_CHECKING:
    from grpc import ServicerContext


class Traces(TraceServiceServicer):
    """Writes a line for each span, with the identity of the client that sent it."""

    def Export(
        self, request: pb.ExportTraceServiceRequest, context: ServicerContext
    ) -> pb.ExportTraceServiceResponse:
        """Take spans."""
        sender = ", ".join(grpcsecure.peer(context).identities)
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                for span in scope.spans:
                    sys.stdout.write(f"{sender}: {span.name}\n")
        sys.stdout.flush()
        return pb.ExportTraceServiceResponse()
