package repair

import (
	"testing"

	"drey.dev/drey/webhook/verdict"
)

func TestLabelPatch(t *testing.T) {
	for name, c := range map[string]struct {
		hasLabels bool
		add       []verdict.Label
		remove    []verdict.Label
		want      string
	}{
		"other labels": {true, []verdict.Label{{Key: "system", Value: "x"}}, nil,
			`[{"op":"test","path":"/metadata/uid","value":"u"},{"op":"test","path":"/metadata/resourceVersion","value":"7"},` +
				`{"op":"add","path":"/metadata/labels/system","value":"x"}]`},
		"no labels": {false, []verdict.Label{{Key: "system", Value: "x"}}, nil,
			`[{"op":"test","path":"/metadata/uid","value":"u"},{"op":"test","path":"/metadata/resourceVersion","value":"7"},` +
				`{"op":"add","path":"/metadata/labels","value":{}},{"op":"add","path":"/metadata/labels/system","value":"x"}]`},
		"a key with a prefix is escaped": {true, []verdict.Label{{Key: "drey.dev/app", Value: "x"}, {Key: "a~b", Value: "y"}}, nil,
			`[{"op":"test","path":"/metadata/uid","value":"u"},{"op":"test","path":"/metadata/resourceVersion","value":"7"},` +
				`{"op":"add","path":"/metadata/labels/drey.dev~1app","value":"x"},{"op":"add","path":"/metadata/labels/a~0b","value":"y"}]`},
		"removals come first": {true, []verdict.Label{{Key: "system", Value: "x"}}, []verdict.Label{{Key: "jobId", Value: "y"}},
			`[{"op":"test","path":"/metadata/uid","value":"u"},{"op":"test","path":"/metadata/resourceVersion","value":"7"},` +
				`{"op":"remove","path":"/metadata/labels/jobId","value":null},{"op":"add","path":"/metadata/labels/system","value":"x"}]`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := labelPatch("u", "7", c.hasLabels, c.add, c.remove)
			if err != nil || string(got) != c.want {
				t.Errorf("got %s, %v\nwant %s", got, err, c.want)
			}
		})
	}
}
