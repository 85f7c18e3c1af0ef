package workloads

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

func TestRequests(t *testing.T) {
	for rule, c := range map[string]struct{ spec, cpu, memory string }{
		"none":            {`{containers: [{name: a}]}`, "0", "0"},
		"containers":      {`{containers: [{resources: {requests: {cpu: 500m, memory: 1Gi}}}, {resources: {requests: {cpu: 1, memory: 512Mi}}}]}`, "1500m", "1536Mi"},
		"init container":  {`{initContainers: [{resources: {requests: {cpu: 2}}}, {resources: {requests: {cpu: 1}}}], containers: [{resources: {requests: {cpu: 1}}}]}`, "2", "0"},
		"sidecar":         {`{initContainers: [{restartPolicy: Always, resources: {requests: {cpu: 100m}}}, {resources: {requests: {cpu: 1}}}], containers: [{resources: {requests: {cpu: 2}}}]}`, "2100m", "0"},
		"overhead":        {`{overhead: {cpu: 250m, memory: 128Mi}, containers: [{resources: {requests: {cpu: 1}}}]}`, "1250m", "128Mi"},
		"limits alone":    {`{containers: [{resources: {limits: {cpu: 1}}}]}`, "0", "0"},
		"init by sidecar": {`{initContainers: [{restartPolicy: Always, resources: {requests: {cpu: 1}}}, {resources: {requests: {cpu: 2}}}], containers: [{resources: {requests: {cpu: 1}}}]}`, "3", "0"},
	} {
		t.Run(rule, func(t *testing.T) {
			var spec corev1.PodSpec
			if err := yaml.Unmarshal([]byte(c.spec), &spec); err != nil {
				t.Fatal(err)
			}
			cpu, memory := requests(&spec)
			if cpu.String() != c.cpu || memory.String() != c.memory {
				t.Errorf("got %s and %s, want %s and %s", &cpu, &memory, c.cpu, c.memory)
			}
		})
	}
}
