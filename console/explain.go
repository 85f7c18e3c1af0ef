package console

import (
	"bytes"
	"cmp"
	"errors"
	"io"
	"net/http"
	"strings"

	"drey.dev/drey/console/page"
	"drey.dev/drey/registry"
)

// maxManifest is the size in bytes to which manifests are limited.
const maxManifest = 1 << 20

func (c *Console) explainForm(r *http.Request, _ *user) (response, error) {
	return show("explain", page.Explain{Frame: c.frame(r, "Explain", "explain"), Namespace: cmp.Or(r.URL.Query().Get(page.ParamSpace), "default")})
}

// explain shows the verdicts on the objects of a manifest.
func (c *Console) explain(r *http.Request, u *user) (response, error) {
	select {
	case c.explains <- struct{}{}:
		defer func() { <-c.explains }()
	default:
		return response{}, busy("%d manifests are being read, which is the limit", maxExplains)
	}
	if err := readForm(r, 2*maxManifest); err != nil {
		return response{}, err
	}
	m := page.Explain{Frame: c.frame(r, "Explain", "explain"), Manifest: r.PostFormValue("manifest"), Namespace: cmp.Or(strings.TrimSpace(r.PostFormValue(page.ParamSpace)), "default")}
	refuse := func(message string) (response, error) {
		m.Notice = &page.Notice{Failed: true, Title: "Not explained", Text: message}
		return response{status: http.StatusBadRequest, page: "explain", model: m}, nil
	}
	if file, _, err := r.FormFile("file"); err == nil {
		defer file.Close()
		text, err := io.ReadAll(io.LimitReader(file, maxManifest+1))
		if err != nil {
			return response{}, err
		}
		if len(bytes.TrimSpace(text)) > 0 {
			m.Manifest = string(text)
		}
	}
	switch {
	case strings.TrimSpace(m.Manifest) == "":
		return refuse("the manifest is empty: paste a Kubernetes object in YAML or JSON, or choose a file")
	case len(m.Manifest) > maxManifest:
		return refuse("the manifest exceeds the limit of 1 MiB: split it, or use drey explain -f FILE")
	}
	visible, err := u.visible(r.Context(), registry.DeploymentTarget)
	if err != nil {
		return response{}, err
	}
	found, partial, err := c.Explain(r.Context(), []byte(m.Manifest), m.Namespace, visible)
	if p, ok := errors.AsType[*ManifestError](err); ok {
		return refuse(p.Error())
	}
	if err != nil {
		return response{}, err
	}
	m.Done, m.Partial = true, partial
	for _, e := range found {
		m.Results = append(m.Results, page.Explanation{Explanation: e})
	}
	return show("explain", m)
}

// ManifestError means that a manifest cannot be read. Its message is for the user.
type ManifestError struct{ Err error }

func (e *ManifestError) Error() string { return e.Err.Error() }
func (e *ManifestError) Unwrap() error { return e.Err }
