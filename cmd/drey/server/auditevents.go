package server

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

// auditEvents emits an event for each violation that mode audit admitted. A review
// can be forged with a path token that a failed call disclosed, so events refer only to
// objects that the API server returns; or, where drey lacks the right to get the
// object, to its namespace. Beyond auditEventsPerSecond they are dropped.
type auditEvents struct {
	recorder record.EventRecorder
	client   metadata.Interface
	log      *slog.Logger
	queue    chan auditedDenial
}

type auditedDenial struct {
	webhook.Denial
	at time.Time // when the object may be looked for
}

const (
	auditEventsQueue     = 256
	auditEventsPerSecond = 10
	auditEventDelay      = time.Second // the object is stored after its admission
)

func newAuditEvents(recorder record.EventRecorder, client metadata.Interface, log *slog.Logger) *auditEvents {
	return &auditEvents{recorder, client, log, make(chan auditedDenial, auditEventsQueue)}
}

// observe is for [webhook.Options]. It never blocks.
func (a *auditEvents) observe(d webhook.Denial) {
	select {
	case a.queue <- auditedDenial{d, time.Now().Add(auditEventDelay)}:
	default:
	}
}

// run emits events until ctx ends.
func (a *auditEvents) run(ctx context.Context) {
	limit := rate.NewLimiter(auditEventsPerSecond, auditEventsQueue)
	for limit.Wait(ctx) == nil {
		var d auditedDenial
		select {
		case <-ctx.Done():
			return
		case d = <-a.queue:
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Until(d.at)):
		}
		about, err := a.about(ctx, d.Denial)
		if err != nil {
			a.log.Debug("audit event dropped: object not readable", "kind", d.Kind, "namespace", d.Namespace, "name", d.Name, "error", err)
			continue
		}
		a.recorder.Event(about, corev1.EventTypeWarning, string(d.Reason), eventMessage(d.Message))
	}
}

// about returns the object of an event, as the API server has it.
func (a *auditEvents) about(ctx context.Context, d webhook.Denial) (*metav1.PartialObjectMetadata, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	kind := schema.FromAPIVersionAndKind(apiVersions[d.Kind], d.Kind)
	if kind.Version != "" {
		found, err := a.get(ctx, kind, d.Namespace, d.Name)
		if !apierrors.IsForbidden(err) {
			return found, err
		}
	}
	namespace, err := a.get(ctx, corev1.SchemeGroupVersion.WithKind("Namespace"), "", d.Namespace)
	if err == nil {
		namespace.Namespace = namespace.Name // where the event goes
	}
	return namespace, err
}

func (a *auditEvents) get(ctx context.Context, kind schema.GroupVersionKind, namespace, name string) (*metav1.PartialObjectMetadata, error) {
	resource, _ := meta.UnsafeGuessKindToResource(kind)
	found, err := a.client.Resource(resource).Namespace(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	found.SetGroupVersionKind(kind)
	return found, nil
}
