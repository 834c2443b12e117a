package linux

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"topo/internal/kernel"
)

// Turning forwarding on or off for all sets it for every interface, too, and for IPv4 turns "all"'s
// accept_redirects over (inet_forward_change in net/ipv4/devinet.c, addrconf_fixup_forwarding in
// net/ipv6/addrconf.c). On and off again is not what was before, so each value is kept.

// forwardingRecord is what the host's parameters were.
type forwardingRecord struct {
	Family kernel.Family `json:"family"`
	// All is that of the whole namespace: net.ipv4.ip_forward, net.ipv6.conf.all.forwarding.
	All string `json:"all"`
	// Interfaces has each interface's own forwarding, and that of "default".
	Interfaces map[string]string `json:"interfaces"`
	// Redirects is net.ipv4.conf.all.accept_redirects.
	Redirects string `json:"redirects,omitempty"`
}

const redirectsKey = "net.ipv4.conf.all.accept_redirects"

func forwardingFile(f kernel.Family) string {
	return filepath.Join(recordsDir, "forwarding-"+string(f)+".json")
}

func forwardingKey(f kernel.Family) string {
	if f == kernel.IPv6 {
		return "net.ipv6.conf.all.forwarding"
	}
	return "net.ipv4.ip_forward"
}

func interfaceKey(f kernel.Family, name string) string {
	return "net/" + string(f) + "/conf/" + name + "/forwarding"
}

// eachForwarding visits what is recorded of the families that topo forwards.
func eachForwarding(visit func(forwardingRecord) error) error {
	for _, f := range []kernel.Family{kernel.IPv4, kernel.IPv6} {
		var r forwardingRecord
		var ok bool
		err := readJSON(forwardingFile(f), &r, &ok)
		if err == nil && ok {
			err = visit(r)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// readForwards says for each family that the kernel has whether the host forwards.
func readForwards() ([]kernel.Forwarding, error) {
	var forwards []kernel.Forwarding
	for _, f := range []kernel.Family{kernel.IPv4, kernel.IPv6} {
		value, err := readSysctl(forwardingKey(f))
		if absent(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("reading forwarding: %w", err)
		}
		_, err = os.Stat(forwardingFile(f))
		forwards = append(forwards, kernel.Forwarding{Family: f, On: value != "0", Recorded: err == nil})
	}
	return forwards, nil
}

func readForwarding(f kernel.Family) (forwardingRecord, error) {
	r := forwardingRecord{Family: f, Interfaces: map[string]string{}}
	var err error
	if r.All, err = readSysctl(forwardingKey(f)); err != nil {
		return r, err
	}
	if f == kernel.IPv4 {
		if r.Redirects, err = readSysctl(redirectsKey); err != nil {
			return r, err
		}
	}
	folders, err := os.ReadDir("/proc/sys/net/" + string(f) + "/conf")
	if err != nil {
		return r, err
	}
	for _, d := range folders {
		if d.Name() == "all" { // the same as the key of the whole namespace
			continue
		}
		value, err := readSysctl(interfaceKey(f, d.Name()))
		if errors.Is(err, fs.ErrNotExist) {
			continue // the interface went away
		}
		if err != nil {
			return r, err
		}
		r.Interfaces[d.Name()] = value
	}
	return r, nil
}

// forwardingOn does nothing where forwarding is on already, but for what the record would lack: then it was
// not topo that turned it on, and topo will not turn it off.
func (h *Host) forwardingOn(f kernel.Family) error {
	h.records.Lock()
	defer h.records.Unlock()
	now, err := readForwarding(f)
	if err != nil {
		return lacking(fmt.Errorf("reading forwarding: %w", err), string(f), "CONFIG_IPV6")
	}
	if now.All != "0" {
		return nil
	}
	if _, err := os.Stat(forwardingFile(f)); errors.Is(err, fs.ErrNotExist) {
		if err := writeJSON(forwardingFile(f), now); err != nil {
			return fmt.Errorf("recording forwarding: %w", err)
		}
	}
	return h.writeSysctl("", forwardingKey(f), "1")
}

// forwardingRestore puts back what is recorded: first the switch for all, which sets every interface, then
// each interface that still is there and differs.
func (h *Host) forwardingRestore(f kernel.Family) error {
	h.records.Lock()
	defer h.records.Unlock()
	var before forwardingRecord
	var ok bool
	if err := readJSON(forwardingFile(f), &before, &ok); err != nil || !ok {
		return err
	}
	now, err := readForwarding(f)
	if err != nil {
		return err
	}
	if now.All != before.All {
		if err := h.writeSysctl("", forwardingKey(f), before.All); err != nil {
			return err
		}
		if now, err = readForwarding(f); err != nil {
			return err
		}
	}
	for name, value := range before.Interfaces {
		if current, there := now.Interfaces[name]; there && current != value {
			if err := gone(h.writeSysctl("", interfaceKey(f, name), value)); err != nil {
				return err
			}
		}
	}
	if now.Redirects != before.Redirects {
		if err := h.writeSysctl("", redirectsKey, before.Redirects); err != nil {
			return err
		}
	}
	return removeRecord(forwardingFile(f))
}
