"""Google's IAM policy service, from the classes in `grpc-google-iam-v1`."""

from __future__ import annotations

from google.iam.v1.iam_policy_pb2 import TestIamPermissionsResponse
from google.iam.v1.iam_policy_pb2_grpc import IAMPolicyServicer


class Permissions(IAMPolicyServicer):
    """Grants permissions that only read."""

    def TestIamPermissions(self, request, context):
        """Return those of the requested permissions that are granted."""
        granted = [name for name in request.permissions if name.endswith(".get")]
        return TestIamPermissionsResponse(permissions=granted)
