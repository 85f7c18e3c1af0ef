package console

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"drey.dev/drey/registry"
)

// call makes a request of a user to the REST API in this process: with its authorization, rules,
// limits and audit log. It decodes the body of a success into result, unless that is nil.
func (c *Console) call(r *http.Request, u *user, method, path string, header http.Header, body, result any) (http.Header, error) {
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return nil, err
		}
	}
	address := url.URL{Scheme: "http", Host: r.Host, Path: path}
	request, err := http.NewRequestWithContext(r.Context(), method, address.String(), bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	request.RemoteAddr = r.RemoteAddr
	if header != nil {
		request.Header = header
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if u.token != "" {
		request.Header.Set("Authorization", "Bearer "+u.token)
	}
	w := &recorder{header: http.Header{}, status: http.StatusOK}
	c.API.ServeHTTP(w, request)
	if w.status >= http.StatusBadRequest {
		var failure struct{ Reason, Message string }
		if err := json.Unmarshal(w.body.Bytes(), &failure); err != nil {
			return nil, fmt.Errorf("%s %s: status %d: %w", method, path, w.status, err)
		}
		return nil, &problem{status: w.status, reason: failure.Reason, message: pageWords.Replace(failure.Message)}
	}
	if result == nil {
		return w.header, nil
	}
	return w.header, json.Unmarshal(w.body.Bytes(), result)
}

// pageWords replaces remedies in terms of HTTP by those of the console.
var pageWords = strings.NewReplacer(
	"PUT to replace it", "use that one",
	"list yours with GET /namespaces/v1/namespaces, or create it with POST", "choose one of yours, or create it with drey namespaces create",
	"GET the object, then try again", "read the page again, then repeat the action",
	"send the header Authorization: Bearer TOKEN", "log in with a token",
	"GET it, apply the change to that, and try again", "read the page again, then repeat the action",
)

// recorder is a response in memory.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (w *recorder) Header() http.Header         { return w.header }
func (w *recorder) WriteHeader(status int)      { w.status = status }
func (w *recorder) Write(p []byte) (int, error) { return w.body.Write(p) }

// document is an object in a response of the REST API.
type document struct {
	Metadata registry.Metadata `json:"metadata"`
	Spec     json.RawMessage   `json:"spec"`
}

// objectPath returns the path of an object, or of its collection if name is empty.
func objectPath(kind registry.Kind, platformNamespace, name string) (string, error) {
	for _, segment := range []string{platformNamespace, name} {
		if strings.Contains(segment, "/") || segment == "." || segment == ".." {
			return "", &problem{status: http.StatusBadRequest, reason: string(registry.ReasonInvalidName), message: fmt.Sprintf(
				"%q is not a valid name: use 0-9, a-z, A-Z, hyphen and underscore", segment)}
		}
	}
	collection := map[registry.Kind]string{
		registry.DeploymentTarget: "deployment-targets", registry.Deployment: "deployments", registry.SessionCluster: "sessionclusters",
	}[kind]
	path := "/api/v1/namespaces/" + platformNamespace + "/" + collection
	if name != "" {
		path += "/" + name
	}
	return path, nil
}

// readForm parses a form of at most limit bytes.
func readForm(r *http.Request, limit int64) error {
	r.Body = http.MaxBytesReader(nil, r.Body, limit)
	var err error
	if strings.HasPrefix(r.Header.Get("Content-Type"), "multipart/form-data") {
		err = r.ParseMultipartForm(limit) //nolint:gosec // the body is limited
	} else {
		err = r.ParseForm()
	}
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return &problem{status: http.StatusRequestEntityTooLarge, reason: "BodyTooLarge", message: fmt.Sprintf("the form exceeds the limit of %d bytes: send less at once, or use drey explain -f", limit)}
	}
	if err != nil {
		return &problem{status: http.StatusBadRequest, reason: "BadRequest", message: fmt.Sprintf("cannot read the form: %v: send it again", err)}
	}
	return nil
}
