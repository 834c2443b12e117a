package planner

import (
	"fmt"
	"net/netip"
	"reflect"
	"testing"
	"time"
	"unsafe"

	"topo/internal/kernel"
)

// notCompared are the fields of resources that are no attributes, each with the reason. All
// others must change what Attrs says: a field that is not compared is neither seen nor repaired.
var notCompared = map[string]string{
	"netns.project":      "says whose it is; the mark is compared",
	"netns.node":         "is the ID",
	"netns.unfinished":   "such a one has no mark, which is compared",
	"bridge.id":          "is the ID",
	"bridge.in":          "is order",
	"bridge.rules":       "is order",
	"up.netns":           "is the bridge's",
	"bridge.about":       "is for the plan's line",
	"veth.id":            "is the ID",
	"veth.carrier":       "says how it is made",
	"veth.other":         "is the other end's own",
	"veth.needs":         "is order",
	"up.bridge":          "is the ID",
	"up.iface":           "is the bridge's",
	"up.needs":           "is order",
	"address.netns":      "follows from the owner; replacing the namespace makes the address anew",
	"address.owner":      "is the ID",
	"address.link":       "is order",
	"address.prefix":     "is the ID",
	"address.primary":    "is order",
	"address.member":     "is order",
	"address.fence":      "is order",
	"route.members":      "is order",
	"device.id":          "is the ID",
	"device.in":          "is order",
	"device.bridge":      "follows from the master",
	"device.listens":     "is order",
	"member.netns":       "follows from the owner",
	"member.owner":       "is the ID",
	"member.iface":       "is the ID",
	"member.link":        "is order",
	"member.before":      "is order",
	"member.on":          "follows from the master's name",
	"remote.netns":       "follows from the owner",
	"remote.owner":       "is the ID",
	"remote.link":        "is order",
	"remote.entry":       "is the ID",
	"key.project":        "says whose it is",
	"key.name":           "is the ID",
	"key.secret":         "is made once, and never changed",
	"wireGuard.netns":    "follows from the owner",
	"wireGuard.owner":    "is the ID",
	"wireGuard.link":     "is order",
	"wireGuard.key":      "its public key is compared",
	"wireGuard.made":     "is order",
	"wireGuard.yields":   "is order",
	"peer.id":            "is the ID",
	"peer.netns":         "follows from the owner",
	"peer.owner":         "is the ID",
	"peer.link":          "is order",
	"peer.key":           "its public key is compared",
	"peer.made":          "is order",
	"peer.prefixes":      "are compared in words",
	"peer.secret":        "its print is compared",
	"route.node":         "is the ID",
	"route.links":        "follow from the interfaces",
	"route.source":       "is order",
	"route.covers":       "is order",
	"vlan.id":            "is the ID",
	"vlan.netns":         "follows from the port",
	"vlan.iface":         "is the port's",
	"vlan.self":          "follows from the ID",
	"vlan.in":            "is order",
	"vlan.initial":       "says how it is made",
	"fdb.netns":          "follows from the port",
	"fdb.iface":          "is the port's",
	"fdb.port":           "is the ID",
	"fdb.in":             "is order",
	"policyRule.node":    "is the ID",
	"policyRule.netns":   "follows from the node",
	"policyRule.copies":  "is the ID",
	"uplink.project":     "says whose it is",
	"uplink.card":        "is the ID",
	"uplink.patience":    "says how it is made",
	"uplink.on":          "is order",
	"uplink.link":        "is order",
	"uplink.about":       "is for the plan's line",
	"uplink.addrs":       "is for the plan's line",
	"uplink.routes":      "is for the plan's line",
	"card.id":            "is the ID",
	"card.project":       "says whose it is",
	"card.netns":         "is order",
	"impair.netns":       "follows from the owner",
	"impair.owner":       "is the ID",
	"impair.iface":       "is the ID",
	"impair.link":        "is order",
	"sysctl.owner":       "is the ID",
	"sysctl.key":         "is the ID",
	"sysctl.project":     "says whose it is",
	"sysctl.record":      "says how it is undone",
	"sysctl.in":          "is order",
	"sysctl.needs":       "is order",
	"forwarding.family":  "is the ID",
	"file.id":            "is the ID",
	"firewall.table":     "is the ID",
	"firewall.kept":      "is the user's",
	"firewall.strays":    "do no harm",
	"chains.project":     "says whose it is",
	"chains.table":       "is the ID",
	"ruleset.id":         "is the ID",
	"ruleset.about":      "is for the plan's line",
	"ruleset.needs":      "is order",
	"ruleset.subnet":     "is the ID",
	"ruleset.port":       "says what is forgotten when the rule is made, which is compared",
	"stray.rule":         "has no wanted side",
	"supervisor.project": "is the ID",
	"process.waits":      "is order",
	"process.needs":      "is order",
	"process.netns":      "follows from the process",
	"image.ref":          "is the ID",
	"image.platform":     "is the ID",
	"image.nodes":        "is order",
	"process.volumes":    "follows from the process",
	"volume.id":          "is the ID",
	"volume.project":     "says whose it is",
	"volume.node":        "is the ID",
	"volume.target":      "is the ID",
	"process.done":       "is a state; Update goes by it",

	"advertisement.owner": "is the ID",
	"advertisement.netns": "follows from the owner",
	"advertisement.iface": "is the ID",
	"advertisement.link":  "is order",
}

// examples has one of each type of resource, or several where no one has all attributes.
func examples() map[string][]Resource {
	tb := table{kernel.IPv4, "filter"}
	rule := kernel.Rule{Family: kernel.IPv4, Table: "filter", Chain: "FORWARD", Spec: "-j ACCEPT"}
	port := veth{id: ID{"port", "a:eth0"}, own: kernel.VethEnd{Name: "v", Master: "br", MTU: 1}}
	return map[string][]Resource{
		"netns":  {netns{}},
		"bridge": {bridge{}},
		// What a link has and a port has not, and the other way round, differ.
		"veth":       {veth{id: ID{"link", "a:eth0"}, own: kernel.VethEnd{Netns: "a"}}, port},
		"up":         {up{}},
		"card":       {card{}},
		"uplink":     {uplink{}},
		"address":    {address{prefix: netip.MustParsePrefix("10.0.0.1/24")}},
		"route":      {route{op: kernel.RouteReplace{Dst: netip.MustParsePrefix("10.0.0.0/24"), Via: netip.MustParseAddr("10.1.0.9"), Table: 254}}},
		"policyRule": {policyRule{rule: kernel.PolicyRule{Mask: 1}}, policyRule{rule: kernel.PolicyRule{Type: "blackhole"}}},
		"impair":     {impair{q: kernel.Qdisc{Kind: "netem", Netem: &kernel.Netem{Duplicate: 1, Corrupt: 1, Reorder: 1, Jitter: 1, Loss: kernel.Loss{P: [5]kernel.Chance{1}}}, TBF: &kernel.TBF{Rate: 1e9}}}},
		"vlan":       {vlan{}},
		"fdb":        {fdb{}},
		"device":     {device{own: kernel.LinkAdd{MAC: "02:00:00:00:00:01"}}, device{own: kernel.LinkAdd{Netns: "a"}}, device{own: kernel.LinkAdd{Master: "br0"}}},
		"member":     {member{}},
		"remote":     {remote{}},
		"key":        {key{}},
		"wireGuard":  {wireGuard{}},
		"peer":       {peer{}},
		"sysctl":     {sysctl{}},
		"forwarding": {forwarding{}},
		"file":       {file{}},
		"firewall":   {firewall{table: tb, jumps: []kernel.Rule{rule}}},
		"chains":     {chains{table: tb, jumps: []kernel.Rule{rule}}},
		"ruleset":    {ruleset{table: tb, rules: []kernel.Rule{rule}}},
		"stray":      {stray{rule}},
		"orphan":     {orphan{}},
		"supervisor": {supervisor{}},
		"image":      {image{}},
		"volume":     {volume{}},
		"process":    {process{p: kernel.Process{Health: &kernel.Healthcheck{}, Restart: kernel.Restart{Policy: kernel.RestartOnFailure}}}},

		"advertisement": {advertisement{}},
	}
}

func TestEveryFieldIsCompared(t *testing.T) {
	resources := examples()
	inID := map[string]bool{
		"route.op.Netns": true, "route.op.Dst": true, "route.op.Metric": true, "route.op.Table": true,
		"policyRule.rule.Family": true, "policyRule.rule.Priority": true,
		"process.p.Project": true, "process.p.Node": true,
		// By kind of end; the other kind compares it.
		"firewall.jumps.Family": true,
		"veth.port.State":       true, // the kernel's own
		// Of attrs, which says the same.
		"bridge.spec.STP": true, "bridge.spec.ForwardDelay": true,
		"bridge.attrs.Follows": true, "bridge.attrs.Changing": true, // how others are read
		"bridge.attrs.DefaultPVID": true, // no file states it; what it does to ports is compared
		// In words, as what it is.
		"device.port.Cost":  true, // the kernel's own
		"device.port.State": true, "device.own.Parent.Netns": true, "device.own.Parent.Name": true,
		"card.own.Kind": true, "card.own.Parent.Netns": true, "card.own.Parent.Name": true, "card.own.MAC": true, "card.own.Alias": true,
		"card.own.Params": true, "card.own.Master": true, // of other links
	}
	for name, rs := range resources {
		typ := reflect.TypeOf(rs[0])
		for i := range typ.NumField() {
			field := name + "." + typ.Field(i).Name
			if _, ok := notCompared[field]; ok {
				continue
			}
			eachLeaf(typ.Field(i).Type, []int{i}, field, func(path []int, leaf string) {
				if inID[leaf] {
					return
				}
				for _, r := range rs {
					if changesAttrs(r, path) {
						return
					}
				}
				t.Errorf("%s is not compared: nobody will see that it differs", leaf)
			})
		}
	}
	for _, k := range kinds {
		for _, r := range k.Desire(richWant(t)) {
			if _, ok := resources[reflect.TypeOf(r).Name()]; !ok {
				t.Errorf("kind %s makes %T, which this test does not know", k.Name, r)
			}
		}
	}
}

// eachLeaf visits the fields of nested structs of ours.
func eachLeaf(t reflect.Type, path []int, name string, visit func([]int, string)) {
	if t.Kind() == reflect.Struct && t.PkgPath() != "net/netip" && t.PkgPath() != "time" {
		for i := range t.NumField() {
			eachLeaf(t.Field(i).Type, append(append([]int{}, path...), i), name+"."+t.Field(i).Name, visit)
		}
		return
	}
	visit(path, name)
}

// changesAttrs sets one field to another value and reports whether Attrs says so.
func changesAttrs(r Resource, path []int) bool {
	return fmt.Sprint(withChanged(r, path).Attrs()) != fmt.Sprint(r.Attrs())
}

// withChanged is a resource with another value of one field.
func withChanged(r Resource, path []int) Resource {
	v := reflect.New(reflect.TypeOf(r)).Elem()
	v.Set(reflect.ValueOf(r))
	f := v.FieldByIndex(path)
	f = reflect.NewAt(f.Type(), unsafe.Pointer(f.UnsafeAddr())).Elem()
	change(f)
	return v.Interface().(Resource)
}

func change(f reflect.Value) {
	switch f.Kind() {
	case reflect.String:
		f.SetString(f.String() + "x")
	case reflect.Bool:
		f.SetBool(!f.Bool())
	case reflect.Int, reflect.Int64:
		f.SetInt(f.Int() + int64(time.Second))
	case reflect.Uint32:
		f.SetUint(f.Uint() + 1)
	case reflect.Slice:
		f.Set(reflect.Append(reflect.MakeSlice(f.Type(), 0, 1), changed(f.Type().Elem())))
	case reflect.Map:
		m := reflect.MakeMap(f.Type())
		m.SetMapIndex(changed(f.Type().Key()), changed(f.Type().Elem()))
		f.Set(m)
	case reflect.Pointer:
		f.Set(reflect.Zero(f.Type()))
	default:
		switch f.Interface().(type) {
		case netip.AddrPort:
			f.Set(reflect.ValueOf(netip.MustParseAddrPort("192.0.2.1:7")))
		case netip.Addr:
			f.Set(reflect.ValueOf(netip.MustParseAddr("192.0.2.1")))
		case netip.Prefix:
			f.Set(reflect.ValueOf(netip.MustParsePrefix("192.0.2.0/24")))
		default:
			panic("no way to change a " + f.Type().String())
		}
	}
}

func changed(t reflect.Type) reflect.Value {
	v := reflect.New(t).Elem()
	if t.Kind() == reflect.Struct {
		for i := range t.NumField() {
			change(v.Field(i))
		}
		return v
	}
	change(v)
	return v
}

func TestEveryFieldOfMountsAndChecksIsCompared(t *testing.T) {
	base := kernel.Process{
		Mounts: []kernel.Mount{{Target: "/a"}}, Health: &kernel.Healthcheck{Argv: []string{"true"}},
		DependsOn: []kernel.Dependency{{Node: "a"}},
	}
	for i := range reflect.TypeFor[kernel.Dependency]().NumField() {
		p := base
		p.DependsOn = []kernel.Dependency{base.DependsOn[0]}
		change(reflect.ValueOf(&p.DependsOn[0]).Elem().Field(i))
		if len(changedAttrs(process{p: base}, process{p: p})) == 0 {
			t.Errorf("Dependency.%s is not compared", reflect.TypeFor[kernel.Dependency]().Field(i).Name)
		}
	}
	for i := range reflect.TypeFor[kernel.Mount]().NumField() {
		p := base
		p.Mounts = []kernel.Mount{base.Mounts[0]}
		change(reflect.ValueOf(&p.Mounts[0]).Elem().Field(i))
		if len(changedAttrs(process{p: base}, process{p: p})) == 0 {
			t.Errorf("Mount.%s is not compared", reflect.TypeFor[kernel.Mount]().Field(i).Name)
		}
	}
	base.Ulimits, base.Tmpfs = []kernel.Ulimit{{Name: "nofile"}}, []kernel.Tmpfs{{Target: "/t"}}
	for i := range reflect.TypeFor[kernel.Ulimit]().NumField() {
		p := base
		p.Ulimits = []kernel.Ulimit{base.Ulimits[0]}
		change(reflect.ValueOf(&p.Ulimits[0]).Elem().Field(i))
		if len(changedAttrs(process{p: base}, process{p: p})) == 0 {
			t.Errorf("Ulimit.%s is not compared", reflect.TypeFor[kernel.Ulimit]().Field(i).Name)
		}
	}
	for i := range reflect.TypeFor[kernel.Tmpfs]().NumField() {
		p := base
		p.Tmpfs = []kernel.Tmpfs{base.Tmpfs[0]}
		change(reflect.ValueOf(&p.Tmpfs[0]).Elem().Field(i))
		if len(changedAttrs(process{p: base}, process{p: p})) == 0 {
			t.Errorf("Tmpfs.%s is not compared", reflect.TypeFor[kernel.Tmpfs]().Field(i).Name)
		}
	}
	base.VolumesFrom = []kernel.VolumesFrom{{Node: "a"}}
	for i := range reflect.TypeFor[kernel.VolumesFrom]().NumField() {
		p := base
		p.VolumesFrom = []kernel.VolumesFrom{base.VolumesFrom[0]}
		change(reflect.ValueOf(&p.VolumesFrom[0]).Elem().Field(i))
		if len(changedAttrs(process{p: base}, process{p: p})) == 0 {
			t.Errorf("VolumesFrom.%s is not compared", reflect.TypeFor[kernel.VolumesFrom]().Field(i).Name)
		}
	}
	for i := range reflect.TypeFor[kernel.Way]().NumField() {
		way := kernel.Way{Via: netip.MustParseAddr("10.1.0.9"), Weight: 2}
		before := route{op: kernel.RouteReplace{RouteMore: kernel.RouteMore{Ways: []kernel.Way{way, way}}}}
		after := route{op: kernel.RouteReplace{RouteMore: kernel.RouteMore{Ways: []kernel.Way{way, way}}}}
		change(reflect.ValueOf(&after.op.Ways[1]).Elem().Field(i))
		if len(changedAttrs(before, after)) == 0 {
			t.Errorf("Way.%s is not compared", reflect.TypeFor[kernel.Way]().Field(i).Name)
		}
	}
	for i := range reflect.TypeFor[kernel.Healthcheck]().NumField() {
		p, h := base, *base.Health
		change(reflect.ValueOf(&h).Elem().Field(i))
		p.Health = &h
		if len(changedAttrs(process{p: base}, process{p: p})) == 0 {
			t.Errorf("Healthcheck.%s is not compared", reflect.TypeFor[kernel.Healthcheck]().Field(i).Name)
		}
	}
}
