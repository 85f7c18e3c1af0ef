// Package explain decides on the objects of a manifest as admission does, for the console.
package explain

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"drey.dev/drey/cmd/drey/cli/manifest"
	"drey.dev/drey/console"
	"drey.dev/drey/registry"
	"drey.dev/drey/webhook"
	"drey.dev/drey/webhook/flink"
	"drey.dev/drey/webhook/verdict"
)

// Explainer explains manifests.
type Explainer struct {
	State        verdict.Caches       // of all users
	OwnNamespace string               // of targets that name none
	Hint         verdict.RegisterHint // says in denials where to register a target
}

// Explain returns the verdicts on the workloads of a manifest. namespace is that of objects
// without one. The targets that it considers are those of visible platform namespaces, and the
// DeploymentTargets of the manifest; partial reports that it left others out. A manifest that
// cannot be read is a [console.ManifestError].
func (x Explainer) Explain(ctx context.Context, text []byte, namespace string, visible func(platformNamespace string) (bool, error)) (all []verdict.Explanation, partial bool, err error) {
	manifests, err := manifest.Parse("manifest", text)
	if err != nil {
		return nil, false, &console.ManifestError{Err: err}
	}
	seen := &visibleRegistry{Registry: x.State.Registry, visible: visible, stated: map[string][]registry.Target{}}
	state := x.State
	state.Registry = seen
	for _, m := range manifests {
		if err := seen.add(m, x.OwnNamespace); err != nil {
			return nil, false, &console.ManifestError{Err: err}
		}
	}
	var workloads []flink.Workload
	for _, m := range manifests {
		if ctx.Err() != nil {
			return nil, false, ctx.Err()
		}
		if m.APIVersion == "" && m.Kind != string(registry.DeploymentTarget) {
			return nil, false, &console.ManifestError{Err: fmt.Errorf("%s: apiVersion is missing: every Kubernetes object has apiVersion and kind", m)}
		}
		w, ok, err := webhook.Recognize(m.APIVersion, m.Kind, cmp.Or(m.Metadata.Namespace, namespace), m.Text)
		if err != nil {
			return nil, false, &console.ManifestError{Err: fmt.Errorf("%s: %w", m, manifest.FieldError(err))}
		}
		if ok {
			w.Object.HeldAt = m.HeldAt
			workloads = append(workloads, w)
		}
	}
	for _, v := range verdict.DecideAll(workloads, state) {
		all = append(all, v.Explain(x.Hint))
	}
	return all, seen.partial, seen.err
}

// visibleRegistry is the registry as a user sees it, with the targets that their manifest states.
type visibleRegistry struct {
	verdict.Registry
	visible func(platformNamespace string) (bool, error)
	stated  map[string][]registry.Target // by Kubernetes namespace

	partial bool  // a target was left out
	err     error // of visible
}

// add adds a DeploymentTarget of a manifest, in the form of a custom resource or of the REST API.
func (s *visibleRegistry) add(m manifest.Manifest, ownNamespace string) error {
	if m.Kind != string(registry.DeploymentTarget) {
		return nil
	}
	var o struct {
		Metadata registry.Metadata `json:"metadata"`
		Spec     json.RawMessage   `json:"spec"`
	}
	if err := json.Unmarshal(m.Text, &o); err != nil {
		return fmt.Errorf("%s: %w", m, err)
	}
	namespace := registry.TargetNamespace(registry.Object{Kind: registry.DeploymentTarget, Spec: o.Spec}, ownNamespace)
	if namespace == "" {
		return fmt.Errorf("%s: spec.kubernetes.namespace is missing: name the Kubernetes namespace of the target", m)
	}
	s.stated[namespace] = append(s.stated[namespace], registry.Target{PlatformNamespace: cmp.Or(o.Metadata.Namespace, registry.DefaultNamespace), Name: o.Metadata.Name})
	return nil
}

func (s *visibleRegistry) sees(platformNamespace string) bool {
	ok, err := s.visible(platformNamespace)
	if err != nil {
		s.err = errors.Join(s.err, err)
	}
	return ok
}

// Targets implements verdict.Registry.
func (s *visibleRegistry) Targets(namespace string) []registry.Target {
	var all []registry.Target
	for _, t := range s.Registry.Targets(namespace) {
		if s.sees(t.PlatformNamespace) {
			all = append(all, t)
		} else {
			s.partial = true
		}
	}
	for _, t := range s.stated[namespace] {
		if !slices.ContainsFunc(all, func(o registry.Target) bool { return o.PlatformNamespace == t.PlatformNamespace && o.Name == t.Name }) {
			all = append(all, t)
		}
	}
	slices.SortStableFunc(all, func(a, b registry.Target) int { return cmp.Compare(a.PlatformNamespace, b.PlatformNamespace) })
	return all
}

// ByID implements verdict.Registry.
func (s *visibleRegistry) ByID(id string) (registry.Registered, bool) {
	found, ok := s.Registry.ByID(id)
	return found, ok && s.sees(found.PlatformNamespace)
}

// Linked implements verdict.Registry.
func (s *visibleRegistry) Linked(kind registry.Kind, platformNamespace, kubernetesNamespace, stated, name string) (registry.Registered, bool) {
	found, ok := s.Registry.Linked(kind, platformNamespace, kubernetesNamespace, stated, name)
	return found, ok && s.sees(found.PlatformNamespace)
}
