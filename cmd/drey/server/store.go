package server

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	configv1alpha1 "drey.dev/drey/config/v1alpha1"
	"drey.dev/drey/manifests/rollout"
	"drey.dev/drey/registry/boltstore"
	"drey.dev/drey/registry/kubestore"
	webhookconfig "drey.dev/drey/webhook/config"
)

// openStoreTimeout bounds the installation of the CRDs and the first list, which is the longer the more
// objects there are. It is less than the startup probe allows, so that the log has the reason.
const openStoreTimeout = 100 * time.Second

// openStore opens the store of the registry.
func (s *server) openStore(ctx context.Context) (err error) {
	o := &s.options
	if o.config.Registry.Store == configv1alpha1.StoreEmbedded {
		s.embedded, err = boltstore.Open(RegistryFile(o.config.Registry.DataDir))
		s.store = s.embedded
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, openStoreTimeout)
	defer cancel()
	if o.config.Webhooks.Install {
		if err := rollout.InstallCRDs(ctx, s.cluster); err != nil {
			return err
		}
	}
	s.store, err = kubestore.Open(ctx, s.cluster, kubestore.Options{
		CreateNamespaces: o.config.Registry.CreateNamespaces, OwnNamespace: o.config.Namespace, CheckNamespace: o.admits, RecordEvent: s.recorder.Event, Observer: &s.observer, CountWorkloads: s.targets.of, Log: s.log,
	})
	if err != nil {
		return errors.Join(err, errors.New("if the CRDs are missing: kubectl apply --server-side -k manifests/crds"))
	}
	return nil
}

func excludedMessage(namespace string) string {
	return fmt.Sprintf("drey excludes Kubernetes namespace %q from admission: it is drey's own or the system's; register a target for another one", namespace)
}

// admits returns why admission denies Flink in an existing Kubernetes namespace
// that has a target, or nil.
func (o *Options) admits(namespace string, labels map[string]string) error {
	switch {
	case slices.Contains(o.excludedNamespaces(), namespace):
		return errors.New(excludedMessage(namespace))
	case labels[webhookconfig.LabelRegistered] != webhookconfig.Registered:
		return fmt.Errorf("Kubernetes namespace %q lacks the label %s=%s, which drey sets; if this persists, see its log", namespace, webhookconfig.LabelRegistered, webhookconfig.Registered) //nolint:staticcheck // it begins with a name
	}
	return nil
}
