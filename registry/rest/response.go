package rest

import (
	"bytes"
	"compress/gzip"
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

// wish is how a client would like its answer.
type wish struct{ yaml, gzip bool }

// send is the only place that writes an answer. Errors are always JSON. A list
// is written item by item, so that it is in memory once, as what the store
// returned.
func (a answer) send(w http.ResponseWriter, wish wish) {
	maps.Copy(w.Header(), a.header)
	w.Header().Set("Vary", "Accept, Accept-Encoding")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if a.body == nil {
		w.WriteHeader(a.status)
		return
	}
	format := jsonFormat
	if wish.yaml {
		format = yamlFormat
	}
	w.Header().Set("Content-Type", format.mediaType)
	out := &sending{w: w, status: a.status, gzip: wish.gzip}
	var err error
	if list, ok := a.body.(documentList); ok {
		err = format.list(out, list)
	} else {
		var text []byte
		if text, err = format.encode(a.body); err == nil {
			_, err = out.Write(text)
		}
	}
	if err == nil {
		err = out.Close()
	}
	if err != nil && out.begun {
		panic(http.ErrAbortHandler) // the client is gone, or must not take what it has for the whole
	}
	if err != nil { // only our own types come here, and they can be written
		http.Error(w, `{"message":"the answer could not be written"}`, http.StatusInternalServerError)
	}
}

// sending writes what follows the header. An answer that is small goes out in one
// piece, with its length.
type sending struct {
	w      http.ResponseWriter
	status int
	gzip   bool // the client can read it

	small  bytes.Buffer
	begun  bool
	packed *gzip.Writer
}

// worthwhile is from how many bytes on an answer goes out in pieces, and
// compressed for who can read that.
const worthwhile = 8 << 10

func (b *sending) Write(p []byte) (int, error) {
	if !b.begun && b.small.Len()+len(p) < worthwhile {
		return b.small.Write(p)
	}
	if !b.begun {
		b.begin()
		if _, err := b.out().Write(b.small.Bytes()); err != nil {
			return 0, err
		}
	}
	return b.out().Write(p)
}

func (b *sending) begin() {
	b.begun = true
	if b.gzip {
		b.w.Header().Set("Content-Encoding", "gzip")
		b.packed, _ = gzip.NewWriterLevel(b.w, gzip.BestSpeed) // the level is one
	}
	b.w.WriteHeader(b.status)
}

func (b *sending) out() io.Writer {
	if b.packed != nil {
		return b.packed
	}
	return b.w
}

func (b *sending) Close() error {
	if b.packed != nil {
		return b.packed.Close()
	}
	if b.begun {
		return nil
	}
	b.begun = true
	b.w.Header().Set("Content-Length", strconv.Itoa(b.small.Len()))
	b.w.WriteHeader(b.status)
	_, err := b.w.Write(b.small.Bytes())
	return err
}

// format is a way to write answers.
type format struct {
	mediaType string
	encode    func(any) ([]byte, error)
	list      func(io.Writer, documentList) error
}

var (
	jsonFormat = format{"application/json", encode, listJSON}
	yamlFormat = format{"application/yaml", encodeYAML, listYAML}
)

// encode writes JSON: maps in order, and what clients sent to the byte.
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

// listJSON writes what encode would, item by item.
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

// listYAML writes what encodeYAML would, item by item.
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

// takesGzip reads an Accept-Encoding header.
func takesGzip(header string) bool {
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

// prefersYAML reads an Accept header. JSON wins unless YAML is asked for with
// a higher quality: a wildcard means JSON.
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
