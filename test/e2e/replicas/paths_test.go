package replicas

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"drey.dev/drey/test/framework/drey"
	"drey.dev/drey/test/framework/eventually"
	"drey.dev/drey/test/framework/podload"
	"drey.dev/drey/webhook/config"
)

// TestPathTokens creates pods while a leader change renews the tokens of the paths, and while
// a GitOps tool repeatedly writes the paths without one. No call fails. Replaced tokens are of
// no use after the propagation delay, and the registry answers no path without a token,
// although a configuration states it.
func TestPathTokens(t *testing.T) {
	w := newWorld(t, 0)
	w.start(t, "--ca-propagation-delay", "2s")
	w.await(t, 1)
	w.start(t, "--ca-propagation-delay", "2s")
	w.await(t, 2)
	w.failClosed(t)
	namespace := w.Namespace(t)
	if status, _, answer := call(t.Context(), http.MethodPost, w.url()+targets, targetBody("t", namespace)); status != http.StatusCreated {
		t.Fatalf("POST: got %d %s, want 201", status, answer)
	}
	awaitLabeled(t, w, namespace)

	leader, other := w.replicas[0], w.replicas[1]
	first := w.awaitToken(t, "")
	if got := post(t, other, first); got != http.StatusUnsupportedMediaType {
		t.Errorf("stated path: got %d, want 415, since the request is no review", got)
	}
	stop := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	type outcome struct {
		report podload.Result
		err    error
	}
	done := make(chan outcome, 1)
	go func() {
		report, err := podload.Run(ctx, podload.Options{Config: w.Config(), Namespace: namespace, Rate: 20, Label: "vvpNamespace", For: time.Hour, Until: stop})
		done <- outcome{report, err}
	}()
	forged := make(chan int, 1)
	go func() {
		for ctx.Err() == nil {
			if got := post(t, other, config.PathValidateRegistry); got != http.StatusForbidden && ctx.Err() == nil {
				forged <- got
				return
			}
		}
		forged <- 0
	}()

	if err := leader.Stop(); err != nil {
		t.Error(err)
	}
	w.remove(leader)
	renewed := w.awaitToken(t, first)
	for range 3 {
		for kind, webhooks := range map[string]string{
			"MutatingWebhookConfiguration":   config.NameLabelPods,
			"ValidatingWebhookConfiguration": config.NameValidateWorkloads,
		} {
			manifest := fmt.Sprintf("apiVersion: admissionregistration.k8s.io/v1\nkind: %s\nmetadata: {name: drey}\nwebhooks:\n- {name: %s, clientConfig: {url: \"https://%s%s\"}}\n",
				kind, webhooks, w.webhooks.Address(), config.Paths()[webhooks])
			w.MustKubectl(t, manifest, "apply", "--server-side", "--force-conflicts", "--field-manager=argocd", "-f", "-")
		}
		renewed = w.awaitToken(t, renewed)
	}
	close(stop)
	load := <-done
	if load.err != nil {
		t.Fatal(load.err)
	}
	t.Log(load.report)
	if r := load.report; r.Failed > 0 || r.Unlabeled > 0 || r.Created < 20 {
		t.Errorf("got %d pods, %d failed calls and %d unlabeled pods, want no failure: %s", r.Created, r.Failed, r.Unlabeled, strings.Join(r.Errors, "\n"))
	}
	eventually.OK(t, func() error {
		for _, path := range []string{first, config.PathLabelPods} {
			if got := post(t, other, path); got != http.StatusForbidden {
				return fmt.Errorf("replaced path %s: got %d, want 403", path, got)
			}
		}
		return nil
	})
	if got := post(t, other, renewed); got != http.StatusUnsupportedMediaType {
		t.Errorf("renewed path: got %d, want 415, since the request is no review", got)
	}
	cancel()
	if got := <-forged; got != 0 {
		t.Errorf("registry without a token: got %d, want 403", got)
	}
}

// awaitLabeled waits until all replicas' watches have the target of a namespace.
func awaitLabeled(t *testing.T, w *world, namespace string) {
	t.Helper()
	eventually.OK(t, func() error {
		for range 2 * len(w.replicas) {
			if out, err := w.RunKubectl(t, fmt.Sprintf(flinkPod, "x"), "create", "--dry-run=server", "-n", namespace, "-f", "-"); err != nil {
				return fmt.Errorf("%w %s", err, out)
			}
		}
		return nil
	})
}

// awaitToken returns the path of the webhook for pods once it has a token, and is another
// than before.
func (w *world) awaitToken(t *testing.T, before string) (path string) {
	t.Helper()
	eventually.OK(t, func() error {
		text, err := drey.WebhookURL(t.Context(), w.Cluster, config.NameLabelPods)
		if err != nil {
			return err
		}
		u, err := url.Parse(text)
		if err != nil {
			return err
		}
		if path = u.Path; path == before || path == config.PathLabelPods {
			return fmt.Errorf("got the path %s, want a new token", path)
		}
		return nil
	})
	return path
}

// post sends a request that is no review, and returns the status: 415 if the path is
// accepted.
func post(t *testing.T, r *replica, path string) int {
	client := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}}
	response, err := client.Post(r.Webhook+path, "text/plain", strings.NewReader("x"))
	if err != nil {
		t.Error(err)
		return 0
	}
	_ = response.Body.Close()
	return response.StatusCode
}
