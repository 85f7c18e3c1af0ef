// Package manifest reads Kubernetes manifests from files, directories and standard
// input, as kubectl does: YAML and JSON streams, lists, UTF-16.
package manifest

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
	"unicode"
	"unicode/utf16"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"k8s.io/apimachinery/pkg/runtime"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
)

// Manifest is one object of a file.
type Manifest struct {
	File string
	At   string // position in the file, such as "document 2, item 3"
	Text []byte // JSON
	Header

	HeldAt string // the path in the object that holds this one, such as spec.workload.manifests.0; empty: none does
}

// Header is the part of an object that identifies it.
type Header struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   struct {
		Name         string `json:"name"`
		GenerateName string `json:"generateName"`
		Namespace    string `json:"namespace"`
	} `json:"metadata"`
	Items jsontext.Value `json:"items"` // of a list
}

// String names the object in errors: file, position, kind and name.
func (m Manifest) String() string {
	where := m.File + ", " + m.At
	if m.Kind != "" {
		where += ", " + m.Kind
	}
	if name := cmp.Or(m.Metadata.Name, m.Metadata.GenerateName); name != "" {
		where += "/" + Printable(name)
	}
	return where
}

// InputError means that the input is not a manifest; its message says what to give
// instead.
type InputError struct{ err error }

func (e *InputError) Error() string { return e.err.Error() }
func (e *InputError) Unwrap() error { return e.err }

// Reader reads manifests.
type Reader struct {
	Stdin   io.Reader
	Command string // the command for rendered manifests in errors, such as "drey check"

	stdinRead bool
}

// stdin is the path of standard input.
const stdin = "-"

// extensions of the files that are read in a directory.
var extensions = []string{".yaml", ".yml", ".json"}

// Read reads files, directories recursively, and - for standard input. A path without
// any object is an [InputError]: a check of nothing must not pass.
func (r *Reader) Read(paths []string) ([]Manifest, error) {
	var all []Manifest
	for _, path := range paths {
		found, err := r.readPath(path)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	return all, nil
}

func (r *Reader) readPath(path string) ([]Manifest, error) {
	files, isDir, err := r.ReadFiles(path)
	if err != nil {
		return nil, err
	}
	var all []Manifest
	for _, file := range files {
		found, err := Parse(file.Name, file.Text)
		if err != nil {
			if bytes.Contains(file.Text, []byte("{{")) {
				err = fmt.Errorf("%w; a Helm template has to be rendered: helm template CHART | %s -f -", err, r.Command)
			}
			return nil, err
		}
		all = append(all, found...)
	}
	if len(all) > 0 {
		return all, nil
	}
	return nil, noManifest(path, files, isDir)
}

// File is a file of manifests.
type File struct {
	Name string
	Text []byte // UTF-8, without a byte order mark
}

// ReadFiles reads the files at a path: a file, those of a directory and the directories below it,
// or - for standard input.
func (r *Reader) ReadFiles(path string) (files []File, isDir bool, err error) {
	names, isDir, err := r.files(path)
	if err != nil {
		return nil, isDir, inputError(err, r.Command)
	}
	for _, name := range names {
		text, err := r.readFile(name)
		if err != nil {
			return nil, isDir, err
		}
		files = append(files, File{name, toUTF8(text)})
	}
	return files, isDir, nil
}

// noManifest returns the error of a path without any object.
func noManifest(path string, files []File, isDir bool) error {
	size := 0
	for _, file := range files {
		size += len(bytes.TrimSpace(file.Text))
	}
	why := "it is empty"
	switch {
	case isDir && len(files) == 0:
		why = "no file below it ends in .yaml, .yml or .json"
	case isDir:
		why = "its files that end in .yaml, .yml or .json have no object"
	case size > 0:
		why = "it has only comments, separators or empty lists"
	}
	return &InputError{fmt.Errorf("no manifest in %s: %s; give a file, a directory or - with Kubernetes objects in YAML or JSON", DisplayName(path), why)}
}

func (r *Reader) readFile(file string) ([]byte, error) {
	if file == stdin {
		if r.stdinRead {
			return nil, &InputError{errors.New("standard input is given twice; give - once")}
		}
		r.stdinRead = true
		return io.ReadAll(r.Stdin)
	}
	text, err := os.ReadFile(file) //nolint:gosec // the user names the file
	if err != nil {
		return nil, inputError(err, r.Command)
	}
	return text, nil
}

// files returns the files at a path, in order.
func (r *Reader) files(path string) (files []string, isDir bool, err error) {
	if path == stdin {
		return []string{path}, false, nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, false, err
	}
	if !info.IsDir() {
		return []string{path}, false, r.checkRendered(path)
	}
	root := path + string(filepath.Separator) // follows a link to a directory
	err = filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		if err := r.checkRendered(file); err != nil {
			return err
		}
		if slices.Contains(extensions, filepath.Ext(file)) {
			files = append(files, file)
		}
		return nil
	})
	return files, true, err
}

// checkRendered refuses the input of kustomize or Helm, with the command that renders
// it.
func (r *Reader) checkRendered(file string) error {
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
	return &InputError{fmt.Errorf("%s is %s, not a manifest; render it: %s %s | %s -f -", dir, what, command, shellWord(dir), r.Command)}
}

// shellWord quotes a word for a shell if necessary.
func shellWord(word string) string {
	if regexp.MustCompile(`^[A-Za-z0-9_./-]+$`).MatchString(word) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// Parse reads the objects of a file: YAML documents, concatenated JSON objects, and
// the items of lists.
func Parse(file string, text []byte) ([]Manifest, error) {
	const lookAhead = 4096 // kubectl's, to tell JSON from YAML
	text = toUTF8(text)
	documents := utilyaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), lookAhead)
	var all []Manifest
	for number := 1; ; number++ {
		var document runtime.RawExtension
		err := documents.Decode(&document)
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		m := Manifest{File: file, At: fmt.Sprintf("document %d", number), Text: bytes.TrimSpace(document.Raw)}
		if err != nil {
			return nil, fmt.Errorf("%s, %s%w", file, m.At, syntaxError(text, number, err))
		}
		if len(m.Text) == 0 || string(m.Text) == "null" {
			continue
		}
		if all, err = m.appendTo(all, "", ""); err != nil {
			return nil, err
		}
	}
}

// appendTo adds the object, or the items of the list. An item without apiVersion and
// kind gets those of its typed list.
func (m Manifest) appendTo(all []Manifest, apiVersion, kind string) ([]Manifest, error) {
	if k := jsontext.Value(m.Text).Kind(); k != '{' {
		return nil, fmt.Errorf("%s: want an object, got %s", m, kindName(k))
	}
	if err := jsonv2.Unmarshal(m.Text, &m.Header, asTheAPIServer); err != nil {
		return nil, fmt.Errorf("%s: %w", m, FieldError(err))
	}
	if m.Kind == "" && m.APIVersion == "" {
		m.APIVersion, m.Kind = apiVersion, kind
	}
	if m.Kind == "" {
		return nil, fmt.Errorf("%s: kind is missing; every Kubernetes object has apiVersion and kind", m)
	}
	if m.Items == nil && m.Kind != "List" {
		if create, ok := creators[creatorKind{m.group(), m.Kind}]; ok {
			return m.appendCreated(all, create)
		}
		created, err := m.created()
		return append(append(all, m), created...), err
	}
	var items []jsontext.Value
	if err := jsonv2.Unmarshal(m.Items, &items, asTheAPIServer); m.Items != nil && err != nil {
		return nil, fmt.Errorf("%s: items is not a list", m)
	}
	var err error
	for i, item := range items {
		one := Manifest{File: m.File, At: fmt.Sprintf("%s, item %d", m.At, i+1), Text: item, HeldAt: m.HeldAt}
		if m.HeldAt != "" {
			one.HeldAt = fmt.Sprintf("%s.items.%d", m.HeldAt, i)
		}
		if all, err = one.appendTo(all, m.APIVersion, strings.TrimSuffix(m.Kind, "List")); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// asTheAPIServer accepts duplicate names, of which the last counts.
var asTheAPIServer = jsonv2.JoinOptions(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))

// toUTF8 removes a byte order mark, and converts UTF-16 that has one.
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

// syntaxError prefixes an error of the parser with the line in the file, if the parser
// has it: ", line 3: did not find expected node content". document is the number of the
// document that failed.
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
	if failed != nil || utilyaml.IsJSONBuffer(text) { // where YAML begins is unknown
		return errors.New(": " + reason)
	}
	return fmt.Errorf(", line %d: %s", linesBefore(text, document)+line, reason)
}

// linesBefore counts the lines before a YAML document, whose number begins at 1.
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

// DisplayName returns the name of paths in errors.
func DisplayName(paths ...string) string {
	names := slices.Clone(paths)
	for i, path := range names {
		if path == stdin {
			names[i] = "standard input"
		}
	}
	return strings.Join(names, ", ")
}

// inputError returns the error of a path that cannot be read, with what to give instead.
func inputError(err error, command string) error {
	failed, ok := errors.AsType[*fs.PathError](err)
	if !ok {
		return err
	}
	path := failed.Path
	switch {
	case strings.HasPrefix(path, "http://"), strings.HasPrefix(path, "https://"):
		return &InputError{fmt.Errorf("-f is %q: URLs are not read; download it: curl -fsSL %s | %s -f -", path, shellWord(path), command)}
	}
	return err
}

// Printable quotes text with control characters, which could break a table or drive
// a terminal.
func Printable(text string) string {
	if strings.ContainsFunc(text, func(c rune) bool { return !unicode.IsPrint(c) }) {
		return strconv.Quote(text)
	}
	return text
}
