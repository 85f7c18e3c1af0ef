// Package exchange plays files of HTTP requests against a server of the REST
// API, and compares what it answers with what stands in the files.
//
// A file is a list of exchanges parted by lines of "====": a comment, a request,
// a line "----", and the answer. What differs from run to run (ids, times)
// stands there as ID1, ID2, ... and TIME; ID1 in a request means the id that an
// answer before showed so. The platform namespaces default, team-a and team-b
// stand for ones that are made for the file and removed after it, so that any
// server will do, whatever else it has.
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

// Player plays files against one server.
type Player struct {
	URL    string // of the server
	Token  string // sent as bearer token unless empty
	Update bool   // rewrite the answers in the files

	// IgnoreKeyOrder compares JSON without regard to the order of its keys.
	IgnoreKeyOrder bool

	// ConsistencyTimeout is how long a GET may answer what was true before: of several
	// replicas one may not have heard yet of what another wrote. A write is never
	// decided by that, and is sent once.
	ConsistencyTimeout time.Duration

	// Check is called with each exchange, nil for nothing more than comparing.
	Check func(Exchange) error
}

// Exchange is a request and its answer as they were on the wire.
type Exchange struct {
	Request  *http.Request
	Sent     []byte
	Response *http.Response
	Received []byte
}

// Play plays a file.
func (p *Player) Play(t *testing.T, file string) {
	t.Helper()
	run := &run{Player: p, T: t}
	run.begin()
	defer run.end()
	var out []string
	for i, text := range Read(t, file) {
		request, want, ok := strings.Cut(text, "\n----\n")
		if !ok && !p.Update {
			t.Fatalf("exchange %d of %s has no ---- line", i+1, file)
		}
		request = strings.TrimRight(request, "\n")
		asked := time.Now()
		got, same := run.exchange(request, want)
		for !same && reads(request) && time.Since(asked) < p.ConsistencyTimeout {
			time.Sleep(10 * time.Millisecond)
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

// exchange makes a request, and tells whether the answer is the one that was wanted.
func (r *run) exchange(request, want string) (got string, same bool) {
	got = r.hide(r.send(r.reveal(request)))
	return got, got == want || r.IgnoreKeyOrder && ordered(got) == ordered(want)
}

var readPattern = regexp.MustCompile(`(?m)\A(#.*\n)*(GET|HEAD) `)

// reads tells whether a request changes nothing.
func reads(request string) bool { return readPattern.MatchString(request) }

// ordered sorts the keys of the JSON in an answer. Numbers stay as they are
// written.
func ordered(answer string) string {
	head, body, _ := strings.Cut(answer, "\n\n")
	v := jsontext.Value(body)
	if err := v.Format(jsontext.ReorderRawObjects(true)); err != nil {
		return answer // it is YAML, or nothing
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

// run is a file that is being played.
type run struct {
	*Player
	*testing.T
	ids    []string
	places [][2]string // what the file calls a platform namespace, and what it is
}

// begin makes the platform namespaces. The third is for the file to make.
func (r *run) begin() {
	r.Helper()
	id := fmt.Sprintf("x%08x", rand.Uint32())
	r.places = [][2]string{{"default", id + "-1"}, {"team-a", id + "-2"}, {"team-b", id + "-3"}}
	for _, place := range r.places[:2] {
		if response, text := r.do(http.MethodPost, "/namespaces/v1/namespaces", nil, `{"name":"`+place[1]+`"}`); response.StatusCode != http.StatusCreated {
			r.Fatalf("make platform namespace %s: %s %s", place[1], response.Status, text)
		}
	}
}

// end removes what the file left. A replica may not list all of it yet.
func (r *run) end() {
	for _, place := range r.places {
		began := time.Now()
		response, text := r.remove(place[1])
		isGone := func() bool {
			return response.StatusCode == http.StatusOK || response.StatusCode == http.StatusNotFound && place[0] == "team-b"
		}
		for !isGone() && time.Since(began) < r.ConsistencyTimeout {
			time.Sleep(10 * time.Millisecond)
			response, text = r.remove(place[1])
		}
		if !isGone() {
			r.Errorf("remove platform namespace %s: %s %s", place[1], response.Status, text)
		}
	}
}

// remove removes a platform namespace with what is listed there, and returns the answer.
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

// send makes the request that a text describes and returns the answer as text.
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
	uuidPattern   = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}`)
	timePattern   = regexp.MustCompile(`20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9:.]{8,12}Z`)
	listPattern   = regexp.MustCompile(`\{"namespaces":\[.*\]\}`)
	therePattern  = regexp.MustCompile(`there is ([a-z0-9-]+(, )?)+\. POST`)
	buildPattern  = regexp.MustCompile(`"(build[A-Za-z]*|commit[A-Za-z]*)":"[^"]*"`)
	secretPattern = regexp.MustCompile(`"secret":"[^"]{20,}"`)
)

// hide gives names to what differs from run to run and from server to server.
func (r *run) hide(text string) string {
	text = listPattern.ReplaceAllStringFunc(text, r.onlyOurs)
	text = therePattern.ReplaceAllStringFunc(text, func(found string) string {
		names := strings.Split(strings.TrimSuffix(strings.TrimPrefix(found, "there is "), ". POST"), ", ")
		names = slices.DeleteFunc(names, func(name string) bool { return !r.ours(name) })
		return "there is " + strings.Join(names, ", ") + ". POST"
	})
	for _, place := range r.places {
		text = strings.ReplaceAll(text, place[1], place[0])
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

// onlyOurs takes the platform namespaces of others out of a list.
func (r *run) onlyOurs(list string) string {
	var all struct {
		Namespaces []json.RawMessage `json:"namespaces"`
	}
	if json.Unmarshal([]byte(list), &all) != nil {
		return list
	}
	all.Namespaces = slices.DeleteFunc(all.Namespaces, func(one json.RawMessage) bool {
		var named struct{ Name string }
		return json.Unmarshal(one, &named) == nil && !r.ours(strings.TrimPrefix(named.Name, "namespaces/"))
	})
	text, err := json.Marshal(all)
	if err != nil {
		return list
	}
	return string(text)
}

func (r *run) ours(namespace string) bool {
	return slices.ContainsFunc(r.places, func(place [2]string) bool { return place[1] == namespace })
}

// reveal is hide in a request. The namespace default is meant where no other can
// be: in requests that are about namespaces.
func (r *run) reveal(text string) string {
	for i, id := range slices.Backward(r.ids) {
		text = strings.ReplaceAll(text, fmt.Sprint("ID", i+1), id)
	}
	pairs := []string{}
	for _, place := range r.places {
		pairs = append(pairs, "v1/namespaces/"+place[0]+"/", "v1/namespaces/"+place[1]+"/", `"namespace":"`+place[0]+`"`, `"namespace":"`+place[1]+`"`,
			`"namespaces/`+place[0]+"/", `"namespaces/`+place[1]+"/", "namespace: "+place[0]+"\n", "namespace: "+place[1]+"\n")
		if place[0] != "default" {
			pairs = append(pairs, "namespaces/"+place[0]+"\n", "namespaces/"+place[1]+"\n", "namespaces/"+place[0]+`"`, "namespaces/"+place[1]+`"`,
				`"name":"`+place[0]+`"`, `"name":"`+place[1]+`"`)
		}
	}
	return strings.TrimSuffix(strings.NewReplacer(pairs...).Replace(text+"\n"), "\n")
}
