package kubestore

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	v1 "drey.dev/drey/registry/kubestore/v1"
	"drey.dev/drey/test/framework/eventually"
)

// statusServer is an API server with targets, which records the writes of their status.
type statusServer struct {
	targets map[string]*v1.DeploymentTarget // by name

	mu        sync.Mutex
	reads     int // in flight
	most      int
	enough    chan struct{} // closed when statusWorkers reads are in flight
	writes    map[string]int
	allWrites chan struct{} // closed when each target has a write
}

func (s *statusServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	if r.Method == http.MethodPut { // .../deploymenttargets/NAME/status
		s.mu.Lock()
		name := path.Base(path.Dir(r.URL.Path))
		if s.writes[name]++; len(s.writes) == len(s.targets) && s.writes[name] == 1 {
			close(s.allWrites)
		}
		s.mu.Unlock()
		_ = json.NewEncoder(w).Encode(s.targets[name])
		return
	}
	s.mu.Lock()
	if s.reads++; s.reads > s.most {
		if s.most = s.reads; s.most == statusWorkers {
			close(s.enough)
		}
	}
	s.mu.Unlock()
	select {
	case <-s.enough:
	case <-r.Context().Done(): // not so many come
	}
	s.mu.Lock()
	s.reads--
	s.mu.Unlock()
	_ = json.NewEncoder(w).Encode(s.targets[path.Base(r.URL.Path)])
}

// TestReportStatusConcurrently: the statuses of several objects are written at a time, each once,
// and no write follows the end of ReportStatus.
func TestReportStatusConcurrently(t *testing.T) {
	s := &statusServer{targets: map[string]*v1.DeploymentTarget{}, writes: map[string]int{}, enough: make(chan struct{}), allWrites: make(chan struct{})}
	server := httptest.NewServer(s)
	defer server.Close()
	f := newFakeStore(t)
	var err error
	if f.objects, err = newClient(&rest.Config{Host: server.URL, QPS: -1}); err != nil {
		t.Fatal(err)
	}
	f.receiveNamespace("orders", func(*metav1.PartialObjectMetadata) {})
	for i := range 5 * statusWorkers {
		o := target(fmt.Sprintf("11111111-1111-4111-8111-%012d", i), fmt.Sprint("target-", i), i, i+1)
		o.TypeMeta = metav1.TypeMeta{APIVersion: v1.GroupVersion.String(), Kind: "DeploymentTarget"}
		s.targets[o.Name] = o
		f.receive(o.DeepCopy())
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		f.ReportStatus(ctx)
	}()
	select {
	case <-s.allWrites:
	case <-time.After(eventually.Timeout):
		t.Error("not all statuses were written")
	}
	cancel()
	<-ended
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.most != statusWorkers || s.reads != 0 {
		t.Errorf("got %d reads at a time, and %d after the end, want %d and none", s.most, s.reads, statusWorkers)
	}
	for name, n := range s.writes {
		if n != 1 {
			t.Errorf("got %d writes of %s, want 1", n, name)
		}
	}
}
