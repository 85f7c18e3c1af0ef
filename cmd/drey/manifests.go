package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

// manifest is one object of a file.
type manifest struct {
	file string
	text []byte // JSON

	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   struct {
		Namespace string `json:"namespace"`
	} `json:"metadata"`
	Items []json.RawMessage `json:"items"` // of a List
}

// readManifests reads files, directories with all that is below them, and - for
// standard input. In a directory, what is not YAML or JSON by its name is left out.
func readManifests(stdin io.Reader, paths []string) ([]manifest, error) {
	var all []manifest
	for _, path := range paths {
		files, err := manifestFiles(path)
		if err != nil {
			return nil, err
		}
		for _, file := range files {
			text, err := readFile(stdin, file)
			if err != nil {
				return nil, err
			}
			found, err := parseManifests(file, text)
			if err != nil {
				return nil, err
			}
			all = append(all, found...)
		}
	}
	return all, nil
}

func manifestFiles(path string) ([]string, error) {
	if path == "-" {
		return []string{path}, nil
	}
	info, err := os.Stat(path)
	if err != nil || !info.IsDir() {
		return []string{path}, err
	}
	var files []string
	err = filepath.WalkDir(path, func(file string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(file)) {
			files = append(files, file)
		}
		return err
	})
	return files, err
}

// parseManifests reads the documents of a file, and the items of lists.
func parseManifests(file string, text []byte) ([]manifest, error) {
	var all []manifest
	documents := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(text)))
	for number := 1; ; number++ {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err == nil {
			document, err = yaml.YAMLToJSON(document)
		}
		if err == nil && string(document) != "null" { // nothing but comments
			all, err = appendManifest(all, file, document)
		}
		if err != nil {
			return nil, fmt.Errorf("%s, document %d: %w", file, number, err)
		}
	}
}

func appendManifest(all []manifest, file string, text []byte) ([]manifest, error) {
	m := manifest{file: file, text: text}
	if err := json.Unmarshal(text, &m); err != nil {
		return nil, fmt.Errorf("this is no object of Kubernetes: %w", err)
	}
	if !strings.HasSuffix(m.Kind, "List") {
		return append(all, m), nil
	}
	var err error
	for _, item := range m.Items {
		if all, err = appendManifest(all, file, item); err != nil {
			return nil, err
		}
	}
	return all, nil
}
