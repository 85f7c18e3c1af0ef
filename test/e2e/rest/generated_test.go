package rest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	"drey.dev/drey/test/framework/exchange"
)

var (
	requests = flag.Int("requests", 2000, "number of requests to generate")
	seed     = flag.Uint64("seed", uint64(time.Now().UnixNano()), "seed of the generated requests")
)

// TestGeneratedRequests sends requests generated from the OpenAPI document, valid and
// damaged ones. No response is a server error, each one matches the document, and no
// request that the document does not allow succeeds.
func TestGeneratedRequests(t *testing.T) {
	base, token := target(t)
	g := newGenerator(t, describe(t, base), rand.New(rand.NewPCG(*seed, 0)))
	t.Logf("-seed %d", *seed)
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	do := func(request *http.Request, body []byte) exchange.Exchange {
		if token != "" {
			request.Header.Set("Authorization", "Bearer "+token)
		}
		response, err := client.Do(request)
		if err != nil {
			t.Fatalf("%s %s: %v", request.Method, request.URL, err)
		}
		defer response.Body.Close()
		answer, err := readAnswer(response)
		if err != nil {
			t.Fatalf("%s %s: %v", request.Method, request.URL, err)
		}
		return exchange.Exchange{Request: request, Sent: body, Response: response, Received: answer}
	}
	send := func(method, path string, body []byte) exchange.Exchange {
		request, err := http.NewRequest(method, strings.TrimSuffix(base, "/")+path, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		return do(request, body)
	}
	for _, namespace := range g.namespaces {
		send(http.MethodPost, "/namespaces/v1/namespaces", []byte(`{"name":"`+namespace+`"}`))
		t.Cleanup(func() { remove(t, send, namespace) })
	}
	statuses := map[int]int{}
	for i := range *requests {
		request, body := g.request(strings.TrimSuffix(base, "/"))
		e := do(request, body)
		statuses[e.Response.StatusCode]++
		err := g.description.validate(e)
		if err == nil && e.Response.StatusCode >= 500 && e.Response.StatusCode != http.StatusNotImplemented {
			err = errors.New("got a server error")
		}
		if err != nil {
			t.Errorf("request %d: %v\n%s %s\n%v\n%.2000s\ngot %s\n%.2000s", i, err, request.Method, request.URL, request.Header, body, e.Response.Status, e.Received)
		}
		if t.Failed() && i%100 == 99 {
			t.FailNow()
		}
		if i%5000 == 4999 {
			fmt.Printf("%d of %d requests\n", i+1, *requests)
		}
	}
	t.Logf("%d requests, by status: %v", *requests, statuses)
	for _, status := range []int{200, 201, 400, 404, 409} {
		if statuses[status] < *requests/100 {
			t.Errorf("got %d responses with status %d, want at least %d", statuses[status], status, *requests/100)
		}
	}
}

// readAnswer reads the body of a response; of a stream of events, which does not end, the first
// line.
func readAnswer(response *http.Response) ([]byte, error) {
	if !strings.HasPrefix(response.Header.Get("Content-Type"), "text/event-stream") || response.Request.Method == http.MethodHead {
		return io.ReadAll(response.Body)
	}
	return bufio.NewReader(response.Body).ReadBytes('\n')
}

// remove deletes a platform namespace and its objects.
func remove(t *testing.T, send func(method, path string, body []byte) exchange.Exchange, namespace string) {
	for _, collection := range []string{"deployments", "sessionclusters", "deployment-targets"} {
		path := "/api/v1/namespaces/" + namespace + "/" + collection
		var list struct {
			Items []struct{ Metadata struct{ Name string } }
		}
		if err := unmarshal(send(http.MethodGet, path, nil).Received, &list); err != nil {
			t.Error(err)
		}
		for _, o := range list.Items {
			send(http.MethodDelete, path+"/"+o.Metadata.Name, nil)
		}
	}
	send(http.MethodDelete, "/namespaces/v1/namespaces/"+namespace, nil)
}

// generator generates requests from a description.
type generator struct {
	*rand.Rand
	description *description
	namespaces  []string
	names       []string
	paths       []string
}

func newGenerator(t *testing.T, d *description, random *rand.Rand) *generator {
	t.Helper()
	g := &generator{Rand: random, description: d, names: []string{"a", "b", "top-speed", "myDeploymentTarget", "A_b-9"}}
	for i := range 3 {
		g.namespaces = append(g.namespaces, fmt.Sprintf("g%08x-%d", random.Uint32(), i))
	}
	g.paths = slices.Sorted(maps.Keys(d.document.Paths.Map()))
	return g
}

// often returns true in n of 100 calls.
func (g *generator) often(n int) bool { return g.IntN(100) < n }

// one returns a random element.
func one[T any](g *generator, of []T) T { return of[g.IntN(len(of))] }

func (g *generator) request(base string) (*http.Request, []byte) {
	path := one(g, g.paths)
	item := g.description.document.Paths.Value(path)
	operations := item.Operations()
	method := one(g, slices.Sorted(maps.Keys(operations)))
	operation := operations[method]
	if g.often(2) {
		method = one(g, []string{"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE", "BREW"})
	}
	query, header := url.Values{}, http.Header{}
	for _, p := range append(slices.Clone(item.Parameters), operation.Parameters...) {
		switch p.Value.In {
		case "path":
			path = strings.ReplaceAll(path, "{"+p.Value.Name+"}", url.PathEscape(g.pathValue(p.Value.Name)))
		case "query":
			if g.often(20) {
				query.Set(p.Value.Name, g.text())
			}
		case "header":
			if g.often(10) {
				header.Set(p.Value.Name, one(g, []string{`"x.1"`, "*", `W/"a.2"`, "7", `"00000000-0000-4000-8000-000000000000.1"`, ""}))
			}
		}
	}
	var body []byte
	if operation.RequestBody != nil || g.often(3) {
		var contentType string
		body, contentType = g.body(operation)
		header.Set("Content-Type", contentType)
	}
	if g.often(20) {
		header.Set("Accept", one(g, []string{"application/yaml", "*/*", "application/json;q=0.1, application/yaml", "text/html", ";;", "application/yaml;q=2"}))
	}
	address := base + path
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	if g.often(1) {
		address += one(g, []string{"?labelSelector=%zz", "?limit=-1", "?continue=%00", "?a=b;c=d"})
	}
	request, err := http.NewRequest(method, address, bytes.NewReader(body))
	if err != nil {
		return g.request(base) // net/http does not send it
	}
	request.Header = header
	return request, body
}

// pathValue returns a path parameter, mostly a namespace or a name of the test's own.
func (g *generator) pathValue(name string) string {
	switch {
	case name == "namespace" && g.often(95):
		return one(g, g.namespaces)
	case name == "namespace":
		return one(g, []string{"nowhere", "x y", "Größe", "..", "%2f", "a/b", strings.Repeat("n", 300), "\x00"})
	case g.often(85):
		return one(g, g.names)
	}
	return one(g, []string{"x y", "My Deployment Name", "..", "a/b", "ü", strings.Repeat("n", 2000), "\x00", "00000000-0000-4000-8000-000000000000", "%", "?", "-", "*"})
}

// body returns a body and its media type, valid or damaged.
func (g *generator) body(operation *openapi3.Operation) ([]byte, string) {
	var value any = map[string]any{}
	contentType := "application/json"
	if operation.RequestBody != nil {
		value = g.value(operation.RequestBody.Value.Content.Get("application/json").Schema.Value, 0)
		if object, ok := value.(map[string]any); ok {
			g.refine(operation.OperationID, object)
		}
	}
	if g.often(20) {
		value = g.damage(value)
	}
	text, err := json.Marshal(value)
	if err != nil {
		panic(err) // value has JSON types only
	}
	switch n := g.IntN(100); {
	case n < 3:
		text = text[:g.IntN(len(text)+1)]
	case n < 6 && len(text) > 0:
		text = bytes.Clone(text)
		text[g.IntN(len(text))] = byte(g.IntN(256))
	case n < 8:
		text = append(text, text...)
	case n < 9:
		text = []byte(strings.Repeat(one(g, []string{"[", `{"a":`, "- "}), 5000))
	}
	if g.often(10) {
		contentType = one(g, []string{"application/yaml", "text/yaml", "text/plain", "application/merge-patch+json", "application/json; charset=utf-8", "", "x"})
	}
	return text, contentType
}

// refine sets names and references that often exist, so that the request often succeeds.
func (g *generator) refine(operation string, object map[string]any) {
	switch {
	case operation == "createNamespace":
		object["name"] = one(g, g.namespaces)
		return
	case operation == "createApiToken":
		object["name"] = one(g, g.names)
		return
	case strings.HasPrefix(operation, "create"):
		object["metadata"] = map[string]any{"name": one(g, g.names)}
	case g.often(70):
		delete(object, "metadata")
	}
	for _, field := range []string{"kind", "apiVersion"} {
		if g.often(90) {
			delete(object, field)
		}
	}
	if spec, ok := object["spec"].(map[string]any); ok {
		for field := range spec {
			if strings.HasPrefix(field, "deploymentTarget") || strings.HasPrefix(field, "sessionCluster") {
				if spec[field] = one(g, g.names); g.often(60) {
					delete(spec, field)
				}
			}
		}
		if kubernetes, ok := spec["kubernetes"].(map[string]any); ok && g.often(80) {
			kubernetes["namespace"] = one(g, []string{"flink", "staging"})
		}
	}
}

// value returns a value that matches a schema.
func (g *generator) value(s *openapi3.Schema, depth int) any {
	switch {
	case s.Nullable && g.often(10):
		return nil
	case len(s.Enum) > 0:
		return one(g, s.Enum)
	case len(s.AnyOf) > 0:
		return g.value(one(g, s.AnyOf).Value, depth)
	case s.Type.Is("number"):
		return one(g, []json.Number{"0", "1.50", "-1", "1e30", "12345678901234567890"})
	case s.Type.Is("string"):
		return g.text()
	case s.Type.Is("integer"):
		return g.IntN(5)
	case s.Type.Is("boolean"):
		return g.often(50)
	case s.Type.Is("array"):
		list := []any{}
		for range g.IntN(3) {
			list = append(list, g.value(s.Items.Value, depth+1))
		}
		return list
	}
	object := map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		if slices.Contains(s.Required, name) || g.often(60) {
			object[name] = g.value(s.Properties[name].Value, depth+1)
		}
	}
	if more := s.AdditionalProperties; depth < 3 && g.often(50) {
		switch {
		case more.Schema != nil:
			object[g.text()] = g.value(more.Schema.Value, depth+1)
		case more.Has != nil && *more.Has:
			object[g.text()] = g.anything(depth + 1)
		}
	}
	return object
}

// anything returns any JSON value.
func (g *generator) anything(depth int) any {
	switch n := g.IntN(8); {
	case n == 0:
		return nil
	case n == 1:
		return g.often(50)
	case n == 2:
		return json.Number(one(g, []string{"0", "-1", "12345678901234567890.10", "1e40", "2147483648", "0.1"}))
	case n < 5 || depth > 3:
		return g.text()
	case n == 5:
		return []any{g.anything(depth + 1), g.anything(depth + 1)}
	}
	return map[string]any{g.text(): g.anything(depth + 1), g.text(): g.anything(depth + 1)}
}

// damage replaces or deletes a part of a value.
func (g *generator) damage(value any) any {
	object, ok := value.(map[string]any)
	if !ok || len(object) == 0 || g.often(20) {
		return g.anything(0)
	}
	name := one(g, slices.Sorted(maps.Keys(object)))
	switch g.IntN(4) {
	case 0:
		delete(object, name)
	case 1:
		object[g.text()] = g.anything(0)
	default:
		object[name] = g.damage(object[name])
	}
	return object
}

func (g *generator) text() string {
	return one(g, []string{"", "a", "x", "team", "Größe", "two words", "line\nbreak", "\u0000", "-", "1", "true", "null", "~", "../..", `"`, "{{x}}", "😀", strings.Repeat("long", 300), "a=b", "in (", "!a", "YQ"})
}
