package kubestore_test

import (
	"encoding/json"
	"strings"
	"sync"

	"drey.dev/drey/registry"
)

// events records a watch's events of one platform namespace.
type events struct {
	mu   sync.Mutex
	seen []string
}

func (e *events) observe(namespace string) func(registry.Event) {
	return func(event registry.Event) {
		if event.Object.Metadata.Namespace != namespace && event.Object.Metadata.Name != namespace {
			return
		}
		e.mu.Lock()
		defer e.mu.Unlock()
		var spec registry.TargetSpec
		line := string(event.Change) + " " + event.Object.Metadata.Name
		if json.Unmarshal(event.Object.Spec, &spec) == nil && spec.Kubernetes != nil {
			line += " " + spec.Kubernetes.Namespace
		}
		e.seen = append(e.seen, line)
	}
}

func (e *events) text() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return strings.Join(e.seen, ", ")
}
