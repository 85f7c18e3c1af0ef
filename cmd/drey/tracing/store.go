package tracing

import (
	"context"
	"net/http"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"drey.dev/drey/registry"
)

// Store makes a span for each write to a store within a sampled request. Reads come
// from memory; where they do not, [Tracer.Calls] shows them.
func (t *Tracer) Store(next registry.Store) registry.Store {
	if t == nil {
		return next
	}
	return tracedStore{next, t.tracer}
}

type tracedStore struct {
	registry.Store
	tracer trace.Tracer
}

// Capabilities implements registry.Store.
func (s tracedStore) Capabilities() registry.Capabilities {
	c := s.Store.Capabilities()
	if c.SharedWrites != nil {
		c.SharedWrites = tracedSharedWrites{c.SharedWrites, s}
	}
	return c
}

// Create implements registry.Store.
func (s tracedStore) Create(ctx context.Context, o registry.Object) (kept registry.Object, err error) {
	err = s.span(ctx, "store create", o.Key(), func(ctx context.Context) error {
		kept, err = s.Store.Create(ctx, o)
		return err
	})
	return kept, err
}

// Update implements registry.Store.
func (s tracedStore) Update(ctx context.Context, o registry.Object, expected int32) (kept registry.Object, err error) {
	err = s.span(ctx, "store update", o.Key(), func(ctx context.Context) error {
		kept, err = s.Store.Update(ctx, o, expected)
		return err
	})
	return kept, err
}

// Delete implements registry.Store.
func (s tracedStore) Delete(ctx context.Context, key registry.Key, expected int32) error {
	return s.span(ctx, "store delete", key, func(ctx context.Context) error { return s.Store.Delete(ctx, key, expected) })
}

func (s tracedStore) span(ctx context.Context, name string, key registry.Key, do func(context.Context) error) error {
	if !trace.SpanFromContext(ctx).IsRecording() {
		return do(ctx)
	}
	ctx, span := s.tracer.Start(ctx, name, trace.WithAttributes(
		attribute.String("drey.kind", string(key.Kind)), attribute.String("drey.namespace", key.Namespace), attribute.String("drey.name", key.Name)))
	defer span.End()
	err := do(ctx)
	if err != nil {
		span.SetStatus(codes.Error, err.Error())
	}
	return err
}

type tracedSharedWrites struct {
	next  registry.SharedWrites
	store tracedStore
}

// DeleteIf implements registry.SharedWrites.
func (w tracedSharedWrites) DeleteIf(ctx context.Context, key registry.Key, expected int32, check func(context.Context) error) error {
	return w.store.span(ctx, "store delete", key, func(ctx context.Context) error { return w.next.DeleteIf(ctx, key, expected, check) })
}

// Confirm implements registry.SharedWrites.
func (w tracedSharedWrites) Confirm(ctx context.Context, key registry.Key, id string) error {
	return w.store.span(ctx, "store confirm", key, func(ctx context.Context) error { return w.next.Confirm(ctx, key, id) })
}

// Calls makes a span for each call of the API server within a sampled request, and
// propagates the trace to it. Watches have none.
func (t *Tracer) Calls(next http.RoundTripper) http.RoundTripper {
	return tracedCalls{next, t.tracer}
}

type tracedCalls struct {
	next   http.RoundTripper
	tracer trace.Tracer
}

// RoundTrip implements http.RoundTripper.
func (c tracedCalls) RoundTrip(r *http.Request) (*http.Response, error) {
	if !trace.SpanFromContext(r.Context()).IsRecording() {
		return c.next.RoundTrip(r)
	}
	ctx, span := c.tracer.Start(r.Context(), "API "+r.Method, trace.WithSpanKind(trace.SpanKindClient),
		trace.WithAttributes(attribute.String("http.request.method", r.Method), attribute.String("url.path", r.URL.Path)))
	defer span.End()
	r = r.Clone(ctx)
	propagation.TraceContext{}.Inject(ctx, propagation.HeaderCarrier(r.Header))
	response, err := c.next.RoundTrip(r)
	if err != nil {
		span.SetStatus(codes.Error, err.Error())
		return nil, err
	}
	span.SetAttributes(attribute.Int("http.response.status_code", response.StatusCode))
	return response, nil
}
