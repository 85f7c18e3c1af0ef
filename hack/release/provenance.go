package release

import (
	"encoding/json"
	"runtime"
)

// provenance returns an unsigned in-toto statement about the artifacts. It has no time of the
// build and no invocation, so that two builds are equal.
//
// Source: slsa.dev, "Provenance", version 1.
func (o Options) provenance(artifacts map[string][]byte) ([]byte, error) {
	type subject struct {
		Name   string            `json:"name"`
		Digest map[string]string `json:"digest"`
	}
	var subjects []subject
	for _, name := range names(artifacts) {
		subjects = append(subjects, subject{name, map[string]string{"sha256": sum(artifacts[name])}})
	}
	text, err := json.MarshalIndent(map[string]any{
		"_type": "https://in-toto.io/Statement/v1", "subject": subjects,
		"predicateType": "https://slsa.dev/provenance/v1",
		"predicate": map[string]any{
			"buildDefinition": map[string]any{
				"buildType":          "https://drey.dev/make-release/v1",
				"externalParameters": map[string]any{"version": o.Version, "repository": o.Repository, "url": o.URL, "platforms": o.Platforms},
				"internalParameters": map[string]any{"go": runtime.Version()},
				"resolvedDependencies": []any{map[string]any{
					"uri": "pkg:golang/drey.dev/drey@" + o.Version, "digest": map[string]string{"gitCommit": o.Revision},
				}},
			},
			"runDetails": map[string]any{"builder": map[string]string{"id": o.Builder}},
		},
	}, "", " ")
	return append(text, '\n'), err
}
