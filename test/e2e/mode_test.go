package e2e

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"drey.dev/drey/denials"
	"drey.dev/drey/test/framework/eventually"
	"drey.dev/drey/webhook/config"
)

// TestNamespaceMode changes the label drey.dev/mode of a namespace: drey applies the mode
// without a restart, and the mode enforce for an invalid value.
func TestNamespaceMode(t *testing.T) {
	w := sharedWorld(t)
	t.Parallel()
	namespace := w.Namespace(t)
	const warning = "drey would deny this"
	createJob := func() (string, error) { // and delete it
		out, err := w.RunKubectl(t, jobManager, "create", "-n", namespace, "-f", "-", "-o", "name")
		if err == nil {
			w.MustKubectl(t, "", "delete", "deployment/my-job", "-n", namespace, "--wait=false")
			eventually.OK(t, func() error {
				if n := len(w.list(t, "Deployment", namespace)); n > 0 {
					return errors.New("the Deployment is not deleted yet")
				}
				return nil
			})
		}
		return out, err
	}
	denied := func(out string, err error) error {
		if err == nil || !strings.Contains(out, "has no DeploymentTarget") || strings.Contains(out, warning) {
			return fmt.Errorf("got %w: %s, want a denial", err, out)
		}
		return nil
	}
	for _, c := range []struct {
		label string
		want  func(out string, err error) error
	}{
		{"", denied},
		{"drey.dev/mode=warn", func(out string, err error) error {
			if err != nil || !strings.Contains(out, "Warning: "+warning) || !strings.Contains(out, "curl -X POST") {
				return fmt.Errorf("got %w: %s, want a warning", err, out)
			}
			return nil
		}},
		{"drey.dev/mode=audit", func(out string, err error) error {
			if err != nil || strings.Contains(out, "Warning") {
				return fmt.Errorf("got %w: %s, want no warning", err, out)
			}
			return nil
		}},
		{"drey.dev/mode=loud", denied},
		{"drey.dev/mode=enforce", denied},
		{"drey.dev/mode=warn", func(_ string, err error) error { return err }},
		{"drey.dev/mode-", denied},
	} {
		if c.label != "" {
			w.MustKubectl(t, "", "label", "namespace", namespace, c.label, "--overwrite")
		}
		eventually.OK(t, func() error { // drey follows modes by a watch
			if err := c.want(createJob()); err != nil {
				return fmt.Errorf("after %q: %w", c.label, err)
			}
			return nil
		})
	}
	w.MustKubectl(t, "", "label", "namespace", namespace, "drey.dev/mode=audit", "--overwrite")
	eventually.OK(t, func() error {
		if out, err := w.RunKubectl(t, jobManager, "apply", "-n", namespace, "-f", "-"); err != nil {
			return fmt.Errorf("%w %s", err, out)
		}
		return nil
	})
	t.Run("no event for a pod that was not created", func(t *testing.T) {
		review := `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"1","operation":"CREATE","kind":{"version":"v1","kind":"Pod"},"namespace":"` + namespace + `",
			"object":{"metadata":{"namespace":"` + namespace + `","name":"never-made","labels":{"app":"x","component":"jobmanager","type":"flink-native-kubernetes"}},"spec":{"containers":[{"name":"flink-main-container","image":"flink:2.2"}]}}}}`
		client := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
		response, err := client.Post(w.webhookURL(t, config.NameLabelPods), "application/json", strings.NewReader(review))
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		answer, err := io.ReadAll(response.Body)
		if err != nil || !strings.Contains(string(answer), `"mode":"audit"`) {
			t.Fatalf("review: got %v %s, want mode audit", err, answer)
		}
		w.awaitLaterEvent(t, namespace)
		for _, e := range w.list(t, "Event", namespace) {
			if strings.Contains(fmt.Sprint(e.Object["involvedObject"]), "never-made") {
				t.Errorf("event about a missing pod: %v", e.Object)
			}
		}
	})
	if log := w.drey.Log(); !strings.Contains(log, `namespace=`+namespace) || !strings.Contains(log, `invalid mode`) {
		t.Error("log: want a line about the invalid mode")
	}
}

// TestModeRecordsOnce: in the modes that admit, a Deployment without a target is one denial. Its
// ReplicaSet and pods, which enforce does not let come about, are no others.
func TestModeRecordsOnce(t *testing.T) {
	w := sharedWorld(t) // not parallel: denials of other tests fill the queue of events
	namespace := w.Namespace(t)
	w.MustKubectl(t, "", "label", "namespace", namespace, "drey.dev/mode=audit")
	eventually.OK(t, func() error { // drey follows modes by a watch
		if out, err := w.RunKubectl(t, jobManager, "apply", "-n", namespace, "-f", "-"); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
	eventually.OK(t, func() error {
		if n := len(w.list(t, "Pod", namespace)); n == 0 {
			return errors.New("no pod yet")
		}
		return nil
	})
	w.awaitLaterEvent(t, namespace)
	var list struct{ Items []denials.Denial }
	answer, err := w.drey.Call(t.Context(), http.MethodGet, "/drey/v1/denials?mode=audit&namespace="+namespace, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(answer, &list); err != nil {
		t.Fatal(err)
	}
	denied := map[string]int{}
	for _, d := range list.Items {
		denied[d.Kind+" "+d.Name] += d.Count
	}
	if want := map[string]int{"Deployment my-job": 1, "Deployment later": 1}; !maps.Equal(denied, want) {
		t.Errorf("denials: got %v, want %v", denied, want)
	}
	events := map[string]int{}
	for _, e := range w.list(t, "Event", namespace) {
		if e.Object["reason"] == "NoDeploymentTarget" && strings.Contains(fmt.Sprint(e.Object["message"]), "otherwise denied") { // not that repair left it running
			kind, _, _ := unstructured.NestedString(e.Object, "involvedObject", "kind")
			events[kind]++
		}
	}
	if want := map[string]int{"Namespace": 2, "Deployment": 2}; !maps.Equal(events, want) {
		t.Errorf("events by kind: got %v, want %v", events, want)
	}
}

// awaitLaterEvent creates another Deployment without a target in a namespace of mode audit, and waits
// for its event, with a remedy. Drey emits events in the order of the denials, so that those of earlier
// ones are there.
func (w *world) awaitLaterEvent(t *testing.T, namespace string) {
	t.Helper()
	w.MustKubectl(t, strings.ReplaceAll(jobManager, "my-job", "later"), "apply", "-n", namespace, "-f", "-")
	eventually.OK(t, func() error {
		for _, e := range w.list(t, "Event", namespace) {
			about := fmt.Sprint(e.Object["involvedObject"])
			if e.Object["reason"] == "NoDeploymentTarget" && strings.Contains(about, "kind:Deployment name:later ") && strings.Contains(fmt.Sprint(e.Object["message"]), "curl -X POST") {
				return nil
			}
		}
		return errors.New("no event NoDeploymentTarget with a remedy about the Deployment later")
	})
}
