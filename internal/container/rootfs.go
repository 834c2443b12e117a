package container

import "os"

// MissingFolders gives those of the paths that are no folders.
func (e *Engine) MissingFolders(paths []string) []string {
	var missing []string
	for _, path := range paths {
		if info, err := os.Stat(path); err != nil || !info.IsDir() {
			missing = append(missing, path)
		}
	}
	return missing
}
