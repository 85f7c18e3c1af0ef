package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"drey.dev/drey/registry/boltstore"
	"drey.dev/drey/registry/kubestore"
	"drey.dev/drey/webhook/gate"
)

// The places where the registry may be kept.
const (
	storeEmbedded   = "embedded"   // in one file: one process
	storeKubernetes = "kubernetes" // in the cluster's own etcd: any number of them
)

// checkStore refuses what does not go with a store.
func (o *serveOptions) checkStore() error {
	switch {
	case o.store != storeEmbedded && o.store != storeKubernetes:
		return fmt.Errorf("--store is %q: use %s or %s", o.store, storeEmbedded, storeKubernetes)
	case o.store == storeKubernetes && slices.Contains(o.auth.ways, authTokens):
		return fmt.Errorf("--rest-auth %s goes with --store %s: while the cluster keeps the registry, its own users and ServiceAccounts use it: --rest-auth %s",
			authTokens, storeEmbedded, authCluster)
	}
	return nil
}

// openStore opens the registry.
func (s *service) openStore(ctx context.Context) (err error) {
	o := s.options
	if o.store == storeEmbedded {
		s.embedded, err = boltstore.Open(registryFile(o.dataDir))
		s.store = s.embedded
		return err
	}
	if s.cluster == nil {
		return fmt.Errorf("--store %s needs a cluster: give --kubeconfig", storeKubernetes)
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if o.installWebhooks {
		if err := kubestore.Install(ctx, s.cluster); err != nil {
			return err
		}
	}
	s.store, err = kubestore.Open(ctx, s.cluster, kubestore.Options{
		CreateNamespaces: o.createNamespaces, Home: o.namespace, Serves: o.serves, Tell: s.recorder.Event, Log: s.log,
	})
	if err != nil {
		return errors.Join(err, errors.New("the cluster must know drey's objects first: kubectl apply --server-side -k manifests/crds"))
	}
	return nil
}

// serves says why Flink cannot be let into a Kubernetes namespace that is there.
func (o serveOptions) serves(namespace string, labels map[string]string) error {
	switch {
	case slices.Contains(o.excluded(), namespace):
		return fmt.Errorf("drey leaves Kubernetes namespace %q alone, which is its own or the system's: make a target that points elsewhere", namespace)
	case labels[gate.Mark] != gate.Registered:
		return fmt.Errorf("Kubernetes namespace %q does not have the label %s=%s yet, which drey sets: if that lasts, its log says why", namespace, gate.Mark, gate.Registered) //nolint:staticcheck // it begins with a name
	}
	return nil
}
