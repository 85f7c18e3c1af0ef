package flink

// The image of Stateful Functions starts the JobManager of an application with ROLE=master,
// and a TaskManager with ROLE=worker. Its workloads are named <name>-master and <name>-worker,
// and the label component is master or worker.

const nameStatefun = "statefun"

func (e *evidence) readStatefun(c *Container) {
	switch c.Role {
	case "master":
		e.signals |= StatefunRole
		e.name.fill(nameRole{role: JobManager, mode: Application})
	case "worker":
		e.signals |= StatefunRole
		e.name.fill(nameRole{role: TaskManager, mode: Application})
	}
}

func isStatefun(_ *Object, e evidence) bool {
	return e.signals.hasAll(StatefunRole) && e.signals.hasAny(statefunSignals)
}

func statefunName(_ Workload, root Root) string { return clusterOf(root.Name, "-master", "-worker") }
