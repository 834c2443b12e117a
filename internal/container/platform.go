package container

import (
	"bufio"
	"bytes"
	"debug/elf"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"topo/internal/image"
)

// binfmtDir is where the kernel keeps handlers of foreign programs (Documentation/admin-guide/binfmt-misc.rst).
const binfmtDir = "/proc/sys/fs/binfmt_misc"

// kin are the other architectures whose programs a machine's own kernel runs.
var kin = map[string]string{"amd64": "386", "arm64": "arm"}

// programs says what the head of an architecture's programs is.
var programs = map[string]struct {
	class   elf.Class
	data    elf.Data
	machine elf.Machine
}{
	"386": {elf.ELFCLASS32, elf.ELFDATA2LSB, elf.EM_386}, "amd64": {elf.ELFCLASS64, elf.ELFDATA2LSB, elf.EM_X86_64},
	"arm": {elf.ELFCLASS32, elf.ELFDATA2LSB, elf.EM_ARM}, "arm64": {elf.ELFCLASS64, elf.ELFDATA2LSB, elf.EM_AARCH64},
	"loong64": {elf.ELFCLASS64, elf.ELFDATA2LSB, elf.EM_LOONGARCH}, "riscv64": {elf.ELFCLASS64, elf.ELFDATA2LSB, elf.EM_RISCV},
	"mips": {elf.ELFCLASS32, elf.ELFDATA2MSB, elf.EM_MIPS}, "mipsle": {elf.ELFCLASS32, elf.ELFDATA2LSB, elf.EM_MIPS},
	"mips64": {elf.ELFCLASS64, elf.ELFDATA2MSB, elf.EM_MIPS}, "mips64le": {elf.ELFCLASS64, elf.ELFDATA2LSB, elf.EM_MIPS},
	"ppc64": {elf.ELFCLASS64, elf.ELFDATA2MSB, elf.EM_PPC64}, "ppc64le": {elf.ELFCLASS64, elf.ELFDATA2LSB, elf.EM_PPC64},
	"s390x": {elf.ELFCLASS64, elf.ELFDATA2MSB, elf.EM_S390},
}

// unfit says why this machine can't run the programs of a platform; "" where it can.
func unfit(dir, platform string) string {
	if platform == "" {
		return ""
	}
	arch := strings.Split(platform, "/")[1]
	if arch == runtime.GOARCH || arch == kin[runtime.GOARCH] {
		return ""
	}
	switch h, found := findHandler(dir, arch); {
	case !found:
		return fmt.Sprintf("this machine is %s, and has no handler for it in %s", image.Machine(), binfmtDir)
	case !strings.Contains(h.flags, "F"):
		// The kernel would look for the interpreter in the container's root, where it isn't.
		return fmt.Sprintf("this machine is %s, and its handler %s lacks the flag F", image.Machine(), h.name)
	}
	return ""
}

// handler is one of the kernel's for foreign programs.
type handler struct {
	name, flags string
	enabled     bool
	offset      int
	magic, mask []byte
}

func findHandler(dir, arch string) (handler, bool) {
	if status, err := os.ReadFile(filepath.Join(dir, "status")); err != nil || strings.TrimSpace(string(status)) != "enabled" {
		return handler{}, false
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		return handler{}, false
	}
	head := headOf(arch)
	for _, f := range files {
		data, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			continue // register is for writing
		}
		if h := parseHandler(f.Name(), data); h.takes(head) {
			return h, true
		}
	}
	return handler{}, false
}

// headOf is how an architecture's programs begin: as much as there is up to e_machine (elf(5)).
func headOf(arch string) []byte {
	p := programs[arch]
	head := append([]byte(elf.ELFMAG), byte(p.class), byte(p.data), byte(elf.EV_CURRENT))
	head = append(head, make([]byte, elf.EI_NIDENT-len(head))...)
	var order binary.AppendByteOrder = binary.LittleEndian
	if p.data == elf.ELFDATA2MSB {
		order = binary.BigEndian
	}
	return order.AppendUint16(order.AppendUint16(head, uint16(elf.ET_EXEC)), uint16(p.machine))
}

func parseHandler(name string, data []byte) handler {
	h := handler{name: name}
	lines := bufio.NewScanner(bytes.NewReader(data))
	for lines.Scan() {
		key, value, _ := strings.Cut(lines.Text(), " ")
		switch key {
		case "enabled":
			h.enabled = true
		case "flags:":
			h.flags = value
		case "offset":
			h.offset, _ = strconv.Atoi(value)
		case "magic":
			h.magic, _ = hex.DecodeString(value)
		case "mask":
			h.mask, _ = hex.DecodeString(value)
		}
	}
	return h
}

// takes reports whether the kernel gives a program that begins so to the handler.
func (h handler) takes(head []byte) bool {
	if !h.enabled || len(h.magic) == 0 || h.offset < 0 || h.offset+len(h.magic) > len(head) {
		return false
	}
	for i, m := range h.magic {
		b := head[h.offset+i]
		if i < len(h.mask) {
			b, m = b&h.mask[i], m&h.mask[i]
		}
		if b != m {
			return false
		}
	}
	return true
}
