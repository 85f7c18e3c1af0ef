// Package exchange sends the HTTP requests of golden files to a server of the REST API and
// compares the responses.
//
// A file is a list of exchanges separated by "====" lines: a comment, a request, a "----"
// line, and the response. IDs and times are replaced by ID1, ID2, ... and TIME; ID1 in a
// request is the ID that an earlier response contained. The platform namespaces default,
// team-a and team-b stand for namespaces that are created for the file and removed after it,
// so that the server may hold other data.
package exchange

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// Player sends the requests of files to one server.
type Player struct {
	URL    string // base URL of the server
	Token  string // sent as bearer token unless empty
	Update bool   // rewrite the responses in the files

	// IgnoreKeyOrder ignores the order of JSON object keys.
	IgnoreKeyOrder bool

	// ConsistencyTimeout bounds the repetition of a GET with an unexpected response: reads
	// are eventually consistent across replicas. Writes are sent once.
	ConsistencyTimeout time.Duration

	// NothingRuns: the server has a cluster, where nothing runs. What is RUNNING in the files,
	// which is the state without a cluster, is TRANSITIONING there.
	NothingRuns bool

	// Check is called with each exchange; it may be nil.
	Check func(Exchange) error
}

// Exchange is a request and its response.
type Exchange struct {
	Request  *http.Request
	Sent     []byte
	Response *http.Response
	Received []byte
}

// Play sends the requests of a file and compares the responses.
func (p *Player) Play(t *testing.T, file string) {
	t.Helper()
	run := &run{Player: p, T: t}
	run.begin()
	defer run.end()
	var out []string
	for i, text := range Read(t, file) {
		request, want, ok := strings.Cut(text, "\n----\n")
		if !ok && !p.Update {
			t.Fatalf("exchange %d of %s: missing ---- line", i+1, file)
		}
		request = strings.TrimRight(request, "\n")
		began, known := time.Now(), len(run.ids)
		got, same := run.exchange(request, want)
		for !same && isRead(request) && time.Since(began) < p.ConsistencyTimeout {
			time.Sleep(10 * time.Millisecond)
			run.ids = run.ids[:known] // the numbers of ids are those of the last response
			got, same = run.exchange(request, want)
		}
		out = append(out, request+"\n----\n"+got)
		if !same && !p.Update {
			comment, _, _ := strings.Cut(request, "\n")
			t.Errorf("%s\ngot:\n%s\nwant:\n%s", comment, got, want)
		}
	}
	if p.Update {
		if err := os.WriteFile(file, []byte(strings.Join(out, "====\n")), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// exchange sends a request and reports whether the response is the wanted one.
func (r *run) exchange(request, want string) (got string, same bool) {
	got = r.normalize(r.send(r.resolve(request)))
	if r.NothingRuns {
		want = runningPattern.ReplaceAllString(want, `"status":{"state":"TRANSITIONING"}`)
		want = runningYAML.ReplaceAllString(want, "status:\n  state: TRANSITIONING\n")
	}
	return got, got == want || r.IgnoreKeyOrder && sortKeys(got) == sortKeys(want)
}

var (
	runningPattern = regexp.MustCompile(`"status":\{"state":"RUNNING","running":\{[^}]*\}\}`)
	runningYAML    = regexp.MustCompile(`status:\n  running:\n(?:    .*\n)+  state: RUNNING\n`)
)

var readPattern = regexp.MustCompile(`(?m)\A(#.*\n)*(GET|HEAD) `)

// isRead reports whether a request is a GET or HEAD.
func isRead(request string) bool { return readPattern.MatchString(request) }

// sortKeys sorts the keys of the JSON in a response and keeps its numbers as written.
func sortKeys(answer string) string {
	head, body, _ := strings.Cut(answer, "\n\n")
	v := jsontext.Value(body)
	if err := v.Format(jsontext.ReorderRawObjects(true)); err != nil {
		return answer // YAML, or empty
	}
	return head + "\n\n" + string(v)
}

// Read returns the exchanges of a file.
func Read(t testing.TB, file string) []string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(string(text), "====\n")
}

// run is the state of a file.
type run struct {
	*Player
	*testing.T
	ids        []string
	namespaces [][2]string // platform namespaces: name in the file, name on the server
}

// begin creates the platform namespaces, except team-b, which the file creates.
func (r *run) begin() {
	r.Helper()
	id := fmt.Sprintf("x%08x", rand.Uint32())
	r.namespaces = [][2]string{{"default", id + "-1"}, {"team-a", id + "-2"}, {"team-b", id + "-3"}}
	for _, namespace := range r.namespaces[:2] {
		if response, text := r.do(http.MethodPost, "/namespaces/v1/namespaces", nil, `{"name":"`+namespace[1]+`"}`); response.StatusCode != http.StatusCreated {
			r.Fatalf("create platform namespace %s: %s %s", namespace[1], response.Status, text)
		}
	}
}

// end removes the platform namespaces. It retries until the replica lists all objects.
func (r *run) end() {
	for _, namespace := range r.namespaces {
		began := time.Now()
		response, text := r.remove(namespace[1])
		removed := func() bool {
			return response.StatusCode == http.StatusOK || response.StatusCode == http.StatusNotFound && namespace[0] == "team-b"
		}
		for !removed() && time.Since(began) < r.ConsistencyTimeout {
			time.Sleep(10 * time.Millisecond)
			response, text = r.remove(namespace[1])
		}
		if !removed() {
			r.Errorf("remove platform namespace %s: %s %s", namespace[1], response.Status, text)
		}
	}
}

// remove deletes the listed objects of a platform namespace and the namespace, and returns the
// last response.
func (r *run) remove(namespace string) (*http.Response, []byte) {
	for _, collection := range []string{"deployments", "sessionclusters", "deployment-targets"} {
		path := "/api/v1/namespaces/" + namespace + "/" + collection
		_, text := r.do(http.MethodGet, path, nil, "")
		var list struct {
			Items []struct{ Metadata struct{ Name string } }
		}
		if err := json.Unmarshal(text, &list); err != nil {
			r.Errorf("%s: %v: %s", path, err, text)
		}
		for _, o := range list.Items {
			r.do(http.MethodDelete, path+"/"+o.Metadata.Name, nil, "")
		}
	}
	return r.do(http.MethodDelete, "/namespaces/v1/namespaces/"+namespace, nil, "")
}

// send sends a request of a file and returns the response in the format of the file.
func (r *run) send(text string) string {
	for strings.HasPrefix(text, "#") {
		_, text, _ = strings.Cut(text, "\n")
	}
	head, body, _ := strings.Cut(text, "\n\n")
	lines := strings.Split(head, "\n")
	method, path, _ := strings.Cut(lines[0], " ")
	header := http.Header{}
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(line, ": ")
		header.Set(name, value)
	}
	response, answer := r.do(method, path, header, body)
	var b bytes.Buffer
	fmt.Fprintln(&b, response.StatusCode)
	for _, name := range []string{"Content-Type", "Etag", "Allow", "Warning"} {
		for _, value := range response.Header[name] {
			fmt.Fprintf(&b, "%s: %s\n", name, value)
		}
	}
	fmt.Fprintf(&b, "\n%s", answer)
	return strings.TrimRight(b.String(), "\n") + "\n"
}

func (r *run) do(method, path string, header http.Header, body string) (*http.Response, []byte) {
	request, err := http.NewRequestWithContext(r.Context(), method, strings.TrimSuffix(r.URL, "/")+path, strings.NewReader(body))
	if err != nil {
		r.Fatal(err)
	}
	if header != nil {
		request.Header = header
	}
	if r.Token != "" {
		request.Header.Set("Authorization", "Bearer "+r.Token)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		r.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		r.Fatal(err)
	}
	if r.Check != nil {
		if err := r.Check(Exchange{request, []byte(body), response, answer}); err != nil {
			r.Errorf("%s %s\n%s\n%s\n%s: %v", method, path, body, response.Status, answer, err)
		}
	}
	return response, answer
}

var (
	uuidPattern   = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[45][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}`)
	timePattern   = regexp.MustCompile(`20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9:.]{8,12}Z`)
	listPattern   = regexp.MustCompile(`\{"namespaces":\[.*\]\}`)
	therePattern  = regexp.MustCompile(`there is ([a-z0-9-]+(, )?)+\. POST`)
	buildPattern  = regexp.MustCompile(`"(build[A-Za-z]*|commit[A-Za-z]*|dreyVersion)":"[^"]*"`)
	secretPattern = regexp.MustCompile(`"secret":"[^"]{20,}"`)
)

// normalize replaces values that differ between runs and servers.
func (r *run) normalize(text string) string {
	text = listPattern.ReplaceAllStringFunc(text, r.filterNamespaces)
	text = therePattern.ReplaceAllStringFunc(text, func(found string) string {
		names := strings.Split(strings.TrimSuffix(strings.TrimPrefix(found, "there is "), ". POST"), ", ")
		names = slices.DeleteFunc(names, func(name string) bool { return !r.owns(name) })
		return "there is " + strings.Join(names, ", ") + ". POST"
	})
	for _, namespace := range r.namespaces {
		text = strings.ReplaceAll(text, namespace[1], namespace[0])
	}
	text = buildPattern.ReplaceAllString(text, `"$1":"BUILD"`)
	text = secretPattern.ReplaceAllString(text, `"secret":"SECRET"`)
	text = uuidPattern.ReplaceAllStringFunc(text, func(id string) string {
		for i, known := range r.ids {
			if known == id {
				return fmt.Sprint("ID", i+1)
			}
		}
		r.ids = append(r.ids, id)
		return fmt.Sprint("ID", len(r.ids))
	})
	return timePattern.ReplaceAllString(text, "TIME")
}

// filterNamespaces removes the platform namespaces of others from a list.
func (r *run) filterNamespaces(list string) string {
	var all struct {
		Namespaces []json.RawMessage `json:"namespaces"`
	}
	if json.Unmarshal([]byte(list), &all) != nil {
		return list
	}
	all.Namespaces = slices.DeleteFunc(all.Namespaces, func(one json.RawMessage) bool {
		var named struct{ Name string }
		return json.Unmarshal(one, &named) == nil && !r.owns(strings.TrimPrefix(named.Name, "namespaces/"))
	})
	text, err := json.Marshal(all)
	if err != nil {
		return list
	}
	return string(text)
}

func (r *run) owns(namespace string) bool {
	return slices.ContainsFunc(r.namespaces, func(pair [2]string) bool { return pair[1] == namespace })
}

// resolve is the inverse of normalize for requests. It replaces the namespace default only
// where the text is unambiguous.
func (r *run) resolve(text string) string {
	for i, id := range slices.Backward(r.ids) {
		text = strings.ReplaceAll(text, fmt.Sprint("ID", i+1), id)
	}
	pairs := []string{}
	for _, namespace := range r.namespaces {
		pairs = append(pairs, "v1/namespaces/"+namespace[0]+"/", "v1/namespaces/"+namespace[1]+"/", `"namespace":"`+namespace[0]+`"`, `"namespace":"`+namespace[1]+`"`,
			`"namespaces/`+namespace[0]+"/", `"namespaces/`+namespace[1]+"/", "namespace: "+namespace[0]+"\n", "namespace: "+namespace[1]+"\n")
		if namespace[0] != "default" {
			pairs = append(pairs, "namespaces/"+namespace[0]+"\n", "namespaces/"+namespace[1]+"\n", "namespaces/"+namespace[0]+`"`, "namespaces/"+namespace[1]+`"`,
				`"name":"`+namespace[0]+`"`, `"name":"`+namespace[1]+`"`)
		}
	}
	return strings.TrimSuffix(strings.NewReplacer(pairs...).Replace(text+"\n"), "\n")
}
