package release

import (
	"archive/zip"
	"bytes"
	"strings"
	"time"

	"drey.dev/drey/hack/image"
)

// archive returns the name and the content of the archive of a platform: a .zip for Windows,
// else a .tar.gz. The binary is named drey; kubectl finds it as a plugin by a link or a copy
// named kubectl-drey.
func archive(at time.Time, platform, base string, binary []byte, shared []image.File) (name string, content []byte, err error) {
	program := image.File{Name: "drey", Mode: 0o755, Content: binary}
	if strings.HasPrefix(platform, "windows/") {
		program.Name = "drey.exe"
		content, err = zipped(at, append([]image.File{program}, shared...))
		return base + ".zip", content, err
	}
	if content, err = image.Tar(at, append([]image.File{program}, shared...)...); err != nil {
		return "", nil, err
	}
	content, err = image.Gzip(content)
	return base + ".tar.gz", content, err
}

func zipped(at time.Time, files []image.File) ([]byte, error) {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, f := range files {
		w, err := z.CreateHeader(&zip.FileHeader{Name: f.Name, Method: zip.Deflate, Modified: at.UTC().Truncate(2 * time.Second)})
		if err != nil {
			return nil, err
		}
		if _, err := w.Write(f.Content); err != nil {
			return nil, err
		}
	}
	err := z.Close()
	return b.Bytes(), err
}
