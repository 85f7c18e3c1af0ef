package flink

// Stateful Functions has an image of its own, which starts an application's
// JobManager with ROLE=master and a TaskManager with ROLE=worker. Its workloads are
// called <name>-master and <name>-worker, and their component likewise.

const nameStatefun = "statefun"

func (e *evidence) readStatefun(c *Container) {
	switch c.Role {
	case "master":
		e.signals |= StatefunRole
		e.name.learn(nameRole{role: JobManager, mode: Application})
	case "worker":
		e.signals |= StatefunRole
		e.name.learn(nameRole{role: TaskManager, mode: Application})
	}
}

func isStatefun(_ *Object, e evidence) bool {
	return e.signals.has(StatefunRole) && e.signals.some(statefunSignals)
}

func statefunName(_ Workload, root Root) string { return clusterOf(root.Name, "-master", "-worker") }
