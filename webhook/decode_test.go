package webhook

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"testing"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"drey.dev/drey/webhook/flink"
)

// DecoderComparison compares decoders of all types with package json, for tests with fixtures.
type DecoderComparison struct {
	pods      decoder[pod]
	workloads decoder[workload]
	customs   decoder[custom]
	labeled   decoder[labeled]
}

// Compare compares the decoders on a body.
func (c *DecoderComparison) Compare(t *testing.T, body []byte) {
	t.Helper()
	compareDecoders(t, &c.pods, body)
	compareDecoders(t, &c.workloads, body)
	compareDecoders(t, &c.customs, body)
	compareDecoders(t, &c.labeled, body)
}

// Scans reports whether a review of a pod is read by the scanner, without package json.
func (c *DecoderComparison) Scans(body []byte) bool {
	defer c.pods.reset()
	return c.pods.scan(body)
}

func compareDecoders[T any](t *testing.T, d *decoder[T], body []byte) {
	t.Helper()
	defer d.reset()
	got, err := d.decode(body)
	want, wantErr := decodeByPackage[T](body)
	if fmt.Sprint(err) != fmt.Sprint(wantErr) {
		t.Fatalf("%T: got the error %v, want %v", *d, err, wantErr)
	}
	if err != nil {
		return
	}
	read := cmpopts.AcyclicTransformer("read", func(c container) container { // with the variables that recognition reads
		var env variables
		for _, v := range c.Env {
			if isFlinkVariable(strconv.AppendQuote(nil, v.Name)) || c.expands() && flink.MayStart(v.Value) {
				env = append(env, v)
			}
		}
		c.Env = env
		return c
	})
	empty := cmp.FilterPath(func(p cmp.Path) bool { return p.Last().Type() != reflect.TypeFor[variables]() }, cmpopts.EquateEmpty())
	if diff := cmp.Diff(want, got, empty, read, cmpopts.IgnoreUnexported(request[T]{}, pod{}, metadata{})); diff != "" {
		t.Errorf("%T: package json and the decoder differ:\n%s", *d, diff)
	}
}

// BenchmarkDecodeReview compares decoders of the review of a pod of 10 KB: see decision 3.
func BenchmarkDecodeReview(b *testing.B) {
	p := corev1.Pod{
		TypeMeta:   metav1.TypeMeta{Kind: "Pod", APIVersion: "v1"},
		ObjectMeta: metav1.ObjectMeta{Name: "my-job", Labels: map[string]string{"app": "my-job", "component": "jobmanager", "type": "flink-native-kubernetes"}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "flink-main-container", Image: "flink:2.2"}}},
	}
	for i := range 110 {
		p.Spec.Containers[0].Env = append(p.Spec.Containers[0].Env, corev1.EnvVar{Name: fmt.Sprint("A_VARIABLE_", i), Value: strings.Repeat("/opt/flink/conf ", 3)})
	}
	object, err := json.Marshal(p)
	if err != nil {
		b.Fatal(err)
	}
	body, err := json.Marshal(admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{Kind: "AdmissionReview", APIVersion: "admission.k8s.io/v1"},
		Request:  &admissionv1.AdmissionRequest{UID: "1", Operation: admissionv1.Create, Namespace: "flink", Object: runtime.RawExtension{Raw: object}},
	})
	if err != nil {
		b.Fatal(err)
	}
	var scanned decoder[pod]
	type fields struct { // those of review, for encoding/json
		Request struct {
			UID, Name, Namespace, Operation string
			Object                          struct {
				Metadata struct {
					Name, UID           string
					Labels, Annotations map[string]string
				}
				Spec struct {
					Containers []struct{ Name, Image string }
				}
			}
		}
	}
	for _, c := range []struct {
		name   string
		decode func() (container string, err error)
	}{
		{"fields with go-json-experiment", func() (string, error) {
			r, err := decodeByPackage[pod](body)
			if err != nil {
				return "", err
			}
			return r.Object.Spec.Containers[0].Name, nil
		}},
		{"fields with a scanner", func() (string, error) {
			defer scanned.reset()
			r, err := scanned.decode(body)
			if err != nil {
				return "", err
			}
			return r.Object.Spec.Containers[0].Name, nil
		}},
		{"fields with encoding json", func() (string, error) {
			var r fields
			err := json.Unmarshal(body, &r)
			return r.Request.Object.Spec.Containers[0].Name, err
		}},
		{"whole object with encoding json", func() (string, error) { // as admission.Decoder does
			var r admissionv1.AdmissionReview
			if err := json.Unmarshal(body, &r); err != nil {
				return "", err
			}
			var p corev1.Pod
			err := json.Unmarshal(r.Request.Object.Raw, &p)
			return p.Spec.Containers[0].Name, err
		}},
		{"whole object with go-json-experiment", func() (string, error) {
			var r struct {
				Request struct {
					Object corev1.Pod `json:"object"`
				} `json:"request"`
			}
			err := jsonv2.Unmarshal(body, &r, decodeOptions)
			return r.Request.Object.Spec.Containers[0].Name, err
		}},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if name, err := c.decode(); err != nil || name != "flink-main-container" {
					b.Fatal(name, err)
				}
			}
		})
	}
}

// decodeByPackage decodes a review by package json alone.
func decodeByPackage[T any](body []byte) (*request[T], error) {
	var r review[T]
	if err := jsonv2.Unmarshal(body, &r, decodeOptions); err != nil {
		return nil, fmt.Errorf("invalid AdmissionReview: %w", err)
	}
	return r.valid()
}
