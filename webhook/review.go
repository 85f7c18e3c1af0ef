package webhook

import (
	"encoding/base64"
	"strconv"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"drey.dev/drey/webhook/config"
	"drey.dev/drey/webhook/verdict"
)

// review has the fields of an AdmissionReview of admission.k8s.io/v1 that drey reads. T is
// the type of the object. Other fields are skipped without parsing.
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

	UserInfo  jsontext.Value `json:"userInfo"` // decoded on demand
	Object    *T             `json:"object"`
	OldObject *T             `json:"oldObject"`

	sender string // see Denial.Sender
	patch  []byte // empty memory for the patch of the answer
}

type kindName struct {
	Kind string `json:"kind"`
}

// decodeOptions accept all JSON that the API server accepts.
var decodeOptions = jsonv2.JoinOptions(
	jsontext.AllowDuplicateNames(true),
	jsontext.AllowInvalidUTF8(true),
)

// response is the response of an AdmissionReview.
type response struct {
	uid        string
	allowed    bool
	message    string          // of a denial
	retryable  bool            // of a denial: answered as 503
	reason     verdict.Reason  // an audit annotation
	mode       config.Mode     // an audit annotation of an allowed denial
	patch      []byte          // a JSON patch, nil for none
	mismatches []verdict.Label // audit annotations

	warnings []string // printed by kubectl
}

// append appends the response as an AdmissionReview.
func (r response) append(b []byte) []byte {
	b = append(b, `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","response":{"uid":`...)
	b = appendString(b, r.uid)
	b = append(b, `,"allowed":`...)
	b = strconv.AppendBool(b, r.allowed)
	if !r.allowed {
		code := `403,"reason":"Forbidden"`
		if r.retryable {
			code = `503,"reason":"ServiceUnavailable"`
		}
		b = append(append(append(b, `,"status":{"status":"Failure","code":`...), code...), `,"message":`...)
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
	for _, l := range r.mismatches {
		b = append(b, `,"kept-`...)
		b = append(b, strings.ReplaceAll(l.Key, "/", "-")...) // the API server prefixes the key with the webhook's name and a slash
		b = append(b, `":`...)
		b = appendString(b, l.Value)
	}
	return append(b, "}}}\n"...)
}

// appendLabelsPatch appends the JSON patch that adds absent labels to an object, with the map
// if the object has no labels.
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
		b = append(b, `{"op":"add","path":"`...)
		b = appendLabelPath(b, l.Key)
		b = append(b, `","value":`...)
		b = append(appendString(b, l.Value), '}')
	}
	return append(b, ']')
}

// appendRemoveLabelPatch appends the JSON patch that removes a label.
func appendRemoveLabelPatch(b []byte, key string) []byte {
	b = append(b, `[{"op":"remove","path":"`...)
	b = appendLabelPath(b, key)
	return append(b, `"}]`...)
}

// appendLabelPath appends the JSON pointer of one of drey's labels.
func appendLabelPath(b []byte, key string) []byte {
	b = append(b, "/metadata/labels/"...)
	return append(b, strings.ReplaceAll(key, "/", "~1")...) // drey's keys need no other escape
}

// appendString appends a JSON string, with U+FFFD for invalid UTF-8.
func appendString(b []byte, s string) []byte {
	b, _ = jsontext.AppendQuote(b, s) // its only error is invalid UTF-8, which it replaces
	return b
}
