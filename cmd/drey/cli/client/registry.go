package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"

	"drey.dev/drey/cmd/drey/cli/document"
	"drey.dev/drey/registry"
)

// Registry reads all of the registry over REST that the caller can list.
func (c *Client) Registry(ctx context.Context) ([]registry.Object, error) {
	platforms, err := c.Platforms(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the registry: %w; or use --targets FILE", err)
	}
	var all []registry.Object
	for _, platform := range platforms {
		for _, k := range document.Kinds {
			answer, _, err := c.Do(ctx, http.MethodGet, c.PathIn(platform, k.Collection), nil)
			if err != nil {
				return nil, fmt.Errorf("read the registry: %w", err)
			}
			var list struct{ Items []json.RawMessage }
			if err := json.Unmarshal(answer, &list); err != nil {
				return nil, err
			}
			for _, item := range list.Items {
				o, err := document.FromREST(registry.Kind(k.Name), item)
				if err != nil {
					return nil, err
				}
				all = append(all, o)
			}
		}
	}
	return all, nil
}

// TargetNames returns the names of the DeploymentTargets that the caller can read.
func (c *Client) TargetNames(ctx context.Context) ([]string, error) {
	objects, err := c.Registry(ctx)
	var names []string
	for _, o := range objects {
		if o.Kind == registry.DeploymentTarget && !slices.Contains(names, o.Metadata.Name) {
			names = append(names, o.Metadata.Name)
		}
	}
	return names, err
}
