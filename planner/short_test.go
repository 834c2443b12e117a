package planner

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"topo/internal/kernel"
	"topo/spec"
)

const needyYAML = `name: p
bridges:
  app: {subnet: [10.1.0.0/24, "fd00:1::/64"]}
namespaces:
  r:
    bridges: [app]
    sysctls:
      net.ipv4.ip_forward: "1"
containers:
  web:
    bridges: [app]
    ports:
      - 8080:80
    image: "oci:/img"
    runtime: /opt/run
    volumes: [data:/data]
volumes:
  data:
`

// Each thing that a machine lacks is told once, at the first place in the file that needs it.
func TestShort(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		need kernel.Need
		want string
	}{
		{kernel.NeedRun, "t.yaml:3:3: bridge/app needs /run/topo, and X ("},
		{kernel.NeedNetnsDir, "t.yaml:5:3: netns/r needs /run/netns, and X (1 more need it, too)"},
		{kernel.NeedEtc, "t.yaml:5:3: hosts/r needs /etc/netns, and X (1 more need it, too)"},
		{kernel.NeedData, "t.yaml:14:12: image/oci:/img needs /var/lib/topo, and X ("},
		{kernel.NeedSysctls, "t.yaml:3:3: bridge/app needs /proc/sys/net, and X ("},
		{kernel.NeedCgroups, "t.yaml:14:12: process/web needs /sys/fs/cgroup, and X"},
		{kernel.NeedOverlay, "t.yaml:14:12: process/web needs overlay, and X"},
		{kernel.NeedRuntimeOf("/opt/run"), "t.yaml:14:12: process/web needs OCI runtime /opt/run, and X"},
		{kernel.NeedIPv6, "t.yaml:3:31: address/host:p-app/fd00:1::1/64 needs IPv6, and X ("},
		{kernel.NeedHostIPv6, "t.yaml:3:31: address/host:p-app/fd00:1::1/64 needs IPv6 of the host's, and X"},
		{kernel.NeedIptables, "t.yaml:3:3: "},
		{kernel.NeedIP6tables, "t.yaml:3:3: "},
		{kernel.NeedRuntime, ""}, // the file states another
	} {
		err := buildShort(t, needyYAML, c.need)
		if c.want == "" {
			if err != nil {
				t.Errorf("%s: %v", c.need, err)
			}
			continue
		}
		var short *ShortError
		var mistakes spec.Errors
		if !errors.As(err, &short) || !errors.As(err, &mistakes) || len(mistakes) != 1 || len(short.Needs) != 1 || short.Needs[0] != c.need {
			t.Errorf("%s: %v", c.need, err)
		} else if !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: %q, want %q", c.need, err, c.want)
		}
	}
	for _, need := range kernel.Needs {
		if err := buildShort(t, "name: p\nvolumes: {}\n", need); err != nil {
			t.Errorf("an empty file needs %s: %v", need, err)
		}
	}
}

// Rules that can't be read are not seen: that they were made, the last up remembers.
func TestShortOnTheWayDown(t *testing.T) {
	t.Parallel()
	s := kernel.Snapshot{Short: map[kernel.Need]string{kernel.NeedIptables: "X"}}
	if _, err := Build(Options{Project: "p", Snapshot: s}); err != nil {
		t.Error(err)
	}
	_, err := Build(Options{Project: "p", Snapshot: s, Applied: Applied{"chain/ipv4/nat": "1", "chain/ipv6/filter": "2"}})
	if want := "chain/ipv4/nat needs iptables, and X"; err == nil || err.Error() != want {
		t.Errorf("%v, want %q", err, want)
	}
}

func buildShort(t *testing.T, yaml string, need kernel.Need) error {
	t.Helper()
	s := kernel.Snapshot{Short: map[kernel.Need]string{need: "X"}, Nameservers: []netip.Addr{}}
	topology, err := Allocate(load(t, yaml), s)
	if err != nil {
		t.Fatal(err)
	}
	_, err = Build(Options{Topology: topology, Project: "p", Snapshot: s})
	return err
}
