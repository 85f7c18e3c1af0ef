package main

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/template"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"drey.dev/drey/manifests/bundle"
	"drey.dev/drey/webhook/config"
)

// templates are Helm templates with partials in [[ ]], which this program fills in.
//
//go:embed templates/*.yaml
var templates embed.FS

// placeholder stands in objects for a value that Helm fills in.
type placeholder struct {
	token      string // valid wherever the value goes, and nowhere else in the objects
	expression string
}

var (
	releaseNamespace = placeholder{"a-release-namespace", "{{ .Release.Namespace }}"}
	restURL          = placeholder{"https://a-rest-url", `{{ include "drey.restURL" . }}`}
	targetNamespace  = placeholder{"a-target-namespace", "{{ . }}"} // in a range over namespaces
	serviceAccount   = placeholder{"a-service-account", `{{ include "drey.serviceAccount" $ }}`}
)

// contactToken stands for the contact in the policies.
const contactToken = "a-contact"

// variable are the lines of objects that depend on values. INDENT is their indentation.
var variable = []struct {
	line *regexp.Regexp
	text string
}{
	{regexp.MustCompile(`(?m)^ +app\.kubernetes\.io/name: drey$`), `{{- include "drey.labels" $ | nindent INDENT }}`},
	{regexp.MustCompile(`(?m)^ +- expression: '"` + contactToken + `"'$`), `- expression: {{ (include "drey.config" $ | fromYaml).webhooks.contact | default "" | toJson | quote }}`},
	{timeout(config.Timeout), `timeoutSeconds: {{ $.Values.webhooks.timeoutSeconds }}`},
	{timeout(config.RegistryTimeout), `timeoutSeconds: {{ $.Values.webhooks.registryTimeoutSeconds }}`},
}

func timeout(d time.Duration) *regexp.Regexp {
	return regexp.MustCompile(fmt.Sprintf(`(?m)^ +timeoutSeconds: %d$`, int(d.Seconds())))
}

// partials are the generated parts of the templates: YAML without the last line break.
type partials struct {
	Header string

	Config string // the configuration file

	CRDs string // with an annotation that has helm uninstall keep them

	Roles                string // in all variants
	RegistryRole         string // with the store kubernetes
	SelfSignedRole       string
	CertManagerRole      string
	TargetNamespaceRoles string // in each target namespace

	Mutating            string
	Validating          string // without the last webhook of the store kubernetes
	RegistryWebhooks    string // these webhooks
	Policies            string // in all variants
	PodPolicyKubernetes string // by store: its message names the way to register a target
	PodPolicyEmbedded   string
	BindingsEnforce     string // by mode
	BindingsWarn        string
	BindingsAudit       string
}

// addChart adds the chart's generated templates.
func addChart(files map[string][]byte) error {
	p, err := newPartials()
	if err != nil {
		return err
	}
	all, err := template.New("").Delims("[[", "]]").ParseFS(templates, "templates/*.yaml")
	if err != nil {
		return err
	}
	for _, t := range all.Templates() {
		var b bytes.Buffer
		if err := t.Execute(&b, p); err != nil {
			return err
		}
		files[path.Join("chart/templates", t.Name())] = b.Bytes()
	}
	return nil
}

func newPartials() (p partials, err error) {
	p.Header = strings.TrimSuffix(header, "\n")
	isCertRole, isRegistryRole, isPodPolicy := named(bundle.RoleCertificates), named(bundle.RoleRegistry, bundle.RoleDenials), named(config.PodPolicy)
	inTarget := func(o bundle.Object) bool { return o.GetNamespace() == targetNamespace.token }
	policy, binding := kind("ValidatingAdmissionPolicy"), kind("ValidatingAdmissionPolicyBinding")
	for _, part := range []struct {
		into   *string
		change func(*bundle.Options)
		stage  string
		match  func(bundle.Object) bool
	}{
		{&p.CRDs, nil, bundle.Definitions, kind("CustomResourceDefinition")},
		{&p.Roles, nil, bundle.RBAC, and(not(kind("ServiceAccount")), and(not(isRegistryRole), not(isCertRole)))},
		{&p.RegistryRole, nil, bundle.RBAC, isRegistryRole},
		{&p.SelfSignedRole, nil, bundle.RBAC, isCertRole},
		{&p.CertManagerRole, certManager, bundle.RBAC, isCertRole},
		{&p.TargetNamespaceRoles, func(o *bundle.Options) { o.TargetNamespaces = []string{targetNamespace.token} }, bundle.RBAC, inTarget},
		{&p.Mutating, nil, bundle.Admission, kind("MutatingWebhookConfiguration")},
		{&p.Validating, embedded, bundle.Admission, kind("ValidatingWebhookConfiguration")},
		{&p.Policies, nil, bundle.Admission, and(policy, not(isPodPolicy))},
		{&p.PodPolicyKubernetes, nil, bundle.Admission, and(policy, isPodPolicy)},
		{&p.PodPolicyEmbedded, embedded, bundle.Admission, and(policy, isPodPolicy)},
		{&p.BindingsEnforce, mode(config.Enforce), bundle.Admission, binding},
		{&p.BindingsWarn, mode(config.Warn), bundle.Admission, binding},
		{&p.BindingsAudit, mode(config.Audit), bundle.Admission, binding},
	} {
		objects, err := release(part.change, part.stage, part.match)
		if err != nil {
			return p, err
		}
		for _, o := range objects {
			if o.GetKind() == "CustomResourceDefinition" { // with a definition goes every object of the kind
				annotations := o.GetAnnotations()
				annotations["helm.sh/resource-policy"] = "keep"
				o.SetAnnotations(annotations)
			}
		}
		text, err := documents(objects)
		if err != nil {
			return p, err
		}
		*part.into = fill(text)
	}
	for _, configuration := range []*string{&p.Mutating, &p.Validating} {
		if *configuration, err = withAnnotations(*configuration); err != nil {
			return p, err
		}
	}
	config, err := release(nil, bundle.Server, kind("ConfigMap"))
	if err != nil {
		return p, err
	}
	text, _, err := unstructured.NestedString(config[0].Object, "data", bundle.ConfigKey)
	if err != nil {
		return p, err
	}
	p.Config = fill([]byte(text))
	p.RegistryWebhooks, err = registryWebhooks()
	return p, err
}

func mode(m config.Mode) func(*bundle.Options) {
	return func(o *bundle.Options) { o.Mode = m }
}

// release returns objects with placeholders for what a Helm release decides.
func release(change func(*bundle.Options), stage string, match func(bundle.Object) bool) ([]bundle.Object, error) {
	c, err := variant(func(o *bundle.Options) {
		o.Namespace, o.RESTURL, o.ServiceAccount = releaseNamespace.token, restURL.token, serviceAccount.token
		if stage == bundle.Admission {
			o.Contact = contactToken
		}
		if change != nil {
			change(o)
		}
	})
	if err != nil {
		return nil, err
	}
	return c.pick(stage, match)
}

// registryWebhooks are the last of the validating webhooks, which the store embedded lacks.
func registryWebhooks() (string, error) {
	found, err := release(nil, bundle.Admission, kind("ValidatingWebhookConfiguration"))
	if err != nil {
		return "", err
	}
	webhooks := found[0].Object["webhooks"].([]any)
	i := slices.IndexFunc(webhooks, func(w any) bool { return w.(map[string]any)["name"] == config.NameValidateRegistry })
	if i < 0 {
		return "", fmt.Errorf("no validating webhook %q", config.NameValidateRegistry)
	}
	text, err := yaml.Marshal(webhooks[i:])
	return fill(text), err
}

// withAnnotations adds the annotations of the values to a webhook configuration.
func withAnnotations(configuration string) (string, error) {
	const annotations = "\n  annotations:\n"
	before, after, ok := strings.Cut(configuration, annotations)
	if !ok {
		return "", errors.New("a webhook configuration has no annotations")
	}
	return before + annotations + "    {{- with $.Values.webhooks.annotations }}\n    {{- toYaml . | nindent 4 }}\n    {{- end }}\n" + after, nil
}

// aggregation is the label by which Kubernetes adds a role's rules to one of its own.
var aggregation = regexp.MustCompile(`(?m)^ +rbac\.authorization\.k8s\.io/aggregate-to-(\w+): "true"$`)

// fill replaces placeholders and variable lines by the expressions that they stand for.
func fill(text []byte) string {
	filled := strings.TrimSuffix(string(text), "\n")
	for _, p := range []placeholder{releaseNamespace, restURL, targetNamespace, serviceAccount} {
		filled = strings.ReplaceAll(filled, p.token, p.expression)
	}
	filled = aggregation.ReplaceAllString(filled, "    {{- if has \"$1\" $$.Values.rbac.aggregateTo }}\n$0\n    {{- end }}")
	for _, v := range variable {
		filled = v.line.ReplaceAllStringFunc(filled, func(line string) string {
			indent := line[:len(line)-len(strings.TrimLeft(line, " "))]
			return indent + strings.ReplaceAll(v.text, "INDENT", strconv.Itoa(len(indent)))
		})
	}
	return filled
}
