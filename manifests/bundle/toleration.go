package bundle

import (
	"errors"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
)

// effects are the effects of taints.
var effects = []corev1.TaintEffect{corev1.TaintEffectNoSchedule, corev1.TaintEffectPreferNoSchedule, corev1.TaintEffectNoExecute}

// ParseToleration parses a toleration in the form of kubectl taint, KEY[=VALUE][:EFFECT]. Without a value
// it tolerates all values, and without an effect all effects.
func ParseToleration(text string) (corev1.Toleration, error) {
	taint, effect, hasEffect := strings.Cut(text, ":")
	key, value, hasValue := strings.Cut(taint, "=")
	t := corev1.Toleration{Key: key, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffect(effect)}
	if hasValue {
		t.Operator, t.Value = corev1.TolerationOpEqual, value
	}
	if len(validation.IsQualifiedName(key)) > 0 || len(validation.IsValidLabelValue(value)) > 0 || hasEffect && !slices.Contains(effects, t.Effect) {
		return t, errors.New("not a toleration: use KEY[=VALUE][:EFFECT], such as dedicated=infra:NoSchedule")
	}
	return t, nil
}

// FormatToleration returns the form that [ParseToleration] parses.
func FormatToleration(t corev1.Toleration) string {
	text := t.Key
	if t.Operator != corev1.TolerationOpExists {
		text += "=" + t.Value
	}
	if t.Effect != "" {
		text += ":" + string(t.Effect)
	}
	return text
}
