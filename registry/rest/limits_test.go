package rest_test

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"reflect"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"drey.dev/drey/registry"
	"drey.dev/drey/registry/memstore"
	"drey.dev/drey/registry/rest"
)

// TestTooManyRequests: requests beyond the limit get a 429.
func TestTooManyRequests(t *testing.T) {
	r, err := registry.New(t.Context(), memstore.New(), registry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(rest.New(rest.Options{Registry: r, Log: slog.New(slog.DiscardHandler), MaxInFlight: 4})) // 2 of one address
	defer server.Close()
	var bodies []*io.PipeWriter
	answers := make(chan int)
	for range 2 { // these hold their places until their bodies end
		body, w := io.Pipe()
		bodies = append(bodies, w)
		begun := make(chan struct{})
		go func() {
			reading := &httptrace.ClientTrace{Got100Continue: func() { close(begun) }} // the handler asks for the body
			request, _ := http.NewRequestWithContext(httptrace.WithClientTrace(context.Background(), reading), http.MethodPut, server.URL+"/api/v1/namespaces/default/deployment-targets/a", body)
			request.Header.Set("Content-Type", "application/json")
			request.Header.Set("Expect", "100-continue")
			response, err := http.DefaultClient.Do(request)
			if err != nil {
				answers <- 0
				return
			}
			response.Body.Close()
			answers <- response.StatusCode
		}()
		if _, err := io.WriteString(w, `{"spec":`); err != nil {
			t.Fatal(err)
		}
		<-begun
	}
	response, err := http.Get(server.URL + "/api/v1/status")
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusTooManyRequests || response.Header.Get("Retry-After") == "" {
		t.Errorf("the third got %s, Retry-After %q", response.Status, response.Header.Get("Retry-After"))
	}
	for _, w := range bodies {
		if _, err := io.WriteString(w, `{"kubernetes":{"namespace":"a"}}}`); err != nil {
			t.Fatal(err)
		}
		w.Close()
	}
	for range 2 {
		if status := <-answers; status != http.StatusCreated && status != http.StatusOK {
			t.Errorf("one that was under way got %d", status)
		}
	}
	if response, err = http.Get(server.URL + "/api/v1/status"); err != nil || response.StatusCode != http.StatusOK {
		t.Errorf("afterwards: %v, %v", response, err)
	}
	response.Body.Close()
}

// TestListCompression: large lists are compressed for clients that accept gzip.
func TestListCompression(t *testing.T) {
	server := newServer(t)
	for i := range 100 {
		status, text := do(t, http.MethodPut, fmt.Sprintf("%s/api/v1/namespaces/default/deployment-targets/t%d", server.URL, i), `{"spec":{"kubernetes":{"namespace":"a"}}}`)
		if status != http.StatusCreated {
			t.Fatal(text)
		}
	}
	for header, want := range map[string]bool{"": false, "gzip": true, "br, gzip;q=0.5": true, "gzip;q=0": false, "identity": false, "*": true} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/api/v1/namespaces/default/deployment-targets", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Accept-Encoding", header) // set by hand, it is not undone by the client
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		var body io.Reader = response.Body
		compressed := response.Header.Get("Content-Encoding") == "gzip"
		if compressed {
			if body, err = gzip.NewReader(body); err != nil {
				t.Fatal(err)
			}
		}
		var list struct{ Items []json.RawMessage }
		if err := json.NewDecoder(body).Decode(&list); err != nil || len(list.Items) != 100 {
			t.Errorf("%q: %d items, %v", header, len(list.Items), err)
		}
		response.Body.Close()
		if compressed != want {
			t.Errorf("%q: compressed is %t", header, compressed)
		}
	}
}

// TestListEncoding: a list written item by item equals its encoding as a whole.
func TestListEncoding(t *testing.T) {
	server := newServer(t)
	texts := []string{"plain", "two\nlines\n", "\n\n  indented\n\n", "items: []", "- a\n- b\n", "tab\tand trailing ", `"quoted" 'twice'`, "ünï", strings.Repeat("long words ", 400), "#no comment", "a: b", ""}
	path := server.URL + "/api/v1/namespaces/default/deployments"
	for n := 0; ; n++ {
		var want []any
		for i := range n {
			_, text := getText(t, fmt.Sprintf("%s/d-%03d", path, i))
			want = append(want, decoded(t, "application/json", text))
		}
		for _, accept := range []string{"application/json", "application/yaml"} {
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("Accept", accept)
			response, err := http.DefaultClient.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(response.Body)
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
			list, _ := decoded(t, accept, string(text)).(map[string]any)
			items, _ := list["items"].([]any)
			if list["kind"] != "DeploymentList" || list["apiVersion"] != "v1" || !reflect.DeepEqual(list["metadata"], map[string]any{}) || len(items) != n || n > 0 && !reflect.DeepEqual(items, want) {
				t.Fatalf("%d items as %s:\n%s\nwant %v", n, accept, text, want)
			}
		}
		if n == len(texts) {
			return
		}
		spec, err := json.Marshal(map[string]any{"spec": map[string]any{"text": texts[n], "list": []string{texts[n], "x"}, "number": json.Number("12345678901234567890.10")}})
		if err != nil {
			t.Fatal(err)
		}
		if status, text := do(t, http.MethodPut, fmt.Sprintf("%s/d-%03d", path, n), string(spec)); status != http.StatusCreated {
			t.Fatal(text)
		}
	}
}

func decoded(t *testing.T, mediaType, text string) (v any) {
	t.Helper()
	decode := json.Unmarshal
	if mediaType == "application/yaml" {
		decode = func(data []byte, v any) error { return yaml.Unmarshal(data, v) }
	}
	if err := decode([]byte(text), &v); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return v
}

// TestRequestID: a request has the client's X-Request-Id, or a new one.
func TestRequestID(t *testing.T) {
	server := newServer(t)
	for sent, kept := range map[string]bool{"my-request.1": true, "": false, strings.Repeat("x", 65): false, "a b": false, `x"y`: false} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/api/v1/status", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("X-Request-Id", sent)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if got := response.Header.Get("X-Request-Id"); (got == sent) != kept || got == "" {
			t.Errorf("%q came back as %q", sent, got)
		}
	}
}

func do(t testing.TB, method, url, body string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
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

// TestAcceptQualities: JSON wins unless YAML has a higher quality.
func TestAcceptQualities(t *testing.T) {
	server := newServer(t)
	for accept, want := range map[string]string{
		"":                                   "application/json",
		"application/yaml":                   "application/yaml",
		"application/yaml, application/json": "application/json",
		"application/json;q=0.5, text/yaml":  "application/yaml",
		"application/yaml;q=0":               "application/json",
		"*/*;q=0.5, application/yaml;q=0.2":  "application/json",
	} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/api/v1/namespaces/default/deployment-targets", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Accept", accept)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if got := response.Header.Get("Content-Type"); !strings.HasPrefix(got, want) {
			t.Errorf("Accept: %s: got %s, want %s", accept, got, want)
		}
	}
}
