package linux

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"topo/internal/kernel"
)

// recordsDir holds what things were before topo changed them. It is on a tmpfs: a reboot sets
// the kernel's parameters back and forgets these files together.
const recordsDir = runDir + "/records"

// recordFile is the file of one parameter's record: NETNS and the key, with "~" where a path has "/".
func recordFile(project string, k kernel.SysctlKey) string {
	name := k.Netns + "~" + strings.ReplaceAll(k.Key, "/", "~") + ".json"
	return filepath.Join(recordsDir, "sysctl", project, name)
}

// keepRecord writes a record unless there is one: what counts is the value from before the first change.
func (h *Host) keepRecord(r kernel.SysctlRecord) error {
	h.records.Lock()
	defer h.records.Unlock()
	file := recordFile(r.Project, r.SysctlKey)
	if _, err := os.Stat(file); err == nil {
		return nil
	}
	return writeJSON(file, r)
}

func (h *Host) dropRecord(project string, k kernel.SysctlKey) error {
	h.records.Lock()
	defer h.records.Unlock()
	return removeRecord(recordFile(project, k))
}

func findRecord(project string, k kernel.SysctlKey) (r kernel.SysctlRecord, ok bool, err error) {
	return r, ok, readJSON(recordFile(project, k), &r, &ok)
}

// readRecords reads the records of all projects.
func readRecords() ([]kernel.SysctlRecord, error) {
	records, err := readAll[kernel.SysctlRecord](recordsDir + "/sysctl/*/*.json")
	slices.SortFunc(records, func(a, b kernel.SysctlRecord) int {
		return cmp.Or(cmp.Compare(a.Project, b.Project), cmp.Compare(a.Netns, b.Netns), cmp.Compare(a.Key, b.Key))
	})
	return records, err
}

// sweepRecords removes what killed writers left in a folder of records and in those below it, and each folder that is empty then.
func sweepRecords(dir string) error {
	entries, err := os.ReadDir(dir)
	if gone(err) != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := sweepRecords(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return removeFolders(dir)
}

func recordedKeys(records []kernel.SysctlRecord) []kernel.SysctlKey {
	keys := make([]kernel.SysctlKey, len(records))
	for i, r := range records {
		keys[i] = r.SysctlKey
	}
	return keys
}

// readAll reads the records in the files of a pattern (filepath.Glob).
func readAll[T any](pattern string) ([]T, error) {
	files, err := filepath.Glob(pattern)
	if err != nil {
		return nil, err
	}
	var all []T
	for _, file := range files {
		var one T
		var ok bool
		if err := readJSON(file, &one, &ok); err != nil {
			return nil, err
		}
		if ok { // else removed meanwhile
			all = append(all, one)
		}
	}
	return all, nil
}

// readJSON sets ok unless the file is not there.
func readJSON(file string, v any, ok *bool) error {
	b, err := readPlain(file, 255, nil)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("reading %s: %w", file, err)
	}
	*ok = true
	return nil
}

func writeJSON(file string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return writeWhole(file, append(b, '\n'), 0o600)
}
