package bundle

import (
	"strings"
	"testing"
)

// TestObject: every object has a resource and a text; a role's has the reason of each rule.
func TestObject(t *testing.T) {
	stages, err := Stages(Defaults())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range stages {
		for _, o := range s.Objects {
			if r := o.Resource(); r.Resource == "" || r.Version == "" {
				t.Errorf("%s: got the resource %v", o, r)
			}
			if want := strings.ToLower(o.GetKind()) + "/" + o.GetName(); o.String() != want {
				t.Errorf("got %s, want %s", o, want)
			}
			text, err := o.YAML()
			if err != nil || !strings.Contains(string(text), "kind: "+o.GetKind()) {
				t.Errorf("%s: got %v\n%s", o, err, text)
			}
			for _, reason := range o.reasons {
				if first, _, _ := strings.Cut(reason, "\n"); !strings.Contains(string(text), "# "+first+"\n") {
					t.Errorf("%s: no reason %q in\n%s", o, first, text)
				}
			}
			for label := range o.GetLabels() {
				if _, ok := o.Without(label).GetLabels()[label]; ok || o.GetLabels()[label] == "" {
					t.Errorf("%s without label %s: got %v, of %v", o, label, o.Without(label).GetLabels(), o.GetLabels())
				}
			}
		}
	}
}
