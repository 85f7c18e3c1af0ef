package registry

import (
	"context"
	"encoding/json"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// DefaultsName is the name of the DeploymentDefaults of a platform namespace.
const DefaultsName = "deployment-defaults"

func defaultsName(kind Kind, name string) (stored, freeText string, err error) {
	if name != DefaultsName {
		return "", "", refuse(ReasonInvalidName, "%s is not a valid name for %s: use %q", quote(name), kind, DefaultsName)
	}
	return name, "", nil
}

// GetDefaults returns the DeploymentDefaults of a platform namespace. Without a stored object it
// returns one with the id and the times of the platform namespace, version 0 and an empty spec.
func (r *Registry) GetDefaults(ctx context.Context, namespace string, c Consistency) (Object, error) {
	o, err := r.Get(ctx, Key{DeploymentDefaults, namespace, DefaultsName}, c)
	if ReasonOf(err) != ReasonNotFound {
		return o, err
	}
	n, err := r.GetNamespace(ctx, namespace, Cached)
	if err != nil {
		return Object{}, err
	}
	return Object{
		Kind: DeploymentDefaults,
		Metadata: Metadata{
			ID: n.Metadata.ID, Name: DefaultsName, Namespace: namespace, CreatedAt: n.Metadata.CreatedAt, ModifiedAt: n.Metadata.ModifiedAt,
			Labels: map[string]string{}, Annotations: map[string]string{},
		},
		Spec: json.RawMessage("{}"),
	}, nil
}

// withDefaultTarget adds the target of the DeploymentDefaults to the spec of a new Deployment
// that has neither a target nor a session cluster.
func (r *Registry) withDefaultTarget(ctx context.Context, o Object) (Object, error) {
	if o.Kind != Deployment {
		return o, nil
	}
	var stated map[string]jsontext.Value
	if err := jsonv2.Unmarshal(o.Spec, &stated); err != nil {
		return o, nil // refused by its rules
	}
	for _, field := range []string{"deploymentTargetName", "deploymentTargetId", "sessionClusterName"} {
		if _, ok := stated[field]; ok {
			return o, nil
		}
	}
	defaults, err := r.GetDefaults(ctx, o.Metadata.Namespace, Consistent)
	if err != nil {
		return o, err
	}
	refs, err := refersByName(defaults.Spec)
	if err != nil {
		return o, err
	}
	for _, ref := range refs {
		if ref.kind != DeploymentTarget {
			continue
		}
		field, value := "deploymentTargetName", ref.name
		if ref.id != "" {
			field, value = "deploymentTargetId", ref.id
		}
		quoted, err := jsonv2.Marshal(value)
		if err != nil {
			return o, err
		}
		o.Spec = withMember(o.Spec, field, quoted)
		return o, nil
	}
	return o, nil
}

// withMember appends a member to a compact JSON object, and keeps the text of the others.
func withMember(object json.RawMessage, name string, value []byte) json.RawMessage {
	text := append(json.RawMessage{}, object[:len(object)-1]...)
	if len(text) > 1 {
		text = append(text, ',')
	}
	text = append(text, '"')
	text = append(text, name...)
	text = append(text, '"', ':')
	text = append(text, value...)
	return append(text, '}')
}
