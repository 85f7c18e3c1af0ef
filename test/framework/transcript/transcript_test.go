package transcript

import (
	"strings"
	"testing"
)

// TestAdmittedUnexpectedLabels: a label that differs from the expected ones is an error.
func TestAdmittedUnexpectedLabels(t *testing.T) {
	before, added := map[string]string{"app": "a"}, map[string]string{"b": "2"}
	for rule, c := range map[string]struct {
		after map[string]string
		want  string
	}{
		"as expected":   {map[string]string{"app": "a", "b": "2"}, ""},
		"missing":       {map[string]string{"app": "a"}, "got the labels app=a, want app=a,b=2"},
		"changed":       {map[string]string{"app": "c", "b": "2"}, "got the labels app=c,b=2"},
		"not requested": {map[string]string{"app": "a", "b": "2", "c": "3"}, "got the labels app=a,b=2,c=3"},
	} {
		t.Run(rule, func(t *testing.T) {
			tr := &Transcript{Out: &strings.Builder{}}
			tr.Admitted("Pod p", before, c.after, added)
			err := tr.Err()
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}
