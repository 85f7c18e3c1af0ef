package objects

import (
	"context"
	"encoding/json"
	"net/url"
	"strconv"

	"drey.dev/drey/cmd/drey/cli/client"
	"drey.dev/drey/cmd/drey/cli/output"
	"drey.dev/drey/registry"
)

// readiness is the status of a target: whether Flink may run in its Kubernetes namespace.
type readiness struct {
	Ready     string // True, False or, without a cluster, empty
	Reason    string
	Message   string // of a target that is not ready
	Workloads string // their number; empty if unknown
}

// String returns the value of the column READY.
func (r readiness) String() string {
	if r.Ready == "False" {
		return r.Ready + ": " + r.Reason
	}
	return r.Ready
}

// readObjects decodes items, with the readiness of targets for a table.
func (r *read) readObjects(ctx context.Context, items []json.RawMessage) ([]object, error) {
	objects := make([]object, len(items))
	for i, text := range items {
		if err := json.Unmarshal(text, &objects[i]); err != nil {
			return nil, err
		}
	}
	if registry.Kind(r.kind.Name) != registry.DeploymentTarget || r.format == output.Name || len(objects) == 0 {
		return objects, nil
	}
	query := url.Values{}
	if !r.allNamespaces {
		query.Set("platformNamespace", r.client.Platform())
	}
	if len(objects) == 1 {
		query.Set("name", objects[0].Metadata.Name)
	}
	all, err := readTargets(ctx, r.client, query)
	if err != nil {
		return objects, nil //nolint:nilerr // a server that does not serve it: the column is empty
	}
	for i, o := range objects {
		objects[i].readiness = all[o.key()]
	}
	return objects, nil
}

// readTargets returns the readiness of targets.
func readTargets(ctx context.Context, c *client.Client, query url.Values) (map[objectKey]readiness, error) {
	type target struct {
		PlatformNamespace, Name string
		Ready                   *bool
		Reason, Message         string
		Workloads               int
	}
	items, _, err := client.List[target](ctx, c, "/drey/v1/targets", query)
	if err != nil {
		return nil, err
	}
	all := map[objectKey]readiness{}
	for _, t := range items {
		state := readiness{Reason: t.Reason}
		if t.Ready != nil {
			if c.Server != client.InCluster { // without a drey nothing counts them
				state.Workloads = strconv.Itoa(t.Workloads)
			}
			state.Ready = "True"
			if !*t.Ready {
				state.Ready, state.Message = "False", t.Message
			}
		}
		all[objectKey{t.PlatformNamespace, t.Name}] = state
	}
	return all, nil
}
