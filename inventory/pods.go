package inventory

import "time"

// Pod is a pod of a workload.
type Pod struct {
	Name     string
	Role     string // see flink.Role; empty if it is unknown
	Ready    bool
	Requests Resources
	Use      *Resources // nil without metrics.k8s.io
	Since    time.Time

	Labels        map[string]string // those that identify the workload
	MissingLabels []string          // keys
}

// SetPods sets the function that [Inventory.Pods] calls. The inventory itself keeps no pods.
func (v *Inventory) SetPods(read func(Workload) []Pod) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.pods = read
}

// Pods returns the pods of a workload that are not terminated, unordered.
func (v *Inventory) Pods(w Workload) []Pod {
	v.mu.RLock()
	read := v.pods
	v.mu.RUnlock()
	if read == nil {
		return nil
	}
	return read(w)
}
