package rest

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"drey.dev/drey/registry/rest/yamljson"
)

// accepted are the media types and encodings that a client accepts, besides JSON.
type accepted struct{ yaml, gzip bool }

// addWarnings adds a Warning header of code 299 for each text.
func addWarnings(header http.Header, texts ...string) {
	for _, text := range texts {
		header.Add("Warning", fmt.Sprintf("299 drey %q", text))
	}
}

// excerpt quotes untrusted text for a header, truncated to 80 bytes.
func excerpt(text string) string {
	const most = 80
	if len(text) > most {
		return strconv.Quote(text[:most]) + "..."
	}
	return strconv.Quote(text)
}

// send writes a response. Errors are always JSON. A list is encoded item by item, to have it in
// memory once.
func (resp response) send(w http.ResponseWriter, accept accepted) {
	maps.Copy(w.Header(), resp.header)
	w.Header().Set("Vary", "Accept, Accept-Encoding")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if resp.body == nil {
		w.WriteHeader(resp.status)
		return
	}
	format := jsonFormat
	if accept.yaml {
		format = yamlFormat
	}
	if report, ok := resp.body.(csv); ok {
		format = report.format()
	}
	w.Header().Set("Content-Type", format.mediaType)
	out := &writer{w: w, status: resp.status, gzip: accept.gzip}
	var err error
	if list, ok := resp.body.(documentList); ok {
		err = format.list(out, list)
	} else {
		var text []byte
		if text, err = format.encode(resp.body); err == nil {
			_, err = out.Write(text)
		}
	}
	if err == nil {
		err = out.Close()
	}
	if err != nil && out.started {
		panic(http.ErrAbortHandler) // the connection is broken, or must be: the response is incomplete
	}
	if err != nil { // cannot happen: all types marshal
		http.Error(w, `{"message":"the response could not be encoded"}`, http.StatusInternalServerError)
	}
}

// writer writes the body of a response: a small one with Content-Length, a large one in chunks.
type writer struct {
	w      http.ResponseWriter
	status int
	gzip   bool // the client accepts it

	buffer     bytes.Buffer
	started    bool
	compressor *gzip.Writer
}

// bufferSize is the size in bytes from which a response is chunked, and compressed if accepted.
const bufferSize = 8 << 10

func (b *writer) Write(p []byte) (int, error) {
	if !b.started && b.buffer.Len()+len(p) < bufferSize {
		return b.buffer.Write(p)
	}
	if !b.started {
		b.start()
		if _, err := b.out().Write(b.buffer.Bytes()); err != nil {
			return 0, err
		}
	}
	return b.out().Write(p)
}

func (b *writer) start() {
	b.started = true
	if b.gzip {
		b.w.Header().Set("Content-Encoding", "gzip")
		b.compressor, _ = gzip.NewWriterLevel(b.w, gzip.BestSpeed) // the level is valid
	}
	b.w.WriteHeader(b.status)
}

func (b *writer) out() io.Writer {
	if b.compressor != nil {
		return b.compressor
	}
	return b.w
}

func (b *writer) Close() error {
	if b.compressor != nil {
		return b.compressor.Close()
	}
	if b.started {
		return nil
	}
	b.started = true
	b.w.Header().Set("Content-Length", strconv.Itoa(b.buffer.Len()))
	b.w.WriteHeader(b.status)
	_, err := b.w.Write(b.buffer.Bytes())
	return err
}

// format is an encoding of responses.
type format struct {
	mediaType string
	encode    func(any) ([]byte, error)
	list      func(io.Writer, documentList) error
}

var (
	jsonFormat = format{"application/json", encode, listJSON}
	yamlFormat = format{"application/yaml", encodeYAML, listYAML}
)

// csv is a report, which has one format.
type csv string

func (c csv) format() format {
	return format{mediaType: csvType + "; charset=utf-8", encode: func(any) ([]byte, error) { return []byte(c), nil }}
}

// encode returns JSON with maps in order. It preserves the texts that clients sent.
func encode(v any) ([]byte, error) {
	return jsonv2.Marshal(v, jsonv2.Deterministic(true), jsontext.PreserveRawStrings(true))
}

func encodeYAML(v any) ([]byte, error) {
	text, err := encode(v)
	if err != nil {
		return nil, err
	}
	return yamljson.FromJSON(text)
}

// listJSON writes the encoding of a list, item by item.
func listJSON(w io.Writer, l documentList) error {
	items := l.Items
	l.Items = []document{}
	frame, err := encode(l)
	if err != nil {
		return err
	}
	before, after := slices.Clip(frame[:len(frame)-2]), frame[len(frame)-2:] // "]}"
	for i, item := range items {
		text, err := encode(item)
		if err != nil {
			return err
		}
		if i > 0 {
			before = []byte{','}
		}
		if _, err := w.Write(append(before, text...)); err != nil {
			return err
		}
		before = nil
	}
	_, err = w.Write(append(before, after...))
	return err
}

// listYAML writes the YAML of a list, item by item.
func listYAML(w io.Writer, l documentList) error {
	items := l.Items
	l.Items = []document{}
	frame, err := encodeYAML(l)
	if err != nil || len(items) == 0 {
		_, writeErr := w.Write(frame)
		if err == nil {
			err = writeErr
		}
		return err
	}
	before, after, _ := bytes.Cut(frame, []byte("items: []\n"))
	if _, err := w.Write(append(slices.Clip(before), "items:\n"...)); err != nil {
		return err
	}
	for _, item := range items {
		text, err := encodeYAML(item)
		if err != nil {
			return err
		}
		text = bytes.ReplaceAll(bytes.TrimSuffix(text, []byte("\n")), []byte("\n"), []byte("\n  "))
		if _, err := w.Write(append(append([]byte("- "), text...), '\n')); err != nil {
			return err
		}
	}
	_, err = w.Write(after)
	return err
}

// acceptsGzip parses an Accept-Encoding header.
func acceptsGzip(header string) bool {
	for part := range strings.SplitSeq(header, ",") {
		coding, params, _ := strings.Cut(part, ";")
		if coding = strings.TrimSpace(coding); coding != "gzip" && coding != "*" {
			continue
		}
		q, ok := strings.CutPrefix(strings.ReplaceAll(params, " ", ""), "q=")
		value, err := strconv.ParseFloat(q, 64)
		return !ok || err == nil && value > 0
	}
	return false
}

// prefersYAML parses an Accept header. JSON wins unless YAML has a higher quality; a wildcard means
// JSON.
func prefersYAML(accept string) bool {
	var yamlQ, jsonQ float64
	for part := range strings.SplitSeq(accept, ",") {
		mediaType, params, err := mime.ParseMediaType(part)
		if err != nil {
			continue
		}
		q := 1.0
		if v, ok := params["q"]; ok {
			if q, err = strconv.ParseFloat(v, 64); err != nil {
				continue
			}
		}
		switch mediaType {
		case "application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml":
			yamlQ = max(yamlQ, q)
		case "application/json", "application/*", "*/*":
			jsonQ = max(jsonQ, q)
		}
	}
	return yamlQ > jsonQ
}
