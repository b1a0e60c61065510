// Decodes Kubernetes manifests strictly into the types of k8s.io/api.
//
// Arguments: files with one or more YAML documents. For each document a line is printed:
// file, kind and name. An unknown or duplicate field, or an unknown kind, is an error.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/yaml"
)

func main() {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		corev1.AddToScheme, appsv1.AddToScheme, policyv1.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			fail("scheme", err)
		}
	}
	codecs := serializer.NewCodecFactory(scheme, serializer.EnableStrict)
	for _, path := range os.Args[1:] {
		decode(path, codecs.UniversalDeserializer())
	}
}

func decode(path string, decoder runtime.Decoder) {
	file, err := os.Open(path)
	if err != nil {
		fail(path, err)
	}
	defer file.Close()
	documents := yaml.NewYAMLReader(bufio.NewReader(file))
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			fail(path, err)
		}
		object, kind, err := decoder.Decode(document, nil, nil)
		if err != nil {
			fail(path, err)
		}
		fmt.Println(path, kind.Kind, object.(metav1.Object).GetName())
	}
}

func fail(what string, err error) {
	fmt.Fprintf(os.Stderr, "%s: %v\n", what, err)
	os.Exit(1)
}
