package kubestore

import (
	"encoding/json"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"drey.dev/drey/registry"
	"drey.dev/drey/registry/kubestore/internal/codec"
	v1 "drey.dev/drey/registry/kubestore/v1"
)

// Encode returns an object as a custom resource in JSON that kubectl apply accepts: with its
// id, and without version, times and status. [Decode] is its inverse. metadataName is the
// metadata.name of the custom resource, empty for the one that the store gives.
func Encode(o registry.Object, metadataName string) ([]byte, error) {
	r := codec.Resources[o.Kind]
	if r == nil {
		return nil, unknownKind(o.Kind)
	}
	into := r.New()
	into.SetNamespace(o.Metadata.Namespace)
	into.SetName(codec.ObjectName(o.Metadata.Name))
	if metadataName != "" {
		into.SetName(metadataName)
	}
	if err := r.Encode(o, into); err != nil {
		return nil, err
	}
	annotations := into.GetAnnotations()
	for _, a := range []string{v1.AnnotationVersion, v1.AnnotationCreatedAt, v1.AnnotationModifiedAt} {
		delete(annotations, a)
	}
	into.SetAnnotations(annotations)
	text, err := json.Marshal(into)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", o.Key(), err)
	}
	var all struct {
		Metadata struct {
			Name        string            `json:"name"`
			Namespace   string            `json:"namespace"`
			Labels      map[string]string `json:"labels,omitempty"`
			Annotations map[string]string `json:"annotations,omitempty"`
		} `json:"metadata"`
		Spec json.RawMessage `json:"spec,omitempty"`
	}
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, fmt.Errorf("encode %s: %w", o.Key(), err)
	}
	return json.Marshal(struct {
		metav1.TypeMeta `json:",inline"`
		Metadata        any             `json:"metadata"`
		Spec            json.RawMessage `json:"spec,omitempty"`
	}{metav1.TypeMeta{APIVersion: v1.GroupVersion.String(), Kind: string(o.Kind)}, all.Metadata, all.Spec})
}
