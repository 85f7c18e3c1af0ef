// Package otlpcollector is an OpenTelemetry collector for tests: it receives traces by OTLP
// over HTTP and keeps them.
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

// Span is a received span. Its IDs are in hex.
type Span struct {
	Name       string
	Trace      string
	ID         string
	Parent     string // empty for a root span
	Attributes map[string]string
}

// Collector keeps the spans that it receives.
type Collector struct {
	URL string // for --traces-endpoint

	mu    sync.Mutex
	spans []Span
}

// New starts a collector, which stops when the test ends.
func New(t testing.TB) *Collector {
	c := &Collector{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var request collecttrace.ExportTraceServiceRequest
		if err == nil {
			err = proto.Unmarshal(body, &request)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			t.Errorf("invalid OTLP request: %v", err)
			return
		}
		c.add(&request)
	}))
	t.Cleanup(server.Close)
	c.URL = server.URL + "/v1/traces"
	return c
}

func (c *Collector) add(request *collecttrace.ExportTraceServiceRequest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range request.GetResourceSpans() {
		for _, scope := range r.GetScopeSpans() {
			for _, span := range scope.GetSpans() {
				s := Span{Name: span.GetName(), Trace: hex.EncodeToString(span.GetTraceId()), ID: hex.EncodeToString(span.GetSpanId()), Parent: hex.EncodeToString(span.GetParentSpanId()), Attributes: map[string]string{}}
				for _, a := range append(span.GetAttributes(), r.GetResource().GetAttributes()...) {
					s.Attributes[a.GetKey()] = valueString(a.GetValue())
				}
				c.spans = append(c.spans, s)
			}
		}
	}
}

// Find returns the first span with a name.
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

func valueString(v *common.AnyValue) string {
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
