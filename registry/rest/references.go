package rest

import (
	"net/http"

	"drey.dev/drey/registry"
)

// preview is a preview of a deletion in a response.
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

	Namespace string `json:"kubernetesNamespace,omitempty"` // of a workload
}

// references lists the references to an object, and the consequences of its deletion.
func (c collection) references(r *http.Request) (response, error) {
	found, err := c.registry.PreviewDelete(r.Context(), c.key(r))
	if err != nil {
		return response{}, err
	}
	p := preview{Kind: "ReferenceList", APIVersion: apiVersion, Items: []reference{}, Afterwards: found.Afterwards}
	m := found.Object.Metadata
	p.Metadata.ID, p.Metadata.Name, p.Metadata.Namespace = m.ID, m.Name, m.Namespace
	for _, ref := range found.References {
		p.Items = append(p.Items, reference(ref))
	}
	return response{status: http.StatusOK, body: p}, nil
}

// isReferable has the kinds that references can be to.
var isReferable = map[registry.Kind]bool{registry.DeploymentTarget: true, registry.SessionCluster: true}
