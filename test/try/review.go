package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"github.com/google/uuid"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"
)

// fixture returns the path of an object recorded from Flink 2.3.0 in application mode.
func fixture(object string) string {
	return filepath.Join("test", "framework", "fixtures", "real", "2.3.0-application-"+object+".yaml")
}

// object is a Kubernetes object in JSON form.
type object = map[string]any

func readObject(path string) (object, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var o object
	if err := yaml.UnmarshalStrict(text, &o); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return o, nil
}

// review posts the AdmissionReview of a creation to a webhook, as the API server does. It
// prints the request and the response, and returns the object as patched.
func (t *try) review(ctx context.Context, path, namespace string, o object) (object, *admissionv1.AdmissionResponse, error) {
	u := unstructured.Unstructured{Object: o}
	u.SetNamespace(namespace)
	before, err := json.Marshal(o)
	if err != nil {
		return nil, nil, err
	}
	uid, gvk := types.UID(uuid.NewString()), u.GroupVersionKind()
	kind := metav1.GroupVersionKind{Group: gvk.Group, Version: gvk.Version, Kind: gvk.Kind}
	resource := metav1.GroupVersionResource{Group: gvk.Group, Version: gvk.Version, Resource: strings.ToLower(gvk.Kind) + "s"}
	body, err := json.Marshal(admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"},
		Request: &admissionv1.AdmissionRequest{
			UID: uid, Kind: kind, RequestKind: &kind, Resource: resource, RequestResource: &resource,
			Name: u.GetName(), Namespace: namespace, Operation: admissionv1.Create, Object: runtime.RawExtension{Raw: before},
		},
	})
	if err != nil {
		return nil, nil, err
	}
	fmt.Fprintf(t.Out, "   POST %s%s: create %s %s in namespace %s\n", t.webhooks, path, u.GetKind(), u.GetName(), namespace)
	answer, err := t.post(ctx, t.webhooks+path, body)
	if err != nil {
		return nil, nil, err
	}
	t.Expect(answer.UID == uid, "%s: got uid %q, want %q", path, answer.UID, uid)
	switch {
	case !answer.Allowed && answer.Result != nil:
		t.Detail("denied: %s", answer.Result.Message)
	case len(answer.Patch) > 0:
		t.Detail("allowed, patch %s", answer.Patch)
	default:
		t.Detail("allowed, no patch")
	}
	after, err := patched(before, answer.Patch)
	return after, answer, err
}

func (t *try) post(ctx context.Context, url string, body []byte) (*admissionv1.AdmissionResponse, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := t.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	var review admissionv1.AdmissionReview
	if err := json.Unmarshal(text, &review); err != nil || review.Response == nil {
		return nil, fmt.Errorf("%s: %s: no AdmissionReview: %s", url, response.Status, text)
	}
	return review.Response, nil
}

// patched applies a JSON patch, which may be empty.
func patched(before, patch []byte) (object, error) {
	if len(patch) > 0 {
		p, err := jsonpatch.DecodePatch(patch)
		if err != nil {
			return nil, err
		}
		if before, err = p.Apply(before); err != nil {
			return nil, err
		}
	}
	var o object
	return o, json.Unmarshal(before, &o)
}

// labelsOf returns the labels of an object without those of the ReplicaSet controller.
func labelsOf(o object) map[string]string {
	labels := (&unstructured.Unstructured{Object: o}).GetLabels() // a copy
	delete(labels, "pod-template-hash")
	return labels
}
