package rest_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"drey.dev/drey/test/framework/page"
)

// TestErrorDocumented compares the error of docs/reference/rest.md with the response to its request.
func TestErrorDocumented(t *testing.T) {
	blocks, err := page.CheckedBy("../..", t.Name())
	if err != nil {
		t.Fatal(err)
	}
	server := newServer(t)
	for path, text := range blocks {
		var want, got map[string]any
		if err := json.Unmarshal([]byte(text), &want); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		var status int
		for _, namespace := range []string{"a", "b"} {
			status, text = do(t, http.MethodPut, server.URL+want["path"].(string), `{"spec":{"kubernetes":{"namespace":"`+namespace+`"}}}`)
		}
		if err := json.Unmarshal([]byte(text), &got); err != nil {
			t.Fatal(err)
		}
		if want["statusCode"] != float64(status) {
			t.Errorf("%s: got status %d, want %v", path, status, want["statusCode"])
		}
		begin, _, _ := strings.Cut(want["message"].(string), "...")
		if message, _ := got["message"].(string); !strings.HasPrefix(message, begin) {
			t.Errorf("%s: got %q, want %q", path, message, want["message"])
		}
		for _, varying := range []string{"message", "timestamp"} {
			delete(want, varying)
			delete(got, varying)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: (-page +response):\n%s", path, diff)
		}
	}
}
