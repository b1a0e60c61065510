"""A model behind the KServe v2 protocol, with the generated code of `tritonclient`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc
import numpy as np
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc.service_pb2_grpc import GRPCInferenceServiceServicer

if TYPE_CHECKING:
    from grpc.aio import ServicerContext

MODEL = "double"
SHAPE = [-1]


class Models(GRPCInferenceServiceServicer):
    """Serves one model, which doubles its input."""

    async def ServerLive(
        self, _request: pb.ServerLiveRequest, _context: ServicerContext
    ) -> pb.ServerLiveResponse:
        """Say that the server runs."""
        return pb.ServerLiveResponse(live=True)

    async def ServerReady(
        self, _request: pb.ServerReadyRequest, _context: ServicerContext
    ) -> pb.ServerReadyResponse:
        """Say that models can be called."""
        return pb.ServerReadyResponse(ready=True)

    async def ModelReady(
        self, request: pb.ModelReadyRequest, _context: ServicerContext
    ) -> pb.ModelReadyResponse:
        """Say whether a model is there."""
        return pb.ModelReadyResponse(ready=request.name == MODEL)

    async def ModelMetadata(
        self, request: pb.ModelMetadataRequest, context: ServicerContext
    ) -> pb.ModelMetadataResponse:
        """Describe the tensors of a model."""
        await _known(request.name, context)
        tensor = pb.ModelMetadataResponse.TensorMetadata
        return pb.ModelMetadataResponse(
            name=MODEL,
            inputs=[tensor(name="x", datatype="FP32", shape=SHAPE)],
            outputs=[tensor(name="y", datatype="FP32", shape=SHAPE)],
        )

    async def ModelInfer(
        self, request: pb.ModelInferRequest, context: ServicerContext
    ) -> pb.ModelInferResponse:
        """Run a model."""
        await _known(request.model_name, context)
        doubled = 2 * np.frombuffer(request.raw_input_contents[0], dtype=np.float32)
        output = pb.ModelInferResponse.InferOutputTensor(
            name="y", datatype="FP32", shape=doubled.shape
        )
        return pb.ModelInferResponse(
            model_name=MODEL,
            id=request.id,
            outputs=[output],
            raw_output_contents=[doubled.tobytes()],
        )


async def _known(name: str, context: ServicerContext) -> None:
    if name != MODEL:
        await context.abort(grpc.StatusCode.NOT_FOUND, f"no model {name!r}")
