package container

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// DefaultRunDir and DefaultDataDir are where topo keeps what a reboot ends, and what it doesn't.
const (
	DefaultRunDir  = "/run/topo"
	DefaultDataDir = "/var/lib/topo"
)

// layout names the files of one project:
//
//	RUN/projects/PROJECT/
//		supervisor.sock    control socket, 0600
//		supervisor.lock    held (flock) by the supervisor for as long as it lives
//		supervisor.json    its pid and start time
//		runtime/           state of the OCI runtime
//		nodes/NODE/
//			ids-FIRST      its range of the host's ids, with a user namespace of its own
//			process.json   the process as it was started: kernel.Process
//			state.json     what became of it: record
//			stdout, stderr FIFOs, and stdin where that is open
//			bundle/        OCI bundle of a container
//	RUN/root/              where containers with a user namespace of their own have their root, see [stage]: empty
//	DATA/projects/PROJECT/
//		supervisor.log
//		nodes/NODE/
//			log.1, log.2…  what the process printed, the newest last
//			root/          upper and work folders of a container's root
//
// Volumes are kept apart from projects, see [volumeStore].
type layout struct {
	runDir, dataDir string // of all projects
	project         string
}

func (l layout) run(elem ...string) string {
	return filepath.Join(append([]string{l.runDir, "projects", l.project}, elem...)...)
}

func (l layout) data(elem ...string) string {
	return filepath.Join(append([]string{l.dataDir, "projects", l.project}, elem...)...)
}

func (l layout) socket() string                 { return l.run("supervisor.sock") }
func (l layout) lock() string                   { return l.run("supervisor.lock") }
func (l layout) supervisorFile() string         { return l.run("supervisor.json") }
func (l layout) supervisorLog() string          { return l.data("supervisor.log") }
func (l layout) runtimeRoot() string            { return l.run("runtime") }
func (l layout) processFile(node string) string { return l.run("nodes", node, "process.json") }
func (l layout) stateFile(node string) string   { return l.run("nodes", node, "state.json") }
func (l layout) bundle(node string) string      { return l.run("nodes", node, "bundle") }
func (l layout) log(node string) string         { return l.data("nodes", node, "log") }
func (l layout) root(node string) string        { return l.data("nodes", node, "root") }

func (l layout) stagedRoot() string { return filepath.Join(l.runDir, "root") }

// fifo is where a node's process writes a stream, "stdout" or "stderr", or reads "stdin".
func (l layout) fifo(node, stream string) string { return l.run("nodes", node, stream) }

// nodes lists the nodes that have a folder, sorted.
func (l layout) nodes() ([]string, error) {
	entries, err := os.ReadDir(l.run("nodes"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, nil
}

// makeNode makes a node's folders. Only root may look inside: environments hold secrets.
func (l layout) makeNode(node string) error {
	if err := makeFolder(l.run("nodes", node)); err != nil {
		return err
	}
	return makeFolder(l.data("nodes", node))
}

// makeFolder makes a folder and those above it, while somebody else may be removing them, empty as they are: in
// [layout.removeNode] the last node but this one, in another topo the last project but this one. Then os.MkdirAll
// fails with ENOENT, or with EEXIST where a folder came and went between its two looks.
func makeFolder(dir string) (err error) {
	for range 100 {
		err = os.MkdirAll(dir, 0o700)
		if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return err
}

// removeNode removes everything of a node, and the folders above that are empty then.
func (l layout) removeNode(node string) error {
	err := errors.Join(os.RemoveAll(l.data("nodes", node)), os.RemoveAll(l.run("nodes", node)))
	err = errors.Join(err, l.leaveIDs())
	removeEmpty(l.data("nodes"), l.run("nodes"))
	return err
}

// removeEmpty removes those of the folders that are empty; it leaves the others.
func removeEmpty(dirs ...string) {
	for _, dir := range dirs {
		_ = os.Remove(dir) // ENOTEMPTY and ENOENT are what is expected
	}
}

// writeJSON puts a file in place whole: a reader sees the old or the new one.
func writeJSON(path string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-")
	if err != nil {
		return err
	}
	_, err = tmp.Write(data)
	if err := errors.Join(err, tmp.Close()); err != nil {
		return errors.Join(err, os.Remove(tmp.Name()))
	}
	return os.Rename(tmp.Name(), path)
}

func readJSON(path string, v any) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return json.Unmarshal(data, v)
}
