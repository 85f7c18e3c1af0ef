package bundle

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// TestParseToleration parses the form of kubectl taint, and formats it again.
func TestParseToleration(t *testing.T) {
	for text, want := range map[string]corev1.Toleration{
		"dedicated=infra:NoSchedule":            {Key: "dedicated", Operator: corev1.TolerationOpEqual, Value: "infra", Effect: corev1.TaintEffectNoSchedule},
		"dedicated:NoExecute":                   {Key: "dedicated", Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute},
		"dedicated=infra":                       {Key: "dedicated", Operator: corev1.TolerationOpEqual, Value: "infra"},
		"node-role.kubernetes.io/control-plane": {Key: "node-role.kubernetes.io/control-plane", Operator: corev1.TolerationOpExists},
		"dedicated=:PreferNoSchedule":           {Key: "dedicated", Operator: corev1.TolerationOpEqual, Effect: corev1.TaintEffectPreferNoSchedule},
	} {
		got, err := ParseToleration(text)
		if err != nil || got != want {
			t.Errorf("%s: got %+v, %v, want %+v", text, got, err, want)
		}
		if again := FormatToleration(got); again != text {
			t.Errorf("%s: formatted as %s", text, again)
		}
	}
	for _, text := range []string{"", "=infra", "dedicated:Never", "dedicated:", "a b", "dedicated=a b"} {
		if got, err := ParseToleration(text); err == nil {
			t.Errorf("%q: got %+v, want an error", text, got)
		}
	}
}
