// Package document reads and writes the registry's objects in their two forms: custom
// resources, which kubectl applies, and the documents of the REST API.
package document

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

	"drey.dev/drey/cmd/drey/cli/command"
	"drey.dev/drey/registry"
	"drey.dev/drey/registry/kubestore"
	v1 "drey.dev/drey/registry/kubestore/v1"
	"drey.dev/drey/registry/rest/yamljson"
)

// Kind is a kind of the registry's objects.
type Kind struct {
	Name       string // such as DeploymentTarget
	Command    string // such as targets in drey targets list
	Collection string // in REST paths
}

// Kinds are all kinds.
var Kinds = []Kind{
	{"DeploymentTarget", "targets", "deployment-targets"},
	{"Deployment", "deployments", "deployments"},
	{"SessionCluster", "sessionclusters", "sessionclusters"},
}

// The forms of the registry's objects, by their apiVersion: custom resources, which kubectl
// applies, and the documents of the REST API.
const (
	FormResource = "drey.dev/v1"
	FormREST     = "v1"
)

// ToResource returns a document of the REST API as a custom resource. metadataName is its
// metadata.name, empty for the one that drey gives.
func ToResource(k Kind, document []byte, metadataName string) ([]byte, error) {
	o, err := FromREST(registry.Kind(k.Name), document)
	if err != nil {
		return nil, err
	}
	return kubestore.Encode(o, metadataName)
}

// Document is an object to apply, in the form of the REST API.
type Document struct {
	Kind      Kind
	Namespace string // platform namespace; empty if the manifest has none
	Name      string
	ID        string // that the manifest states: the registry assigns another
	Body      []byte // JSON, or YAML as written
}

// header is the part of a manifest that says what it is.
type header struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   struct {
		Name        string `json:"name"`
		Namespace   string `json:"namespace"`
		ID          any    `json:"id"`          // of REST
		Annotations any    `json:"annotations"` // with the id of a custom resource
	} `json:"metadata"`
	Items []json.RawMessage `json:"items"`
}

// Read reads the objects of a file: YAML documents or JSON, in either form, and the
// items of lists. kind is that of documents without one.
func Read(text []byte, kind string) ([]Document, error) {
	parts := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(text)))
	var all []Document
	for number := 1; ; number++ {
		part, err := parts.Read()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, command.WithCode(command.ExitUsage, err)
		}
		found, err := readDocument(part, kind)
		if err != nil {
			return nil, command.WithCode(command.ExitUsage, fmt.Errorf("document %d: %w", number, err))
		}
		all = append(all, found...)
	}
}

func readDocument(text []byte, kind string) ([]Document, error) {
	var whole any
	if err := yaml.Unmarshal(text, &whole); err == nil && whole == nil {
		return nil, nil // comments alone, or an empty document
	}
	var h header
	if err := yaml.Unmarshal(text, &h); err != nil {
		return nil, errors.New(strings.TrimSpace(err.Error()))
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
	var all []Document
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
func one(h header, text []byte, kind string) ([]Document, error) {
	if h.Metadata.Name == "" {
		if err := yaml.Unmarshal(text, &h); err != nil || h.Metadata.Name == "" {
			return nil, fmt.Errorf("metadata.name is missing or unreadable in: %.200s", bytes.TrimSpace(text))
		}
	}
	d := Document{Namespace: h.Metadata.Namespace, Name: h.Metadata.Name, Body: text}
	at := slices.IndexFunc(Kinds, func(k Kind) bool { return k.Name == cmp.Or(h.Kind, kind) })
	if at < 0 {
		return nil, fmt.Errorf("%s %q: want kind DeploymentTarget, Deployment or SessionCluster", cmp.Or(h.Kind, "object without a kind"), h.Metadata.Name)
	}
	d.Kind = Kinds[at]
	group, version, _ := strings.Cut(h.APIVersion, "/")
	switch {
	case group == v1.GroupVersion.Group && version != v1.GroupVersion.Version || version != "" && group != v1.GroupVersion.Group:
		return nil, fmt.Errorf("%s %q: apiVersion %s; want %s or %s", d.Kind.Name, d.Name, h.APIVersion, FormResource, FormREST)
	case version != "":
		annotations, _ := h.Metadata.Annotations.(map[string]any)
		d.ID, _ = annotations[v1.AnnotationID].(string)
		return d.fromResource(text)
	}
	d.ID, _ = h.Metadata.ID.(string)
	return []Document{d}, nil
}

// fromResource returns the document of a custom resource.
func (d Document) fromResource(text []byte) ([]Document, error) {
	converted, err := yamljson.ToJSON(text, nil)
	if err != nil {
		return nil, err
	}
	o, _, _, err := kubestore.Decode(registry.Kind(d.Kind.Name), converted)
	if err != nil {
		return nil, err
	}
	d.Name = o.Metadata.Name
	metadata := map[string]any{"name": o.Metadata.Name, "labels": o.Metadata.Labels, "annotations": o.Metadata.Annotations}
	if o.Metadata.DisplayName != "" {
		metadata["displayName"] = o.Metadata.DisplayName
	}
	d.Body, err = json.Marshal(map[string]any{"kind": d.Kind.Name, "apiVersion": FormREST, "metadata": metadata, "spec": o.Spec})
	return []Document{d}, err
}
