package server

import (
	"context"
	"time"

	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"

	"drey.dev/drey/registry"
	"drey.dev/drey/webhook/controllers/namespacelabels"
)

// labelNamespaceTimeout bounds the labeling of a namespace within the request
// that registers a target.
const labelNamespaceTimeout = 2 * time.Second

// newLabeler returns the controller of the label on namespaces with a target.
func (s *server) newLabeler() (*namespacelabels.Labeler, error) {
	config := rest.CopyConfig(s.cluster)
	config.QPS, config.Burst = 50, 100
	client, err := metadata.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	return namespacelabels.New(namespacelabels.Options{
		Client: client, HasTarget: s.hasTarget,
		HasAdmitted: func(namespace string) bool { return s.admitted(namespace) }, Exclude: s.options.excludedNamespaces(), Log: s.log,
	}), nil
}

func (s *server) hasTarget(namespace string) bool { return len(s.index.Targets(namespace)) > 0 }

// labelNamespaceNow labels the namespace of a new target before its registration
// is acknowledged, so that pods may follow at once. If it fails, the controller
// retries.
func (s *server) labelNamespaceNow(ctx context.Context, target registry.Object) {
	ctx, cancel := context.WithTimeout(ctx, labelNamespaceTimeout)
	defer cancel()
	if err := s.labeler.SetRegistered(ctx, registry.TargetNamespace(target, s.options.config.Namespace)); err != nil {
		s.log.Warn("namespace not labeled yet", "target", target.Metadata.Name, "error", err)
	}
}

// labelNamespaces runs the controller until ctx ends.
func (s *server) labelNamespaces(ctx context.Context) error {
	err := s.store.Watch(ctx, registry.DeploymentTarget, func(e registry.Event) {
		s.labeler.Enqueue(registry.TargetNamespace(e.Object, s.options.config.Namespace))
	})
	if err != nil {
		return err
	}
	return s.labeler.Run(ctx)
}
