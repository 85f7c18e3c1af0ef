package main

import (
	"context"
	"errors"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes/scheme"
	coreclient "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/metadata"
	clusterclient "k8s.io/client-go/rest"
	"k8s.io/client-go/tools/record"

	"drey.dev/drey/webhook"
	"drey.dev/drey/webhook/gate"
	"drey.dev/drey/webhook/modes"
	"drey.dev/drey/webhook/owners"
)

// around is what the webhooks know of the cluster, and how they tell it.
type around struct {
	owners   *owners.Owners
	modes    *modes.Modes
	record   *gate.Record
	recorder record.EventRecorder
	passed   *passedEvents
}

// watchCluster starts to follow what the webhooks have to know, until ctx ends, and
// returns once what was there is known, or a few seconds have passed: owners can be
// asked for, and a mode that is not known is that of --mode.
func (s *service) watchCluster(ctx context.Context) (around, error) {
	mode, err := webhook.ParseMode(s.options.mode)
	if err != nil {
		return around{}, err
	}
	a := around{recorder: s.recorder}
	if a.owners, err = owners.New(s.cluster, s.log); err != nil {
		return around{}, err
	}
	s.runs = a.owners.Runs
	if err := a.owners.OnChange(s.keeper.Changed); err != nil {
		return around{}, err
	}
	if err := a.owners.OnCluster(func(namespace string) {
		if r := s.repairer.Load(); r != nil {
			r.ClusterCame(namespace)
		}
	}); err != nil {
		return around{}, err
	}
	if a.modes, err = modes.New(s.cluster, mode, s.log); err != nil {
		return around{}, err
	}
	client, err := metadata.NewForConfig(s.cluster)
	if err != nil {
		return around{}, err
	}
	if a.record, err = gate.NewRecord(client, s.log); err != nil {
		return around{}, err
	}
	a.passed = newPassedEvents(s.recorder, client, s.log)
	s.parts.Go(func() { a.passed.run(ctx) })
	s.parts.Go(func() { a.owners.Run(ctx) })
	s.parts.Go(func() { a.record.Run(ctx) })
	s.parts.Go(func() { a.modes.Run(ctx) })
	synced := func() error {
		if !a.owners.Synced() || !a.modes.Synced() || !a.record.Synced() {
			return errors.New("the cluster's Flink workloads have not been read yet")
		}
		return nil
	}
	s.ready = append(s.ready, synced)
	if err := until(ctx.Done(), synced); err != nil {
		s.log.Warn("webhooks start before the cluster is known", "error", err)
	}
	return a, nil
}

// newRecorder writes events, in the background. Many that are alike become one.
func newRecorder(ctx context.Context, config *clusterclient.Config) (record.EventRecorder, error) {
	client, err := coreclient.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	broadcaster := record.NewBroadcaster(record.WithContext(ctx))
	broadcaster.StartRecordingToSink(&coreclient.EventSinkImpl{Interface: client.Events("")})
	return broadcaster.NewRecorder(scheme.Scheme, corev1.EventSource{Component: "drey"}), nil
}

// apiVersions of the kinds that an event can be about. kubectl describe finds its
// events by kind and name.
var apiVersions = map[string]string{
	"Pod": "v1", "Service": "v1", "ConfigMap": "v1", "Deployment": "apps/v1", "StatefulSet": "apps/v1", "DaemonSet": "apps/v1", "ReplicaSet": "apps/v1", "Job": "batch/v1", "CronJob": "batch/v1",
	"ReplicationController": "v1", "Rollout": "argoproj.io/v1alpha1",
	"FlinkDeployment": "flink.apache.org/v1beta1", "FlinkSessionJob": "flink.apache.org/v1beta1", "FlinkBlueGreenDeployment": "flink.apache.org/v1beta1",
	"FlinkCluster": "flinkoperator.k8s.io/v1beta1", "FlinkApplication": "flink.k8s.io/v1beta1",
}

// eventMessage cuts a message to what an event may hold.
func eventMessage(text string) string {
	const most = 1024
	if len(text) <= most {
		return text
	}
	return text[:most-3] + "..."
}
