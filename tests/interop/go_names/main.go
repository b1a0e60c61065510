// Makes a TLS handshake for each line of standard input, an address and the name to
// dial, and prints "yes" if Go accepts the certificate, "no" if it does not.
package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
)

func main() {
	roots := x509.NewCertPool()
	pem, err := os.ReadFile(os.Args[1])
	if err != nil || !roots.AppendCertsFromPEM(pem) {
		panic("no CA")
	}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var address, name string
		fmt.Sscan(lines.Text(), &address, &name)
		config := &tls.Config{RootCAs: roots, ServerName: name, NextProtos: []string{"h2"}}
		conn, err := tls.Dial("tcp", address, config)
		var wrong *tls.CertificateVerificationError
		if err == nil {
			conn.Close()
			fmt.Println("yes")
		} else if errors.As(err, &wrong) {
			fmt.Println("no")
		} else {
			fmt.Println(err)
		}
	}
}
