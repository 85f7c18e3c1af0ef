package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	clusterclient "k8s.io/client-go/rest"

	"drey.dev/drey/registry"
	"drey.dev/drey/registry/boltstore"
	"drey.dev/drey/registry/kubestore"
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

// openStore opens the registry. embedded is nil if the cluster keeps it.
func openStore(ctx context.Context, o serveOptions, config *clusterclient.Config, log *slog.Logger) (store registry.Store, embedded *boltstore.Store, err error) {
	if o.store == storeEmbedded {
		embedded, err = boltstore.Open(registryFile(o.dataDir))
		return embedded, embedded, err
	}
	if config == nil {
		return nil, nil, fmt.Errorf("--store %s needs a cluster: give --kubeconfig", storeKubernetes)
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if o.installWebhooks {
		if err := kubestore.Install(ctx, config); err != nil {
			return nil, nil, err
		}
	}
	store, err = kubestore.Open(ctx, config, kubestore.Options{CreateNamespaces: o.createNamespaces, ReportStatus: true, Log: log})
	if err != nil {
		return nil, nil, errors.Join(err, errors.New("the cluster must know drey's objects first: kubectl apply --server-side -k manifests/crds"))
	}
	return store, nil, nil
}
