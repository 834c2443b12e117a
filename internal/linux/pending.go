package linux

import (
	"os"
	"path/filepath"
)

// pendingFile is about a run that waits for its confirmation, putBackFile about one whose state before was put back.
func pendingFile(project string) string { return filepath.Join(runDir, "confirm", project+".json") }

func putBackFile(project string) string { return filepath.Join(runDir, "put-back", project+".json") }

// ReadPending reads what WritePending wrote, nil when no run of the project waits for its confirmation.
func ReadPending(project string) ([]byte, error) {
	b, err := os.ReadFile(pendingFile(project))
	return b, gone(err)
}

// WritePending keeps, whole or not at all, what the state before a run can be put back by. Only its owner reads it: environments and
// keys are in it.
func WritePending(project string, content []byte) error {
	return writeWhole(pendingFile(project), content, 0o600)
}

// RemovePending ends the waiting.
func RemovePending(project string) error { return removeWithFolders(pendingFile(project)) }

// ReadPutBack reads what WritePutBack wrote, nil when there is nothing.
func ReadPutBack(project string) ([]byte, error) {
	b, err := os.ReadFile(putBackFile(project))
	return b, gone(err)
}

// WritePutBack keeps what a watchman did, for whoever looks next.
func WritePutBack(project string, content []byte) error {
	return writeWhole(putBackFile(project), content, 0o600)
}

// RemovePutBack forgets it.
func RemovePutBack(project string) error { return removeWithFolders(putBackFile(project)) }

// RemoveApplied forgets what WriteApplied wrote.
func RemoveApplied(project string) error { return removeWithFolders(appliedFile(project)) }
