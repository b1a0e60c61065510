"""The KServe v2 inference service, from the classes in `tritonclient`."""

from __future__ import annotations

from tritonclient.grpc.service_pb2 import ModelInferResponse, ModelStreamInferResponse
from tritonclient.grpc.service_pb2_grpc import GRPCInferenceServiceServicer


class Models(GRPCInferenceServiceServicer):
    """Has no models: answers each request with its own name and id."""

    async def ModelStreamInfer(self, request_iterator, context):
        """Answer each request of a stream."""
        async for request in request_iterator:
            yield ModelStreamInferResponse(
                infer_response=ModelInferResponse(
                    model_name=request.model_name, id=request.id
                )
            )
