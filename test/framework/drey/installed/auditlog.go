package installed

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"drey.dev/drey/manifests/bundle"
)

// AuditLog is the API server's record of what drey's ServiceAccount asked of it.
type AuditLog struct{ dir string }

// NewAuditLog prepares one in a directory.
func NewAuditLog(dir string) (*AuditLog, error) {
	a := &AuditLog{dir}
	return a, os.WriteFile(a.policy(), []byte(auditPolicy), 0o600)
}

const auditPolicy = `
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived, ResponseStarted]
rules:
- {level: Metadata, users: ["system:serviceaccount:drey-system:drey"]}
- {level: None}
`

func (a *AuditLog) policy() string { return filepath.Join(a.dir, "audit-policy.yaml") }
func (a *AuditLog) log() string    { return filepath.Join(a.dir, "audit.log") }

// Remove removes it.
func (a *AuditLog) Remove() error { return os.RemoveAll(a.dir) }

// APIServerArgs are those by which the API server keeps it.
func (a *AuditLog) APIServerArgs() []string {
	return []string{"--audit-policy-file=" + a.policy(), "--audit-log-path=" + a.log(), "--audit-log-mode=blocking"}
}

// Call is a request that was made.
type Call struct {
	Verb        string
	RequestURI  string
	ObjectRef   struct{ APIGroup, Resource, Subresource, Namespace, Name string }
	Annotations map[string]string
}

// forbidden tells whether the authorizer refused it, rather than an admission plugin,
// as those of a namespace that is being deleted do.
func (c Call) forbidden() bool { return c.Annotations["authorization.k8s.io/decision"] == "forbid" }

// Calls are all of them so far.
func (a *AuditLog) Calls() ([]Call, error) {
	f, err := os.Open(a.log())
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var all []Call
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var c Call
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return all, lines.Err()
}

// isOwner tells whether it reads one object of a kind that is in no rule of drey's
// manifests: an owner, which drey then knows by its reference alone.
func (c Call) isOwner(granted map[schema.GroupResource]bool) bool {
	return c.Verb == "get" && c.ObjectRef.Name != "" && !granted[schema.GroupResource{Group: c.ObjectRef.APIGroup, Resource: c.ObjectRef.Resource}]
}

// granted are the resources on which drey's manifests grant a right, whichever.
func granted() (map[schema.GroupResource]bool, error) {
	stages, err := bundle.Stages(bundle.Defaults())
	if err != nil {
		return nil, err
	}
	all := map[schema.GroupResource]bool{}
	for _, s := range stages {
		for _, o := range s.Objects {
			rules, _, _ := unstructured.NestedSlice(o.Object, "rules") // a webhook's are none of RBAC
			for _, r := range rules {
				groups, _, _ := unstructured.NestedStringSlice(r.(map[string]any), "apiGroups")
				resources, _, _ := unstructured.NestedStringSlice(r.(map[string]any), "resources")
				for _, group := range groups {
					for _, resource := range resources {
						all[schema.GroupResource{Group: group, Resource: resource}] = true
					}
				}
			}
		}
	}
	return all, nil
}

// Forbidden is an error that names what drey lacked the right to; nil if it had all.
func (a *AuditLog) Forbidden() error {
	calls, err := a.Calls()
	if err != nil {
		return err
	}
	if len(calls) == 0 {
		return errors.New("the API server has no record of drey")
	}
	granted, err := granted()
	if err != nil {
		return err
	}
	var errs []error
	for _, c := range calls {
		if c.forbidden() && !c.isOwner(granted) {
			errs = append(errs, fmt.Errorf("forbidden: %s %s", c.Verb, c.RequestURI))
		}
	}
	return errors.Join(errs...)
}
