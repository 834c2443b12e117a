package fake

import (
	"path"
	"strings"
	"syscall"

	"topo/internal/kernel"
)

func (m *Machine) writeFile(o kernel.FileWrite) error {
	if !path.IsAbs(o.Path) || path.Clean(o.Path) != o.Path {
		return syscall.EINVAL
	}
	for other := range m.files {
		if strings.HasPrefix(other, o.Path+"/") {
			return syscall.EISDIR
		}
		if strings.HasPrefix(o.Path, other+"/") {
			return syscall.ENOTDIR
		}
	}
	m.files[o.Path] = o.Content.String()
	return nil
}

func (m *Machine) deleteFile(o kernel.FileDelete) error {
	if _, ok := m.files[o.Path]; !ok {
		return errAbsent
	}
	delete(m.files, o.Path)
	return nil
}

// fileMark is the mark in the first line of a file.
func fileMark(content string) kernel.Mark {
	first, _, _ := strings.Cut(content, "\n")
	mark, _ := kernel.ParseMark(strings.TrimPrefix(first, "# "))
	return mark
}
