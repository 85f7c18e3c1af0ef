// Package tracing makes OpenTelemetry spans of REST requests, admission reviews,
// store writes and calls of the API server.
package tracing

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/pflag"
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

// Options configure tracing. The zero value traces nothing.
type Options struct {
	endpoint string
	ratio    float64
}

// BindFlags registers the flags of tracing.
func (o *Options) BindFlags(f *pflag.FlagSet) {
	f.StringVar(&o.endpoint, "traces-endpoint", "", "URL of an OpenTelemetry collector, OTLP over HTTP, such as http://otel-collector:4318/v1/traces; empty: tracing is off")
	f.Float64Var(&o.ratio, "traces-ratio", 0.01, "with --traces-endpoint: fraction of requests to sample, 0 to 1; requests with a sampled parent are always traced")
}

// Check validates the flags.
func (o *Options) Check() error {
	if o.endpoint == "" {
		return nil
	}
	if u, err := url.Parse(o.endpoint); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return fmt.Errorf("--traces-endpoint is %q: give a URL, such as http://otel-collector:4318/v1/traces", o.endpoint)
	}
	if o.ratio < 0 || o.ratio > 1 {
		return fmt.Errorf("--traces-ratio is %g: want 0 to 1", o.ratio)
	}
	return nil
}

// Tracer makes spans and exports them. A nil Tracer traces nothing.
type Tracer struct {
	provider *sdktrace.TracerProvider
	tracer   trace.Tracer
}

// New returns a Tracer, or nil without an endpoint. version is that of drey.
func New(ctx context.Context, o Options, version string) (*Tracer, error) {
	if o.endpoint == "" {
		return nil, nil //nolint:nilnil // a nil Tracer traces nothing
	}
	client, err := newCollector(o.endpoint)
	if err != nil {
		return nil, fmt.Errorf("--traces-endpoint: %w", err)
	}
	exporter, err := otlptrace.New(ctx, client)
	if err != nil {
		return nil, fmt.Errorf("--traces-endpoint: %w", err)
	}
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(exporter, sdktrace.WithBatchTimeout(2*time.Second)),
		sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(o.ratio))),
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
