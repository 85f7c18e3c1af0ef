package e2e

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"drey.dev/drey/test/framework/eventually"
	"drey.dev/drey/webhook/config"
)

// TestNamespaceMode, and changes it, without a restart.
func TestNamespaceMode(t *testing.T) {
	w := inWorld(t)
	t.Parallel()
	namespace := w.Namespace(t)
	const warned = "drey would refuse this"
	try := func() (string, error) { // a new job each time, which is not kept
		out, err := w.RunKubectl(t, jobManager, "create", "-n", namespace, "-f", "-", "-o", "name")
		if err == nil {
			w.MustKubectl(t, "", "delete", "deployment/my-job", "-n", namespace, "--wait=false")
			eventually.OK(t, 20*time.Second, func() error {
				if n := len(w.list(t, "Deployment", namespace)); n > 0 {
					return errors.New("it is still there")
				}
				return nil
			})
		}
		return out, err
	}
	refused := func(out string, err error) error {
		if err == nil || !strings.Contains(out, "has no DeploymentTarget") || strings.Contains(out, warned) {
			return fmt.Errorf("not refused: %w %s", err, out)
		}
		return nil
	}
	for _, c := range []struct {
		label string
		want  func(out string, err error) error
	}{
		{"", refused},
		{"drey.dev/mode=warn", func(out string, err error) error {
			if err != nil || !strings.Contains(out, "Warning: "+warned) || !strings.Contains(out, "curl -X POST") {
				return fmt.Errorf("no warning: %w %s", err, out)
			}
			return nil
		}},
		{"drey.dev/mode=audit", func(out string, err error) error {
			if err != nil || strings.Contains(out, "Warning") {
				return fmt.Errorf("not let in silently: %w %s", err, out)
			}
			return nil
		}},
		{"drey.dev/mode=loud", refused},
		{"drey.dev/mode=enforce", refused},
		{"drey.dev/mode=warn", func(_ string, err error) error { return err }},
		{"drey.dev/mode-", refused},
	} {
		if c.label != "" {
			w.MustKubectl(t, "", "label", "namespace", namespace, c.label, "--overwrite")
		}
		eventually.OK(t, 20*time.Second, func() error { // the label arrives by a watch
			if err := c.want(try()); err != nil {
				return fmt.Errorf("after %q: %w", c.label, err)
			}
			return nil
		})
	}
	w.MustKubectl(t, "", "label", "namespace", namespace, "drey.dev/mode=audit", "--overwrite")
	eventually.OK(t, 20*time.Second, func() error {
		if out, err := w.RunKubectl(t, jobManager, "apply", "-n", namespace, "-f", "-"); err != nil {
			return fmt.Errorf("%w %s", err, out)
		}
		return nil
	})
	t.Run("a forged review makes no event", func(t *testing.T) {
		review := `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"1","operation":"CREATE","kind":{"version":"v1","kind":"Pod"},"namespace":"` + namespace + `",
			"object":{"metadata":{"namespace":"` + namespace + `","name":"never-made","labels":{"app":"x","component":"jobmanager","type":"flink-native-kubernetes"}},"spec":{"containers":[{"name":"flink-main-container","image":"flink:2.2"}]}}}}`
		client := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
		response, err := client.Post(w.drey.Webhook+config.PathLabelPods, "application/json", strings.NewReader(review))
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		answer, err := io.ReadAll(response.Body)
		if err != nil || !strings.Contains(string(answer), `"mode":"audit"`) {
			t.Fatalf("it is not let pass by the mode: %v %s", err, answer)
		}
		time.Sleep(4 * time.Second)
		for _, e := range w.list(t, "Event", namespace) {
			if strings.Contains(fmt.Sprint(e.Object["involvedObject"]), "never-made") {
				t.Errorf("an event about what is not there: %v", e.Object)
			}
		}
	})
	eventually.OK(t, 20*time.Second, func() error {
		for _, e := range w.list(t, "Event", namespace) {
			if e.Object["reason"] == "NoDeploymentTarget" && strings.Contains(fmt.Sprint(e.Object["message"]), "curl -X POST") {
				return nil
			}
		}
		return errors.New("no event tells of what was let in")
	})
	if log := w.drey.Log(); !strings.Contains(log, `namespace=`+namespace) || !strings.Contains(log, `invalid mode`) {
		t.Error("drey does not say that it has not understood a mode")
	}
}
