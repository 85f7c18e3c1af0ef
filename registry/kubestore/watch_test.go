package kubestore

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/runtime/serializer/streaming"
	"k8s.io/apimachinery/pkg/watch"
	restwatch "k8s.io/client-go/rest/watch"

	"drey.dev/drey/registry"
	"drey.dev/drey/registry/kubestore/internal/codec"
	v1 "drey.dev/drey/registry/kubestore/v1"
)

// storedTarget is a target as the API server sends it after drey has written its status.
const storedTarget = `{"apiVersion":"drey.dev/v1","kind":"DeploymentTarget","metadata":{"annotations":{"drey.dev/created-at":"2026-03-01T12:00:00.123Z","drey.dev/id":"%[1]s","drey.dev/modified-at":"2026-03-01T12:00:00.123Z","drey.dev/version":"1 0123456789abcdef0123"},` +
	`"creationTimestamp":"2026-03-01T12:00:00Z","generation":1,"labels":{"team":"team-7"},"managedFields":[{"apiVersion":"drey.dev/v1","fieldsType":"FieldsV1","fieldsV1":{"f:metadata":{"f:annotations":{".":{},"f:drey.dev/created-at":{},"f:drey.dev/id":{},"f:drey.dev/modified-at":{},"f:drey.dev/version":{}},"f:labels":{".":{},"f:team":{}}},"f:spec":{".":{},"f:kubernetes":{".":{},"f:namespace":{}}}},"manager":"drey","operation":"Update","time":"2026-03-01T12:00:00Z"},` +
	`{"apiVersion":"drey.dev/v1","fieldsType":"FieldsV1","fieldsV1":{"f:status":{".":{},"f:conditions":{".":{},"k:{\"type\":\"Ready\"}":{".":{},"f:lastTransitionTime":{},"f:message":{},"f:observedGeneration":{},"f:reason":{},"f:status":{},"f:type":{}},"k:{\"type\":\"Referenced\"}":{".":{},"f:lastTransitionTime":{},"f:message":{},"f:observedGeneration":{},"f:reason":{},"f:status":{},"f:type":{}}},"f:id":{},"f:name":{},"f:observedGeneration":{},"f:pods":{},"f:references":{},"f:workloads":{}}},"manager":"drey","operation":"Update","subresource":"status","time":"2026-03-01T12:00:01Z"}],` +
	`"name":"target-7","namespace":"team-7","resourceVersion":"%[2]d","uid":"%[1]s"},"spec":{"kubernetes":{"namespace":"team-7-flink"}},"status":{"conditions":[{"lastTransitionTime":"2026-03-01T12:00:01Z","message":"Flink may run in Kubernetes namespace \"team-7-flink\"","observedGeneration":1,"reason":"Registered","status":"True","type":"Ready"},` +
	`{"lastTransitionTime":"2026-03-01T12:00:01Z","message":"no Deployment or SessionCluster of drey refers to it","observedGeneration":1,"reason":"NotReferenced","status":"False","type":"Referenced"}],"id":"%[1]s","name":"target-7","observedGeneration":1,"pods":0,"references":0,"workloads":0}}`

// clientGoDecoder is the decoder of client-go for a watch.
func clientGoDecoder(tb testing.TB, body io.ReadCloser) watch.Decoder {
	tb.Helper()
	scheme := runtime.NewScheme()
	if err := v1.AddToScheme(scheme); err != nil {
		tb.Fatal(err)
	}
	codecs := serializer.NewCodecFactory(scheme).WithoutConversion()
	object, stream, framer, err := runtime.NewClientNegotiator(codecs, v1.GroupVersion).StreamDecoder(runtime.ContentTypeJSON, nil)
	if err != nil {
		tb.Fatal(err)
	}
	return restwatch.NewDecoder(streaming.NewDecoder(framer.NewFrameReader(body), stream), object)
}

// TestEventDecoder: events are decoded as client-go does, except for the fields of managedFields.
func TestEventDecoder(t *testing.T) {
	target := fmt.Sprintf(storedTarget, uid1, 7)
	deployment := `{"apiVersion":"drey.dev/v1","kind":"Deployment","metadata":{"name":"orders","namespace":"team-a","resourceVersion":"8","uid":"` + uid2 + `","deletionTimestamp":"2026-03-01T12:00:00Z","deletionGracePeriodSeconds":0,"finalizers":["a/b"],"ownerReferences":[{"apiVersion":"v1","kind":"A","name":"a","uid":"u","controller":true}]},` +
		`"spec":{"state":"RUNNING","n":1.50,"deploymentTargetName":"staging","unicode":"\u00fc\ud800"},"status":{"state":"RUNNING"}}`
	events := fmt.Sprintf("{\"type\":\"ADDED\",\"object\":%s}\n{\"type\":\"MODIFIED\",\"object\":%s}\n{\"type\":\"DELETED\",\"object\":%s}\n", target, target, target)
	for name, c := range map[string]struct {
		kind registry.Kind
		text string
	}{
		"targets": {registry.DeploymentTarget, events},
		"bookmark": {registry.DeploymentTarget, `{"type":"BOOKMARK","object":{"apiVersion":"drey.dev/v1","kind":"DeploymentTarget","metadata":{"annotations":{"k8s.io/initial-events-end":"true"},"creationTimestamp":null,"resourceVersion":"9"},"spec":{"kubernetes":{}}}}` +
			"\n" + `{"type":"ADDED","object":` + target + `}`},
		"error":        {registry.DeploymentTarget, `{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"too old resource version","reason":"Expired","code":410}}`},
		"deployment":   {registry.Deployment, `{"type":"ADDED","object":` + deployment + `}`},
		"invalid type": {registry.Deployment, `{"type":"OTHER","object":` + deployment + `}`},
		"cut off":      {registry.Deployment, `{"type":"ADDED","object":` + deployment[:100]},
		"no event":     {registry.Deployment, `not JSON`},
	} {
		t.Run(name, func(t *testing.T) {
			body := func() io.ReadCloser { return io.NopCloser(strings.NewReader(c.text)) }
			own, reference := newEventDecoder(codec.Resources[c.kind], body()), clientGoDecoder(t, body())
			for i := range 5 {
				gotType, got, gotErr := own.Decode()
				wantType, want, wantErr := reference.Decode()
				if gotType != wantType || (gotErr == nil) != (wantErr == nil) || (gotErr == io.EOF) != (wantErr == io.EOF) { //nolint:errorlint // StreamWatcher compares it
					t.Fatalf("event %d: got %s, %v, want %s, %v", i, gotType, gotErr, wantType, wantErr)
				}
				if gotErr != nil {
					return
				}
				if o, ok := want.(metav1.Object); ok {
					fields := o.GetManagedFields()
					for i := range fields {
						fields[i].FieldsV1 = nil
					}
					for _, f := range got.(metav1.Object).GetManagedFields() {
						if f.FieldsV1 != nil && len(f.FieldsV1.GetRawBytes()) > 0 {
							t.Errorf("event %d: managedFields have their fields", i)
						}
					}
					fields = got.(metav1.Object).GetManagedFields()
					for i := range fields {
						fields[i].FieldsV1 = nil
					}
				}
				gotText, _ := json.Marshal(got)   // compared below
				wantText, _ := json.Marshal(want) // compared below
				if diff := cmp.Diff(string(wantText), string(gotText)); diff != "" {
					t.Errorf("event %d (-client-go +got):\n%s", i, diff)
				}
			}
		})
	}
}

// BenchmarkEventDecoder decodes the events of targets, up to their records, with drey's decoder and
// with that of client-go.
func BenchmarkEventDecoder(b *testing.B) {
	const count = 1000
	var text strings.Builder
	for i := range count {
		fmt.Fprintf(&text, "{\"type\":\"ADDED\",\"object\":%s}\n", fmt.Sprintf(storedTarget, fmt.Sprintf("00000000-0000-4000-8000-%012d", i), i+1))
	}
	r := codec.Resources[registry.DeploymentTarget]
	for name, newDecoder := range map[string]func(io.ReadCloser) watch.Decoder{
		"drey":      func(body io.ReadCloser) watch.Decoder { return newEventDecoder(r, body) },
		"client-go": func(body io.ReadCloser) watch.Decoder { return clientGoDecoder(b, body) },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(text.Len()))
			for b.Loop() {
				d := newDecoder(io.NopCloser(strings.NewReader(text.String())))
				for range count {
					_, o, err := d.Decode()
					if err != nil {
						b.Fatal(err)
					}
					newRecord(r, o.(codec.Object))
				}
			}
		})
	}
}
