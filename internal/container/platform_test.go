package container

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// The files are as Debian's qemu-user-static makes them.
func TestUnfitPlatforms(t *testing.T) {
	t.Parallel()
	const (
		arm64 = "offset 0\nmagic 7f454c460201010000000000000000000200b700\nmask ffffffffffffff00fffffffffffffffffeffffff\n"
		s390x = "offset 0\nmagic 7f454c4602020100000000000000000000020016\nmask ffffffffffffff00fffffffffffffffffffeffff\n"
	)
	head := func(state, flags string) string {
		return state + "\ninterpreter /usr/libexec/qemu-binfmt/x\nflags: " + flags + "\n"
	}
	other := map[string]string{"arm64": "s390x"}[runtime.GOARCH]
	if other == "" {
		other = "arm64"
	}
	magic := map[string]string{"arm64": arm64, "s390x": s390x}[other]
	for name, c := range map[string]struct {
		files    map[string]string // nil: it is not mounted
		platform string
		want     string // in the reason; "" is fit
	}{
		"the machine's":        {nil, "", ""},
		"the machine's, named": {nil, "linux/" + runtime.GOARCH, ""},
		"a handler":            {map[string]string{"status": "enabled\n", "register": "", "qemu": head("enabled", "POCF") + magic}, "linux/" + other, ""},
		"none":                 {map[string]string{"status": "enabled\n", "python3": head("enabled", "") + "offset 0\nmagic 6f0d0d0a\n"}, "linux/" + other, "no handler"},
		"for something else":   {map[string]string{"status": "enabled\n", "qemu": head("enabled", "F") + magic}, "linux/riscv64", "no handler"},
		"switched off":         {map[string]string{"status": "enabled\n", "qemu": head("disabled", "F") + magic}, "linux/" + other, "no handler"},
		"all switched off":     {map[string]string{"status": "disabled\n", "qemu": head("enabled", "F") + magic}, "linux/" + other, "no handler"},
		"not mounted":          {nil, "linux/" + other, "no handler"},
		"no F":                 {map[string]string{"status": "enabled\n", "qemu": head("enabled", "OC") + magic}, "linux/" + other, "its handler qemu lacks the flag F"},
		"by its name's end":    {map[string]string{"status": "enabled\n", "x": "enabled\ninterpreter /x\nflags: F\nextension .x\n"}, "linux/" + other, "no handler"},
		"nonsense":             {map[string]string{"status": "enabled\n", "x": "enabled\nflags: F\noffset -1\nmagic zz\nmask 0\n"}, "linux/" + other, "no handler"},
	} {
		dir := t.TempDir()
		for file, text := range c.files {
			if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if c.files == nil {
			dir = filepath.Join(dir, "absent")
		}
		got := unfit(dir, c.platform)
		if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// A head goes as far as the number of the architecture, which has that one's order of bytes.
func TestHeadsOfPrograms(t *testing.T) {
	t.Parallel()
	for arch, p := range programs {
		if head := headOf(arch); len(head) != 20 || p.machine == 0 {
			t.Errorf("%s: % x", arch, head)
		}
	}
	if head := headOf("s390x"); head[17] != 2 || head[19] != 22 {
		t.Errorf("s390x, whose numbers have the high byte first: % x", head)
	}
}
