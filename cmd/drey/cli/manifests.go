package cli

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"k8s.io/apimachinery/pkg/runtime"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
)

// manifest is one object of a file.
type manifest struct {
	file string
	at   string // in the file, such as "document 2, item 3"
	text []byte // JSON
	manifestHeader
}

type manifestHeader struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   struct {
		Name         string `json:"name"`
		GenerateName string `json:"generateName"`
		Namespace    string `json:"namespace"`
	} `json:"metadata"`
	Items jsontext.Value `json:"items"` // of a list
}

// where names the object in an error.
func (m manifest) where() string {
	where := m.file + ", " + m.at
	if m.Kind != "" {
		where += ", " + m.Kind
	}
	if name := cmp.Or(m.Metadata.Name, m.Metadata.GenerateName); name != "" {
		where += "/" + printable(name)
	}
	return where
}

// manifestReader reads manifests as kubectl does.
type manifestReader struct {
	stdin   io.Reader
	command string // that is told in errors to read a rendered directory, such as "drey check"

	stdinRead bool
}

// standardInput is the path that stands for it.
const standardInput = "-"

// manifestEndings are those of the files that are read in a directory.
var manifestEndings = []string{".yaml", ".yml", ".json"}

// read reads files, directories with all that is below them, and - for standard
// input. A path without any object is an error with the code exitUsage: a check of
// nothing must not pass.
func (r *manifestReader) read(paths []string) ([]manifest, error) {
	var all []manifest
	for _, path := range paths {
		found, err := r.readPath(path)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	return all, nil
}

func (r *manifestReader) readPath(path string) ([]manifest, error) {
	files, isDir, err := r.files(path)
	if err != nil {
		return nil, err
	}
	var all []manifest
	size := 0
	for _, file := range files {
		text, err := r.readFile(file)
		if err != nil {
			return nil, err
		}
		found, err := parseManifests(file, text)
		if err != nil {
			if bytes.Contains(text, []byte("{{")) {
				err = fmt.Errorf("%w; a Helm template has to be rendered: helm template CHART | %s -f -", err, r.command)
			}
			return nil, err
		}
		all, size = append(all, found...), size+len(bytes.TrimSpace(text))
	}
	if len(all) > 0 {
		return all, nil
	}
	name := path
	if path == standardInput {
		name = "standard input"
	}
	why := "it is empty"
	switch {
	case isDir && len(files) == 0:
		why = "no file below it ends in .yaml, .yml or .json"
	case isDir:
		why = fmt.Sprintf("no object in its %d files that end in .yaml, .yml or .json", len(files))
	case size > 0:
		why = "it has only comments, separators or empty lists"
	}
	return nil, &exitError{exitUsage, fmt.Errorf("no manifest in %s: %s; give a file, a directory or - with Kubernetes objects in YAML or JSON", name, why)}
}

func (r *manifestReader) readFile(file string) ([]byte, error) {
	if file == standardInput {
		if r.stdinRead {
			return nil, &exitError{exitUsage, errors.New("standard input is given twice; give - once")}
		}
		r.stdinRead = true
	}
	return readFile(r.stdin, file)
}

// files are the files at a path, in order.
func (r *manifestReader) files(path string) (files []string, isDir bool, err error) {
	if path == standardInput {
		return []string{path}, false, nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, false, err
	}
	if !info.IsDir() {
		return []string{path}, false, r.refuseSource(path)
	}
	root := path + string(filepath.Separator) // follows a link to a directory
	err = filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		if err := r.refuseSource(file); err != nil {
			return err
		}
		if slices.Contains(manifestEndings, filepath.Ext(file)) {
			files = append(files, file)
		}
		return nil
	})
	return files, true, err
}

// refuseSource refuses what kustomize or Helm makes manifests from, with the command
// that does so.
func (r *manifestReader) refuseSource(file string) error {
	var what, command string
	switch filepath.Base(file) {
	case "kustomization.yaml", "kustomization.yml", "Kustomization":
		what, command = "a kustomization", "kubectl kustomize"
	case "Chart.yaml":
		what, command = "a Helm chart", "helm template"
	default:
		return nil
	}
	dir := filepath.Dir(file)
	return &exitError{exitUsage, fmt.Errorf("%s is %s, not a manifest; render it: %s %s | %s -f -", dir, what, command, shellWord(dir), r.command)}
}

// shellWord is a word as a shell takes it whole.
func shellWord(word string) string {
	if regexp.MustCompile(`^[A-Za-z0-9_./-]+$`).MatchString(word) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// parseManifests reads the objects of a file: YAML documents, JSON objects one after
// the other, and what is in lists.
func parseManifests(file string, text []byte) ([]manifest, error) {
	const lookAhead = 4096 // kubectl's, to tell JSON from YAML
	text = toUTF8(text)
	documents := utilyaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), lookAhead)
	var all []manifest
	for number := 1; ; number++ {
		var document runtime.RawExtension
		err := documents.Decode(&document)
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		m := manifest{file: file, at: fmt.Sprintf("document %d", number), text: bytes.TrimSpace(document.Raw)}
		if err != nil {
			return nil, fmt.Errorf("%s, %s%w", file, m.at, syntaxError(text, number, err))
		}
		if len(m.text) == 0 || string(m.text) == "null" {
			continue
		}
		if all, err = m.appendTo(all, "", ""); err != nil {
			return nil, err
		}
	}
}

// appendTo adds the object, or the items of the list. An item that says neither gets
// the apiVersion and the kind that its list states.
func (m manifest) appendTo(all []manifest, apiVersion, kind string) ([]manifest, error) {
	if k := jsontext.Value(m.text).Kind(); k != '{' {
		return nil, fmt.Errorf("%s: want an object, got %s", m.where(), kindInWords(k))
	}
	if err := jsonv2.Unmarshal(m.text, &m.manifestHeader, asTheAPIServer); err != nil {
		return nil, fmt.Errorf("%s: %w", m.where(), fieldError(err))
	}
	if m.Kind == "" && m.APIVersion == "" {
		m.APIVersion, m.Kind = apiVersion, kind
	}
	if m.Kind == "" {
		return nil, fmt.Errorf("%s: kind is missing; every Kubernetes object has apiVersion and kind", m.where())
	}
	if m.Items == nil && m.Kind != "List" {
		return append(all, m), nil
	}
	var items []jsontext.Value
	if err := jsonv2.Unmarshal(m.Items, &items, asTheAPIServer); m.Items != nil && err != nil {
		return nil, fmt.Errorf("%s: items is not a list", m.where())
	}
	var err error
	for i, item := range items {
		one := manifest{file: m.file, at: fmt.Sprintf("%s, item %d", m.at, i+1), text: item}
		if all, err = one.appendTo(all, m.APIVersion, strings.TrimSuffix(m.Kind, "List")); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// asTheAPIServer lets names be given twice, of which the last counts.
var asTheAPIServer = jsonv2.JoinOptions(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))

// toUTF8 takes the byte order mark off a text, and turns UTF-16 that has one into
// UTF-8.
func toUTF8(text []byte) []byte {
	if text, ok := bytes.CutPrefix(text, []byte("\xef\xbb\xbf")); ok {
		return text
	}
	var order binary.ByteOrder
	switch {
	case bytes.HasPrefix(text, []byte("\xfe\xff")):
		order = binary.BigEndian
	case bytes.HasPrefix(text, []byte("\xff\xfe")):
		order = binary.LittleEndian
	default:
		return text
	}
	units := make([]uint16, 0, len(text)/2)
	for i := 2; i+1 < len(text); i += 2 {
		units = append(units, order.Uint16(text[i:]))
	}
	return []byte(string(utf16.Decode(units)))
}

var yamlLine = regexp.MustCompile(`^(?:error converting YAML to JSON: )?yaml: (?:line (\d+): )?`)

// syntaxError words an error of the parser, after the line of the file where the
// parser has one: ", line 3: did not find expected node content". document is the
// number of the document that it could not read.
func syntaxError(text []byte, document int, err error) error {
	offset := int64(-1)
	var inStream utilyaml.JSONSyntaxError
	var plain *json.SyntaxError
	switch {
	case errors.As(err, &inStream):
		offset, err = inStream.Offset, inStream.Err
	case errors.As(err, &plain):
		offset = plain.Offset
	case errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New(": the JSON ends before the object does")
	}
	if offset >= 0 {
		return fmt.Errorf(", line %d: %w", 1+bytes.Count(text[:min(offset, int64(len(text)))], []byte("\n")), err)
	}
	found := yamlLine.FindStringSubmatch(err.Error())
	if found == nil {
		return fmt.Errorf(": %w", err)
	}
	reason := strings.TrimPrefix(err.Error(), found[0])
	line, failed := strconv.Atoi(found[1])
	if failed != nil || utilyaml.IsJSONBuffer(text) { // where YAML began is not known
		return errors.New(": " + reason)
	}
	return fmt.Errorf(", line %d: %s", linesBefore(text, document)+line, reason)
}

// linesBefore counts the lines before a YAML document. Its number begins at 1.
func linesBefore(text []byte, document int) int {
	reader := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(text)))
	lines := 0
	for range document - 1 {
		before, err := reader.Read()
		if err != nil {
			break
		}
		lines += bytes.Count(before, []byte("\n")) + 1 // and the separator
	}
	return lines
}
