package image

import (
	"bytes"
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// SBOM returns an SPDX 2.3 document in JSON with the Go modules in the build information of a
// binary. It is reproducible: its namespace is derived from the digest of the binary.
func SBOM(binary []byte, version string, created time.Time) ([]byte, error) {
	info, err := buildinfo.Read(bytes.NewReader(binary))
	if err != nil {
		return nil, fmt.Errorf("read build information: %w", err)
	}
	type checksum struct {
		Algorithm     string `json:"algorithm"`
		ChecksumValue string `json:"checksumValue"`
	}
	type reference struct {
		Category string `json:"referenceCategory"`
		Type     string `json:"referenceType"`
		Locator  string `json:"referenceLocator"`
	}
	type element struct {
		ID         string      `json:"SPDXID"`
		Name       string      `json:"name"`
		Version    string      `json:"versionInfo"`
		Location   string      `json:"downloadLocation"`
		Analyzed   bool        `json:"filesAnalyzed"`
		License    string      `json:"licenseConcluded"`
		Declared   string      `json:"licenseDeclared"`
		Copyright  string      `json:"copyrightText"`
		Checksums  []checksum  `json:"checksums,omitempty"`
		References []reference `json:"externalRefs,omitempty"`
	}
	type relation struct {
		From string `json:"spdxElementId"`
		Type string `json:"relationshipType"`
		To   string `json:"relatedSpdxElement"`
	}
	const none, root = "NOASSERTION", "SPDXRef-drey"
	elements := []element{{
		ID: root, Name: info.Main.Path, Version: version, Location: none, License: "Apache-2.0", Declared: "Apache-2.0", Copyright: none,
		Checksums: []checksum{{"SHA256", strings.TrimPrefix(digest(binary), "sha256:")}},
	}}
	relations := []relation{{"SPDXRef-DOCUMENT", "DESCRIBES", root}}
	add := func(path, version string) {
		id := fmt.Sprintf("SPDXRef-module-%d", len(elements))
		elements = append(elements, element{
			ID: id, Name: path, Version: version, Location: none, License: none, Declared: none, Copyright: none,
			References: []reference{{"PACKAGE-MANAGER", "purl", "pkg:golang/" + path + "@" + url.PathEscape(version)}},
		})
		relations = append(relations, relation{root, "DEPENDS_ON", id})
	}
	add("stdlib", info.GoVersion)
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		add(m.Path, m.Version)
	}
	return json.MarshalIndent(map[string]any{
		"spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT", "name": "drey " + version,
		"documentNamespace": "https://drey.dev/spdx/drey/" + strings.TrimPrefix(digest(binary), "sha256:"),
		"creationInfo":      map[string]any{"created": created.UTC().Format(time.RFC3339), "creators": []string{"Tool: make image"}},
		"packages":          elements, "relationships": relations,
	}, "", " ")
}
