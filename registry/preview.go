package registry

import (
	"context"
	"fmt"
)

// Preview is what the deletion of an object would meet, and what it would mean.
type Preview struct {
	Object     Object
	References []Reference // what stands on it: with any of it, the deletion is refused
	Afterwards []string    // what would be refused once it is gone, in words
}

// PreviewDelete says what [Registry.Delete] would do, and does nothing. Refused with
// [ReasonNotFound], and with [ReasonClusterUnavailable] as the deletion would be.
func (r *Registry) PreviewDelete(ctx context.Context, key Key) (Preview, error) {
	ctx = Current(ctx)
	o, err := r.Get(ctx, key)
	if err != nil {
		return Preview{}, err
	}
	p := Preview{Object: o, Afterwards: []string{}}
	if p.References, err = r.References(ctx, o); err != nil {
		return Preview{}, fmt.Errorf("find what refers to %s: %w", name(o.Key()), err)
	}
	switch o.Kind {
	case DeploymentTarget:
		p.Afterwards = append(p.Afterwards, "Deployments and SessionClusters in platform namespace "+quote(o.Metadata.Namespace)+" that refer to it")
		if closed := r.closes(o); closed != "" {
			p.Afterwards = append(p.Afterwards, closed)
		}
	case SessionCluster:
		p.Afterwards = append(p.Afterwards, "Deployments in platform namespace "+quote(o.Metadata.Namespace)+" that run on it")
	}
	return p, nil
}

// closes says to which workloads a Kubernetes namespace would be closed without a
// target: empty if another of its platform namespace points there too. Those of other
// platform namespaces are counted, not named: not everybody may know them.
func (r *Registry) closes(target Object) string {
	namespace := targetNamespace(target, r.home)
	others := false
	for _, t := range r.index.Targets(namespace) {
		switch {
		case t.ID == target.Metadata.ID:
		case t.PlatformNamespace == target.Metadata.Namespace:
			return ""
		default:
			others = true
		}
	}
	if r.partial && !others {
		return fmt.Sprintf("new Flink workloads in Kubernetes namespace %s, unless a target of another platform namespace, which you may not see, points there",
			quote(namespace))
	}
	if others {
		return fmt.Sprintf("new Flink workloads in Kubernetes namespace %s that belong to platform namespace %s: only others have targets there",
			quote(namespace), quote(target.Metadata.Namespace))
	}
	return fmt.Sprintf("new Flink workloads in Kubernetes namespace %s, which no other target points at", quote(namespace))
}
