// A gRPC client on grpc-go with its ordinary credentials: a tls.Config whose
// Certificates are the client's, as its documentation shows. So crypto/tls decides
// whether to present the certificate: not if the server sends a list of acceptable CAs
// and none of them has issued it.
//
// Reads a call as a JSON object per line, and answers each with one line: the reply of
// the server, or the error of grpc-go.
package main

import (
	"bufio"
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
)

const patience = 20 * time.Second

// call is a unary call, and the TLS settings of the connection for it.
type call struct {
	Address string
	// Highest and lowest TLS version: 0x0303 is TLS 1.2.
	Version uint16
	// PEM: the CA to trust, and the client's certificate chain and key, if it has any.
	CA, Certificate, Key string
	// Path and message of the call.
	Path string
	Body []byte
}

// answer is the outcome; Error is empty if the call succeeded.
type answer struct {
	Body  []byte
	Error string
}

// raw passes messages through as bytes, without generated code.
type raw struct{}

func (raw) Marshal(message any) ([]byte, error) { return *message.(*[]byte), nil }

func (raw) Unmarshal(data []byte, message any) error {
	*message.(*[]byte) = append([]byte(nil), data...)
	return nil
}

func (raw) Name() string { return "proto" }

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<24)
	replies := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		var asked call
		if err := json.Unmarshal(lines.Bytes(), &asked); err != nil {
			panic(err)
		}
		var got answer
		if err := got.take(&asked); err != nil {
			got.Error = err.Error()
		}
		if err := replies.Encode(&got); err != nil {
			panic(err)
		}
	}
}

func (got *answer) take(asked *call) error {
	config, err := config(asked)
	if err != nil {
		return err
	}
	channel, err := grpc.NewClient(
		asked.Address, grpc.WithTransportCredentials(credentials.NewTLS(config)),
	)
	if err != nil {
		return err
	}
	defer channel.Close()
	limit, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return channel.Invoke(
		limit, asked.Path, &asked.Body, &got.Body, grpc.ForceCodec(raw{}),
	)
}

func config(asked *call) (*tls.Config, error) {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(asked.CA)) {
		return nil, fmt.Errorf("no CA")
	}
	config := &tls.Config{
		RootCAs:    roots,
		ServerName: "localhost",
		MinVersion: asked.Version,
		MaxVersion: asked.Version,
	}
	if asked.Certificate != "" {
		own, err := pair(asked)
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{own}
	}
	return config, nil
}

// pair returns certificate and key like tls.X509KeyPair, but does not compare them:
// one of the clients has a key that does not belong to its certificate.
func pair(asked *call) (tls.Certificate, error) {
	var own tls.Certificate
	for rest := []byte(asked.Certificate); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		own.Certificate = append(own.Certificate, block.Bytes)
	}
	block, _ := pem.Decode([]byte(asked.Key))
	if block == nil {
		return own, fmt.Errorf("no key")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return own, err
	}
	own.PrivateKey = key.(crypto.Signer)
	return own, nil
}
