package webhook

import "strings"

// The API server evaluates these CEL expressions before it calls drey: what is
// no Flink workload costs no call. They say the same as flink.Recognise; where
// they differ they let more pass, never less, and a test holds the two against
// each other.

// celFlink holds when the pod, or the template, at the CEL path pod shows
// enough of the signals that package flink knows: a strong one, or several of
// medium strength.
func celFlink(pod string) string {
	label := func(key string) string { return pod + `.?metadata.?labels[?"` + key + `"].orValue("")` }
	anyContainer := func(holds string) string { return pod + ".spec.containers.exists(c, " + holds + ")" }
	const (
		roles         = `["jobmanager", "taskmanager"]`
		words         = `(c.?command.orValue([]) + c.?args.orValue([]))`
		entryPoint    = words + `.exists(w, w.contains("kubernetes-jobmanager.sh") || w.contains("kubernetes-taskmanager.sh") || w.contains("org.apache.flink."))`
		roleContainer = `c.name in ` + roles
		roleArgs      = `[c.?args[?0].orValue(""), c.?command[?1].orValue("")].exists(w, w in ["jobmanager", "taskmanager", "standalone-job"])`
		flinkImage    = `c.?image.orValue("").matches("(^|/)flink([/:@]|$)")`
		flinkEnv      = `c.?env.orValue([]).exists(e, e.name in ["FLINK_MODE", "FLINK_PROPERTIES"])`
		flinkGroup    = `["flink.apache.org", "flinkoperator.k8s.io", "flink.k8s.io"]`
	)
	roleLabel := label("component") + " in " + roles
	appRoleLabel := label("app.kubernetes.io/component") + " in " + roles
	configVolume := pod + `.spec.?volumes.orValue([]).exists(v, v.name == "flink-config-volume")`

	return anyOf(
		label("type")+` in ["flink-native-kubernetes", "flink-standalone-kubernetes"]`,
		allOf(label("system")+` == "ververica-platform"`, label("app")+` in ["flink-job", "flink-session-cluster"]`),
		`object.metadata.?ownerReferences.orValue([]).exists(o, o.kind.startsWith("Flink") && o.apiVersion.split("/")[0] in `+flinkGroup+`)`,
		anyContainer(anyOf(`c.name == "flink-main-container"`, entryPoint)),

		allOf(label("flink-app")+` != ""`, label("flink-deployment-type")+` != ""`),
		allOf(roleLabel, anyContainer(anyOf(roleContainer, roleArgs, flinkImage))),
		allOf(label("app.kubernetes.io/name")+` == "flink"`, appRoleLabel),
		allOf(anyOf(roleLabel, appRoleLabel, anyContainer(anyOf(roleContainer, roleArgs))), anyOf(anyContainer(flinkEnv), configVolume)),
		allOf(anyContainer(roleArgs), anyContainer(flinkImage)),
	)
}

// celNotOperator holds for everything but the pods of Flink's operator.
func celNotOperator(pod string) string {
	return pod + `.?metadata.?labels[?"app.kubernetes.io/name"].orValue("") != "flink-kubernetes-operator"`
}

// celNotMirror holds for everything but the kubelet's mirrors of static pods,
// which nobody can change.
const celNotMirror = `!("kubernetes.io/config.mirror" in object.metadata.?annotations.orValue({}))`

func anyOf(alternatives ...string) string { return "(" + strings.Join(alternatives, " || ") + ")" }
func allOf(conditions ...string) string   { return "(" + strings.Join(conditions, " && ") + ")" }
