package config

import "drey.dev/drey/webhook/flink"

// The conditions on pods, which the API server evaluates before it calls drey: a pod
// without a sign of Flink costs no call. There are two.
//
// celFlink scopes the webhooks. It holds for every pod that flink.Recognize recognizes, and
// for pods that only mention one of Flink's scripts or classes, which drey decides. It
// compares and searches without parsing, so its cost is linear in the size of the pod.
//
// celRunsFlink scopes the policy that denies while drey is down. It holds only for pods
// that flink.Recognize recognizes, as far as the first words of a command line show.
//
// test/cel holds both against the Go code.
//
// The API server limits the cost of a condition, which grows with every byte searched, and
// the time of exists, all and map grows with the square of the iterations. So each macro
// runs over a bounded list, and words are joined by join, which is linear. celFlink holds
// for a pod beyond a bound, so that drey decides, unless it has many containers without a hint of
// Flink; celRunsFlink does if it names Flink.
const (
	celMaxContainers  = "32"     // in a pod
	celMaxListed      = "256"    // containers of a pod that is searched for a hint of Flink
	celMaxVariables   = "1000"   // environment variables of all containers together
	celMaxVolumes     = "256"    // in a pod
	celMaxOwners      = "64"     // owner references of an object
	celMaxLine        = "131072" // characters of all command lines, names and images together
	celMaxWords       = "32768"  // words of a command line
	celMaxCounted     = "100"    // words of a command line whose lengths are added up before they are joined
	celMaxName        = "512"    // bytes of an image or a name: no registry and no pod has a longer one
	celMaxProgram     = "256"    // bytes of the path of a program
	celMaxScript      = "8192"   // bytes of all command lines together among which scripts are read
	celMaxPrecise     = "4096"   // likewise, of those that are searched for each script and class
	celMaxNamesSearch = "512"    // containers that are searched for the name of Flink
)

// celFlink holds if the pod or template at a CEL path may run Flink.
func celFlink(pod string) string { return anyOf(celMayHaveFlinkOwner, celFlinkPod(pod)) }

// celFlinkPod is celFlink without the owner references.
func celFlinkPod(pod string) string {
	const (
		entryPoint = celText + `.contains("entrypoint")` // of Flink's image, or of the user's own
		roleArgs   = `(` + celRoleArgs + ` || ` + entryPoint + `)`
		flinkWord  = `(` + celImage + `.size() > ` + celMaxName + ` || ` + celImage + `.contains("flink"))`
		statefun   = celImage + `.contains("statefun")`
	)
	env := `(m > ` + celMaxVariables + ` || ` + celFlinkEnv + `)`
	s := newCelSignals(pod)
	s.configVolume = anyOf(s.manyVolumes, s.configVolume)
	return anyOf(celFlinkLabels(pod), "("+s.manyContainers+" ? "+s.hinted()+" : "+anyOf(s.longLines, s.searched(anyOf(
		"n > "+celMaxLine,
		s.container(anyOf(celMainContainer, celMentions)),
		allOf(s.roleLabel, s.container(anyOf(celRole("c.name"), celImage+`.size() > `+celMaxName, celFlinkImage))),
		allOf(anyOf(s.roleLabel, s.container(celRole("c.name"))), anyOf(s.container(env), s.configVolume)),
		s.container(allOf(celText+`.contains("$")`, anyOf(flinkWord, celRole("c.name")))), // a variable may hold the role
		allOf(s.container(roleArgs), anyOf(s.rolePart, s.nameLabel, s.configVolume, s.container(anyOf(flinkWord, env)))),
		s.container(allOf(celEntered, anyOf(celRole("c.name"), celText+`.contains("manager")`, celText+`.contains("standalone")`))),
		s.container(allOf(roleArgs, celFlinkOptions(""))),
		allOf(s.container(anyOf(celImage+`.size() > `+celMaxName, celFlinkWord)), s.container(anyOf("m > "+celMaxVariables, celRoleEnv))),
		s.statefun(anyOf(flinkWord, statefun), `m > `+celMaxVariables+` || `+celStatefunRole),
	)))+")", s.sidecar())
}

const (
	celImage    = `c.?image.orValue("")`
	celRoleArgs = `(c.?args[?0].orValue("") in ` + celEntryPointRoles + ` || c.?command[?1].orValue("") in ` + celEntryPointRoles + `)`
	celWords    = `(c.?command.orValue([]) + c.?args.orValue([]))` // the command line of a container
	celText     = celWords + `.join("\n")`                         // the same, one word per line
)

// celMentions holds for a container whose command line mentions one of Flink's scripts or
// classes. Long command lines are searched for the words in common only.
var celMentions = `[` + celText + `].exists(w, ` + anyOf(
	allOf(`w.contains(".sh")`, anyOf(celIsLong, `w.contains("manager.sh")`, `w.contains("standalone-job.sh")`, `w.contains("start-cluster.sh")`, `w.contains("flink-console.sh")`, `w.contains("flink-daemon.sh")`,
		allOf(`w.contains("$")`, anyOf(`w.contains("manager")`, `w.contains("standalone-job")`)))), // such as $ROLE.sh
	allOf(`w.contains("flink")`, anyOf(celIsLong, celList(flink.Classes())+`.exists(name, w.contains(name))`)),
) + `)`

const celIsLong = `n > ` + celMaxPrecise

// celRunsFlink holds if the pod at a CEL path surely runs Flink, or exceeds a bound and
// names Flink.
func celRunsFlink(pod string) string {
	s := newCelSignals(pod)
	role := anyOf(celRole("c.name"), celRoleArgs)
	named := anyOf(celNamesFlink("t"), s.roleLabel, s.container(role))
	names := anyOf(role, celImage+`.contains("flink")`, celImage+`.contains("statefun")`, celMainContainer, celText+`.contains("flink")`)
	return anyOf(celHasFlinkOwner, celSureLabels(pod),
		allOf("!"+s.manyContainers, s.longLines, anyOf(s.roleLabel, s.labels()+".exists(w, "+celNamesFlink("w")+")", s.container(anyOf(role, celNamesFlink("c.name"), celNamesFlink(celImage), celLineNamesFlink)))),
		allOf("!"+s.manyContainers, "!"+s.longLines, s.searched(anyOf(
			celShowsFlink(pod),
			allOf(anyOf(s.manyVolumes, "n > "+celMaxLine, "m > "+celMaxVariables), named),
		))),
		allOf(s.manyContainers, anyOf(s.roleLabel, s.nameLabel, allOf(s.pod+".spec.containers.size() <= "+celMaxNamesSearch, s.container(names)))),
		celSidecarRunsFlink(pod),
	)
}

// celRunsFlinkPod holds if the pod at a CEL path surely runs Flink, by its own fields.
func celRunsFlinkPod(pod string) string {
	s := newCelSignals(pod)
	return anyOf(celSureLabels(pod), allOf("!"+s.manyContainers, "!"+s.longLines, s.searched(celShowsFlink(pod))))
}

// celShowsFlink holds if the containers of a pod within the bounds surely run Flink.
func celShowsFlink(pod string) string {
	env := `(m <= ` + celMaxVariables + ` && ` + celFlinkEnv + `)`
	s := newCelSignals(pod)
	s.configVolume = allOf("!"+s.manyVolumes, s.configVolume)
	return allOf("n <= "+celMaxLine, anyOf(
		s.container(anyOf(celMainContainer, celStarts)),
		allOf(anyOf(
			celNameLabels(pod),
			allOf(s.roleLabel, s.container(celFlinkImage)),
			allOf(s.flinksRoleLabel, s.container(anyOf(celRole("c.name"), celByRole))),
			allOf(s.roleLabel, s.container(celFlinksRole("c.name"))),
			allOf(anyOf(s.roleLabel, s.container(anyOf(celRole("c.name"), celByRole))), anyOf(s.container(env), s.configVolume)),
			s.container(anyOf(celRoleScript, celRoleOptions, allOf(celByRole, celFlinkWord))),
			s.statefun(anyOf(celFlinkWord, celStatefunWord), `m <= `+celMaxVariables+` && `+celStatefunRole),
		), "!"+s.container(celOther)),
	))
}

// celSidecarRunsFlink holds if a native sidecar of a pod within the bounds surely runs Flink.
func celSidecarRunsFlink(pod string) string {
	return newCelSignals(pod).sureSidecar(anyOf(celStarts, celRoleScript, celRoleOptions, allOf(celByRole, celFlinkWord)))
}
