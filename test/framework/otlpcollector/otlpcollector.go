// Package otlpcollector takes traces by OTLP over HTTP, as an OpenTelemetry collector does,
// and keeps them for a test.
package otlpcollector

import (
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"

	collecttrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	"google.golang.org/protobuf/proto"
)

// Span is one that was sent.
type Span struct {
	Name       string
	Trace      string // its id, in hex
	ID         string // in hex
	Parent     string // id of the span above it, in hex; empty: none
	Attributes map[string]string
}

// Collector keeps what it is sent.
type Collector struct {
	URL string // for --traces-endpoint

	mu    sync.Mutex
	spans []Span
}

// New starts a collector that ends with the test.
func New(t testing.TB) *Collector {
	c := &Collector{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, err := io.ReadAll(r.Body)
		var sent collecttrace.ExportTraceServiceRequest
		if err == nil {
			err = proto.Unmarshal(text, &sent)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			t.Errorf("what is sent is no OTLP: %v", err)
			return
		}
		c.keep(&sent)
	}))
	t.Cleanup(server.Close)
	c.URL = server.URL + "/v1/traces"
	return c
}

func (c *Collector) keep(sent *collecttrace.ExportTraceServiceRequest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range sent.GetResourceSpans() {
		for _, s := range r.GetScopeSpans() {
			for _, span := range s.GetSpans() {
				kept := Span{Name: span.GetName(), Trace: hex.EncodeToString(span.GetTraceId()), ID: hex.EncodeToString(span.GetSpanId()), Parent: hex.EncodeToString(span.GetParentSpanId()), Attributes: map[string]string{}}
				for _, a := range append(span.GetAttributes(), r.GetResource().GetAttributes()...) {
					kept.Attributes[a.GetKey()] = text(a.GetValue())
				}
				c.spans = append(c.spans, kept)
			}
		}
	}
}

// Find returns the first span of a name, if there is one.
func (c *Collector) Find(name string) (Span, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.spans {
		if s.Name == name {
			return s, true
		}
	}
	return Span{}, false
}

func text(v *common.AnyValue) string {
	switch v := v.GetValue().(type) {
	case *common.AnyValue_StringValue:
		return v.StringValue
	case *common.AnyValue_IntValue:
		return strconv.FormatInt(v.IntValue, 10)
	case *common.AnyValue_BoolValue:
		return strconv.FormatBool(v.BoolValue)
	}
	return v.String()
}
