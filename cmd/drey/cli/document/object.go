package document

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"drey.dev/drey/cmd/drey/cli/manifest"
	"drey.dev/drey/registry"
	"drey.dev/drey/registry/kubestore"
	v1 "drey.dev/drey/registry/kubestore/v1"
)

// ByReference sorts objects after those that they may refer to.
func ByReference(a, b registry.Object) int {
	order := []registry.Kind{registry.DeploymentTarget, registry.SessionCluster, registry.Deployment}
	return cmp.Compare(slices.Index(order, a.Kind), slices.Index(order, b.Kind))
}

// IsRegistryObject reports whether a manifest is a DeploymentTarget, Deployment or
// SessionCluster, as a custom resource or in the form of the REST API.
func IsRegistryObject(m manifest.Manifest) bool {
	switch registry.Kind(m.Kind) {
	case registry.DeploymentTarget, registry.Deployment, registry.SessionCluster:
		return IsCustomResource(m) || m.APIVersion == "v1" || m.APIVersion == ""
	}
	return false
}

// IsCustomResource reports whether a manifest is of drey's API group.
func IsCustomResource(m manifest.Manifest) bool {
	return strings.HasPrefix(m.APIVersion, v1.GroupVersion.Group+"/")
}

// FromManifest decodes an object of the registry. namespace is the platform namespace
// of a custom resource without one.
func FromManifest(m manifest.Manifest, namespace string) (o registry.Object, err error) {
	if !IsCustomResource(m) {
		o, err = FromREST(registry.Kind(m.Kind), m.Text)
	} else if o, _, _, err = kubestore.Decode(registry.Kind(m.Kind), m.Text); err == nil {
		o.Metadata.Namespace = cmp.Or(o.Metadata.Namespace, namespace)
	}
	if err != nil {
		return registry.Object{}, fmt.Errorf("%s: %w", m.String(), err)
	}
	return o, nil
}

// FromREST decodes an object in the form of the REST API.
func FromREST(kind registry.Kind, text []byte) (registry.Object, error) {
	var o struct {
		Metadata struct {
			ID          string            `json:"id"`
			Name        string            `json:"name"`
			DisplayName string            `json:"displayName"`
			Namespace   string            `json:"namespace"`
			Labels      map[string]string `json:"labels"`
			Annotations map[string]string `json:"annotations"`
		} `json:"metadata"`
		Spec json.RawMessage `json:"spec"`
	}
	if err := json.Unmarshal(text, &o); err != nil {
		return registry.Object{}, err
	}
	m := o.Metadata
	return registry.Object{Kind: kind, Spec: o.Spec, Metadata: registry.Metadata{
		ID: m.ID, Name: m.Name, DisplayName: m.DisplayName, Namespace: cmp.Or(m.Namespace, registry.DefaultNamespace), Labels: m.Labels, Annotations: m.Annotations,
	}}, nil
}
