package flink

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"mvdan.cc/sh/v3/syntax"
)

// argv splits a line at spaces. Words in brackets are one argument.
func argv(line string) (all []string) {
	for line = strings.TrimSpace(line); line != ""; line = strings.TrimSpace(line) {
		if after, ok := strings.CutPrefix(line, "["); ok {
			word, rest, _ := strings.Cut(after, "]")
			all, line = append(all, word), rest
			continue
		}
		word, rest, _ := strings.Cut(line, " ")
		all, line = append(all, word), rest
	}
	return all
}

func TestFind(t *testing.T) {
	const (
		taskManagerRunner = "org.apache.flink.runtime.taskexecutor.TaskManagerRunner"
		nativeScript      = "kubernetes-taskmanager.sh -Djobmanager.rpc.address='a.b' -Dexecution.target='embedded' -Dweb.tmpdir='/tmp/flink-web-1' -D taskmanager.cpu.cores=1.0"
	)
	for _, c := range []struct {
		command, args string
		want          string // kind role mode
	}{
		// Flink's scripts as the program
		{"/opt/flink/bin/standalone-job.sh", "start-foreground -Djobmanager.rpc.address=a", "started jobmanager application"},
		{"/opt/flink/bin/taskmanager.sh start-foreground", "", "started taskmanager"},
		{"jobmanager.sh", "start-foreground cluster", "started jobmanager session"},
		{"/opt/flink/bin/taskmanager.sh", "stop", "other"},
		{"bin/start-cluster.sh", "", "started jobmanager session"},
		{"/opt/flink/bin/flink-console.sh", "taskexecutor --configDir /c", "started taskmanager"},
		{"flink-console.sh kubernetes-application", "", "started jobmanager application"},
		{"flink-console.sh historyserver", "", "other"},
		{"flink-daemon.sh start standalonejob", "", "started jobmanager application"},
		{"flink-daemon.sh stop standalonejob", "", "other"},
		{"kubernetes-jobmanager.sh kubernetes-session", "", "started jobmanager session"},
		{"/opt/my-jobmanager.sh start", "", "nothing"},

		// the entry point of the image
		{"", "jobmanager", "role jobmanager session"},
		{"", "standalone-job --job-id x", "role jobmanager application"},
		{"/docker-entrypoint.sh", "taskmanager", "entry point taskmanager"},
		{"/docker-entrypoint.sh bash -c", "[" + nativeScript + "]", "started taskmanager"},
		{"", "bash -c [kubernetes-jobmanager.sh kubernetes-application]", "started jobmanager application"},
		{"", "/opt/flink/bin/taskmanager.sh start-foreground", "started taskmanager"},
		{"", "history-server", "other"},
		{"", "flink run -m a:8081 /x.jar", "other"},
		{"/docker-entrypoint.sh", "", "nothing"},
		{"scheduler", "jobmanager", "nothing"},

		// shells
		{"bash -ec [bin/jobmanager.sh start-foreground cluster]", "", "started jobmanager session"},
		{"/bin/sh -c", "[exec /docker-entrypoint.sh taskmanager]", "entry point taskmanager"},
		{"bash -c", "[sleep 5 && cp /a/* /b/ && exec /docker-entrypoint.sh jobmanager]", "entry point jobmanager session"},
		{"bash -euo pipefail -c", "[export A=1; exec \"$FLINK_HOME/bin/taskmanager.sh\" start-foreground]", "started taskmanager"},
		{"bash -c", "[if [ -f /x ]", "nothing"},
		{"sh -c", "[if test -f /x; then exec ${FLINK_HOME:-/opt/flink}/bin/standalone-job.sh start-foreground; fi]", "started jobmanager application"},
		{"sh -c", "[exec \"$@\"] -- /docker-entrypoint.sh standalone-job", "entry point jobmanager application"},
		{"sh -c", "[until nc -z a 1; do sleep 1; done; kubernetes-taskmanager.sh -D a=b]", "started taskmanager"},
		{"sh -c", "[FLINK_ENV_JAVA_OPTS='-Xmx1g -Da=\"b c\"' taskmanager.sh start-foreground]", "started taskmanager"},
		{"sh -c", "[exec $JAVA_RUN $JVM_ARGS -classpath \"$CP\" " + taskManagerRunner + " --configDir /c]", "started taskmanager"},
		{"sh -c", "[java -cp \"/opt/flink/lib/*\" " + taskManagerRunner + "]", "started taskmanager"},
		{"sh -c", "[eval 'taskmanager.sh start-foreground']", "started taskmanager"},
		{"sh -c", "[sh -c \"sh -c 'taskmanager.sh start'\"]", "started taskmanager"},
		{"su flink -c", "[taskmanager.sh start-foreground]", "started taskmanager"},
		{"su - flink -s /bin/bash -c", "[taskmanager.sh start-foreground]", "started taskmanager"},
		{"[su] [--command=/docker-entrypoint.sh taskmanager] flink", "", "entry point taskmanager"},
		{"runuser -l flink -c", "[/docker-entrypoint.sh taskmanager]", "entry point taskmanager"},
		{"runuser flink -c", "[/docker-entrypoint.sh taskmanager]", "entry point taskmanager"},
		{"runuser -u flink -- /docker-entrypoint.sh taskmanager", "", "entry point taskmanager"},
		{"runuser --user flink /docker-entrypoint.sh taskmanager", "", "entry point taskmanager"},
		{"sudo --preserve-env --user flink /docker-entrypoint.sh taskmanager", "", "entry point taskmanager"},
		{"setpriv --reuid flink --clear-groups taskmanager.sh start", "", "started taskmanager"},
		{"timeout --signal TERM 1h taskmanager.sh start", "", "started taskmanager"},
		{"bash /opt/flink/bin/jobmanager.sh start-foreground", "", "started jobmanager session"},
		{"bash -x /opt/flink/bin/jobmanager.sh start-foreground", "", "started jobmanager session"},
		{"bash -c", "[taskmanager.sh start & tail -f /opt/flink/log/*]", "started taskmanager"},
		{"bash -c", "[flink run-application -t kubernetes-application local:///a.jar]", "other"},
		{"bash -c", "[zsh-only syntax ((( ; taskmanager.sh start-foreground]", "started taskmanager"}, // does not parse
		{"bash -c", "[" + strings.Repeat("echo a; ", 8<<10) + "taskmanager.sh start-foreground]", "started taskmanager"},

		// a script on standard input, or in a file that the script writes
		{"sh -c", "[bash <<E\nset -e\ntaskmanager.sh start-foreground\nE\n]", "started taskmanager"},
		{"sh -c", "[exec gosu flink bash -s x <<'E'\nexec /docker-entrypoint.sh taskmanager\nE\n]", "entry point taskmanager"},
		{"sh -c", "[cat <<E | bash\ntaskmanager.sh start-foreground\nE\n]", "started taskmanager"},
		{"sh -c", "[echo 'taskmanager.sh start-foreground' | sh -e]", "started taskmanager"},
		{"bash -c", "[bash <<< 'taskmanager.sh start-foreground']", "started taskmanager"},
		{"sh -c", "[cat > /start.sh <<E\ntaskmanager.sh start-foreground \\$X\nE\nchmod +x /start.sh && exec /start.sh]", "started taskmanager"},
		{"sh -c", "[tee /start.sh <<E >/dev/null\nexec /docker-entrypoint.sh \"$1\"\nE\nbash /start.sh taskmanager]", "entry point taskmanager"},

		// programs that build a command
		{"script -qec", "[/opt/flink/bin/taskmanager.sh start-foreground] /dev/null", "started taskmanager"},
		{"[script] [--command] [exec /docker-entrypoint.sh taskmanager] /tmp/log", "", "entry point taskmanager"},
		{"/my/script /docker-entrypoint.sh taskmanager", "", "wrapped taskmanager"},
		{"xargs -r -n 1 taskmanager.sh start-foreground", "", "started taskmanager"},
		{"xargs -a /roles /docker-entrypoint.sh", "", "nothing"},
		{"xargs", "", "nothing"},
		{"sh -c", "[echo start-foreground | xargs /opt/flink/bin/taskmanager.sh]", "started taskmanager"},
		{"sh -c", "[echo taskmanager | exec xargs -t /docker-entrypoint.sh]", "entry point taskmanager"},
		{"sh -c", "[echo taskmanager | xargs -I% sh -c 'exec /docker-entrypoint.sh %']", "entry point taskmanager"},
		{"sh -c", "[echo 'taskmanager.sh start-foreground' | xargs -I {} sh -c '{}']", "started taskmanager"},
		{"sh -c", "[cat /args | xargs -d '\n' taskmanager.sh start-foreground]", "started taskmanager"},
		{"sh -c", "[echo stop | xargs taskmanager.sh]", "other"},
		{"sh -c", "[ls /opt/flink/bin/taskmanager.sh start | xargs chmod +x]", "mentioned taskmanager"},
		{"sh -c", "[echo 'taskmanager.sh start' | xargs]", "nothing"},
		{"find /opt -name taskmanager.sh -exec {} start-foreground ;", "", "started taskmanager"},
		{"sh -c", "[find / -path /opt/flink/bin -prune -o -type f -exec /docker-entrypoint.sh taskmanager \\;]", "entry point taskmanager"},
		{"sh -c", "[find /jobs -name '*.jar' -execdir standalone-job.sh start-foreground --jars {} +]", "started jobmanager application"},
		{"sh -c", "[find /opt/flink/bin -name taskmanager.sh -exec chmod +x {} + -exec sed -i s/a/b/ {} \\;]", "mentioned taskmanager"},
		{"sh -c", "[find / -name start-cluster.sh -print]", "nothing"},

		// programs of a service mesh and of secrets that start another
		{"/linkerd-await --shutdown --timeout 30s -- /docker-entrypoint.sh", "taskmanager", "entry point taskmanager"},
		{"/usr/local/bin/scuttle taskmanager.sh start-foreground", "", "started taskmanager"},
		{"/vault/vault-env", "/opt/flink/bin/standalone-job.sh start-foreground", "started jobmanager application"},

		{"env -S [taskmanager.sh start-foreground] -Da=b", "", "started taskmanager"},
		{"/usr/bin/env -iS [A=b bash -c 'exec taskmanager.sh start-foreground']", "", "started taskmanager"},
		{"env [-S-i taskmanager.sh] start-foreground", "", "started taskmanager"},
		{"env A=b [--split-string=/docker-entrypoint.sh taskmanager]", "", "entry point taskmanager"},
		{"env --split-string [/docker-entrypoint.sh taskmanager]", "", "entry point taskmanager"},
		{"env -uS taskmanager.sh start-foreground", "", "started taskmanager"},
		{"env -u -S taskmanager.sh start-foreground", "", "started taskmanager"},
		{"env -S [flink run /x.jar]", "", "other"},
		{"env -S", "", "nothing"},
		{"go-init -pre /setup.sh -main [/docker-entrypoint.sh jobmanager]", "", "entry point jobmanager session"},
		{"/go-init [--main=taskmanager.sh start-foreground] -post [echo a]", "", "started taskmanager"},
		{"go-init -pre [taskmanager.sh stop] -main", "", "nothing"},
		{"go-init -main [/app serve] -post [taskmanager.sh start-foreground]", "", "nothing"},
		{"doppler run --project a --command [exec taskmanager.sh start-foreground]", "", "started taskmanager"},
		{"consul-template -template a:b [-exec=/docker-entrypoint.sh taskmanager]", "", "entry point taskmanager"},
		{"consul-template -template a:b", "", "nothing"},
		{"flock /tmp/lock taskmanager.sh start-foreground", "", "started taskmanager"},
		{"flock -n /tmp/lock -c [taskmanager.sh start-foreground]", "", "started taskmanager"},
		{"dockerize -wait tcp://zk:2181 -timeout 60s taskmanager.sh start-foreground", "", "started taskmanager"},
		{"ssh-agent taskmanager.sh start-foreground", "", "started taskmanager"},
		{"strace -f -o /t taskmanager.sh start-foreground", "", "started taskmanager"},
		{"/init taskmanager.sh start-foreground", "", "started taskmanager"},

		// a start after --, which ends the options of a program that runs commands
		{"/wait-for-it.sh kafka:9092 -t 60 -- taskmanager.sh start-foreground", "", "started taskmanager"},
		{"chamber exec svc -- java -cp x " + taskManagerRunner, "", "started taskmanager"},
		{"doppler run -- /docker-entrypoint.sh taskmanager", "", "entry point taskmanager"},
		{"argoexec emissary --loglevel info -- bash -c [bin/jobmanager.sh start-foreground]", "", "started jobmanager session"},
		{"shellcheck -x -- taskmanager.sh start", "", "mentioned taskmanager"},
		{"git diff -- bin/taskmanager.sh bin/jobmanager.sh", "", "mentioned taskmanager"},
		{"git diff -- bin/start-cluster.sh", "", "mentioned jobmanager session"},
		{"gcloud compute ssh a -- /opt/flink/bin/taskmanager.sh start", "", "mentioned taskmanager"},
		{"sshpass -p x ssh a /opt/flink/bin/taskmanager.sh start", "", "mentioned taskmanager"},
		{"minikube kubectl -- exec a -- taskmanager.sh start", "", "mentioned taskmanager"},

		// a prefix of the command in a variable
		{"sh -c", "[exec $(drop_privs_cmd) \"$FLINK_HOME/bin/jobmanager.sh\" start-foreground \"$@\"]", "started jobmanager session"},
		{"sh -c", "[$SUDO /docker-entrypoint.sh taskmanager]", "entry point taskmanager"},
		{"sh -c", "[$CHECK bin/taskmanager.sh bin/jobmanager.sh]", "mentioned taskmanager"},
		{"sh -c", "[$KUBECTL exec a -- taskmanager.sh start]", "wrapped taskmanager"},

		// the parameters that a script sets
		{"sh -c", "[set -- standalone-job --job-id x; exec /docker-entrypoint.sh \"$@\"]", "entry point jobmanager application"},
		{"sh -c", "[set -- \"$@\" -Da=b; exec \"$@\"] sh taskmanager.sh start", "started taskmanager"},
		{"sh -c", "[set -- flink run; exec \"$@\"] sh taskmanager.sh start", "other"},
		{"sh -c", "[set -- taskmanager; exec /docker-entrypoint.sh $1]", "entry point taskmanager"},
		{"sh -c", "[set -eu; exec \"$@\"] sh taskmanager.sh start", "started taskmanager"},

		// an entry point of the user's own
		{"/opt/flink/custom-entrypoint.sh", "jobmanager", "role jobmanager session"},
		{"tini -- /entrypoint.sh taskmanager", "", "role taskmanager"},
		{"bash -c", "[exec /entrypointWithIP.sh standalone-job --job-classname a.B]", "role jobmanager application"},
		{"/entrypoint.sh", "web", "nothing"},
		{"/wait-for.sh", "jobmanager", "nothing"},
		{"cat /entrypoint.sh", "taskmanager", "nothing"},

		// earlier versions
		{"java -cp x org.apache.flink.runtime.jobmanager.JobManager --executionMode cluster", "", "started jobmanager session"},
		{"java -cp x org.apache.flink.runtime.taskmanager.TaskManager --configDir /c", "", "started taskmanager"},

		// a path in the arguments of a program that does not run it
		{"diff /opt/flink/bin/start-cluster.sh /x", "", "mentioned jobmanager session"},
		{"sh -c", "[stat /opt/flink/bin/start-cluster.sh && tar czf /b.tgz bin/start-cluster.sh]", "mentioned jobmanager session"},

		// programs that run their arguments elsewhere
		{"kubectl exec deploy/jm -- /opt/flink/bin/jobmanager.sh start-foreground", "", "mentioned jobmanager session"},
		{"docker run flink /docker-entrypoint.sh taskmanager", "", "mentioned taskmanager"},
		{"sh -c", "[ssh a /opt/flink/bin/taskmanager.sh start]", "mentioned taskmanager"},

		// variables and functions of the script
		{"sh -c", "[ROLE=taskmanager; exec /docker-entrypoint.sh $ROLE]", "entry point taskmanager"},
		{"sh -c", "[export ROLE=taskmanager && exec \"/opt/flink/bin/${ROLE}.sh\" start-foreground]", "started taskmanager"},
		{"sh -c", "[CMD='taskmanager.sh start-foreground'; exec $CMD]", "started taskmanager"},
		{"sh -c", "[CMD='taskmanager.sh start-foreground'; sh -c \"$CMD\"]", "started taskmanager"},
		{"sh -c", "[exec /docker-entrypoint.sh ${ROLE:-taskmanager}]", "entry point taskmanager"},
		{"sh -c", "[: ${ROLE:=taskmanager}; exec /docker-entrypoint.sh ${ROLE:?}]", "nothing"},
		{"sh -c", "[start() { exec /docker-entrypoint.sh \"$1\"; }; start taskmanager]", "entry point taskmanager"},
		{"sh -c", "[start() { taskmanager.sh start; }; trap start EXIT]", "started taskmanager"},
		{"sh -c", "[A=jobmanager; if x; then A=taskmanager; fi; exec /docker-entrypoint.sh $A]", "nothing"},

		{"bash -c", "[exec \"$0\" \"$@\"] /docker-entrypoint.sh jobmanager", "entry point jobmanager session"},
		{"sh -c", "[exec $1 start-foreground] sh /opt/flink/bin/taskmanager.sh", "started taskmanager"},

		// programs that run others
		{"tini -g -- /docker-entrypoint.sh", "taskmanager", "entry point taskmanager"},
		{"dumb-init /opt/flink/bin/taskmanager.sh start-foreground", "", "started taskmanager"},
		{"gosu flink", "taskmanager.sh start-foreground", "started taskmanager"},
		{"env -u X A=/x/jobmanager.sh taskmanager.sh start-foreground", "", "started taskmanager"},
		{"timeout -s 9 3600 nice -n 5 taskmanager.sh start-foreground", "", "started taskmanager"},
		{"sh -c", "[exec -a flink taskmanager.sh start-foreground]", "started taskmanager"},
		{"java -Xmx1g -cp /opt/flink/lib/*", taskManagerRunner, "started taskmanager"},
		{"java -cp x org.apache.flink.statefun.flink.launcher.StatefulFunctionsClusterEntryPoint", "", "started jobmanager application"},
		{"java -cp x org.apache.flink.runtime.webmonitor.history.HistoryServer", "", "other"},
		{"java -jar /lint.jar " + taskManagerRunner, "", "nothing"},
		{"java -cp x example.Lint " + taskManagerRunner, "", "nothing"},

		// a start as the arguments of an unknown program
		{"/wait-for-mesh.sh /docker-entrypoint.sh", "standalone-job --job-classname x", "wrapped jobmanager application"},
		{"/secrets/fetch /opt/flink/bin/taskmanager.sh start-foreground", "", "wrapped taskmanager"},
		{"/custom-entry.sh", "bash -c [" + nativeScript + "]", "wrapped taskmanager"},
		{"sh -c", "[/wait.sh a:1 -- /docker-entrypoint.sh taskmanager]", "entry point taskmanager"},
		{"/wait.sh java -cp x", taskManagerRunner, "wrapped taskmanager"},

		{"", "job-cluster --job-classname x", "role jobmanager application"},
		{"/docker-entrypoint.sh", "task-manager -Djobmanager.rpc.address=a", "entry point taskmanager"},

		// no start
		{"bash -n /opt/flink/bin/taskmanager.sh", "", "nothing"},
		{"sh -c", "[command -v taskmanager.sh && test -x /opt/flink/bin/jobmanager.sh]", "mentioned jobmanager session"},
		{"sh -c", "[pgrep -f " + taskManagerRunner + " | xargs -n1 jstack]", "nothing"},
		{"sh -c", "[for p in $(pgrep -f " + taskManagerRunner + " ); do jcmd $p Thread.print; done]", "nothing"},
		{"pgrep", "-f " + taskManagerRunner, "nothing"},
		{"shellcheck", "/src/bin/kubernetes-taskmanager.sh", "mentioned taskmanager"},
		{"cat /opt/flink/bin/taskmanager.sh", "", "mentioned taskmanager"},
		{"sh -c", "[grep -q x /opt/flink/bin/taskmanager.sh || exit 1]", "mentioned taskmanager"},
		{"sh -c", "[echo 'run taskmanager.sh start-foreground'; echo \"; taskmanager.sh start\"]", "nothing"},
		{"sh -c", "[cat <<E > /start.sh\ntaskmanager.sh start-foreground\nE\n]", "nothing"},
		{"sh -c", "[cat <<E\ntaskmanager.sh start-foreground\nE\nsh /other.sh]", "nothing"},
		{"sh -c", "[bash -n <<E\ntaskmanager.sh start-foreground\nE\n]", "nothing"},
		{"sh -c", "[bash /x.sh <<E\ntaskmanager.sh start-foreground\nE\n]", "nothing"},
		{"sh -c", "[echo taskmanager.sh start-foreground | grep x]", "mentioned taskmanager"},
		{"sh -c", "[cp /opt/flink/bin/taskmanager.sh start-taskmanager.sh]", "mentioned taskmanager"},
		{"sh -c", "[echo run /docker-entrypoint.sh jobmanager; exec flink run /x.jar]", "mentioned jobmanager session"},
		{"sh -c", "[A=taskmanager; echo $A]", "nothing"},
		{"sh -c", "[# taskmanager.sh start-foreground\nsleep 1]", "nothing"},
		{"", "", "nothing"},
		{"sh", "", "nothing"},
		{"sh -c", "", "nothing"},
		{"env", "A=B", "nothing"},
	} {
		t.Run(c.command+" "+c.args[:min(len(c.args), 100)], func(t *testing.T) {
			f := find(argv(c.command), argv(c.args))
			kind := [...]string{"nothing", "other", "mentioned", "wrapped", "role", "entry point", "started"}[f.kind]
			if got := strings.TrimSpace(fmt.Sprintf("%s %s %s", kind, f.process.role, f.process.mode)); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// TestFindArray: the elements of an array are words.
func TestFindArray(t *testing.T) {
	f := find([]string{"bash", "-c", `A=(taskmanager -Da=b); exec /docker-entrypoint.sh "${A[@]}"`}, nil)
	if f.kind != byEntryPoint || f.process.role != TaskManager || !slices.Equal(f.process.args, []string{"-Da=b"}) {
		t.Errorf("got %+v", f)
	}
}

// TestFindVariables: the values of a container's variables count with another sign of Flink.
func TestFindVariables(t *testing.T) {
	values := map[string]string{"ROLE": "taskmanager", "BIN": "/opt/flink/bin/taskmanager.sh", "LINE": "/opt/flink/bin/taskmanager.sh start-foreground"}
	for _, c := range []struct {
		command, args, want string // kind role mode
	}{
		{"", "$(ROLE) -Da=b", "role taskmanager"},
		{"/docker-entrypoint.sh", "$(ROLE)", "entry point taskmanager"},
		{"$(BIN) start-foreground", "", "entry point taskmanager"},
		{"sh -c", "[exec /docker-entrypoint.sh $ROLE]", "entry point taskmanager"},
		{"sh -c", "[exec /docker-entrypoint.sh \"${ROLE:-jobmanager}\"]", "entry point taskmanager"},
		{"sh -c", "[exec /opt/flink/bin/$ROLE.sh start-foreground]", "entry point taskmanager"},
		{"sh -c", "$(LINE)", "entry point taskmanager"},
		{"sh -c", "[exec $LINE]", "entry point taskmanager"},
		{"sh -c", "[eval \"$LINE\"]", "entry point taskmanager"},
		{"", "$$(ROLE)", "nothing"},
		{"", "$(OTHER)", "nothing"},
		{"", "$ROLE", "nothing"},
		{"", "$(ROLE", "nothing"},
		{"echo", "$(LINE)", "nothing"},
		{"", "flink run $(ROLE)", "other"},
	} {
		t.Run(c.command+" "+c.args, func(t *testing.T) {
			for image, want := range map[string]string{"example.com/flink-job": c.want, "example.com/job": ""} {
				if strings.Contains(c.args, ":-") && want == "" {
					continue // the default is sufficient
				}
				container := Container{Name: "main", Image: image, Command: argv(c.command), Args: argv(c.args)}
				for name, value := range values {
					container.ReadVariable(name, value)
				}
				f := findIn(&container)
				kind := [...]string{"nothing", "other", "mentioned", "wrapped", "role", "entry point", "started"}[f.kind]
				got := strings.TrimSpace(fmt.Sprintf("%s %s %s", kind, f.process.role, f.process.mode))
				if want == "" && f.kind >= wrapped || want != "" && got != want {
					t.Errorf("%s: got %q, want %q", image, got, want)
				}
			}
		})
	}
}

// TestFindRoles: of the roles that the branches of a script start, the name of the container or
// a label selects one.
func TestFindRoles(t *testing.T) {
	for _, script := range []string{
		`case "$X" in jm) exec /docker-entrypoint.sh jobmanager;; *) exec /docker-entrypoint.sh taskmanager;; esac`,
		`if [ "$X" = tm ]; then exec taskmanager.sh start; fi; exec jobmanager.sh start`,
	} {
		f := find([]string{"sh", "-c", script}, nil)
		for _, role := range []Role{JobManager, TaskManager} {
			if got := f.of(role).role; got != role {
				t.Errorf("%s: got %s, want %s", script, got, role)
			}
		}
	}
	f := find([]string{"sh", "-c", "jobmanager.sh start && taskmanager.sh start"}, nil)
	if got := f.of(UnknownRole); got.role != JobManager || got.mode != Session {
		t.Errorf("got %+v, want the first process", got)
	}
}

// TestFindRepeated: the cost of texts that a script uses many times has a bound, as
// the bytes that it allocates.
func TestFindRepeated(t *testing.T) {
	big := strings.Repeat("echo a\n", 1000)
	for name, script := range map[string]string{
		"variables": "A=x\n" + strings.Repeat("A=\"$A$A\"\n", 100) + "B=y\n" + strings.Repeat("C=$B$B;B2=$C$C;", 500),
		"doubling": "A0=xxxxxxxx\n" + func() (all string) {
			for i := range 200 {
				all += fmt.Sprintf("A%d=$A%d$A%d\n", i+1, i, i)
			}
			return all
		}() + strings.Repeat("$A200 ", 1000),
		"function":  "f() { " + strings.ReplaceAll(big, "\n", "; ") + "}\n" + strings.Repeat("f\n", 8000),
		"recursion": "f() { f; g; }; g() { f; g; }; f; g",
		"file":      "cat >/f <<E\n" + big + "E\n" + strings.Repeat("sh /f\n", 3000),
		"own file":  "cat >/f <<E\nsh /f; sh /f\nE\n" + strings.Repeat("sh /f\n", 3000),
	} {
		t.Run(name, func(t *testing.T) {
			if n := allocated(func() { find([]string{"bash", "-c", script[:min(len(script), maxScript)]}, nil) }); n > 64<<20 {
				t.Errorf("allocated %d MiB, want at most 64", n>>20)
			}
		})
	}
}

// TestFindBounds checks that deeply nested command lines end the search, at a cost linear in
// their size.
func TestFindBounds(t *testing.T) {
	if f := find(strings.Fields(strings.Repeat("exec ", 100)), []string{"taskmanager.sh"}); f.kind != nothing {
		t.Errorf("found %v", f)
	}
	script := "taskmanager.sh start"
	for range 12 {
		script = fmt.Sprintf("sh -c %q", script)
	}
	if f := find([]string{"sh", "-c", script}, nil); f.kind != nothing {
		t.Errorf("found %v", f)
	}
	for _, deep := range []string{"$(", "(", "{ ", "if ", "\"$(", "((", "`", "${a:-", "while "} {
		find([]string{"sh", "-c", strings.Repeat(deep, 3<<20/len(deep))}, nil)
	}
	long := strings.Repeat("{} ", 300)
	nested := "taskmanager.sh"
	for range maxDepth {
		nested = "xargs -I{} " + nested + " " + long
	}
	argv := slices.Concat([]string{"find", "-name", long}, slices.Repeat([]string{"-exec", "sh", "-c", nested, ";"}, 1000))
	if n := allocated(func() { find(argv, nil) }); n > uint64(1000*len(nested)) {
		t.Errorf("placeholders: allocated %d KiB, want at most the size of the command line", n>>10)
	}
	for name, argv := range map[string][]string{
		"many":     slices.Concat([]string{"sh", "-c", strings.Repeat(`a "$@";`, 4000), "x"}, slices.Repeat([]string{"b"}, 100_000)),
		"doubling": {"sh", "-c", "set -- a b c d\n" + strings.Repeat("set -- \"$@\" \"$@\"\n", 50) + strings.Repeat("a \"$@\"\n", 3_800)},
	} {
		const most = 64 << 20 // each "$@" expanded in full is over 1 GiB
		if n := allocated(func() { find(argv, nil) }); n > most {
			t.Errorf("%s positional parameters: allocated %d MiB, want at most %d", name, n>>20, most>>20)
		}
	}
	if f := find([]string{"sh", "-c", `exec "$@"`, "x"}, slices.Concat([]string{"taskmanager.sh", "start"}, slices.Repeat([]string{"b"}, 100_000))); f.kind != started {
		t.Errorf("many arguments: got %v", f.kind)
	}
}

// allocated returns the bytes that a function allocates: its cost on a machine of any speed.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// FuzzFind checks that no command line causes a panic, and that splitPlain returns the words
// of the parser.
func FuzzFind(f *testing.F) {
	f.Add("sh", "-c", "exec /docker-entrypoint.sh \"$@\"")
	f.Add("bash", "-ec", "if a; then `b` $(c); fi <<E\nx\nE\n")
	f.Add("sh", "-c", "taskmanager.sh start 'a b'c''")
	f.Add("", "jobmanager", "--job-id=1")
	f.Add("sh", "-c", `kubernetes-taskmanager.sh -Da='['\''file:/a.jar'\'']' b\ c`)
	f.Fuzz(func(t *testing.T, a, b, c string) {
		find([]string{a, b, c}, nil)
		got, ok := splitPlain(c)
		if !ok || strings.ContainsAny(c, "=\x00\r\v\f") || !utf8.ValidString(c) || strings.ContainsFunc(c, func(r rune) bool { return r > unicode.MaxASCII }) {
			return
		}
		file, err := syntax.NewParser().Parse(strings.NewReader(c), "")
		if err != nil || len(file.Stmts) != 1 {
			return
		}
		call, ok := file.Stmts[0].Cmd.(*syntax.CallExpr)
		if !ok || file.Stmts[0].Negated {
			return
		}
		if want := (expander{scope: &scope{}}).argv(call.Args); !slices.Equal(got, want) {
			t.Errorf("%q: got %q, the parser %q", c, got, want)
		}
	})
}

func BenchmarkFind(b *testing.B) {
	for name, script := range map[string]string{
		"plain":  "kubernetes-jobmanager.sh kubernetes-application",
		"quoted": "kubernetes-taskmanager.sh -Djobmanager.memory.off-heap.size=134217728b -Djobmanager.rpc.address='my-job.default' -Dexecution.target='embedded' -Dpipeline.jars='['\\''file:/opt/flink/usrlib/job.jar'\\'']' -Dweb.tmpdir='/tmp/flink-web-1' -D taskmanager.memory.network.max=134217730b -D taskmanager.memory.framework.heap.size=134217728b -D taskmanager.memory.managed.size=536870920b -D taskmanager.cpu.cores=1.0 -D taskmanager.memory.task.heap.size=402653174b -Dtaskmanager.resource-id='my-job-taskmanager-1-1'",
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			command, args := []string{"/docker-entrypoint.sh"}, []string{"bash", "-c", script}
			for b.Loop() {
				find(command, args)
			}
		})
	}
}
