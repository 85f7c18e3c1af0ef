package webhook_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"drey.dev/drey/test/framework/fixtures"
	"drey.dev/drey/webhook"
)

// FuzzDecode compares the decoder with package json: both accept the same reviews, with the same
// request, and reject others with the same error.
func FuzzDecode(f *testing.F) {
	for _, c := range fixtures.All(f) {
		for _, operation := range []string{"CREATE", "UPDATE"} {
			body, err := json.Marshal(map[string]any{
				"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1",
				"request": map[string]any{
					"uid": "705ab4f5-6393-11e8-b7cc-42010a800002", "kind": map[string]any{"kind": c.Object["kind"]}, "operation": operation, "namespace": "flink",
					"userInfo": map[string]any{"username": "a", "groups": []any{"b"}}, "object": c.Object, "oldObject": c.Object, "dryRun": true,
				},
			})
			if err != nil {
				f.Fatal(err)
			}
			f.Add(body)
		}
	}
	const object = `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"u","operation":"CREATE","object":%s,"oldObject":%[1]s}}`
	for _, o := range decodeSeeds {
		f.Add(fmt.Appendf(nil, object, o))
		f.Add(fmt.Appendf(nil, object, `{"spec":{"template":`+o+`,"jobTemplate":{"spec":{"template":`+o+`}}}}`))
	}
	for _, body := range []string{
		``, `null`, `{}`, `[]`, `{"request":null}`, `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"u","kind":null,"dryRun":null,"userInfo":null}} `,
		`{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"u"},"request":{"name":"n","object":{"metadata":{"name":"a"}},"object":null,"object":{}}}x`,
		`{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"u","object":{"metadata":{"name":"a"}}},"request":null,"request":{"uid":"v","object":{}}}`,
		`{"Kind":"AdmissionReview","k\u0069nd":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"UID":"u","uid":"\ud83d\ude00"}}`,
	} {
		f.Add([]byte(body))
	}
	var decoders webhook.DecoderComparison
	f.Fuzz(decoders.Compare)
}

// TestDecodeScans: no usual review needs package json.
func TestDecodeScans(t *testing.T) {
	var decoders webhook.DecoderComparison
	for _, c := range fixtures.All(t) {
		if !decoders.Scans(reviewOf(t, c.Object, "flink")) && c.Object["kind"] == "Pod" {
			t.Errorf("%s is decoded by package json", c.Name)
		}
	}
}

// decodeSeeds are objects whose fields repeat, are null, or have another type.
var decodeSeeds = []string{
	`{"spec":{"containers":[{"args":["$(A)"],"env":[{"name":"A","value":"jobmanager"},{"name":"B","value":"a\u002esh"},{"name":"C","value":"none"}]}]}}`,
	`{"spec":{"containers":[{"env":[{"name":"A","value":"jobmanager"}],"args":["$(A)"]}]}}`,
	`null`, `{}`, `1`, `{"metadata":null,"spec":null}`, `{"metadata":[]}`, `{"metadata":{"name":null,"labels":null,"annotations":{"a":null},"ownerReferences":null,"managedFields":[null,{}]}}`,
	`{"metadata":{"labels":{"a":"b","a":"c"},"labels":{"d":"e"},"labels":null,"labels":{"f":"\u003c\n"}},"metadata":{"uid":"u"}}`,
	`{"metadata":{"labels":{"\u0061":"b"},"ownerReferences":[{"controller":null,"uid":"a"},{"controller":true}],"ownerReferences":[{"kind":"K"}]},"metadata":null}`,
	`{"metadata":{"ownerReferences":[{"controller":"true"}]}}`, `{"metadata":{"labels":{"a":1}}}`, "{\"metadata\":{\"name\":\"\xff\"}}", `{"metadata":{"name":"\ud800"}}`,
	`{"spec":{"containers":[{"env":[{"name":"FLINK_MODE","value":"jobmanager"},{"name":"ROLE","value":null},{"value":"x","name":"A"},null,{}]}]}}`,
	`{"spec":{"containers":[{"env":[{"name":1,"value":[]}],"command":["a","b\t"],"args":null}],"volumes":[{"name":"v"},{"emptyDir":{}},null]}}`,
	`{"spec":{"containers":[{"env":[{"name":1},{"name":"FLINK_MODE"}]}]}}`, `{"spec":{"containers":[{"env":[{"name":"\u0046LINK_MODE","value":"FLINK_"}]}]}}`,
	`{"spec":{"containers":[{"env":[{"name":"ROLE","value":"a"}],"env":[{"name":"A"}],"env":null}],"containers":[{"name":"second"},null]}}`,
	`{"spec":{"containers":[{"command":["a"],"command":["b","c"],"args":[null,"d"]},{"command":[1]}]}}`, `{"spec":{"a":[[[[{}]]]],"b":-0.5e+7,"c":true}}`, `{"spec":{"a":01}}`,
	`{"spec":` + strings.Repeat(`{"a":`, 70) + `1` + strings.Repeat(`}`, 71), `{"spec":{"template":null,"jobTemplate":null},"spec":{"jobTemplate":{"spec":null}}}`,
}
