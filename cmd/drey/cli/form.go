package cli

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	"drey.dev/drey/registry"
	"drey.dev/drey/registry/kubestore"
	v1 "drey.dev/drey/registry/kubestore/v1"
	"drey.dev/drey/registry/rest/yamljson"
)

// The forms of the registry's objects, by their apiVersion: custom resources, which kubectl
// applies, and the documents of the REST API.
const (
	formResource = "drey.dev/v1"
	formREST     = "v1"
)

// toResource returns a document of the REST API as a custom resource. metadataName is its
// metadata.name, empty for the one that drey gives.
func toResource(k objectKind, document []byte, metadataName string) ([]byte, error) {
	o, err := readRegistryObject(registry.Kind(k.kind), document)
	if err != nil {
		return nil, err
	}
	return kubestore.Encode(o, metadataName)
}

// document is an object to apply, in the form of the REST API.
type document struct {
	kind      objectKind
	namespace string // platform namespace; empty if the manifest has none
	name      string
	body      []byte // JSON, or YAML as written
}

// header is the part of a manifest that says what it is.
type header struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   struct {
		Name      string `json:"name"`
		Namespace string `json:"namespace"`
	} `json:"metadata"`
	Items []json.RawMessage `json:"items"`
}

// readDocuments reads the objects of a file: YAML documents or JSON, in either form, and the
// items of lists. kind is that of documents without one.
func readDocuments(text []byte, kind string) ([]document, error) {
	parts := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(text)))
	var all []document
	for number := 1; ; number++ {
		part, err := parts.Read()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, &exitError{exitUsage, err}
		}
		found, err := readDocument(part, kind)
		if err != nil {
			return nil, &exitError{exitUsage, fmt.Errorf("document %d: %w", number, err)}
		}
		all = append(all, found...)
	}
}

func readDocument(text []byte, kind string) ([]document, error) {
	var whole any
	if err := yaml.Unmarshal(text, &whole); err == nil && whole == nil {
		return nil, nil // comments alone, or an empty document
	}
	var h header
	if err := yaml.Unmarshal(text, &h); err != nil {
		return nil, fmt.Errorf("%w in: %.200s", err, text)
	}
	if h.Items == nil && !strings.HasSuffix(h.Kind, "List") {
		return one(h, text, kind)
	}
	// The items of the text that keeps the digits of numbers.
	converted, err := yamljson.ToJSON(text, nil)
	if err != nil {
		return nil, err
	}
	var list header
	if err := json.Unmarshal(converted, &list); err != nil {
		return nil, err
	}
	var all []document
	for i, item := range list.Items {
		found, err := one(header{}, item, cmp.Or(itemKind(h.Kind), kind))
		if err != nil {
			return nil, fmt.Errorf("item %d: %w", i+1, err)
		}
		all = append(all, found...)
	}
	return all, nil
}

// itemKind returns the kind of the items of a typed list without kinds; of kubectl's List "".
func itemKind(list string) string { return strings.TrimSuffix(list, "List") }

// one returns a single object. h is its header, if it was read before.
func one(h header, text []byte, kind string) ([]document, error) {
	if h.Metadata.Name == "" {
		if err := yaml.Unmarshal(text, &h); err != nil || h.Metadata.Name == "" {
			return nil, fmt.Errorf("metadata.name is missing or unreadable in: %.200s", text)
		}
	}
	d := document{namespace: h.Metadata.Namespace, name: h.Metadata.Name, body: text}
	at := slices.IndexFunc(objectKinds, func(k objectKind) bool { return k.kind == cmp.Or(h.Kind, kind) })
	if at < 0 {
		return nil, fmt.Errorf("%s %q: want kind DeploymentTarget, Deployment or SessionCluster", cmp.Or(h.Kind, "object without a kind"), h.Metadata.Name)
	}
	d.kind = objectKinds[at]
	group, version, _ := strings.Cut(h.APIVersion, "/")
	switch {
	case group == v1.GroupVersion.Group && version != v1.GroupVersion.Version || version != "" && group != v1.GroupVersion.Group:
		return nil, fmt.Errorf("%s %q: apiVersion %s; want %s or %s", d.kind.kind, d.name, h.APIVersion, formResource, formREST)
	case version != "":
		return d.fromResource(text)
	}
	return []document{d}, nil
}

// fromResource returns the document of a custom resource.
func (d document) fromResource(text []byte) ([]document, error) {
	converted, err := yamljson.ToJSON(text, nil)
	if err != nil {
		return nil, err
	}
	o, _, _, err := kubestore.Decode(registry.Kind(d.kind.kind), converted)
	if err != nil {
		return nil, err
	}
	d.name = o.Metadata.Name
	metadata := map[string]any{"name": o.Metadata.Name, "labels": o.Metadata.Labels, "annotations": o.Metadata.Annotations}
	if o.Metadata.DisplayName != "" {
		metadata["displayName"] = o.Metadata.DisplayName
	}
	d.body, err = json.Marshal(map[string]any{"kind": d.kind.kind, "apiVersion": formREST, "metadata": metadata, "spec": o.Spec})
	return []document{d}, err
}
