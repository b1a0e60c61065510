// A gRPC client on Go's own TLS and HTTP/2, with the standard library only.
//
// Reads calls, one JSON object per line, and answers each with one line: the server's
// response, or Go's error. It presents its certificate regardless of the server's list
// of acceptable CAs, unless the call has Choose set.
package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"
)

const patience = 20 * time.Second

// call is a unary call, and the options of its TLS handshake.
type call struct {
	Address string
	// Highest and lowest TLS version: 0x0303 is TLS 1.2.
	Version uint16
	// Protocols to offer; a call is made only over h2.
	ALPN []string
	// PEM: the trusted CA, and the certificate to present.
	CA, Certificate, Key string
	// Whether to present the certificate only if its issuer is acceptable.
	Choose bool
	// Path and message of the call, without the prefix that gRPC puts before it.
	Path string
	Body []byte
}

// answer is the result of a call; Error is empty if the server answered in HTTP/2.
type answer struct {
	// The client's own address, and the negotiated protocol.
	Local, ALPN string
	// Whether a certificate was requested, and the number of acceptable CAs.
	Asked      bool
	Acceptable int
	// The call's status and message.
	Status string
	Body   []byte
	Error  string
}

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
	config, err := got.config(asked)
	if err != nil {
		return err
	}
	raw, err := net.DialTimeout("tcp", asked.Address, patience)
	if err != nil {
		return err
	}
	defer raw.Close()
	got.Local = raw.LocalAddr().String()
	raw.SetDeadline(time.Now().Add(patience))
	conn := tls.Client(raw, config)
	if err := conn.Handshake(); err != nil {
		return err
	}
	got.ALPN = conn.ConnectionState().NegotiatedProtocol
	if got.ALPN != "h2" {
		return speakAnyway(conn)
	}
	return got.roundTrip(conn, asked)
}

func (got *answer) config(asked *call) (*tls.Config, error) {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(asked.CA)) {
		return nil, fmt.Errorf("no CA")
	}
	config := &tls.Config{
		RootCAs:    roots,
		ServerName: "localhost",
		NextProtos: asked.ALPN,
		MinVersion: asked.Version,
		MaxVersion: asked.Version,
	}
	own, err := pair(asked)
	if err != nil {
		return nil, err
	}
	config.GetClientCertificate = func(info *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		got.Asked = true
		got.Acceptable = len(info.AcceptableCAs)
		if asked.Choose && info.SupportsCertificate(own) != nil {
			return &tls.Certificate{}, nil
		}
		return own, nil
	}
	return config, nil
}

// pair joins certificate and key without checking that they fit: the server has to
// detect that.
func pair(asked *call) (*tls.Certificate, error) {
	own := &tls.Certificate{}
	for rest := []byte(asked.Certificate); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		own.Certificate = append(own.Certificate, block.Bytes)
	}
	if block, _ := pem.Decode([]byte(asked.Key)); block != nil {
		key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			return nil, err
		}
		own.PrivateKey = key.(crypto.Signer)
	}
	return own, nil
}

// speakAnyway sends the connection preface (RFC 9113, 3.4) although HTTP/2 was not
// negotiated, and succeeds if it receives a SETTINGS frame.
func speakAnyway(conn net.Conn) error {
	if _, err := io.WriteString(conn, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"); err != nil {
		return err
	}
	header := make([]byte, 9)
	if _, err := io.ReadFull(conn, header); err != nil {
		return err
	}
	if header[3] != 4 {
		return fmt.Errorf("a frame of type %d", header[3])
	}
	return nil
}

// reason returns the alert that ended the connection, if any. The HTTP/2 layer may
// report the end of the connection first, but the TLS layer keeps the alert.
func reason(conn *tls.Conn, err error) error {
	var alert *net.OpError
	if _, last := conn.Read(make([]byte, 1)); errors.As(last, &alert) && alert.Op == "remote error" {
		return last
	}
	return err
}

func (got *answer) roundTrip(conn *tls.Conn, asked *call) error {
	transport := &http.Transport{
		ForceAttemptHTTP2: true,
		DialTLSContext: func(context.Context, string, string) (net.Conn, error) {
			return conn, nil
		},
	}
	defer transport.CloseIdleConnections()
	length := len(asked.Body)
	prefix := []byte{0, byte(length >> 24), byte(length >> 16), byte(length >> 8), byte(length)}
	request, err := http.NewRequest(
		http.MethodPost, "https://localhost"+asked.Path,
		io.NopCloser(io.MultiReader(bytes.NewReader(prefix), bytes.NewReader(asked.Body))),
	)
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/grpc")
	request.Header.Set("TE", "trailers")
	response, err := transport.RoundTrip(request)
	if err != nil {
		return reason(conn, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if len(body) >= 5 {
		got.Body = body[5:]
	}
	// An answer without a message has its status among the headers.
	if got.Status = response.Trailer.Get("Grpc-Status"); got.Status == "" {
		got.Status = response.Header.Get("Grpc-Status")
	}
	return nil
}
