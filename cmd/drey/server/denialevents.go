package server

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"golang.org/x/time/rate"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/tools/record"
	"k8s.io/utils/lru"

	"drey.dev/drey/webhook"
	webhookconfig "drey.dev/drey/webhook/config"
)

// denialEvents emits events for denials: on the namespace, on the root owner and, if the mode
// allowed it, on the object. Reviews can be forged, so events refer only to objects that the API
// server returns. Events are rate limited: all to denialEventsPerSecond, equal ones to a burst of
// denialEventBurst and one per denialEventInterval. Others are dropped.
type denialEvents struct {
	recorder record.EventRecorder
	client   metadata.Interface
	log      *slog.Logger
	queue    chan queuedDenial
	limits   *lru.Cache // *rate.Limiter by the key of a denial
}

type queuedDenial struct {
	webhook.Denial
	at time.Time // when the object may be looked for
}

const (
	denialEventsQueue     = 256
	denialEventsPerSecond = 10
	denialEventBurst      = 10
	denialEventInterval   = 30 * time.Second
	denialEventDelay      = time.Second // an allowed object is stored after its admission
)

func newDenialEvents(recorder record.EventRecorder, client metadata.Interface, log *slog.Logger) *denialEvents {
	return &denialEvents{recorder, client, log, make(chan queuedDenial, denialEventsQueue), lru.New(4 * denialEventsQueue)}
}

// observe queues the events of a denial with a key. It never blocks.
func (a *denialEvents) observe(d webhook.Denial, key string) {
	limit, ok := a.limits.Get(key)
	if !ok {
		limit = rate.NewLimiter(rate.Every(denialEventInterval), denialEventBurst)
		a.limits.Add(key, limit)
	}
	if !limit.(*rate.Limiter).Allow() {
		return
	}
	queued := queuedDenial{d, time.Now()}
	if d.Mode != webhookconfig.Enforce {
		queued.at = queued.at.Add(denialEventDelay)
	}
	select {
	case a.queue <- queued:
	default:
	}
}

// run emits events until ctx ends.
func (a *denialEvents) run(ctx context.Context) {
	limit := rate.NewLimiter(denialEventsPerSecond, denialEventsQueue)
	for limit.Wait(ctx) == nil {
		var d queuedDenial
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
		a.emit(ctx, d.Denial)
	}
}

func (a *denialEvents) emit(ctx context.Context, d webhook.Denial) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	message := eventMessage(deniedMessage(d))
	emit := func(object *metav1.PartialObjectMetadata, err error) {
		if err != nil {
			a.log.Debug("event of a denial dropped: object not readable", "kind", d.Kind, "namespace", d.Namespace, "name", d.Name, "error", err)
			return
		}
		a.recorder.Event(object, corev1.EventTypeWarning, string(d.Reason), message)
	}
	namespace, err := a.get(ctx, "Namespace", "", d.Namespace, "")
	if err != nil {
		emit(nil, err)
		return // forged, or deleted
	}
	namespace.Namespace = namespace.Name // where the event goes
	emit(namespace, nil)
	if d.Mode != webhookconfig.Enforce && d.Name != "" && !strings.HasSuffix(d.Name, "*") {
		emit(a.get(ctx, d.Kind, d.Namespace, d.Name, ""))
	}
	if d.Root.Name != "" && (d.Root.Name != d.Name || d.Root.Kind != d.Kind) {
		emit(a.get(ctx, d.Root.Kind, d.Namespace, d.Root.Name, d.Root.UID))
	}
}

// deniedMessage describes a denial in an event.
func deniedMessage(d webhook.Denial) string {
	effect := "denied"
	if d.Mode != webhookconfig.Enforce {
		effect = fmt.Sprintf("allowed in mode %s, and otherwise denied", d.Mode)
	}
	return fmt.Sprintf("%s of %s %s by %s %s: %s", d.Operation, d.Kind, d.Name, d.User, effect, d.Message)
}

// get reads the metadata of an object with a uid, of any uid if it is empty.
func (a *denialEvents) get(ctx context.Context, kindName, namespace, name, uid string) (*metav1.PartialObjectMetadata, error) {
	kind := schema.FromAPIVersionAndKind(apiVersions[kindName], kindName)
	if kind.Version == "" {
		return nil, fmt.Errorf("kind %q has no events", kindName)
	}
	resource, _ := meta.UnsafeGuessKindToResource(kind)
	found, err := a.client.Resource(resource).Namespace(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	if uid != "" && string(found.UID) != uid {
		return nil, apierrors.NewNotFound(resource.GroupResource(), name)
	}
	found.SetGroupVersionKind(kind)
	return found, nil
}
