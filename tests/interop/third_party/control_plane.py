"""Envoy's discovery service, from the classes in `xds-protos`."""

from __future__ import annotations

from envoy.service.discovery.v3.ads_pb2_grpc import AggregatedDiscoveryServiceServicer
from envoy.service.discovery.v3.discovery_pb2 import DiscoveryResponse


class ControlPlane(AggregatedDiscoveryServiceServicer):
    """Has no resources: answers with empty sets, each with a new version."""

    async def StreamAggregatedResources(self, request_iterator, context):
        """Answer each request with an empty set of resources of its type."""
        version = 0
        async for request in request_iterator:
            version += 1
            yield DiscoveryResponse(
                version_info=str(version), type_url=request.type_url
            )
