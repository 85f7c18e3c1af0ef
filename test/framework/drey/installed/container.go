package installed

import (
	"errors"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"drey.dev/drey/manifests/bundle"
)

// Container returns the container of drey in the Deployment of a bundle.
func Container(b bundle.Options) (corev1.Container, error) {
	stages, err := bundle.Stages(b)
	if err != nil {
		return corev1.Container{}, err
	}
	for _, s := range stages {
		for _, o := range s.Objects {
			if o.GetKind() != "Deployment" {
				continue
			}
			var d appsv1.Deployment
			err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &d)
			return d.Spec.Template.Spec.Containers[0], err
		}
	}
	return corev1.Container{}, errors.New("no Deployment in the bundle")
}

// environment returns the environment of drey's container, as key=value.
func environment(b bundle.Options) ([]string, error) {
	c, err := Container(b)
	if err != nil {
		return nil, err
	}
	var all []string
	for _, v := range c.Env {
		all = append(all, v.Name+"="+v.Value)
	}
	return all, nil
}
