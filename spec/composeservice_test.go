package spec_test

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"topo/spec"
)

// service is what Compose and topo both say of a service.
type service struct {
	Image, Hostname, User, Dir, Restart, Network, PullPolicy string
	Argv, Env, Ports, Mounts, DependsOn, Health, Labels      []string
	Hosts, DNS, Search, CapAdd, CapDrop, Security, Tmpfs     []string
	Ulimits, Sysctls, Networks, VolumesFrom, Links           []string
	Init, ReadOnly, Privileged, StdinOpen                    bool
	Memory, NanoCPUs, Pids                                   int64
	Grace                                                    time.Duration
	Signal                                                   string
}

// list makes sorted texts of a map.
func list[K cmp.Ordered, V any](m map[K]V, format func(K, V) string) (texts []string) {
	for _, k := range slices.Sorted(maps.Keys(m)) {
		texts = append(texts, format(k, m[k]))
	}
	return texts
}

func sorted(texts []string) []string {
	texts = slices.Clone(texts)
	slices.Sort(texts)
	return slices.Compact(texts)
}

// noPort is a published port that is left to the machine; topo takes one from there on, the files of these tests none.
const (
	noPort           = "any"
	firstDerivedPort = 49152
)

func equals(k, v string) string { return k + "=" + v }

func fromCompose(p *types.Project) map[string]service {
	services := map[string]service{}
	for name, s := range p.Services {
		v := service{
			Image: s.Image, Hostname: cmp.Or(s.Hostname, name), User: s.User, Dir: s.WorkingDir, Restart: cmp.Or(s.Restart, "no"),
			Network: strings.Replace(s.NetworkMode, "service:", "node:", 1), PullPolicy: s.PullPolicy,
			Argv: slices.Concat(s.Entrypoint, s.Command), Labels: list(s.Labels, equals), Sysctls: list(s.Sysctls, equals),
			DNS: s.DNS, Search: s.DNSSearch, CapAdd: capabilities(s.CapAdd), CapDrop: capabilities(s.CapDrop),
			Security: s.SecurityOpt, VolumesFrom: sorted(s.VolumesFrom), Links: sorted(s.Links),
			Init: s.Init != nil && *s.Init, ReadOnly: s.ReadOnly, Privileged: s.Privileged, StdinOpen: s.StdinOpen,
			Memory: int64(s.MemLimit), NanoCPUs: int64(s.CPUS*1000+0.5) * 1_000_000, Pids: max(0, s.PidsLimit),
			Grace: 10 * time.Second, Signal: s.StopSignal,
		}
		if s.PullPolicy == "" || s.PullPolicy == "if_not_present" {
			v.PullPolicy = "missing"
		}
		if s.Image == "" { // topo's own defaults: Compose would build an image
			v.Signal = cmp.Or(v.Signal, "SIGTERM")
			if len(v.Argv) == 0 {
				v.Argv, v.Init = []string{"sleep", "infinity"}, s.Init == nil || *s.Init
			}
		}
		if s.StopGracePeriod != nil {
			v.Grace = time.Duration(*s.StopGracePeriod)
		}
		for _, k := range slices.Sorted(maps.Keys(s.Environment)) {
			if value := s.Environment[k]; value != nil {
				v.Env = append(v.Env, k+"="+*value)
			}
		}
		for _, port := range s.Ports {
			v.Ports = append(v.Ports, fmt.Sprintf("%s %s:%d/%s", port.HostIP, cmp.Or(port.Published, noPort), port.Target, cmp.Or(port.Protocol, "tcp")))
		}
		for _, m := range s.Volumes {
			v.Mounts = append(v.Mounts, fmt.Sprintf("%s %s %s %v", m.Type, m.Source, m.Target, m.ReadOnly))
		}
		slices.Sort(v.Mounts)
		for _, from := range v.VolumesFrom { // Compose's normalization does it
			name, _, _ := strings.Cut(from, ":")
			if _, said := s.DependsOn[name]; !said {
				s.DependsOn = maps.Clone(s.DependsOn)
				if s.DependsOn == nil {
					s.DependsOn = types.DependsOnConfig{}
				}
				s.DependsOn[name] = types.ServiceDependency{Condition: types.ServiceConditionStarted, Required: true}
			}
		}
		maps.DeleteFunc(s.DependsOn, func(k string, d types.ServiceDependency) bool {
			_, there := p.Services[k]
			return !there && !d.Required
		})
		v.DependsOn = list(s.DependsOn, func(k string, d types.ServiceDependency) string {
			return fmt.Sprintf("%s %s %v %v", k, d.Condition, d.Required, d.Restart)
		})
		v.Hosts = list(s.ExtraHosts, func(k string, addresses []string) string { return k + " " + strings.Join(sorted(addresses), " ") })
		v.Ulimits = list(s.Ulimits, func(k string, u *types.UlimitsConfig) string {
			return fmt.Sprintf("%s %d %d", k, cmp.Or(u.Single, u.Soft), cmp.Or(u.Single, u.Hard))
		})
		maps.DeleteFunc(s.Networks, func(k string, _ *types.ServiceNetworkConfig) bool { return k == "default" || k == "#extensions" })
		v.Networks = list(s.Networks, func(k string, n *types.ServiceNetworkConfig) string {
			if n == nil {
				return k + " [] "
			}
			return fmt.Sprintf("%s %v %s", k, sorted(n.Aliases), n.Ipv4Address)
		})
		v.Health = healthOf(s.HealthCheck)
		for _, text := range s.Tmpfs {
			target, _, _ := strings.Cut(text, ":")
			v.Tmpfs = append(v.Tmpfs, target)
		}
		slices.Sort(v.Tmpfs)
		services[name] = v
	}
	return services
}

func healthOf(h *types.HealthCheckConfig) []string {
	if h == nil || h.Disable || len(h.Test) > 0 && h.Test[0] == "NONE" {
		return nil
	}
	argv := []string(h.Test)
	if len(argv) > 0 {
		argv = argv[1:]
		if h.Test[0] == "CMD-SHELL" {
			argv = append([]string{"/bin/sh", "-c"}, argv...)
		}
	}
	retries := uint64(3)
	if h.Retries != nil {
		retries = *h.Retries
	} else if len(argv) == 0 {
		retries = 0
	}
	or := func(d *types.Duration, otherwise time.Duration) time.Duration {
		switch {
		case d != nil:
			return time.Duration(*d)
		case len(argv) == 0: // the image's
			return 0
		}
		return otherwise
	}
	return append(slices.Clone(argv), fmt.Sprint(or(h.Interval, 30*time.Second), or(h.Timeout, 30*time.Second),
		or(h.StartPeriod, 0), or(h.StartInterval, 5*time.Second), retries))
}

func capabilities(words []string) (list []string) {
	for _, w := range words {
		if w = strings.ToUpper(w); w != "ALL" && !strings.HasPrefix(w, "CAP_") {
			w = "CAP_" + w
		}
		list = append(list, w)
	}
	return sorted(list)
}

func fromTopo(t *spec.Topology) map[string]service {
	services := map[string]service{}
	for _, n := range t.Nodes {
		p := n.Process
		v := service{
			Image: p.Image, Hostname: n.Hostname, User: p.User, Dir: p.Dir, Restart: p.Restart.Policy, Network: string(n.Network),
			PullPolicy: cmp.Or(string(p.PullPolicy), "missing"),
			Argv:       p.Argv, Env: p.Env, Labels: list(n.Labels, equals), Search: n.DNSSearch, Security: p.SecurityOpt, VolumesFrom: sorted(p.VolumesFrom),
			Init: p.Init, ReadOnly: p.ReadOnly, Privileged: p.Privileged, StdinOpen: p.StdinOpen,
			Memory: p.Limits.Memory, NanoCPUs: p.Limits.NanoCPUs, Pids: p.Limits.Pids, Grace: p.StopGrace, Signal: p.StopSignal,
		}
		if p.Restart.Max > 0 {
			v.Restart += fmt.Sprint(":", p.Restart.Max)
		}
		if n.Network == spec.NetworkNode {
			v.Network = "node:" + n.Shares
		}
		for _, port := range n.Ports {
			host := ""
			if port.HostIP.IsValid() {
				host = port.HostIP.String()
			}
			published := strconv.Itoa(int(port.HostPort))
			if port.HostPort >= firstDerivedPort {
				published = noPort
			}
			v.Ports = append(v.Ports, fmt.Sprintf("%s %s:%d/%s", host, published, port.NodePort, port.Protocol))
		}
		for _, m := range p.Mounts {
			if m.From == "" {
				source := m.Source
				if m.Kind == spec.VolumeMount {
					source = m.Volume
				}
				v.Mounts = append(v.Mounts, fmt.Sprintf("%s %s %s %v", m.Kind, source, m.Target, m.ReadOnly))
			}
		}
		slices.Sort(v.Mounts)
		for _, d := range n.DependsOn {
			v.DependsOn = append(v.DependsOn, fmt.Sprintf("%s %s %v %v", d.Node, d.Condition, d.Required, d.Restart))
		}
		slices.Sort(v.DependsOn)
		hosts := map[string][]string{}
		for _, h := range n.ExtraHosts {
			address := "host-gateway"
			if h.Addr.IsValid() {
				address = h.Addr.String()
			}
			hosts[h.Name] = append(hosts[h.Name], address)
		}
		v.Hosts = list(hosts, func(k string, addresses []string) string { return k + " " + strings.Join(sorted(addresses), " ") })
		for _, d := range n.DNS {
			v.DNS = append(v.DNS, d.String())
		}
		for _, c := range p.CapAdd {
			v.CapAdd = append(v.CapAdd, c.Name)
		}
		for _, c := range p.CapDrop {
			v.CapDrop = append(v.CapDrop, c.Name)
		}
		for _, u := range p.Ulimits {
			v.Ulimits = append(v.Ulimits, fmt.Sprintf("%s %d %d", u.Name, u.Soft, u.Hard))
		}
		for _, s := range n.Sysctls {
			v.Sysctls = append(v.Sysctls, equals(s.Key, s.Value))
		}
		for _, l := range n.OneWay {
			v.Links = append(v.Links, strings.TrimSuffix(l.Node+":"+l.Alias, ":"+l.Node))
		}
		slices.Sort(v.Links)
		for _, a := range n.Attachments {
			if a.Bridge == "default" || strings.HasPrefix(a.Bridge, "x-") {
				continue
			}
			address := ""
			if len(a.Addresses) > 0 {
				address = a.Addresses[0].Addr().String()
			}
			v.Networks = append(v.Networks, fmt.Sprintf("%s %v %s", a.Bridge, sorted(a.Aliases), address))
		}
		slices.Sort(v.Networks)
		for _, f := range p.Tmpfs {
			v.Tmpfs = append(v.Tmpfs, f.Target)
		}
		slices.Sort(v.Tmpfs)
		if h := p.Health; h != nil {
			v.Health = append(slices.Clone(h.Argv), fmt.Sprint(h.Interval, h.Timeout, h.StartPeriod, h.StartInterval, h.Retries))
		}
		if n.Of != "" && n.Hostname == n.Name {
			v.Hostname = n.Of
		}
		services[cmp.Or(n.Of, n.Name)] = v
	}
	return services
}
