package linux

import (
	"os"
	"path/filepath"
)

// The folders of topo's own. Both are gone after the last project.
const (
	runDir  = "/run/topo"
	dataDir = "/var/lib/topo"
)

func appliedFile(project string) string {
	return filepath.Join(runDir, "projects", project, "applied.json")
}

// ReadApplied reads what WriteApplied wrote, nil when there is nothing.
func ReadApplied(project string) ([]byte, error) {
	b, err := os.ReadFile(appliedFile(project))
	return b, gone(err)
}

// WriteApplied keeps what the last successful up of a project applied. It decides nothing, it only tells "edited" from "changed
// outside topo". What writers of records left that were killed in a run before, and folders that a change could not remove, go now.
func WriteApplied(project string, content []byte) error {
	if err := sweepFolders(); err != nil {
		return err
	}
	if err := sweepRecords(recordsDir); err != nil {
		return err
	}
	return writeWhole(appliedFile(project), content, 0o600) // environments can hold passwords
}

// RemoveState removes what WriteApplied and WriteSource wrote, and the folders that are empty then.
func RemoveState(project string) error {
	if err := removeWithFolders(appliedFile(project)); err != nil {
		return err
	}
	if err := removeSource(project); err != nil {
		return err
	}
	if err := sweepFolders(); err != nil {
		return err
	}
	if err := sweepRecords(recordsDir); err != nil {
		return err
	}
	if err := removeFolders(keyFile(project, "")); err != nil { // what a killed writer left
		return err
	}
	_, err := removeEmpty(filepath.Join(dataDir, "projects", project))
	if err != nil {
		return err
	}
	return removeFolders(filepath.Join(dataDir, "projects"))
}
