package rollout

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/client-go/rest"
)

// crdServer answers requests for CustomResourceDefinitions.
type crdServer struct {
	established func() bool
	forbidden   bool // GETs
	gets        []time.Time
}

// RoundTrip implements http.RoundTripper.
func (s *crdServer) RoundTrip(r *http.Request) (*http.Response, error) {
	status, text := http.StatusOK, `{"kind":"CustomResourceDefinition","apiVersion":"apiextensions.k8s.io/v1","metadata":{"name":"x"}}`
	if r.Method == http.MethodGet {
		s.gets = append(s.gets, time.Now())
		if s.forbidden {
			status, text = http.StatusForbidden, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","code":403}`
		} else if s.established() {
			text = strings.Replace(text, `"metadata"`, `"status":{"conditions":[{"type":"Established","status":"True"}]},"metadata"`, 1)
		}
	}
	return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(text)), Request: r}, nil
}

// TestInstallCRDsPolling polls with backoff and jitter until the definitions are established, the
// context ends, or the API server refuses the GET.
func TestInstallCRDsPolling(t *testing.T) {
	install := func(ctx context.Context, s *crdServer) error {
		return InstallCRDs(ctx, &rest.Config{Host: "http://api.example", Transport: s})
	}
	for rule, do := range map[string]func(*testing.T){
		"context ends": func(t *testing.T) {
			s := &crdServer{established: func() bool { return false }}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			start := time.Now()
			if err := install(ctx, s); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Minute || !strings.Contains(err.Error(), "is not ready") {
				t.Errorf("got %v after %s", err, time.Since(start))
			}
			for len(s.gets) > 1 && s.gets[1].Equal(start) { // one read before each apply
				s.gets = s.gets[1:]
			}
			delays := map[time.Duration]bool{}
			for i := range len(s.gets) - 1 {
				delay := s.gets[i+1].Sub(s.gets[i])
				delays[delay] = true
				if delay < 100*time.Millisecond || delay > 3*time.Second || i > 10 && delay < time.Second {
					t.Errorf("poll %d after %s", i+1, delay)
				}
			}
			if len(s.gets) < 20 || len(s.gets) > 60 || len(delays) < len(s.gets)/2 {
				t.Errorf("got %d polls in a minute with %d different delays", len(s.gets), len(delays))
			}
		},
		"established": func(t *testing.T) {
			start := time.Now()
			s := &crdServer{established: func() bool { return time.Since(start) > 5*time.Second }}
			if err := install(t.Context(), s); err != nil || time.Since(start) > 9*time.Second {
				t.Errorf("got %v after %s", err, time.Since(start))
			}
		},
		"forbidden": func(t *testing.T) {
			start := time.Now()
			if err := install(t.Context(), &crdServer{forbidden: true}); err == nil || strings.Contains(err.Error(), "is not ready") || time.Since(start) != 0 {
				t.Errorf("got %v after %s", err, time.Since(start))
			}
		},
	} {
		t.Run(rule, func(t *testing.T) { synctest.Test(t, do) })
	}
}
