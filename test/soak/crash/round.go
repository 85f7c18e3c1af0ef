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

// paths are where the kinds that are written live.
var paths = map[registry.Kind]string{
	registry.DeploymentTarget: "deployment-targets",
	registry.Deployment:       "deployments",
}

// round starts drey, kills it at a random moment among writes, and compares
// what a new one has with what the writers know.
func round(ctx context.Context, s settings, writers []*writer) (tally, error) {
	t, err := writeAndKill(ctx, s, writers)
	if err != nil {
		return t, err
	}
	d, err := start(ctx, s, writers)
	if err != nil {
		return t, fmt.Errorf("after a crash: %w", err)
	}
	defer d.Kill()
	var violations []string
	for _, w := range writers {
		found, err := readAll(ctx, d, w.namespace)
		if err != nil {
			return t, fmt.Errorf("read what is left: %w\n%s", err, d.Log())
		}
		t.objects += len(found)
		doubt := w.doubt
		violations = append(violations, w.compare(found)...)
		if doubt != nil && !doubt.acknowledged {
			t.inDoubt++
			if doubt.tookPlace(found) {
				t.tookPlace++
			}
		}
	}
	if len(violations) > 0 {
		return t, fmt.Errorf("%d violations:\n%s", len(violations), strings.Join(violations, "\n"))
	}
	return t, ctx.Err()
}

// writeAndKill has all writers write until drey is gone.
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
	case <-ended: // drey is alive, and a writer has no answer, or a wrong one
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

// start starts drey, again if somebody took the port that it was given.
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
				return nil, fmt.Errorf("a list of %s has a %s", kind, o.Kind)
			}
			found[o.Key()] = o
		}
		if len(list.Items) != count(found, kind) {
			return nil, fmt.Errorf("a %s is listed twice in %s", kind, namespace)
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
