package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"

	"drey.dev/drey/registry"
	"drey.dev/drey/test/framework/drey"
)

// paths are the REST collections of the kinds that writers write.
var paths = map[registry.Kind]string{
	registry.DeploymentTarget: "deployment-targets",
	registry.Deployment:       "deployments",
}

// round starts drey, kills it at a random time during writes, and compares the registry of
// a new process with the writers' ledgers.
func round(ctx context.Context, s settings, writers []*writer) (tally, error) {
	t, err := writeAndKill(ctx, s, writers)
	if err != nil {
		return t, err
	}
	d, err := start(ctx, s, writers)
	if err != nil {
		return t, fmt.Errorf("restart: %w", err)
	}
	defer d.Kill()
	var violations []string
	for _, w := range writers {
		found, err := readAll(ctx, d, w.namespace)
		if err != nil {
			return t, fmt.Errorf("read the registry: %w\n%s", err, d.Log())
		}
		t.objects += len(found)
		pending := w.pending
		violations = append(violations, w.compare(found)...)
		if pending != nil && !pending.acknowledged {
			t.pending++
			if pending.isApplied(found) {
				t.applied++
			}
		}
	}
	if len(violations) > 0 {
		return t, fmt.Errorf("%d violations:\n%s", len(violations), strings.Join(violations, "\n"))
	}
	return t, ctx.Err()
}

// writeAndKill runs all writers until drey is killed.
func writeAndKill(ctx context.Context, s settings, writers []*writer) (t tally, err error) {
	d, err := start(ctx, s, writers)
	if err != nil {
		return t, err
	}
	transport := &http.Transport{MaxIdleConnsPerHost: len(writers)}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	ended := make(chan struct{}, len(writers))
	counts, errs := make([]int, len(writers)), make([]error, len(writers))
	var wait sync.WaitGroup
	for i, w := range writers {
		wait.Go(func() {
			counts[i], errs[i] = w.write(ctx, client, d.REST)
			ended <- struct{}{}
		})
	}
	select {
	case <-time.After(10*time.Millisecond + rand.N(390*time.Millisecond)):
	case <-ended: // drey runs, so a response was missing or wrong
		errs = append(errs, errors.New("a writer ended before drey was killed"))
	}
	killErr := d.Kill()
	wait.Wait()
	for _, n := range counts {
		t.acknowledged += n
	}
	if err := errors.Join(append(errs, killErr, ctx.Err())...); err != nil {
		return t, fmt.Errorf("%w\n%s", err, lastLines(d.Log(), 20))
	}
	return t, nil
}

// start starts drey, and retries if another process has taken its port.
func start(ctx context.Context, s settings, writers []*writer) (*drey.Drey, error) {
	var args []string
	for _, w := range writers {
		args = append(args, "--platform-namespace", w.namespace)
	}
	for attempt := 1; ; attempt++ {
		d, err := drey.Start(ctx, drey.Options{Program: s.program, DataDir: s.dataDir, Args: args})
		if err == nil || attempt == 3 || !strings.Contains(err.Error(), "address already in use") {
			return d, err
		}
	}
}

// readAll reads every object of a platform namespace.
func readAll(ctx context.Context, d *drey.Drey, namespace string) (map[registry.Key]registry.Object, error) {
	found := map[registry.Key]registry.Object{}
	for kind, path := range paths {
		body, err := d.Call(ctx, http.MethodGet, "/api/v1/namespaces/"+namespace+"/"+path, nil)
		if err != nil {
			return nil, err
		}
		var list struct{ Items []registry.Object }
		if err := json.Unmarshal(body, &list); err != nil {
			return nil, fmt.Errorf("%w: %s", err, body)
		}
		for _, o := range list.Items {
			if o.Kind != kind {
				return nil, fmt.Errorf("list %s: got a %s", kind, o.Kind)
			}
			found[o.Key()] = o
		}
		if len(list.Items) != count(found, kind) {
			return nil, fmt.Errorf("list %s in %s: got an object twice", kind, namespace)
		}
	}
	return found, nil
}

func count(objects map[registry.Key]registry.Object, kind registry.Kind) (n int) {
	for key := range objects {
		if key.Kind == kind {
			n++
		}
	}
	return n
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
