package denials

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"
)

// Document is the part of the history that is stored, and that all replicas share.
type Document struct {
	Revision int64    `json:"revision"` // grows by one with each write
	Denials  []Denial `json:"denials"`
}

// maxDocument bounds a document in bytes, before compression.
const maxDocument = 8 << 20

// maxEncoded bounds an encoded document in bytes: a ConfigMap holds 1 MiB. A full document has
// about 20 KB; only forged denials do not compress.
const maxEncoded = 768 << 10

// Encode returns a document as compressed JSON, without its oldest denials if it is too large.
func (d Document) Encode() ([]byte, error) {
	for {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		if err := errors.Join(json.NewEncoder(w).Encode(d), w.Close()); err != nil {
			return nil, err
		}
		if b.Len() <= maxEncoded {
			return b.Bytes(), nil
		}
		d.Denials = d.Denials[:len(d.Denials)*3/4]
	}
}

// Decode returns the document of a text that [Document.Encode] has written. An empty text is
// an empty document.
func Decode(text []byte) (d Document, err error) {
	if len(text) == 0 {
		return d, nil
	}
	r, err := gzip.NewReader(bytes.NewReader(text))
	if err == nil {
		err = json.NewDecoder(io.LimitReader(r, maxDocument)).Decode(&d)
	}
	if err != nil {
		return Document{}, fmt.Errorf("history of denials is not readable: %w", err)
	}
	return d, nil
}

// combine returns two equal denials as one: the details are those of the later.
func combine(a, b Denial) Denial {
	if a.Last.After(b.Last) {
		a, b = b, a
	}
	b.Count += a.Count
	if a.First.Before(b.First) {
		b.First = a.First
	}
	return b
}

// with returns a document with more denials. It drops the oldest beyond the limits: of each
// namespace, then of the namespaces that have most.
func (d Document) with(more map[string]Denial, now time.Time) Document {
	all := byKey(d.Denials)
	for key, denial := range more {
		if before, ok := all[key]; ok {
			denial = combine(before, denial)
		}
		all[key] = denial
	}
	byNamespace := map[string][]Denial{}
	oldest, count := now.Add(-Retention), 0
	for _, denial := range all {
		if denial.Last.After(oldest) {
			byNamespace[denial.Namespace] = append(byNamespace[denial.Namespace], denial)
		}
	}
	for namespace, list := range byNamespace {
		slices.SortFunc(list, newestFirst)
		byNamespace[namespace] = list[:min(len(list), maxPerNamespace)]
		count += len(byNamespace[namespace])
	}
	for ; count > maxDenials; count-- {
		most := ""
		for namespace, list := range byNamespace {
			other := byNamespace[most]
			if len(list) > len(other) || len(list) == len(other) && newestFirst(list[len(list)-1], other[len(other)-1]) > 0 {
				most = namespace
			}
		}
		byNamespace[most] = byNamespace[most][:len(byNamespace[most])-1]
	}
	result := Document{Revision: d.Revision + 1, Denials: slices.Concat(slices.Collect(maps.Values(byNamespace))...)}
	slices.SortFunc(result.Denials, newestFirst)
	return result
}

func newestFirst(a, b Denial) int {
	if order := b.Last.Compare(a.Last); order != 0 {
		return order
	}
	return cmp.Compare(a.Key(), b.Key())
}

func byKey(list []Denial) map[string]Denial {
	all := make(map[string]Denial, len(list))
	for _, d := range list {
		all[d.Key()] = d
	}
	return all
}
