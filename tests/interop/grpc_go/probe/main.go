// Kubernetes' gRPC probe, as the kubelet makes it (pkg/probe/grpc): `probe MODE ADDRESS`.
//
// In mode TLS it has no client certificate and does not verify the server's (KEP-4939);
// in mode Plaintext it has no TLS. It prints the status of health, or why it has none.
package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

func main() {
	transport := insecure.NewCredentials()
	if os.Args[1] == "TLS" {
		transport = credentials.NewTLS(&tls.Config{InsecureSkipVerify: true})
	}
	connection, err := grpc.NewClient(
		"passthrough:///"+os.Args[2],
		grpc.WithUserAgent("kube-probe/1.37"),
		grpc.WithTransportCredentials(transport),
	)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	defer connection.Close()
	patience, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	response, err := healthpb.NewHealthClient(connection).Check(
		patience, &healthpb.HealthCheckRequest{},
	)
	if err != nil {
		fmt.Println(status.Code(err))
		os.Exit(1)
	}
	fmt.Println(response.GetStatus())
}
