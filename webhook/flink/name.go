package flink

import "strings"

// nameRole is the role of a Flink process that a label or a container is named
// after.
type nameRole struct {
	role  Role
	mode  Mode
	whole bool // the name ends in the role: dedup-jobmanager is a JobManager, jobmanager-client may be anything
}

// roleNames are how people write the roles. job-cluster is an application's
// JobManager in the documentation of past versions.
var roleNames = []struct {
	name string
	role nameRole
}{
	{"jobmanager", nameRole{role: JobManager}}, {"job-manager", nameRole{role: JobManager}}, {"job_manager", nameRole{role: JobManager}},
	{"taskmanager", nameRole{role: TaskManager}}, {"task-manager", nameRole{role: TaskManager}}, {"task_manager", nameRole{role: TaskManager}},
	{"job-cluster", nameRole{role: JobManager, mode: Application}},
}

// nameRoleOf finds a role among the words of a name.
func nameRoleOf(name string) (found nameRole) {
	if len(name) < len("jobmanager") {
		return found
	}
	for _, r := range roleNames {
		i := strings.LastIndex(name, r.name)
		if i < 0 || i > 0 && !isSeparator(name[i-1]) {
			continue
		}
		switch end := i + len(r.name); {
		case end == len(name):
			r.role.whole = true
			return r.role
		case isSeparator(name[end]) && found.role == UnknownRole:
			found = r.role
		}
	}
	return found
}

// learn keeps what is known already.
func (n *nameRole) learn(other nameRole) {
	if n.role == UnknownRole {
		n.role = other.role
	}
	if n.mode == UnknownMode {
		n.mode = other.mode
	}
}

func isSeparator(c byte) bool { return c == '-' || c == '_' || c == '.' || c == '/' }

// hasWord reports whether a name has a word between separators.
func hasWord(name, word string) bool {
	for at := 0; ; at++ {
		i := strings.Index(name[at:], word)
		if i < 0 {
			return false
		}
		at += i
		if end := at + len(word); (at == 0 || isSeparator(name[at-1])) && (end == len(name) || isSeparator(name[end])) {
			return true
		}
	}
}

// repositoryOf is an image without its tag and its digest.
func repositoryOf(image string) string {
	image, _, _ = strings.Cut(image, "@")
	last := strings.LastIndexByte(image, '/') + 1
	name, _, _ := strings.Cut(image[last:], ":")
	return image[:last+len(name)]
}

// hasSegment reports whether a repository has a segment.
func hasSegment(repository, segment string) bool {
	for s := range strings.SplitSeq(repository, "/") {
		if s == segment {
			return true
		}
	}
	return false
}
