package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"

	"drey.dev/drey/registry"
)

// writer is a client that creates, updates and deletes objects sequentially.
type writer struct {
	ledger
	namespace string
	names     int
	serial    int // of the last write; each write differs
}

func newWriter(namespace string, names int) *writer {
	return &writer{ledger: newLedger(), namespace: namespace, names: names}
}

// write writes until a request gets no response, and returns the number of acknowledged
// writes. The error is an unexpected response.
func (w *writer) write(ctx context.Context, client *http.Client, url string) (acknowledged int, err error) {
	for {
		a := w.next()
		w.pending = &a
		answered, err := w.send(ctx, client, url, a)
		if !answered || err != nil {
			return acknowledged, err
		}
		acknowledged++
		if w.pending != nil { // the response was incomplete
			return acknowledged, nil
		}
	}
}

// next returns a random write.
func (w *writer) next() attempt {
	w.serial++
	kind := registry.DeploymentTarget
	if rand.N(2) == 0 && w.anyTarget() != "" {
		kind = registry.Deployment
	}
	key := registry.Key{Kind: kind, Namespace: w.namespace, Name: fmt.Sprintf("n%03d", rand.N(w.names/2))}
	current, there := w.objects[key]
	a := attempt{key: key}
	if there {
		a.before = &current
		if rand.N(5) < 2 && !w.isReferredTo(key) {
			return a
		}
	}
	o := registry.Object{Kind: kind, Metadata: registry.Metadata{Name: key.Name, Namespace: key.Namespace}}
	if there {
		o.Metadata = current.Clone().Metadata
	}
	o.Metadata.ResourceVersion++
	o.Metadata.Labels = map[string]string{"serial": fmt.Sprint(w.serial)}
	o.Metadata.Annotations = map[string]string{}
	if kind == registry.DeploymentTarget {
		o.Spec = json.RawMessage(fmt.Sprintf(`{"kubernetes":{"namespace":"flink-%s"}}`, key.Name)) // immutable
	} else { // of random length, up to many pages of the file
		o.Spec = json.RawMessage(fmt.Sprintf(`{"deploymentTargetName":%q,"text":%q}`, w.anyTarget(), strings.Repeat(fmt.Sprint(w.serial, " "), rand.N(1<<rand.N(12)))))
	}
	a.after = &o
	return a
}

// anyTarget returns the name of an existing target, empty if there is none.
func (w *writer) anyTarget() string {
	for key := range w.objects {
		if key.Kind == registry.DeploymentTarget {
			return key.Name
		}
	}
	return ""
}

// isReferredTo reports whether a Deployment refers to a target.
func (w *writer) isReferredTo(key registry.Key) bool {
	if key.Kind != registry.DeploymentTarget {
		return false
	}
	for _, o := range w.objects {
		if targetOf(o) == key.Name {
			return true
		}
	}
	return false
}

// send sends a write and records its response. Changes have the precondition If-Match, so
// the server detects an unexpected version.
func (w *writer) send(ctx context.Context, client *http.Client, url string, a attempt) (answered bool, err error) {
	method, path := http.MethodPost, "/api/v1/namespaces/"+a.key.Namespace+"/"+paths[a.key.Kind]
	if a.before != nil {
		method, path = http.MethodPut, path+"/"+a.key.Name
	}
	want := map[string]int{http.MethodPost: http.StatusCreated, http.MethodPut: http.StatusOK}[method]
	var body []byte
	if a.after == nil {
		method, want = http.MethodDelete, http.StatusOK
	} else if body, err = json.Marshal(map[string]any{
		"metadata": map[string]any{"name": a.key.Name, "labels": a.after.Metadata.Labels}, "spec": a.after.Spec,
	}); err != nil {
		return false, err
	}
	request, err := http.NewRequestWithContext(ctx, method, url+path, bytes.NewReader(body))
	if err != nil {
		return false, err
	}
	request.Header.Set("Content-Type", "application/json")
	if a.before != nil {
		request.Header.Set("If-Match", fmt.Sprintf(`"%s.%d"`, a.before.Metadata.ID, a.before.Metadata.ResourceVersion))
	}
	response, err := client.Do(request)
	if err != nil {
		return false, nil // drey was killed
	}
	defer response.Body.Close()
	answer, readErr := io.ReadAll(response.Body)
	if response.StatusCode != want {
		return true, fmt.Errorf("%s %s: got %s: %s", method, path, response.Status, answer)
	}
	if readErr != nil {
		w.pending.acknowledged = true
		return true, nil
	}
	var got registry.Object
	if err := json.Unmarshal(answer, &got); err != nil {
		return true, fmt.Errorf("%s %s: got %s: %w", method, path, answer, err)
	}
	switch {
	case a.after == nil:
		w.record(a.key, nil)
	case !a.matches(got):
		return true, fmt.Errorf("%s %s: got\n  %s\nwant\n  %s", method, path, text(got), text(*a.after))
	default:
		w.record(a.key, &got)
	}
	w.pending = nil
	return true, nil
}
