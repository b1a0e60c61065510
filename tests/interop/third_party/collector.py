"""OpenTelemetry's trace service, from the classes in `opentelemetry-proto`."""

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
)


class Collector(TraceServiceServicer):
    """Takes spans, and counts those that belong to no trace."""

    def Export(self, request, context):
        """Say how many spans were rejected."""
        scopes = [scope for r in request.resource_spans for scope in r.scope_spans]
        rejected = sum(not span.trace_id for scope in scopes for span in scope.spans)
        return ExportTraceServiceResponse(partial_success={"rejected_spans": rejected})
