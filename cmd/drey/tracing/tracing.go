// Package tracing makes OpenTelemetry spans of REST requests, admission reviews,
// store writes and calls of the API server.
package tracing

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"drey.dev/drey/webhook"
	"drey.dev/drey/webhook/flink"
)

// Tracer makes spans and exports them. A nil Tracer traces nothing.
type Tracer struct {
	provider *sdktrace.TracerProvider
	tracer   trace.Tracer
}

// New returns a Tracer that samples a ratio of requests, or nil without an endpoint. version is
// that of drey.
func New(ctx context.Context, endpoint string, ratio float64, version string) (*Tracer, error) {
	if endpoint == "" {
		return nil, nil //nolint:nilnil // a nil Tracer traces nothing
	}
	client, err := newCollector(endpoint)
	if err != nil {
		return nil, fmt.Errorf("--traces-endpoint: %w", err)
	}
	exporter, err := otlptrace.New(ctx, client)
	if err != nil {
		return nil, fmt.Errorf("--traces-endpoint: %w", err)
	}
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(exporter, sdktrace.WithBatchTimeout(2*time.Second)),
		sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(ratio))),
		sdktrace.WithResource(resource.NewSchemaless(attribute.String("service.name", "drey"), attribute.String("service.version", version))),
	)
	return &Tracer{provider, provider.Tracer("drey.dev/drey")}, nil
}

// Close exports the remaining spans, for at most five seconds.
func (t *Tracer) Close() error {
	if t == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_ = t.provider.Shutdown(ctx) // an unreachable collector is no failure of drey
	return nil
}

// REST makes a span for each request of the REST API.
func (t *Tracer) REST(next http.Handler) http.Handler {
	if t == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, span := t.begin(r, "REST "+r.Method, attribute.String("http.request.method", r.Method), attribute.String("url.path", r.URL.Path))
		defer span.End()
		s := &statusWriter{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(s, r.WithContext(ctx))
		span.SetAttributes(attribute.Int("http.response.status_code", s.status))
		if s.status >= http.StatusInternalServerError {
			span.SetStatus(codes.Error, http.StatusText(s.status))
		}
	})
}

// Webhooks makes a span for each review, with its verdict.
func (t *Tracer) Webhooks() webhook.Trace {
	if t == nil {
		return nil
	}
	return func(r *http.Request, name string) (context.Context, func(verdict string)) {
		ctx, span := t.begin(r, name)
		return ctx, func(verdict string) {
			span.SetAttributes(attribute.String("drey.verdict", verdict))
			span.End()
		}
	}
}

// Owners makes a span for each owner resolution.
func (t *Tracer) Owners(next webhook.Owners) webhook.Owners {
	if t == nil {
		return next
	}
	return tracedOwners{next, t.tracer}
}

type tracedOwners struct {
	webhook.Owners
	tracer trace.Tracer
}

// Of implements webhook.Owners.
func (o tracedOwners) Of(ctx context.Context, object *flink.Object) ([]flink.Owner, bool) {
	ctx, span := o.tracer.Start(ctx, "owners", trace.WithAttributes(
		attribute.String("k8s.namespace.name", object.Namespace), attribute.String("drey.kind", object.Kind), attribute.String("drey.name", object.Name)))
	defer span.End()
	relatives, complete := o.Owners.Of(ctx, object)
	span.SetAttributes(attribute.Int("drey.owners", len(relatives)), attribute.Bool("drey.complete", complete))
	return relatives, complete
}

func (t *Tracer) begin(r *http.Request, name string, attributes ...attribute.KeyValue) (context.Context, trace.Span) {
	ctx := propagation.TraceContext{}.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
	return t.tracer.Start(ctx, name, trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(attributes...))
}

// statusWriter records the status code.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
