package main

import (
	"bytes"
	"errors"
	"slices"

	"sigs.k8s.io/yaml"

	"drey.dev/drey/manifests/bundle"
	"drey.dev/drey/webhook/config"
)

// addKustomize adds the base, and what its overlays patch.
func addKustomize(files map[string][]byte) error {
	base, err := variant(func(*bundle.Options) {})
	if err != nil {
		return err
	}
	withCertManager, err := variant(certManager)
	if err != nil {
		return err
	}
	withFile, err := variant(embedded)
	if err != nil {
		return err
	}
	for _, f := range []struct {
		path  string
		from  cluster
		stage string
		match func(bundle.Object) bool
	}{
		{"base/namespace.yaml", base, bundle.Definitions, kind("Namespace")},
		{"base/rbac.yaml", base, bundle.RBAC, every},
		{"base/server.yaml", base, bundle.Server, every},
		{"base/admission.yaml", base, bundle.Admission, every},
		{"overlays/cert-manager/rbac.yaml", withCertManager, bundle.RBAC, and(kind("Role"), named(bundle.RoleCertificates))},
		{"overlays/embedded/volume.yaml", withFile, bundle.Server, kind("PersistentVolumeClaim")},
		{"overlays/embedded/policy.yaml", withFile, bundle.Admission, and(kind("ValidatingAdmissionPolicy"), named(config.PodPolicy))},
	} {
		objects, err := f.from.pick(f.stage, f.match)
		if err != nil {
			return err
		}
		text, err := documents(objects)
		if err != nil {
			return err
		}
		files[f.path] = append([]byte(header), text...)
	}
	for path, patch := range map[string]func() (any, error){
		"overlays/cert-manager/deployment.yaml": func() (any, error) { return deploymentPatch(withCertManager, false) },
		"overlays/embedded/deployment.yaml":     func() (any, error) { return deploymentPatch(withFile, true) },
		"overlays/cert-manager/config.yaml":     func() (any, error) { return configPatch(withCertManager) },
		"overlays/embedded/config.yaml":         func() (any, error) { return configPatch(withFile) },
		"overlays/embedded/webhooks.yaml":       func() (any, error) { return webhooksPatch(base, withFile) },
	} {
		object, err := patch()
		if err != nil {
			return err
		}
		text, err := yaml.Marshal(object)
		if err != nil {
			return err
		}
		files[path] = append([]byte(header), text...)
	}
	return nil
}

// documents writes objects as a stream of YAML documents.
func documents(objects []bundle.Object) ([]byte, error) {
	var texts [][]byte
	for _, o := range objects {
		text, err := o.YAML()
		if err != nil {
			return nil, err
		}
		texts = append(texts, text)
	}
	return bytes.Join(texts, []byte("---\n")), nil
}

// deploymentPatch is the strategic merge patch from the base's Deployment to a variant's:
// the checksum of its configuration, and with a volume, that and how it is rolled out.
func deploymentPatch(c cluster, volume bool) (any, error) {
	deployments, err := c.pick(bundle.Server, kind("Deployment"))
	if err != nil {
		return nil, err
	}
	d := deployments[0]
	spec := d.Object["spec"].(map[string]any)
	template := spec["template"].(map[string]any)
	templatePatch := map[string]any{"metadata": map[string]any{"annotations": template["metadata"].(map[string]any)["annotations"]}}
	patch := map[string]any{"template": templatePatch}
	if volume {
		pod := template["spec"].(map[string]any)
		container := pod["containers"].([]any)[0].(map[string]any)
		templatePatch["spec"] = map[string]any{
			"securityContext": map[string]any{"fsGroup": pod["securityContext"].(map[string]any)["fsGroup"]},
			"containers":      []any{map[string]any{"name": container["name"], "volumeMounts": container["volumeMounts"]}}, "volumes": pod["volumes"],
		}
		patch["replicas"], patch["strategy"] = spec["replicas"], map[string]any{"type": "Recreate", "rollingUpdate": nil}
	}
	return map[string]any{
		"apiVersion": d.GetAPIVersion(), "kind": d.GetKind(),
		"metadata": map[string]any{"namespace": d.GetNamespace(), "name": d.GetName()}, "spec": patch,
	}, nil
}

// configPatch is a variant's ConfigMap, as a patch of the base's.
func configPatch(c cluster) (any, error) {
	configs, err := c.pick(bundle.Server, kind("ConfigMap"))
	if err != nil {
		return nil, err
	}
	return configs[0].Object, nil
}

// webhooksPatch is the strategic merge patch that deletes the validating webhooks which
// one variant has and another lacks.
func webhooksPatch(from, to cluster) (any, error) {
	configuration, names, err := validatingWebhooks(from)
	if err != nil {
		return nil, err
	}
	_, kept, err := validatingWebhooks(to)
	if err != nil {
		return nil, err
	}
	var deleted []any
	for _, name := range names {
		if !slices.Contains(kept, name) {
			deleted = append(deleted, map[string]any{"$patch": "delete", "name": name})
		}
	}
	if len(deleted) == 0 {
		return nil, errors.New("both variants have the same webhooks")
	}
	return map[string]any{
		"apiVersion": configuration.GetAPIVersion(), "kind": configuration.GetKind(),
		"metadata": map[string]any{"name": configuration.GetName()}, "webhooks": deleted,
	}, nil
}

// validatingWebhooks returns the validating webhook configuration and its webhooks' names.
func validatingWebhooks(c cluster) (configuration bundle.Object, names []string, err error) {
	found, err := c.pick(bundle.Admission, kind("ValidatingWebhookConfiguration"))
	if err != nil {
		return configuration, nil, err
	}
	for _, w := range found[0].Object["webhooks"].([]any) {
		names = append(names, w.(map[string]any)["name"].(string))
	}
	return found[0], names, nil
}
