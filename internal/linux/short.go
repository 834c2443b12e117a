package linux

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"topo/internal/kernel"
)

// readShort says which needs the machine can't meet, as far as the network goes. It changes nothing.
func readShort(iptables map[kernel.Family]string) (map[kernel.Need]string, error) {
	short := map[kernel.Need]string{}
	for need, path := range map[kernel.Need]string{
		kernel.NeedRun: runDir, kernel.NeedNetnsDir: netnsDir, kernel.NeedEtc: etcNetns,
		kernel.NeedSysctls: "/proc/sys/net/ipv4/ip_forward",
	} {
		if err := Writable(path); err != nil {
			short[need] = err.Error()
		}
	}
	for family, reason := range iptables {
		short[kernel.NeedRules(family)] = "its rules can't be read: " + reason
	}
	switch off, err := readSysctl("net.ipv6.conf.default.disable_ipv6"); {
	case absent(err):
		short[kernel.NeedIPv6] = "this kernel has none: it was booted with ipv6.disable=1, or built without CONFIG_IPV6"
	case err != nil:
		return nil, fmt.Errorf("looking for IPv6: %w", err)
	case off != "0":
		short[kernel.NeedHostIPv6] = "net.ipv6.conf.default.disable_ipv6 is " + off
	}
	return short, nil
}

// Writable says why a file can't be written, or one that is not there be made. It tries nothing.
func Writable(path string) error {
	for ; ; path = filepath.Dir(path) {
		err := unix.Access(path, unix.W_OK)
		if !errors.Is(err, unix.ENOENT) || path == "/" {
			if err != nil {
				return &os.PathError{Op: "writing", Path: path, Err: err}
			}
			return nil
		}
	}
}
