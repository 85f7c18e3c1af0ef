package rest

import (
	"net/http"

	"drey.dev/drey/registry"
)

// preview is what holds an object, on the wire.
type preview struct {
	Kind       string `json:"kind"`
	APIVersion string `json:"apiVersion"`
	Metadata   struct {
		ID        string `json:"id"`
		Name      string `json:"name"`
		Namespace string `json:"namespace"`
	} `json:"metadata"`
	Items      []reference `json:"items"`             // never null
	Afterwards []string    `json:"refusedAfterwards"` // never null
}

type reference struct {
	Kind string `json:"kind"`
	Name string `json:"name"`

	Namespace string `json:"kubernetesNamespace,omitempty"` // of what runs
}

// references says what holds an object, and what its deletion would mean.
func (c collection) references(r *http.Request) (answer, error) {
	found, err := c.registry.PreviewDelete(r.Context(), c.key(r))
	if err != nil {
		return answer{}, err
	}
	p := preview{Kind: "ReferenceList", APIVersion: apiVersion, Items: []reference{}, Afterwards: found.Afterwards}
	m := found.Object.Metadata
	p.Metadata.ID, p.Metadata.Name, p.Metadata.Namespace = m.ID, m.Name, m.Namespace
	for _, ref := range found.References {
		p.Items = append(p.Items, reference(ref))
	}
	return answer{status: http.StatusOK, body: p}, nil
}

// referable are the kinds that something may refer to.
var referable = map[registry.Kind]bool{registry.DeploymentTarget: true, registry.SessionCluster: true}
