package main

import (
	"context"
	"log/slog"
	"time"

	"golang.org/x/time/rate"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/tools/record"

	"drey.dev/drey/webhook"
)

// passedEvents writes an event for each denial that the mode audit let pass. A review may be
// forged by anybody who reaches the port of the webhooks, so an event is written only
// about an object that the API server has; or, if drey may not get that, about its
// namespace. There are so many in a second, and what comes beyond that is dropped.
type passedEvents struct {
	recorder record.EventRecorder
	client   metadata.Interface
	log      *slog.Logger
	queue    chan passedDenial
}

type passedDenial struct {
	webhook.Denial
	at time.Time // when the object may be looked for
}

const (
	mostPassed      = 256         // that wait
	passedPerSecond = 10          // events
	passedDelay     = time.Second // an object is stored after its admission
)

func newPassedEvents(recorder record.EventRecorder, client metadata.Interface, log *slog.Logger) *passedEvents {
	return &passedEvents{recorder, client, log, make(chan passedDenial, mostPassed)}
}

// observe is for [webhook.Options]. It does not wait.
func (p *passedEvents) observe(d webhook.Denial) {
	select {
	case p.queue <- passedDenial{d, time.Now().Add(passedDelay)}:
	default:
	}
}

// run writes events until ctx ends.
func (p *passedEvents) run(ctx context.Context) {
	limit := rate.NewLimiter(passedPerSecond, mostPassed)
	for limit.Wait(ctx) == nil {
		var d passedDenial
		select {
		case <-ctx.Done():
			return
		case d = <-p.queue:
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Until(d.at)):
		}
		about, err := p.about(ctx, d.Denial)
		if err != nil {
			p.log.Debug("no event of what the mode audit let pass", "kind", d.Kind, "namespace", d.Namespace, "name", d.Name, "error", err)
			continue
		}
		p.recorder.Event(about, corev1.EventTypeWarning, string(d.Reason), eventMessage(d.Message))
	}
}

// about is the object of an event, as the API server has it.
func (p *passedEvents) about(ctx context.Context, d webhook.Denial) (*metav1.PartialObjectMetadata, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	kind := schema.FromAPIVersionAndKind(apiVersions[d.Kind], d.Kind)
	if kind.Version != "" {
		found, err := p.get(ctx, kind, d.Namespace, d.Name)
		if !apierrors.IsForbidden(err) {
			return found, err
		}
	}
	namespace, err := p.get(ctx, corev1.SchemeGroupVersion.WithKind("Namespace"), "", d.Namespace)
	if err == nil {
		namespace.Namespace = namespace.Name // where the event goes
	}
	return namespace, err
}

func (p *passedEvents) get(ctx context.Context, kind schema.GroupVersionKind, namespace, name string) (*metav1.PartialObjectMetadata, error) {
	resource, _ := meta.UnsafeGuessKindToResource(kind)
	found, err := p.client.Resource(resource).Namespace(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	found.SetGroupVersionKind(kind)
	return found, nil
}
