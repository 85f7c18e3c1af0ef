// Package certs tests certificate rotation under load: the API server calls two replicas of
// drey for each pod, with failurePolicy Fail, so a failed call fails the creation.
package certs

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"drey.dev/drey/test/framework/cluster"
	"drey.dev/drey/test/framework/drey"
	"drey.dev/drey/test/framework/eventually"
	"drey.dev/drey/test/framework/podload"
	"drey.dev/drey/webhook/config"
)

// The number of pods created per second: in a soak, and in a run of less than a minute, which shares
// the machine with other tests.
const soakRate, shortRate = 200, 50

// afterRotation is how long a short run goes on after the last rotation, when the replaced CA is removed.
const afterRotation = 5 * time.Second

// Options configures a run.
type Options struct {
	Cluster   *cluster.Cluster
	Program   string // drey's binary
	Home      string // drey's own namespace
	Args      []string
	For       time.Duration
	Rotations int                   // minimum, of the CA and of the serving certificate, in each replica
	Meanwhile func(context.Context) // runs during the load, until ctx ends; nil: nothing
}

// Run creates pods during rotations. A failed call fails the test.
func Run(t *testing.T, o Options) {
	t.Helper()
	namespace := o.Cluster.Namespace(t)
	replicas := []*drey.Drey{Start(t, o.Cluster, o.Program, o.Args), Start(t, o.Cluster, o.Program, o.Args)}
	install(t, o, replicas)
	for _, r := range replicas {
		if err := r.Register(t.Context(), "default", "t", namespace); err != nil {
			t.Fatal(err)
		}
		awaitReady(t, r)
	}
	ctx, stop := context.WithCancel(t.Context())
	var meanwhile sync.WaitGroup
	if o.Meanwhile != nil {
		meanwhile.Go(func() { o.Meanwhile(ctx) })
	}
	load := podload.Options{Config: o.Cluster.Config(), Namespace: namespace, Rate: soakRate, For: o.For, Label: "vvpNamespace"}
	if o.For < time.Minute { // a rotation on a busy machine takes longer
		rotated := make(chan struct{})
		load.Rate, load.For, load.Until = shortRate, 5*time.Minute, rotated
		meanwhile.Go(func() {
			defer close(rotated)
			awaitRotations(ctx, t, replicas, o.Rotations)
			time.Sleep(afterRotation)
		})
	}
	report, err := podload.Run(t.Context(), load)
	stop()
	meanwhile.Wait()
	if err != nil {
		t.Fatal(err)
	}
	t.Log(report)
	if report.Failed > 0 || report.Unlabeled > 0 {
		t.Errorf("got %d failed calls and %d unlabeled pods: %s", report.Failed, report.Unlabeled, strings.Join(report.Errors, "\n"))
	}
	want := int(o.For.Seconds()) * soakRate * 9 / 10
	if o.For < time.Minute {
		want = 100
	}
	if report.Created < want {
		t.Errorf("got %d created pods, want %d: the machine is too slow", report.Created, want)
	}
	for i, r := range replicas {
		for _, certificate := range certificates {
			got := rotations(t, r, certificate)
			t.Logf("replica %d: %g rotations of %s", i, got, certificate)
			if got < float64(o.Rotations) {
				t.Errorf("replica %d: got %g rotations of %s, want %d", i, got, certificate, o.Rotations)
			}
			if expiry := metric(t, r, fmt.Sprintf(`drey_certificate_expiry_timestamp_seconds{certificate=%q}`, certificate)); expiry < float64(time.Now().Unix()) {
				t.Errorf("replica %d: got %s expired at %g", i, certificate, expiry)
			}
		}
		if code, body := readiness(t, r); code != http.StatusOK {
			t.Errorf("replica %d: got not ready: %s", i, body)
		}
	}
}

// certificates are the ones that rotate.
var certificates = []string{"ca", "serving"}

// rotations returns how often a replica has seen a certificate rotate.
func rotations(t *testing.T, r *drey.Drey, certificate string) float64 {
	t.Helper()
	return metric(t, r, fmt.Sprintf(`drey_certificate_rotations_total{certificate=%q}`, certificate))
}

// awaitRotations waits for a number of rotations of each certificate in each replica, or until ctx ends.
func awaitRotations(ctx context.Context, t *testing.T, replicas []*drey.Drey, want int) {
	t.Helper()
	for _, r := range replicas {
		for _, certificate := range certificates {
			for ctx.Err() == nil && rotations(t, r, certificate) < float64(want) {
				time.Sleep(200 * time.Millisecond)
			}
		}
	}
}

// Start starts a replica that does not install webhooks, and stops it after the test.
func Start(t *testing.T, c *cluster.Cluster, program string, args []string) *drey.Drey {
	t.Helper()
	d, err := drey.Start(t.Context(), drey.Options{Program: program, Cluster: c, DataDir: t.TempDir(), Args: append([]string{"--install-webhooks=false"}, args...)})
	if err != nil {
		t.Fatal(err)
	}
	d.LogOnFailure(t)
	t.Cleanup(func() {
		if err := d.Stop(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// install installs the webhook for pods once per replica, without a caBundle, so that a pod
// is created only if all replicas respond.
func install(t *testing.T, o Options, replicas []*drey.Drey) {
	t.Helper()
	var all *admissionregistrationv1.MutatingWebhookConfiguration
	for i, r := range replicas {
		c := config.Mutating(config.ByURL(r.Webhook, nil, ""), append([]string{o.Home}, config.SystemNamespaces...), "drey")
		c.Webhooks = c.Webhooks[:1] // of pods
		c.Webhooks[0].ObjectSelector = nil
		c.Webhooks[0].FailurePolicy = new(admissionregistrationv1.Fail)
		c.Webhooks[0].TimeoutSeconds = new(int32(30)) // the machine may be busy
		c.Webhooks[0].Name = "replica" + strconv.Itoa(i) + "." + c.Webhooks[0].Name
		if all == nil {
			all = c
		} else {
			all.Webhooks = append(all.Webhooks, c.Webhooks...)
		}
	}
	client, err := kubernetes.NewForConfig(o.Cluster.Config())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.AdmissionregistrationV1().MutatingWebhookConfigurations().Create(t.Context(), all, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// awaitReady waits until the replica is ready, which includes the API server's trust.
func awaitReady(t *testing.T, d *drey.Drey) {
	t.Helper()
	eventually.OK(t, func() error {
		if code, body := readiness(t, d); code != http.StatusOK {
			return fmt.Errorf("not ready: %s", body)
		}
		return nil
	})
}

func readiness(t *testing.T, d *drey.Drey) (code int, body string) {
	t.Helper()
	return get(t, d.Metrics+"/readyz")
}

// metric returns the value of a series.
func metric(t *testing.T, d *drey.Drey, series string) float64 {
	t.Helper()
	_, body := get(t, d.Metrics+"/metrics")
	found := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(series) + ` (\S+)$`).FindStringSubmatch(body)
	if found == nil {
		t.Fatalf("got no metric %s", series)
	}
	value, err := strconv.ParseFloat(found[1], 64)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

func get(t *testing.T, url string) (code int, body string) {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}
