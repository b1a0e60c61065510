"""Calls the greeter in all four ways.

python examples/client.py 127.0.0.1:8443 --ca certs/ca.pem
python examples/client.py 127.0.0.1:8443 --ca certs/ca.pem \
        --cert certs/client.pem --key certs/client.key
"""

from __future__ import annotations

import argparse
from pathlib import Path

import grpc
from helloworld.helloworld_pb2 import HelloRequest
from helloworld.helloworld_pb2_grpc import GreeterStub


def main() -> None:
    """Connect, call all four methods, print the replies."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("address", help="host:port of the server")
    parser.add_argument("--ca", type=Path, help="PEM file of the CA; plaintext without")
    parser.add_argument("--cert", type=Path, help="client certificate (PEM)")
    parser.add_argument("--key", type=Path, help="its private key (PEM)")
    with _dial(parser.parse_args()) as channel:
        greeter = GreeterStub(channel)
        names = [HelloRequest(name=name) for name in ("Ada", "Grace")]
        print(greeter.SayHello(HelloRequest(name="Ada"), timeout=10).message)
        for reply in greeter.SayHelloManyTimes(HelloRequest(times=2), timeout=10):
            print(reply.message)
        print(greeter.SayHelloToAll(iter(names), timeout=10).message)
        for reply in greeter.Chat(iter(names), timeout=10):
            print(reply.message)


def _dial(arguments: argparse.Namespace) -> grpc.Channel:
    if arguments.ca is None:
        return grpc.insecure_channel(arguments.address)
    credentials = grpc.ssl_channel_credentials(
        root_certificates=arguments.ca.read_bytes(),
        private_key=arguments.key.read_bytes() if arguments.key else None,
        certificate_chain=arguments.cert.read_bytes() if arguments.cert else None,
    )
    return grpc.secure_channel(arguments.address, credentials)


if __name__ == "__main__":
    main()
