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

// writer is a client that creates, updates and deletes objects, one after the
// other.
type writer struct {
	ledger
	namespace string
	names     int
	serial    int // of the last write, so that no two are the same
}

func newWriter(namespace string, names int) *writer {
	return &writer{ledger: newLedger(), namespace: namespace, names: names}
}

// write writes until a request gets no answer, and returns how many did. The
// error is an answer that should not be.
func (w *writer) write(ctx context.Context, client *http.Client, url string) (acknowledged int, err error) {
	for {
		a := w.next()
		w.doubt = &a
		answered, err := w.send(ctx, client, url, a)
		if !answered || err != nil {
			return acknowledged, err
		}
		acknowledged++
		if w.doubt != nil { // all but the body of the answer came
			return acknowledged, nil
		}
	}
}

// next is what to write next.
func (w *writer) next() attempt {
	w.serial++
	kind := registry.DeploymentTarget
	if rand.N(2) == 0 && w.aTarget() != "" {
		kind = registry.Deployment
	}
	key := registry.Key{Kind: kind, Namespace: w.namespace, Name: fmt.Sprintf("n%03d", rand.N(w.names/2))}
	current, there := w.kept[key]
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
		o.Spec = json.RawMessage(fmt.Sprintf(`{"kubernetes":{"namespace":"flink-%s"}}`, key.Name)) // never changes
	} else { // of any length, many pages among them
		o.Spec = json.RawMessage(fmt.Sprintf(`{"deploymentTargetName":%q,"text":%q}`, w.aTarget(), strings.Repeat(fmt.Sprint(w.serial, " "), rand.N(1<<rand.N(12)))))
	}
	a.after = &o
	return a
}

// aTarget is the name of any target that is there.
func (w *writer) aTarget() string {
	for key := range w.kept {
		if key.Kind == registry.DeploymentTarget {
			return key.Name
		}
	}
	return ""
}

func (w *writer) isReferredTo(key registry.Key) bool {
	if key.Kind != registry.DeploymentTarget {
		return false
	}
	for _, o := range w.kept {
		if targetOf(o) == key.Name {
			return true
		}
	}
	return false
}

// send makes the request of a write and notes its answer. Every change of an
// object says what it was before, so that a registry that has another says so.
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
		return false, nil // drey is gone, and with it the answer
	}
	defer response.Body.Close()
	answer, readErr := io.ReadAll(response.Body)
	if response.StatusCode != want {
		return true, fmt.Errorf("%s %s was answered %s: %s", method, path, response.Status, answer)
	}
	if readErr != nil {
		w.doubt.acknowledged = true
		return true, nil
	}
	var kept registry.Object
	if err := json.Unmarshal(answer, &kept); err != nil {
		return true, fmt.Errorf("%s %s was answered %s: %w", method, path, answer, err)
	}
	switch {
	case a.after == nil:
		w.keep(a.key, nil)
	case !a.fits(kept):
		return true, fmt.Errorf("%s %s was answered\n  %s\nand was to be\n  %s", method, path, text(kept), text(*a.after))
	default:
		w.keep(a.key, &kept)
	}
	w.doubt = nil
	return true, nil
}
