package linux

import (
	"bufio"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// modules are those that have what options stand for, by the option's name without CONFIG_.
var modules = map[string]string{
	"BONDING":       "bonding",
	"DUMMY":         "dummy",
	"GENEVE":        "geneve",
	"IFB":           "ifb",
	"IPVLAN":        "ipvlan",
	"MACVLAN":       "macvlan",
	"MACVTAP":       "macvtap",
	"NET_IPGRE":     "ip_gre",
	"NET_IPIP":      "ipip",
	"NET_SCH_NETEM": "sch_netem",
	"NET_SCH_TBF":   "sch_tbf",
	"NET_VRF":       "vrf",
	"TUN":           "tun",
	"VLAN_8021Q":    "8021q",
	"VXLAN":         "vxlan",
	"WIREGUARD":     "wireguard",
}

// lackingOptions are those of some options of the kernel's build that the running kernel can't have: it was built without, or as a
// module that is not installed. Where its configuration is not to be found (/proc/config.gz, /boot/config-RELEASE), there are none.
func lackingOptions(options []string) ([]string, error) {
	if len(options) == 0 {
		return nil, nil
	}
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		return nil, err
	}
	release := unix.ByteSliceToString(uts.Release[:])
	built, err := readOptions(release)
	if built == nil || err != nil {
		return nil, err
	}
	installed := sync.OnceValues(func() (string, error) { return readModules(release) })
	var lacking []string
	for _, o := range options {
		if built[o] == "y" || built[o] == "m" && isLoaded(modules[o]) {
			continue
		}
		list := ""
		if built[o] == "m" {
			if list, err = installed(); err != nil {
				return nil, err
			}
		}
		if !strings.Contains(list, "/"+modules[o]+".ko") {
			lacking = append(lacking, o)
		}
	}
	return lacking, nil
}

// readOptions reads the configuration of a kernel's build; nil: there is none to be read.
func readOptions(release string) (map[string]string, error) {
	f, err := os.Open("/proc/config.gz")
	zipped := err == nil
	if errors.Is(err, fs.ErrNotExist) {
		f, err = os.Open("/boot/config-" + release)
	}
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	in := io.Reader(f)
	if zipped {
		if in, err = gzip.NewReader(f); err != nil {
			return nil, err
		}
	}
	options := map[string]string{}
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		if rest, ok := strings.CutPrefix(lines.Text(), "CONFIG_"); ok {
			name, value, _ := strings.Cut(rest, "=")
			options[name] = value
		}
	}
	return options, lines.Err()
}

func isLoaded(module string) bool {
	_, err := os.Stat("/sys/module/" + module)
	return err == nil
}

// readModules reads the list of the modules that are installed where modprobe(8) finds them; "" where there is none.
func readModules(release string) (string, error) {
	for _, folder := range []string{"/lib/modules", "/usr/lib/modules"} {
		data, err := os.ReadFile(filepath.Join(folder, release, "modules.dep"))
		if !errors.Is(err, fs.ErrNotExist) {
			return string(data), err
		}
	}
	return "", nil
}
