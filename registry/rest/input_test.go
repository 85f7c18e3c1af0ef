package rest_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"drey.dev/drey/test/framework/exchange"
)

// TestBodyTooLarge: a body beyond the limit is a 413.
func TestBodyTooLarge(t *testing.T) {
	server := newServer(t)
	for name, body := range map[string]io.Reader{
		"with its length":    strings.NewReader(`{"x":"` + strings.Repeat("x", 10<<20) + `"}`),
		"without its length": io.MultiReader(strings.NewReader(`{"x":"` + strings.Repeat("x", 10<<20) + `"}`)),
	} {
		t.Run(name, func(t *testing.T) {
			status, text := put(t, server.URL, "application/json", body)
			if status != http.StatusRequestEntityTooLarge || !strings.Contains(text, `"reason":"BodyTooLarge"`) {
				t.Errorf("%d %s", status, text)
			}
		})
	}
	if status, text := put(t, server.URL, "application/json", strings.NewReader(`{"metadata":{"annotations":{"x":"`+strings.Repeat("x", 1<<20-200)+`"}},"spec":{"kubernetes":{"namespace":"a"}}}`)); status != http.StatusCreated {
		t.Errorf("a body just small enough: %d %.200s", status, text)
	}
}

// TestBodyTooDeep: deep nesting is a 400.
func TestBodyTooDeep(t *testing.T) {
	server := newServer(t)
	for contentType, body := range map[string]string{
		"application/json": strings.Repeat(`{"a":`, 1e5),
		"application/yaml": strings.Repeat("[", 1e5),
		"text/yaml":        strings.Repeat("- ", 1e5),
	} {
		if status, text := put(t, server.URL, contentType, strings.NewReader(body)); status != http.StatusBadRequest {
			t.Errorf("%s: %d %.300s", contentType, status, text)
		}
	}
}

// FuzzBody sends any body as JSON and as YAML. What is not a target is the
// sender's fault, with an object that says so; what is one comes back as it was
// understood.
func FuzzBody(f *testing.F) {
	for _, pattern := range []string{"testdata/*.http"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			f.Fatal("no seeds")
		}
		for _, file := range files {
			for _, one := range exchange.Read(f, file) {
				_, body, _ := strings.Cut(one, "\n\n")
				body, _, _ = strings.Cut(body, "\n----\n")
				f.Add([]byte(body))
			}
		}
	}
	f.Add([]byte("a: &a [*a]"))
	f.Add([]byte("<<: {spec: {kubernetes: {}}}"))
	f.Add([]byte("? [complex]\n: key"))
	f.Add([]byte("!!binary aGVsbG8="))
	server := newServer(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, contentType := range []string{"application/json", "application/yaml"} {
			status, text := put(t, server.URL, contentType, bytes.NewReader(body))
			var answer struct {
				Message *string
				Kind    string
				Spec    map[string]any
			}
			if err := json.Unmarshal([]byte(text), &answer); err != nil {
				t.Fatalf("%d: the answer is no JSON object: %v: %s", status, err, text)
			}
			switch {
			case status >= 500:
				t.Errorf("%d %s", status, text)
			case status >= 400 && (answer.Message == nil || *answer.Message == ""):
				t.Errorf("%d without a message: %s", status, text)
			case status < 300 && (answer.Kind != "DeploymentTarget" || answer.Spec["kubernetes"] == nil):
				t.Errorf("%d, and not a target: %s", status, text)
			}
		}
	})
}

func put(t testing.TB, server, contentType string, body io.Reader) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPut, server+"/api/v1/namespaces/default/deployment-targets/a", body)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", contentType)
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

// TestPathInvalidUTF8: a path that is not valid UTF-8 gets a response.
func TestPathInvalidUTF8(t *testing.T) {
	server := newServer(t)
	for _, path := range []string{
		"/%ff", "/api/v1/namespaces/%ff/deployments", "/api/v1/namespaces/default/deployments/%ff", "/api/v1/namespaces/default/deployment-targets/%ff%00",
		"/api/v1/namespaces/default/jobs/%c3", "/namespaces/v1/namespaces/%ff", "/apitokens/v1/namespaces/%ff/apitokens/%fe", "/api/v1/namespaces/default/deployments?labelSelector=%ff",
	} {
		for _, method := range []string{http.MethodGet, http.MethodDelete, http.MethodPut, http.MethodPost} {
			status, text := do(t, method, server.URL+path, `{"spec":{"kubernetes":{}}}`)
			var said struct{ Reason, Message, Path string }
			if err := json.Unmarshal([]byte(text), &said); err != nil || status < 200 || status > 499 || status >= 400 && (said.Reason == "" || said.Message == "" || said.Path == "") {
				t.Errorf("%s %s: %d, %v: %s", method, path, status, err, text)
			}
		}
	}
	if status, text := do(t, http.MethodGet, server.URL+"/api/v1/namespaces/default/deployments", ""); status != http.StatusOK || !strings.Contains(text, `"items":[]`) {
		t.Errorf("afterwards: %d %s", status, text)
	}
}

// TestPatchParallel: parallel patches lose no change.
func TestPatchParallel(t *testing.T) {
	for name, version := range map[string]string{"without a version": "", "of version 0": `"resourceVersion":0,`, "of version null": `"resourceVersion":null,`} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			path := newServer(t).URL + "/api/v1/namespaces/default/deployments/d"
			if status, text := do(t, http.MethodPut, path, `{"spec":{}}`); status != http.StatusCreated {
				t.Fatal(text)
			}
			var clients sync.WaitGroup
			for c := range 8 {
				clients.Go(func() {
					for i := range 20 {
						label := fmt.Sprintf("l%d-%d", c, i)
						for range 100 { // 409 is that others were always quicker
							if status, _ := do(t, http.MethodPatch, path, `{"metadata":{`+version+`"labels":{"`+label+`":"x"}}}`); status != http.StatusConflict {
								break
							}
						}
					}
				})
			}
			clients.Wait()
			_, text := getText(t, path)
			if n := strings.Count(text, `":"x"`); n != 160 {
				t.Errorf("of 160 labels %d are there: %s", n, text)
			}
		})
	}
}

// TestPreconditionHeaders: If-Match and If-None-Match are preconditions.
func TestPreconditionHeaders(t *testing.T) {
	server := newServer(t)
	for _, c := range []struct {
		name, value   string // TAG stands for the object's, ID for its id
		there, absent int
	}{
		{"If-Match", `TAG`, 200, 409},
		{"If-Match", `W/TAG`, 200, 409},
		{"If-Match", `ID.1`, 200, 409},
		{"If-Match", `*`, 200, 409},
		{"If-Match", `"ID.2"`, 409, 409},
		{"If-Match", `"ID.0"`, 409, 409},
		{"If-Match", `"ID.-1"`, 409, 409},
		{"If-Match", `"x"`, 409, 409},
		{"If-Match", `""`, 409, 409},
		{"If-Match", `"x", TAG`, 200, 409},
		{"If-Match", `"a,b",W/"x" , TAG,`, 200, 409},
		{"If-Match", "\"x\"\nTAG", 200, 409}, // two lines
		{"If-Match", `"ID.2","x"`, 409, 409},
		{"If-Match", `x`, 400, 400},
		{"If-Match", `"x`, 400, 400},
		{"If-Match", `TAG, *`, 400, 400},
		{"If-Match", `"x" TAG`, 400, 400},
		{"If-None-Match", `*`, 409, 201},
		{"If-None-Match", `TAG`, 409, 201},
		{"If-None-Match", `"x", W/TAG`, 409, 201},
		{"If-None-Match", `"x"`, 200, 201},
		{"If-None-Match", `x`, 400, 400},
	} {
		put := func(path, id string) int {
			request, err := http.NewRequestWithContext(t.Context(), http.MethodPut, path, strings.NewReader(`{"metadata":{"labels":{"a":"b"}},"spec":{}}`))
			if err != nil {
				t.Fatal(err)
			}
			for line := range strings.SplitSeq(strings.NewReplacer("TAG", `"`+id+`.1"`, "ID", id).Replace(c.value), "\n") {
				request.Header.Add(c.name, line)
			}
			response, err := http.DefaultClient.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			_ = response.Body.Close()
			return response.StatusCode
		}
		path := server.URL + "/api/v1/namespaces/default/deployments/d"
		_, text := do(t, http.MethodPut, path, `{"spec":{}}`)
		var made struct{ Metadata struct{ ID string } }
		if err := json.Unmarshal([]byte(text), &made); err != nil {
			t.Fatal(err)
		}
		if got := put(path, made.Metadata.ID); got != c.there {
			t.Errorf("%s: %s of what is there got %d, want %d", c.name, c.value, got, c.there)
		}
		do(t, http.MethodDelete, path, "")
		if got := put(path, made.Metadata.ID); got != c.absent {
			t.Errorf("%s: %s of what is not got %d, want %d", c.name, c.value, got, c.absent)
		}
		do(t, http.MethodDelete, path, "")
	}
}

// TestDeleteOptions: preconditions in the body of a DELETE are honored, and a dry run is refused.
func TestDeleteOptions(t *testing.T) {
	server := newServer(t)
	for path, want := range map[string]string{
		"/api/v1/namespaces/default/deployment-targets/a":  `{"spec":{"kubernetes":{"namespace":"a"}}}`,
		"/api/v1/namespaces/default/deployments/a":         `{"spec":{}}`,
		"/api/v1/namespaces/default/sessionclusters/a":     `{"spec":{"deploymentTargetName":"t"}}`,
		"/api/v1/namespaces/default/deployment-targets/t":  `{"spec":{"kubernetes":{"namespace":"a"}}}`,
		"/api/v1/namespaces/default/deployment-targets/t2": `{"spec":{"kubernetes":{"namespace":"a"}}}`,
	} {
		path = server.URL + path
		do(t, http.MethodPut, server.URL+"/api/v1/namespaces/default/deployment-targets/t", `{"spec":{"kubernetes":{"namespace":"a"}}}`)
		_, text := do(t, http.MethodPut, path, want)
		var made struct{ Metadata struct{ ID string } }
		if err := json.Unmarshal([]byte(text), &made); err != nil || made.Metadata.ID == "" {
			t.Fatalf("%v: %s", err, text)
		}
		for _, c := range []struct {
			body string
			want int
		}{
			{`{"kind":"DeleteOptions","apiVersion":"v1","preconditions":{"uid":"another"}}`, 409},
			{`{"preconditions":{"resourceVersion":"2"}}`, 409},
			{`{"preconditions":{"uid":"ID","resourceVersion":"2"}}`, 409},
			{`{"preconditions":{"uid":1}}`, 400},
			{`{"preconditions"`, 400},
			{`[]`, 400},
			{`{"dryRun":["All"]}`, 400},
		} {
			status, text := do(t, http.MethodDelete, path, strings.ReplaceAll(c.body, `"ID"`, `"`+made.Metadata.ID+`"`))
			if status != c.want {
				t.Errorf("%s: %s: got %d, want %d: %s", path, c.body, status, c.want, text)
			}
		}
		if status, text := getText(t, path); status != http.StatusOK {
			t.Errorf("%s is gone: %d %s", path, status, text)
		}
	}
	for _, body := range []string{``, ` `, `null`, `{}`, `{"preconditions":null,"dryRun":[],"propagationPolicy":"Foreground","gracePeriodSeconds":0}`, `{"preconditions":{"resourceVersion":"1"}}`} {
		path := server.URL + "/api/v1/namespaces/default/deployments/b"
		do(t, http.MethodPut, path, `{"spec":{}}`)
		if status, text := do(t, http.MethodDelete, path, body); status != http.StatusOK {
			t.Errorf("DELETE with %q: got %d: %s", body, status, text)
		}
	}
	do(t, http.MethodPost, server.URL+"/namespaces/v1/namespaces", `{"name":"namespaces/n"}`)
	for body, want := range map[string]int{`{"preconditions":{"uid":"x"}}`: 400, `{"dryRun":["All"]}`: 400} {
		if status, text := do(t, http.MethodDelete, server.URL+"/namespaces/v1/namespaces/n", body); status != want {
			t.Errorf("namespace, %s: got %d, want %d: %s", body, status, want, text)
		}
	}
}

// TestHeaderLines: a header field that is a list may have several lines.
func TestHeaderLines(t *testing.T) {
	server := newServer(t)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/api/v1/namespaces/default/deployments", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header["Accept"] = []string{"text/html", "application/yaml"}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if got := response.Header.Get("Content-Type"); got != "application/yaml" {
		t.Errorf("got %s, want application/yaml", got)
	}
}

// TestBodyErrorPath: the path of an error in a deep body is cut.
func TestBodyErrorPath(t *testing.T) {
	server := newServer(t)
	status, text := put(t, server.URL, "application/json", strings.NewReader(strings.Repeat(`{"a":`, 9999)+`1,`))
	if status != http.StatusBadRequest || len(text) > 1000 || !strings.Contains(text, ", at a.a.a.") {
		t.Errorf("%d, %d bytes: %.300s", status, len(text), text)
	}
}
