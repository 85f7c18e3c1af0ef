package server

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/record"

	"drey.dev/drey/registry"
	"drey.dev/drey/webhook/controllers/repair"
	"drey.dev/drey/webhook/verdict"
)

// newRepairer returns the controller that labels what admission missed.
func (s *server) newRepairer(w watches) (*repair.Repairer, error) {
	config := rest.CopyConfig(s.cluster)
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
		Inspector: &repair.Inspector{Client: client, Metadata: meta, Owners: w.owners, Known: verdict.Caches{Registry: s.index, Running: w.owners, Registered: w.registered.HadTarget}, Exclude: s.options.excludedNamespaces()},
		Pods:      meta, HasTarget: s.hasTarget, Namespaces: s.index.Namespaces,
		Observe: repairEvents(s.recorder, s.registryHint()), Log: s.log, Metrics: s.metrics,
	}), nil
}

// repair runs the controller until ctx ends, and has it scan each namespace that
// gets a target.
func (s *server) repair(ctx context.Context, r *repair.Repairer) error {
	var started atomic.Bool // the controller scans existing targets itself
	err := s.store.Watch(ctx, registry.DeploymentTarget, func(e registry.Event) {
		if started.Load() && e.Change != registry.Deleted {
			r.EnqueueNamespace(registry.TargetNamespace(e.Object, s.options.config.Namespace))
		}
	})
	if err != nil {
		return err
	}
	started.Store(true)
	r.Run(ctx)
	return nil
}

// repairEvents emits an event on each object that was repaired, or that admission
// would deny.
func repairEvents(recorder record.EventRecorder, address verdict.RegisterHint) func(repair.Event) {
	return func(e repair.Event) {
		object := &metav1.PartialObjectMetadata{
			TypeMeta:   metav1.TypeMeta{Kind: e.Kind, APIVersion: apiVersions[e.Kind]},
			ObjectMeta: metav1.ObjectMeta{Namespace: e.Namespace, Name: e.Name, UID: types.UID(e.UID)},
		}
		if len(e.Labeled) > 0 {
			recorder.Event(object, corev1.EventTypeNormal, "Labeled", "labels were missing; added "+joinLabels(e.Labeled))
			return
		}
		recorder.Event(object, corev1.EventTypeWarning, string(e.Verdict.Reason), eventMessage("left running, but admission would deny it: "+e.Verdict.Message(address)))
		if root, ok := rootOwner(e); ok && e.Verdict.Reason == verdict.LabelConflict {
			recorder.Event(root, corev1.EventTypeWarning, string(e.Verdict.Reason),
				eventMessage(fmt.Sprintf("%s %s is left running, but admission would deny it: %s", e.Kind, e.Name, e.Verdict.Message(address))))
		}
	}
}

// rootOwner returns the topmost owner that was found of an object.
func rootOwner(e repair.Event) (*metav1.PartialObjectMetadata, bool) {
	for _, o := range slices.Backward(e.Verdict.Workload().Owners) {
		if !o.Unresolved && !o.LookupFailed && o.UID != "" {
			return &metav1.PartialObjectMetadata{
				TypeMeta:   metav1.TypeMeta{Kind: o.Kind, APIVersion: o.APIVersion},
				ObjectMeta: metav1.ObjectMeta{Namespace: e.Namespace, Name: o.Name, UID: types.UID(o.UID)},
			}, true
		}
	}
	return nil, false
}

func joinLabels(labels []verdict.Label) string {
	var words []string
	for _, l := range labels {
		words = append(words, fmt.Sprintf("%s=%s", l.Key, l.Value))
	}
	return strings.Join(words, ", ")
}
