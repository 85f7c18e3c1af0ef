package clients

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"drey.dev/drey/test/framework/drey"
)

var languages = flag.String("generate", "", "languages of the clients to generate, compile and run: go,python,java")

// generator is the program that generates clients, from Maven Central.
const generator = "org.openapitools:openapi-generator-cli:7.17.0"

// TestGenerated generates clients from the documents of a drey, compiles them, and runs a program
// in testdata with each, which creates, reads, updates and deletes. It fails if a tool is missing.
func TestGenerated(t *testing.T) {
	if *languages == "" {
		t.Skip("downloads packages of Maven and Python: run make test-clients")
	}
	jar := filepath.Join(t.TempDir(), "generator.jar")
	run(t, "", need(t, "mvn", "install Maven"), "-q", "-B", "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy", "-Dartifact="+generator, "-DoutputDirectory="+filepath.Dir(jar), "-Dmdep.stripVersion=true")
	if err := os.Rename(filepath.Join(filepath.Dir(jar), strings.Split(generator, ":")[1]+".jar"), jar); err != nil {
		t.Fatal(err)
	}
	d := start(t, drey.Options{DataDir: t.TempDir()})
	for language := range strings.SplitSeq(*languages, ",") {
		t.Run(language, func(t *testing.T) {
			client, ok := generated[language]
			if !ok {
				t.Fatalf("-generate is %q: use go, python and java", *languages)
			}
			dir := filepath.Join(t.TempDir(), "client")
			run(t, "", need(t, "java", "install a JDK of version 11 or later"), append([]string{"-jar", jar, "generate", "-g", language, "-i", d.REST + client.document, "-o", dir}, client.options...)...)
			program, err := os.ReadFile(filepath.Join("testdata", language, client.program))
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(dir, client.place, client.program)
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, program, 0o644); err != nil {
				t.Fatal(err)
			}
			client.run(t, dir, d.REST, "generated-"+language)
		})
	}
}

// generated are the languages: the document, options of the generator, the program and its place in
// the generated client, and how to compile and run it with a base URL and a platform namespace.
var generated = map[string]struct {
	document       string
	options        []string
	program, place string
	run            func(t *testing.T, dir string, args ...string)
}{
	"go": {
		"/openapi.json", []string{"--package-name", "client", "--git-host", "example.com", "--git-user-id", "generated", "--git-repo-id", "client"}, "main.go", "cmd",
		func(t *testing.T, dir string, args ...string) {
			run(t, dir, need(t, "go", "install Go"), append([]string{"run", "./cmd"}, args...)...)
		},
	},
	"python": {
		"/openapi.json", nil, "main.py", "",
		func(t *testing.T, dir string, args ...string) {
			venv := filepath.Join(dir, "venv")
			run(t, dir, need(t, "python3", "install Python of version 3.9 or later"), "-m", "venv", venv)
			run(t, dir, filepath.Join(venv, "bin", "pip"), "install", "-q", dir)
			run(t, dir, filepath.Join(venv, "bin", "python"), append([]string{"main.py"}, args...)...)
		},
	},
	"java": {
		"/api/swagger.json", []string{"--library", "native"}, "Main.java", "src/main/java",
		func(t *testing.T, dir string, args ...string) {
			mvn := need(t, "mvn", "install Maven")
			run(t, dir, mvn, "-q", "-B", "-DskipTests", "-Dmaven.javadoc.skip=true", "-Dmaven.source.skip=true", "compile", "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:build-classpath", "-Dmdep.outputFile=classpath")
			path, err := os.ReadFile(filepath.Join(dir, "classpath"))
			if err != nil {
				t.Fatal(err)
			}
			run(t, dir, need(t, "java", "install a JDK of version 11 or later"), append([]string{"-cp", fmt.Sprintf("target/classes:%s", path), "Main"}, args...)...)
		},
	},
}

// need returns the path of a program, and fails the test if it is missing.
func need(t *testing.T, program, fix string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Fatalf("%s is missing: %s, or leave its language out of -generate", program, fix)
	}
	return path
}

func run(t *testing.T, dir, program string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Dir = dir
	cmd.Env = append(cmd.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off")
	out, err := cmd.CombinedOutput()
	if err != nil {
		const most = 8000
		t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, out[max(0, len(out)-most):])
	}
	t.Logf("%s %.60s ok", filepath.Base(program), strings.Join(args, " "))
}
