package planner_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"topo/internal/fake"
	"topo/internal/kernel"
	"topo/planner"
)

var onMachine = planner.Identity{ID: "m1", Boot: "b1", Namespace: "4026531840"}

// saved is the file of a saved plan.
func (l *lab) saved() []byte {
	l.t.Helper()
	o := l.options()
	p, err := planner.Build(o)
	if err != nil {
		l.t.Fatal(err)
	}
	s, err := planner.Save(p, o, onMachine, "v1.2.3")
	if err != nil {
		l.t.Fatal(err)
	}
	doc, err := s.Encode()
	if err != nil {
		l.t.Fatal(err)
	}
	return doc
}

// stale carries out the check of a saved plan on what is there now.
func (l *lab) stale(doc []byte) error {
	l.t.Helper()
	s, err := planner.LoadSaved(doc)
	if err != nil {
		l.t.Fatal(err)
	}
	o := s.Options()
	o.Snapshot, err = l.m.Snapshot(l.t.Context(), planner.Query(o.Topology, o.Project))
	if err != nil {
		l.t.Fatal(err)
	}
	o.Applied = l.applied
	p, err := planner.Build(o)
	return s.Check(p, o, err)
}

// TestStaleNamesWhatChanged: the plan moves web's MTU; between it and its carrying out somebody does something.
func TestStaleNamesWhatChanged(t *testing.T) {
	mtu := func(netns, name string, n int) kernel.Op {
		return kernel.LinkSet{Netns: netns, Name: name, MTU: &n}
	}
	for name, c := range map[string]struct {
		ops  []kernel.Op
		want []string // lines, without what stands behind; none: it is not stale
	}{
		"nothing":                      {nil, nil},
		"what is changed, otherwise":   {[]kernel.Op{mtu("p-web", "eth0", 1300)}, []string{"link/web:eth0: mtu 1500 → 1300"}},
		"what is changed, as planned":  {[]kernel.Op{mtu("p-web", "eth0", 1400)}, []string{"link/web:eth0: mtu 1500 → 1400", "link/web:eth0 was to be updated, and needs no change now"}},
		"a sysctl beside it":           {[]kernel.Op{kernel.SysctlSet{SysctlKey: kernel.SysctlKey{Netns: "p-web", Key: "net.ipv4.ip_default_ttl"}, Value: "9"}}, []string{"sysctl/web:net.ipv4.ip_default_ttl is to be updated now (changed outside topo): value 9 → 100"}},
		"what it stands on":            {[]kernel.Op{kernel.LinkSet{Name: "p-app", Group: new(uint32)}}, []string{"bridge/app: group "}},
		"something else of the plan's": {[]kernel.Op{mtu("p-redis", "eth0", 1300)}, []string{"link/redis:eth0 is to be updated now (changed outside topo): mtu 1300 → 1500"}},
		"what is gone":                 {[]kernel.Op{kernel.LinkDelete{Netns: "p-web", Name: "eth0"}}, []string{"link/web:eth0 is gone", "address/web:eth0/10.1.0.3/24 is to be created now"}},
		"what is in the way":           {[]kernel.Op{kernel.NetnsDelete{Name: "p-web"}, kernel.NetnsAdd{Name: "p-web"}}, []string{"network namespace p-web: exists and is not topo's"}},
		"somebody else's":              {[]kernel.Op{kernel.BridgeAdd{Name: "br7"}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			l := &lab{t: t, m: fake.New()}
			l.load(baseYAML)
			l.up()
			l.load(strings.Replace(baseYAML, "  web:\n    bridges: [app]\n", "  web:\n    bridges: {app: {mtu: 1400}}\n", 1))
			doc := l.saved()
			if err := l.m.Foreign(c.ops...); err != nil {
				t.Fatal(err)
			}
			before := l.m.String()
			err := l.stale(doc)
			if l.m.String() != before {
				t.Error("the machine was changed")
			}
			stale := new(planner.StaleError)
			if !errors.As(err, &stale) != (c.want == nil) {
				t.Fatalf("%v, want %q", err, c.want)
			}
			for _, line := range c.want {
				if !strings.Contains(err.Error(), "\n"+line) {
					t.Errorf("%v\ndoes not say %q", err, line)
				}
			}
		})
	}
}

func TestSavedPlanIsOfOneMachineAndBoot(t *testing.T) {
	s := &planner.Saved{Project: "p", Machine: onMachine}
	for want, on := range map[string]planner.Identity{
		"":                                      onMachine,
		"this is another machine: m2, not m1":   {ID: "m2", Boot: "b1", Namespace: "4026531840"},
		"this is another machine: none, not m1": {Boot: "b1", Namespace: "4026531840"},
		"the machine was started again":         {ID: "m1", Boot: "b2", Namespace: "4026531840"},
		"this is another network namespace: 4026532000, not 4026531840": {ID: "m1", Boot: "b1", Namespace: "4026532000"},
	} {
		err := s.On(on)
		if (err == nil) != (want == "") || err != nil && !strings.HasSuffix(err.Error(), ":\n"+want) {
			t.Errorf("%v: %v, want %q", on, err, want)
		}
	}
}

func TestWhatIsNoSavedPlan(t *testing.T) {
	l := &lab{t: t, m: fake.New()}
	l.load("name: p\nbridges: {app: {subnet: 10.1.0.0/24}}\n")
	doc := string(l.saved())
	p, err := l.plan().JSON()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ doc, want string }{
		"nothing":         {"", "it is no saved plan"},
		"a topology":      {"name: p\n", "it is no saved plan"},
		"plan --json":     {string(p), "it is no saved plan"},
		"half of one":     {doc[:len(doc)/2], "not all of it is there"},
		"without its end": {strings.TrimSuffix(doc, "\n"), "its digest is another"},
		"more behind it":  {doc + "{}", "not all of it is there"},
		"an edit":         {strings.Replace(doc, `"10.1.0.0/24"`, `"10.2.0.0/24"`, 1), "its digest is another"},
		"another format": {strings.Replace(doc, `"format_version": "1.0",
  "topo"`, `"format_version": "2.0",
  "topo"`, 1), "it is of format 2.0, by topo v1.2.3; this topo carries out format 1.0"},
	} {
		t.Run(name, func(t *testing.T) {
			if c.doc == doc {
				t.Fatal("nothing is changed")
			}
			_, err := planner.LoadSaved([]byte(c.doc))
			if saved := new(planner.SavedError); !errors.As(err, &saved) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

// TestEveryBitCounts: a saved plan in which any one bit is another is refused.
func TestEveryBitCounts(t *testing.T) {
	l := &lab{t: t, m: fake.New()}
	l.load("name: p\nnamespaces: {n: {}}\n")
	doc := l.saved()
	for i := range doc {
		for bit := range 8 {
			doc[i] ^= 1 << bit
			if _, err := planner.LoadSaved(doc); err == nil {
				t.Errorf("bit %d of byte %d: %q", bit, i, doc[max(i-20, 0):i+20])
			}
			doc[i] ^= 1 << bit
		}
	}
	t.Logf("figure: saved plans: %d bits of a file of %d bytes flipped, one at a time: 0 accepted", 8*len(doc), len(doc))
}

func TestWhatCanNotBeSaved(t *testing.T) {
	for name, c := range map[string]struct{ yaml, want string }{
		"a private key":   {"namespaces: {n: {interfaces: {wg0: {type: wireguard, private_key: " + aKey + "}}}}\n", "p.yaml:2:31: the plan can't be saved: private_key of n:wg0 is in the file"},
		"a preshared key": {"namespaces: {n: {interfaces: {wg0: {type: wireguard, peers: [{public_key: " + aKey + ", allowed_ips: 10.7.0.0/24, preshared_key: " + aKey + "}]}}}}\n", "the plan can't be saved: preshared_key of a peer of n:wg0 is in the file"},
		"what is no text": {"namespaces: {n: {command: [a], environment: {A: \"\\xff\"}}}\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			l := &lab{t: t, m: fake.New()}
			l.load("name: p\n" + c.yaml)
			if c.want == "" { // YAML can't say it; a variable of the environment can
				l.top.Nodes[0].Process.Env = []string{"A=\xff"}
				c.want = `the plan can't be saved: "A=\xff" is not UTF-8`
			}
			o := l.options()
			p, err := planner.Build(o)
			if err != nil {
				t.Fatal(err)
			}
			_, err = planner.Save(p, o, onMachine, "v1")
			if unsavable := new(planner.UnsavableError); !errors.As(err, &unsavable) || !strings.HasPrefix(err.Error(), c.want) && !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
			if strings.Contains(fmt.Sprint(err), aKey) {
				t.Errorf("the key is shown: %v", err)
			}
		})
	}
}

const aKey = "aGVsbG8gaGVsbG8gaGVsbG8gaGVsbG8gaGVsbG8gaGU="
