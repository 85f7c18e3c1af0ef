package webhook

import (
	"fmt"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"

	"drey.dev/drey/webhook/config"
	"drey.dev/drey/webhook/flink"
)

// Recognize recognizes an object in JSON as its webhook does. An object of another kind with
// pod templates is recognized as the pods of the first one that is Flink's; ok is false for all
// others.
// namespace overrides that of the object. An error may be a *json.SemanticError with the path
// of a field of the wrong type.
func Recognize(apiVersion, kind, namespace string, object []byte) (w flink.Workload, ok bool, err error) {
	switch {
	case apiVersion == "v1" && kind == "Pod":
		w, err = recognize(kind, namespace, object, (*pod).recognize)
	case isWorkload(apiVersion, kind), apiVersion == "v1" && (kind == "Service" || kind == "ConfigMap"):
		w, err = recognize(kind, namespace, object, (*workload).recognize)
	case flink.IsCustomResource(apiVersion, kind):
		w, err = recognize(kind, namespace, object, (*custom).recognize)
	default:
		templates := podTemplates(apiVersion, kind, object)
		switch {
		case len(templates) == 0:
			return w, false, nil
		case isRollout(apiVersion, kind):
			w, err = recognize(kind, namespace, object, (*workload).recognize)
		default:
			w, err = recognizeTemplates(kind, namespace, object, templates)
		}
	}
	if err != nil {
		return w, false, fmt.Errorf("invalid %s: %w", kind, err)
	}
	w.Object.FromManifest = w.Object.FromManifest || w.Object.UID == "" // without a uid it is a manifest
	return w, true, nil
}

func recognizeTemplates(kind, namespace string, object []byte, templates []template) (first flink.Workload, err error) {
	for i, t := range templates {
		w, err := recognizeTemplate(kind, namespace, object, t)
		if err != nil || w.Recognized() {
			return w, err
		}
		if i == 0 {
			first = w
		}
	}
	return first, nil
}

func isWorkload(apiVersion, kind string) bool {
	switch kind {
	case "Deployment", "StatefulSet", "DaemonSet", "ReplicaSet":
		return apiVersion == "apps/v1"
	case "Job", "CronJob":
		return apiVersion == "batch/v1"
	case "ReplicationController":
		return apiVersion == "v1"
	}
	return false
}

// isRollout reports whether an object is a Rollout of Argo Rollouts. One that refers to a
// Deployment has no template.
func isRollout(apiVersion, kind string) bool {
	return kind == "Rollout" && strings.HasPrefix(apiVersion, config.RolloutGroup+"/")
}

func recognize[T any](kind, namespace string, object []byte, look func(*T, *request[T]) flink.Workload) (flink.Workload, error) {
	r := request[T]{Kind: kindName{kind}, Namespace: namespace, Object: new(T)}
	if err := jsonv2.Unmarshal(object, r.Object, decodeOptions); err != nil {
		return flink.Workload{}, err
	}
	return look(r.Object, &r), nil
}
