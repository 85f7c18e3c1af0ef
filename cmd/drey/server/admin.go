package server

import (
	"errors"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// RegistryFile is the path of the embedded registry below a data directory.
func RegistryFile(dataDir string) string { return filepath.Join(dataDir, "registry.db") }

// denialsFile is the path of the history of denials below a data directory.
func denialsFile(dataDir string) string { return filepath.Join(dataDir, "denials.json.gz") }

// AdminSocket is the path of the Unix socket of a running drey. Its mode 0600
// limits it to the owner of the data directory.
func AdminSocket(dataDir string) string { return filepath.Join(dataDir, "admin.sock") }

// serveAdmin serves backups on the admin socket.
func (s *server) serveAdmin() error {
	socket := AdminSocket(s.options.config.Registry.DataDir)
	if err := os.Remove(socket); err != nil && !errors.Is(err, fs.ErrNotExist) { // left by a crash; the lock on the file excludes another process
		return err
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	if err := os.Chmod(socket, 0o600); err != nil {
		return errors.Join(err, listener.Close())
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /backup", func(w http.ResponseWriter, r *http.Request) {
		if err := s.embedded.Backup(w); err != nil {
			s.log.Error("backup failed", "error", err)
			panic(http.ErrAbortHandler) // so that the other side notices
		}
		s.log.Info("backup written")
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, WriteTimeout: 10 * time.Minute}
	s.parts.Go(func() { _ = server.Serve(listener) }) // until it is closed
	s.closers = append(s.closers, server.Close)
	return nil
}
