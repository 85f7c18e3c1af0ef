package server

import (
	"context"
	"errors"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes/scheme"
	coreclient "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/record"

	"drey.dev/drey/denials"
	"drey.dev/drey/registry/kubestore"
	webhookconfig "drey.dev/drey/webhook/config"
	"drey.dev/drey/webhook/controllers/modes"
	"drey.dev/drey/webhook/controllers/namespacelabels"
	"drey.dev/drey/webhook/owners"
)

// watches are the caches of the cluster that the webhooks read, and the events
// that they emit.
type watches struct {
	owners     *owners.Owners
	modes      *modes.Modes
	registered *namespacelabels.Cache
	denied     *denialEvents
	contacts   *contacts
}

// watchCluster starts the caches, which run until ctx ends, and waits for their
// first sync for pollTimeout. After that the webhooks start without: owners are
// looked up, modes default to --mode, and /readyz stays at 503.
func (s *server) watchCluster(ctx context.Context) (watches, error) {
	mode, err := webhookconfig.ParseMode(s.options.config.Webhooks.Mode)
	if err != nil {
		return watches{}, err
	}
	var w watches
	if w.owners, err = owners.New(s.cluster, s.log); err != nil {
		return watches{}, err
	}
	s.admitted = w.owners.HasAdmitted
	s.observer.Use(w.owners)
	stateChanged := s.rules.StateChanged
	if store, ok := s.store.(*kubestore.Store); ok {
		stateChanged = func(id string) { s.rules.StateChanged(id); store.StateChanged(id) }
	}
	if err := w.owners.OnRunChanged(stateChanged); err != nil {
		return watches{}, err
	}
	s.parts.Go(func() { // until the sync every state is TRANSITIONING
		for !w.owners.Synced() {
			select {
			case <-ctx.Done():
				return
			case <-time.After(100 * time.Millisecond):
			}
		}
		stateChanged("")
	})
	if err := w.owners.OnChange(s.labeler.Enqueue); err != nil {
		return watches{}, err
	}
	if err := w.owners.OnClusterCreated(func(namespace string) {
		if r := s.repairer.Load(); r != nil {
			r.EnqueueCluster(namespace)
		}
	}); err != nil {
		return watches{}, err
	}
	if w.modes, err = modes.New(s.cluster, mode, s.log); err != nil {
		return watches{}, err
	}
	client, err := metadata.NewForConfig(s.cluster)
	if err != nil {
		return watches{}, err
	}
	if w.registered, err = namespacelabels.NewCache(client, s.log); err != nil {
		return watches{}, err
	}
	w.contacts = newContacts(client)
	if err := s.watchInventory(ctx, w.owners); err != nil {
		return watches{}, err
	}
	w.denied = newDenialEvents(s.recorder, client, s.log)
	history, err := s.denialStore()
	if err != nil {
		return watches{}, err
	}
	s.parts.Go(func() { w.denied.run(ctx) })
	s.parts.Go(func() { s.denials.Run(ctx, history, s.log) })
	s.parts.Go(func() { w.owners.Run(ctx) })
	s.parts.Go(func() { w.registered.Run(ctx) })
	s.parts.Go(func() { w.modes.Run(ctx) })
	synced := func() error {
		if !w.owners.Synced() || !w.modes.Synced() || !w.registered.Synced() {
			return errors.New("the Flink workloads of the cluster are not listed yet")
		}
		return nil
	}
	s.ready = append(s.ready, synced)
	if err := poll(ctx.Done(), synced); err != nil {
		s.log.Warn("webhooks start before the caches have synced", "error", err)
	}
	return w, nil
}

// newRecorder returns a recorder that writes events in the background, and
// aggregates similar ones.
func newRecorder(ctx context.Context, config *rest.Config) (record.EventRecorder, error) {
	client, err := coreclient.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	broadcaster := record.NewBroadcaster(record.WithContext(ctx))
	broadcaster.StartRecordingToSink(&coreclient.EventSinkImpl{Interface: client.Events("")})
	return broadcaster.NewRecorder(scheme.Scheme, corev1.EventSource{Component: "drey"}), nil
}

// apiVersions of the kinds that events refer to: kubectl describe selects events by
// kind and name.
var apiVersions = map[string]string{
	"Pod": "v1", "Namespace": "v1", "Service": "v1", "ConfigMap": "v1", "Deployment": "apps/v1", "StatefulSet": "apps/v1", "DaemonSet": "apps/v1", "ReplicaSet": "apps/v1", "Job": "batch/v1", "CronJob": "batch/v1",
	"ReplicationController": "v1", "Rollout": "argoproj.io/v1alpha1",
	"FlinkDeployment": "flink.apache.org/v1beta1", "FlinkSessionJob": "flink.apache.org/v1beta1", "FlinkBlueGreenDeployment": "flink.apache.org/v1beta1",
	"FlinkCluster": "flinkoperator.k8s.io/v1beta1", "FlinkApplication": "flink.k8s.io/v1beta1",
}

// eventMessage truncates a message to the limit of the API server.
func eventMessage(text string) string {
	const limit = 1024
	return denials.Truncate(text, limit)
}
