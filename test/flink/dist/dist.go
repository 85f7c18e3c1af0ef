// Package dist downloads Flink and runs its classes. The jars come from the Python package
// apache-flink-libraries, which pip downloads once per version into the user's cache.
package dist

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Dist is an unpacked Flink distribution.
type Dist struct {
	Version string
	Dir     string // has lib and plugins
}

const progressInterval = 10 * time.Second

// Missing lists the required programs that are not in PATH, with their purpose.
func Missing() []string {
	var missing []string
	for _, need := range []struct{ program, purpose string }{
		{"java", "runs Flink; install a JDK, 17 or later"},
		{"javac", "compiles the job; install a JDK, a JRE is not enough"},
		{"jar", "packs the job; install a JDK, a JRE is not enough"},
		{"bash", "runs the commands of Flink's containers"},
		{"pip", "downloads Flink; install Python 3 with pip"},
	} {
		if _, err := exec.LookPath(need.program); err != nil {
			missing = append(missing, need.program+": "+need.purpose)
		}
	}
	return missing
}

// Fetch returns a version of Flink from the user's cache, and downloads it if it is missing.
func Fetch(ctx context.Context, version string, progress io.Writer) (*Dist, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, err
	}
	d := &Dist{Version: version, Dir: filepath.Join(cache, "drey", "flink", version)}
	if d.complete() {
		return d, nil
	}
	if err := os.MkdirAll(filepath.Dir(d.Dir), 0o755); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(d.Dir+".lock", os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return nil, fmt.Errorf("lock %q: %w", lock.Name(), err)
	}
	if d.complete() { // another process has downloaded it
		return d, nil
	}
	if err := d.download(ctx, progress); err != nil {
		return nil, fmt.Errorf("download Flink %q: %w; check that `pip download apache-flink-libraries==%s` works here", version, err, version)
	}
	return d, nil
}

// complete reports whether the directory has been filled.
func (d *Dist) complete() bool {
	info, err := os.Stat(filepath.Join(d.Dir, "lib"))
	return err == nil && info.IsDir()
}

// download fills a temporary directory, and renames it.
func (d *Dist) download(ctx context.Context, progress io.Writer) (err error) {
	unfinished := d.Dir + ".unfinished"
	if err := errors.Join(os.RemoveAll(unfinished), os.RemoveAll(d.Dir)); err != nil {
		return err
	}
	archive := filepath.Join(unfinished, "archive")
	if err := os.MkdirAll(archive, 0o755); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(unfinished)) }()
	cmd := exec.CommandContext(ctx, "pip", "download", "--no-deps", "--no-binary", ":all:", "--progress-bar", "off",
		"--disable-pip-version-check", "--dest", archive, "apache-flink-libraries=="+d.Version)
	cmd.Stdout, cmd.Stderr = progress, progress
	fmt.Fprintf(progress, "downloading Flink %s (230 to 330 MB) into %s\n", d.Version, d.Dir)
	began, done := time.Now(), make(chan struct{})
	go func() {
		for tick := time.Tick(progressInterval); ; {
			select {
			case <-done:
				return
			case <-tick:
				fmt.Fprintf(progress, "downloading Flink %s: %s\n", d.Version, time.Since(began).Round(time.Second))
			}
		}
	}()
	err = cmd.Run()
	close(done)
	if err != nil {
		return err
	}
	files, err := filepath.Glob(filepath.Join(archive, "*.tar.gz"))
	if err != nil || len(files) != 1 {
		return errors.Join(fmt.Errorf("want one archive, got %q", files), err)
	}
	fmt.Fprintf(progress, "unpacking Flink %s\n", d.Version)
	if err := unpack(files[0], unfinished); err != nil {
		return err
	}
	if err := os.RemoveAll(archive); err != nil {
		return err
	}
	return os.Rename(unfinished, d.Dir)
}

// unpack extracts deps/lib and deps/plugins of the archive into dir.
func unpack(archive, dir string) error {
	file, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer file.Close()
	unzipped, err := gzip.NewReader(file)
	if err != nil {
		return err
	}
	for archived := tar.NewReader(unzipped); ; {
		header, err := archived.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		_, name, inDeps := strings.Cut(header.Name, "/deps/")
		if !inDeps || header.Typeflag != tar.TypeReg || !filepath.IsLocal(name) || !strings.HasPrefix(name, "lib/") && !strings.HasPrefix(name, "plugins/") {
			continue
		}
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		out, err := os.Create(path)
		if err != nil {
			return err
		}
		_, err = io.Copy(out, archived)
		if err := errors.Join(err, out.Close()); err != nil {
			return err
		}
	}
}

// AtLeast reports whether the version is major.minor or later.
func (d *Dist) AtLeast(major, minor int) bool {
	words := strings.SplitN(d.Version, ".", 3)
	numbers := [2]int{}
	for i := range min(2, len(words)) {
		numbers[i], _ = strconv.Atoi(words[i]) // 0 unless a number
	}
	return numbers[0] > major || numbers[0] == major && numbers[1] >= minor
}

// ConfigFile returns the name of the configuration file in FLINK_CONF_DIR.
func (d *Dist) ConfigFile() string {
	if d.AtLeast(1, 19) {
		return "config.yaml"
	}
	return "flink-conf.yaml"
}

// Environment returns the variables that Flink's scripts export, and those that the scripts
// of package image read. home has lib and plugins.
func (d *Dist) Environment(home, confDir string, flags ...string) []string {
	return append(os.Environ(),
		"FLINK_HOME="+home, "FLINK_CONF_DIR="+confDir, "FLINK_LIB_DIR="+filepath.Join(home, "lib"),
		"FLINK_PLUGINS_DIR="+filepath.Join(home, "plugins"), "FLINK_OPT_DIR="+filepath.Join(home, "opt"),
		"FLINK_JAVA="+strings.Join(append(flags, javaFlags...), " "), "FLINK_CLASSPATH="+filepath.Join(d.Dir, "lib", "*"),
	)
}

// javaFlags limit memory and start-up time, and open the JDK packages of Flink's own
// env.java.opts.all.
var javaFlags = func() []string {
	flags := []string{"-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"}
	for _, export := range []string{"java.base/sun.net.util", "java.rmi/sun.rmi.registry", "java.security.jgss/sun.security.krb5"} {
		flags = append(flags, "--add-exports="+export+"=ALL-UNNAMED")
	}
	for _, open := range []string{
		"java.lang", "java.net", "java.io", "java.nio", "sun.nio.ch", "java.lang.reflect", "java.text", "java.time",
		"java.util", "java.util.concurrent", "java.util.concurrent.atomic", "java.util.concurrent.locks",
	} {
		flags = append(flags, "--add-opens=java.base/"+open+"=ALL-UNNAMED")
	}
	return flags
}()

// Java returns the command that runs a class of Flink with a configuration directory.
func (d *Dist) Java(ctx context.Context, confDir, class string, args ...string) *exec.Cmd {
	flags := append(append([]string{}, javaFlags...),
		"-Dlog4j.configurationFile=file:"+filepath.Join(confDir, "log4j-cli.properties"), "-cp", filepath.Join(d.Dir, "lib", "*"), class)
	cmd := exec.CommandContext(ctx, "java", append(flags, args...)...)
	cmd.Env = d.Environment(d.Dir, confDir)
	return cmd
}

// BuildJar compiles Java sources against Flink and packs them into a jar with a main
// class.
func (d *Dist) BuildJar(ctx context.Context, jar, mainClass string, sources ...string) error {
	classes, err := os.MkdirTemp(filepath.Dir(jar), "classes-")
	if err != nil {
		return err
	}
	args := append([]string{"--release", "11", "-proc:none", "-d", classes, "-cp", filepath.Join(d.Dir, "lib", "*")}, sources...)
	if out, err := exec.CommandContext(ctx, "javac", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("compile %q: %w\n%s", sources, err, out)
	}
	if out, err := exec.CommandContext(ctx, "jar", "--create", "--file", jar, "--main-class", mainClass, "-C", classes, ".").CombinedOutput(); err != nil {
		return fmt.Errorf("pack %q: %w\n%s", jar, err, out)
	}
	return nil
}
