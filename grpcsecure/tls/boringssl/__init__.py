"""BoringSSL's verification of client certificates, as engine `grpc` has it.

grpcio has no function that verifies a certificate outside of a handshake. `explain` and
the judging of each call need the verdict that BoringSSL gives. It is not OpenSSL's: the
two differ in algorithms, name constraints, policies, trust anchors and path building.
These modules follow the steps of BoringSSL's `X509_verify_cert` in grpcio 1.85.3 with
the settings of gRPC core's servers: purpose "ssl_client", PARTIAL_CHAIN, TRUSTED_FIRST,
and no CRLs. The tests compare their verdicts with handshakes.
"""
