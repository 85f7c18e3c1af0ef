package clients

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"drey.dev/drey/test/framework/eventually"
)

// api is a server of the REST API in a setting, as a client sees it.
type api struct {
	*testing.T
	setting
	namespace string // a platform namespace of the flow's own
}

// answer is a response. Every response of a flow is a JSON object.
type answer struct {
	status int
	header http.Header
	body   map[string]any
}

// in returns a path in the platform namespace.
func (a api) in(path string) string { return "/api/v1/namespaces/" + a.namespace + "/" + path }

// call sends JSON, with the Content-Type also if there is no body, and fails the test unless the
// status is the wanted one. Reads are repeated while replicas may differ.
func (a api) call(want int, method, path, body string) answer {
	a.Helper()
	return a.send(want, method, path, body, "application/json", "")
}

func (a api) send(want int, method, path, body, contentType, accept string) answer {
	a.Helper()
	began := time.Now()
	for {
		got, err := a.try(method, path, body, contentType, accept)
		if err == nil && got.status != want {
			err = fmt.Errorf("%s %s %s: got %d %v, want %d", method, path, body, got.status, got.body, want)
		}
		if err == nil {
			return got
		}
		if method != http.MethodGet || a.replicas == 1 || time.Since(began) > eventually.Timeout {
			a.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// try sends a request, and checks what clients require of each response.
func (a api) try(method, path, body, contentType, accept string) (got answer, err error) {
	request, err := http.NewRequestWithContext(a.Context(), method, a.url+path, strings.NewReader(body))
	if err != nil {
		return got, err
	}
	request.Header.Set("Content-Type", contentType)
	if accept != "" {
		request.Header.Set("Accept", accept)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return got, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return got, err
	}
	got = answer{status: response.StatusCode, header: response.Header}
	if !strings.HasPrefix(response.Header.Get("Content-Type"), "application/json") {
		return got, fmt.Errorf("%s %s: got the Content-Type %q", method, path, response.Header.Get("Content-Type"))
	}
	if err := json.Unmarshal(text, &got.body); err != nil {
		return got, fmt.Errorf("%s %s: got no JSON object: %w: %s", method, path, err, text)
	}
	if got.status >= 400 {
		if err := checkError(got); err != nil {
			return got, fmt.Errorf("%s %s: %w: %s", method, path, err, text)
		}
	}
	return got, nil
}

// checkError checks the model of an error that generated clients have: kind, apiVersion, message,
// reason, statusCode and context. status would be read as that of a Deployment.
func checkError(got answer) error {
	_, hasStatus := got.body["status"]
	message, isText := got.body["message"].(string)
	_, hasContext := got.body["context"].(map[string]any)
	reason, _ := got.body["reason"].(string)
	if got.body["kind"] != "Error" || got.body["apiVersion"] != "v1" || got.body["statusCode"] != float64(got.status) ||
		hasStatus || !isText || message == "" || !hasContext || reason == "" {
		return fmt.Errorf("not the error of Ververica Platform")
	}
	return nil
}

// at returns the value at a dotted path; nil if there is none.
func (r answer) at(path string) any {
	var v any = r.body
	for name := range strings.SplitSeq(path, ".") {
		o, _ := v.(map[string]any)
		v = o[name]
	}
	return v
}

// want fails the test unless the value at a dotted path is the wanted one.
func (a api) want(r answer, path string, want any) {
	a.Helper()
	if got := r.at(path); got != want {
		a.Fatalf("%s: got %v, want %v, in %v", path, got, want, r.body)
	}
}

// items returns the items of a list with a name.
func (r answer) items(name string) (named []answer) {
	list, _ := r.body["items"].([]any)
	for _, item := range list {
		o, _ := item.(map[string]any)
		if one := (answer{body: o}); name == "" || one.at("metadata.name") == name {
			named = append(named, one)
		}
	}
	return named
}

// await polls a path until the value there is the wanted one.
func (a api) await(path, field string, want any) {
	a.Helper()
	eventually.OK(a, func() error {
		if got := a.call(http.StatusOK, http.MethodGet, path, "").at(field); got != want {
			return fmt.Errorf("GET %s: %s is %v, want %v", path, field, got, want)
		}
		return nil
	})
}
