package main

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"
	clusterclient "k8s.io/client-go/rest"
	"k8s.io/client-go/tools/record"

	"drey.dev/drey/registry"
	"drey.dev/drey/webhook"
	"drey.dev/drey/webhook/flink"
	"drey.dev/drey/webhook/gate"
	"drey.dev/drey/webhook/repair"
	"drey.dev/drey/webhook/verdict"
)

// everKnown joins what the registry and the cluster know, as verdict.Decide asks it.
type everKnown struct {
	*registry.Index
	cluster clusterKnown
	record  *gate.Record
}

// HadTarget implements verdict.Known.
func (k everKnown) HadTarget(namespace string) bool { return k.record.HadTarget(namespace) }

// clusterKnown is what [owners.Owners] has in memory of the cluster.
type clusterKnown interface {
	Live(id string) bool
	Cluster(namespace, name string) (flink.Cluster, bool)
}

// Live implements verdict.Known.
func (k everKnown) Live(id string) bool { return k.cluster.Live(id) }

// Cluster implements verdict.Known.
func (k everKnown) Cluster(namespace, name string) (flink.Cluster, bool) {
	return k.cluster.Cluster(namespace, name)
}

// newRepairer prepares what labels the objects that admission missed.
func (s *service) newRepairer(a around) (*repair.Repairer, error) {
	config := clusterclient.CopyConfig(s.cluster)
	config.QPS, config.Burst = 200, 400
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	meta, err := metadata.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	return repair.New(repair.Options{
		Inspector: &repair.Inspector{Client: client, Metadata: meta, Owners: a.owners, Known: everKnown{s.index, a.owners, a.record}, Exclude: s.options.excluded()},
		Pods:      meta, HasTarget: func(namespace string) bool { return len(s.index.Targets(namespace)) > 0 }, Namespaces: s.index.Namespaces,
		Observe: repairEvents(a.recorder, s.address()), Log: s.log, Metrics: s.metrics,
	}), nil
}

// excluded are the Kubernetes namespaces that drey leaves alone.
func (o serveOptions) excluded() []string {
	return append([]string{o.namespace}, webhook.SystemNamespaces...)
}

// repairWhile repairs until ctx ends, and looks anew at each namespace that gets a
// target.
func (s *service) repairWhile(ctx context.Context, r *repair.Repairer) error {
	var started atomic.Bool // what is there already is found by the run itself
	err := s.store.Watch(ctx, registry.DeploymentTarget, func(e registry.Event) {
		if started.Load() && e.Change != registry.Deleted {
			r.Registered(registry.TargetNamespace(e.Object, s.options.namespace))
		}
	})
	if err != nil {
		return err
	}
	started.Store(true)
	r.Run(ctx)
	return nil
}

// repairEvents tells of objects, in events about them.
func repairEvents(recorder record.EventRecorder, address verdict.Registry) func(repair.Event) {
	return func(e repair.Event) {
		object := &metav1.PartialObjectMetadata{
			TypeMeta:   metav1.TypeMeta{Kind: e.Kind, APIVersion: apiVersions[e.Kind]},
			ObjectMeta: metav1.ObjectMeta{Namespace: e.Namespace, Name: e.Name, UID: types.UID(e.UID)},
		}
		if len(e.Labeled) > 0 {
			recorder.Event(object, corev1.EventTypeNormal, "Labeled", "it came without labels, and got "+joinLabels(e.Labeled))
			return
		}
		recorder.Event(object, corev1.EventTypeWarning, string(e.Verdict.Reason), eventMessage("it is left alone, but would not be let in: "+e.Verdict.Message(address)))
	}
}

func joinLabels(labels []verdict.Label) string {
	var words []string
	for _, l := range labels {
		words = append(words, fmt.Sprintf("%s=%s", l.Key, l.Value))
	}
	return strings.Join(words, ", ")
}
