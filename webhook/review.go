package webhook

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"drey.dev/drey/webhook/config"
	"drey.dev/drey/webhook/verdict"
)

// review is an AdmissionReview of admission.k8s.io/v1, as far as drey reads
// it. T is what it reads of the object. Everything else is skipped unparsed, so
// that fields of other API versions do no harm and cost little.
type review[T any] struct {
	APIVersion string      `json:"apiVersion"`
	Kind       string      `json:"kind"`
	Request    *request[T] `json:"request"`
}

type request[T any] struct {
	UID         string   `json:"uid"`
	Kind        kindName `json:"kind"`
	SubResource string   `json:"subResource"`
	Name        string   `json:"name"`
	Namespace   string   `json:"namespace"`
	Operation   string   `json:"operation"`
	DryRun      bool     `json:"dryRun"`

	UserInfo  jsontext.Value `json:"userInfo"` // read by those who ask for it
	Object    *T             `json:"object"`
	OldObject *T             `json:"oldObject"`
}

type kindName struct {
	Kind string `json:"kind"`
}

// The API server wrote what we read: what it let pass is not refused here.
var decodeOptions = jsonv2.JoinOptions(
	jsontext.AllowDuplicateNames(true),
	jsontext.AllowInvalidUTF8(true),
)

// decodeReview reads a review that asks something. Its errors are for whoever
// sent it.
func decodeReview[T any](body []byte) (*request[T], error) {
	var r review[T]
	if err := jsonv2.Unmarshal(body, &r, decodeOptions); err != nil {
		return nil, fmt.Errorf("this is not a readable AdmissionReview: %w", err)
	}
	switch {
	case r.Kind != "AdmissionReview":
		return nil, fmt.Errorf("kind is %q, want AdmissionReview", r.Kind)
	case r.APIVersion != "admission.k8s.io/v1":
		return nil, fmt.Errorf("apiVersion is %q, drey answers admission.k8s.io/v1", r.APIVersion)
	case r.Request == nil:
		return nil, errors.New("the AdmissionReview has no request")
	case r.Request.UID == "":
		return nil, errors.New("the request has no uid")
	case r.Request.Object == nil && r.Request.Operation == "CREATE":
		return nil, errors.New("the request creates an object and does not say which")
	case (r.Request.Object == nil || r.Request.OldObject == nil) && r.Request.Operation == "UPDATE":
		return nil, errors.New("the request updates an object and does not say which, or how it was")
	}
	return r.Request, nil
}

// response is what an AdmissionReview is answered with.
type response struct {
	uid     string
	allowed bool
	message string          // why not, when it is not allowed
	later   bool            // likewise: for now only, it may be tried again
	reason  verdict.Reason  // goes into the audit annotations
	mode    config.Mode     // likewise, where it let pass what would have been refused
	patch   []byte          // a JSON patch, nil for none
	kept    []verdict.Label // go into the audit annotations

	warnings []string // which kubectl prints
}

// append writes the response as an AdmissionReview.
func (r response) append(b []byte) []byte {
	b = append(b, `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","response":{"uid":`...)
	b = appendString(b, r.uid)
	b = append(b, `,"allowed":`...)
	b = strconv.AppendBool(b, r.allowed)
	if !r.allowed {
		code := `403,"reason":"Forbidden"`
		if r.later {
			code = `503,"reason":"ServiceUnavailable"`
		}
		b = append(b, `,"status":{"status":"Failure","code":`+code+`,"message":`...)
		b = appendString(b, r.message)
		b = append(b, '}')
	}
	if r.patch != nil {
		b = append(b, `,"patchType":"JSONPatch","patch":"`...)
		b = base64.StdEncoding.AppendEncode(b, r.patch)
		b = append(b, '"')
	}
	for i, warning := range r.warnings {
		b = append(b, [2]string{`,"warnings":[`, `,`}[min(i, 1)]...)
		b = appendString(b, warning)
	}
	if len(r.warnings) > 0 {
		b = append(b, ']')
	}
	b = append(b, `,"auditAnnotations":{"verdict":`...)
	b = appendString(b, string(r.reason))
	if r.mode != "" {
		b = append(b, `,"mode":`...)
		b = appendString(b, string(r.mode))
	}
	for _, l := range r.kept {
		b = append(b, `,"kept-`...)
		b = append(b, strings.ReplaceAll(l.Key, "/", "-")...) // the API server prefixes the key with the webhook's name and a slash
		b = append(b, `":`...)
		b = appendString(b, l.Value)
	}
	return append(b, "}}}\n"...)
}

// appendLabelsPatch writes the JSON patch that adds labels to an object. It
// only ever adds keys that are not there: with no labels at all, the map that
// holds them comes first.
func appendLabelsPatch(b []byte, hasLabels bool, add []verdict.Label) []byte {
	if !hasLabels {
		b = append(b, `[{"op":"add","path":"/metadata/labels","value":{`...)
		for i, l := range add {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(appendString(b, l.Key), ':')
			b = appendString(b, l.Value)
		}
		return append(b, "}}]"...)
	}
	b = append(b, '[')
	for i, l := range add {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"op":"add","path":"/metadata/labels/`...)
		b = append(b, strings.ReplaceAll(l.Key, "/", "~1")...) // our own keys: nothing else in them to escape
		b = append(b, `","value":`...)
		b = append(appendString(b, l.Value), '}')
	}
	return append(b, ']')
}

// appendString writes a JSON string. Invalid UTF-8 becomes U+FFFD.
func appendString(b []byte, s string) []byte {
	b, _ = jsontext.AppendQuote(b, s) // its only error is invalid UTF-8, which it has replaced
	return b
}
