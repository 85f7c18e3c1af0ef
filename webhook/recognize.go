package webhook

import (
	"fmt"

	jsonv2 "github.com/go-json-experiment/json"

	"drey.dev/drey/webhook/flink"
)

// Recognize looks at an object, in JSON, as the webhook would that is sent it. ok is
// false for objects of kinds that no webhook is sent. namespace is where the object
// is to be, whatever it says.
func Recognize(apiVersion, kind, namespace string, object []byte) (w flink.Workload, ok bool, err error) {
	switch {
	case kind == "Pod":
		w, err = recognize(kind, namespace, object, (*pod).recognize)
	case gates(apiVersion, kind), apiVersion == "v1" && (kind == "Service" || kind == "ConfigMap"):
		w, err = recognize(kind, namespace, object, (*workload).recognize)
	case flink.IsCustomResource(apiVersion, kind):
		w, err = recognize(kind, namespace, object, (*custom).recognize)
	default:
		return w, false, nil
	}
	return w, err == nil, err
}

func gates(apiVersion, kind string) bool {
	switch kind {
	case "Deployment", "StatefulSet":
		return apiVersion == "apps/v1"
	case "Job", "CronJob":
		return apiVersion == "batch/v1"
	}
	return false
}

func recognize[T any](kind, namespace string, object []byte, look func(*T, *request[T]) flink.Workload) (flink.Workload, error) {
	r := request[T]{Kind: kindName{kind}, Namespace: namespace, Object: new(T)}
	if err := jsonv2.Unmarshal(object, r.Object, decodeOptions); err != nil {
		return flink.Workload{}, fmt.Errorf("this is not a readable %s: %w", kind, err)
	}
	return look(r.Object, &r), nil
}
