package webhook

import (
	"fmt"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"

	"drey.dev/drey/webhook/config"
	"drey.dev/drey/webhook/flink"
)

// Recognize looks at an object, in JSON, as the webhook would that is sent it. An
// object that no webhook is sent and that holds a pod template is looked at as the
// pods that the template describes. ok is false for every other object. namespace is
// where the object is to be, whatever it says. An error may be a *json.SemanticError,
// with the path of the field that is not of its type.
func Recognize(apiVersion, kind, namespace string, object []byte) (w flink.Workload, ok bool, err error) {
	switch {
	case apiVersion == "v1" && kind == "Pod":
		w, err = recognize(kind, namespace, object, (*pod).recognize)
	case gates(apiVersion, kind), apiVersion == "v1" && (kind == "Service" || kind == "ConfigMap"):
		w, err = recognize(kind, namespace, object, (*workload).recognize)
	case flink.IsCustomResource(apiVersion, kind):
		w, err = recognize(kind, namespace, object, (*custom).recognize)
	default:
		template, path := podTemplate(object)
		switch {
		case template == nil:
			return w, false, nil
		case isRollout(apiVersion, kind):
			w, err = recognize(kind, namespace, object, (*workload).recognize)
		default:
			w, err = recognizeTemplate(kind, namespace, object, template, path)
		}
	}
	if err != nil {
		return w, false, fmt.Errorf("this is not a readable %s: %w", kind, err)
	}
	w.Object.FromManifest = w.Object.FromManifest || w.Object.UID == "" // it comes from no cluster
	return w, true, nil
}

func gates(apiVersion, kind string) bool {
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

// isRollout holds for a Rollout of Argo's. One that refers to a Deployment has no
// template of its own.
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
