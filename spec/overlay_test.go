package spec_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"topo/spec"
)

// sources are files a.yaml, b.yaml… of texts.
func sources(texts ...string) []spec.Source {
	var list []spec.Source
	for i, text := range texts {
		list = append(list, spec.Source{Name: fmt.Sprintf("%c.yaml", 'a'+i), Data: []byte(text)})
	}
	return list
}

// means checks that files, each laid over those before it, mean what one does.
func means(t *testing.T, one string, files ...string) {
	t.Helper()
	want, err := spec.Load(sources(one), options())
	if err != nil {
		t.Fatal(err)
	}
	have, err := spec.Load(sources(files...), options())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(dump(t, want), dump(t, have)); diff != "" {
		t.Errorf("-one file +%d files:\n%s", len(files), diff)
	}
}

// A file laid over another means what one file means that says both.
func TestOverlay(t *testing.T) {
	const key1, key2 = "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "AgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
	// Each is what web says: in the first file, in the second, and in one that means both.
	for name, c := range map[string][3]string{
		"a scalar":            {`hostname: a`, `hostname: b`, `hostname: b`},
		"a new key":           {`hostname: a`, `user: b`, `{hostname: a, user: b}`},
		"nothing":             {`hostname: a`, ``, `hostname: a`},
		"null":                {`environment: {A: 1}`, `environment:`, `environment: {A: 1}`},
		"command":             {`command: [a, b]`, `command: c`, `command: [c]`},
		"entrypoint":          {`entrypoint: a`, `entrypoint: [b, c]`, `entrypoint: [b, c]`},
		"environment, maps":   {`environment: {A: 1, B: 2}`, `environment: {B: 3, C: 4}`, `environment: {A: 1, B: 3, C: 4}`},
		"environment, lists":  {`environment: [A=1, B=2]`, `environment: [B=3, C=4]`, `environment: [A=1, B=3, C=4]`},
		"environment, both":   {`environment: [A=1, B=2]`, `environment: {B: 3}`, `environment: {A: 1, B: 3}`},
		"environment, both 2": {`environment: {A: 1, B: 2}`, `environment: [B]`, `environment: [A=1, B]`},
		"labels":              {`labels: {a: 1}`, `labels: ["a=2", "b=3"]`, `labels: {a: 2, b: 3}`},
		"sysctls":             {`sysctls: {net.ipv4.ip_forward: 0}`, `sysctls: [net.ipv4.ip_forward=1]`, `sysctls: {net.ipv4.ip_forward: 1}`},
		"extra_hosts":         {`extra_hosts: [a=10.0.0.1, b=10.0.0.2]`, `extra_hosts: {b: 10.0.0.3}`, `extra_hosts: [a=10.0.0.1, b=10.0.0.2, b=10.0.0.3]`},
		"extra_hosts, maps":   {`extra_hosts: {a: 10.0.0.1, b: 10.0.0.2}`, `extra_hosts: {b: [10.0.0.3, 10.0.0.2]}`, `extra_hosts: {a: 10.0.0.1, b: [10.0.0.2, 10.0.0.3]}`},
		"extra_hosts, lists":  {`extra_hosts: [a=10.0.0.1]`, `extra_hosts: [a=10.0.0.1, a=10.0.0.2]`, `extra_hosts: [a=10.0.0.1, a=10.0.0.2]`},
		"dns":                 {`dns: 10.0.0.1`, `dns: [10.0.0.2, 10.0.0.1]`, `dns: [10.0.0.1, 10.0.0.2]`},
		"cap_add":             {`cap_add: [NET_ADMIN]`, `cap_add: [SYS_TIME, NET_ADMIN]`, `cap_add: [NET_ADMIN, SYS_TIME]`},
		"tmpfs":               {`tmpfs: /a`, `tmpfs: [/b]`, `tmpfs: [/a, /b]`},
		"ports":               {`ports: ["80:80", "81:81"]`, `ports: ["82:82", "80:80/tcp"]`, `ports: ["80:80/tcp", "81:81", "82:82"]`},
		"ports, forms":        {`ports: ["80:80"]`, `ports: [{target: 80, published: 80, name: web}]`, `ports: ["80:80"]`},
		"volumes":             {`volumes: ["data:/a", "./x:/b"]`, `volumes: ["logs:/a:ro", /c]`, `volumes: ["logs:/a:ro", "./x:/b", /c]`},
		"volumes, forms":      {`volumes: ["data:/a"]`, `volumes: [{type: tmpfs, target: /a}]`, `volumes: [{type: tmpfs, target: /a}]`},
		"healthcheck":         {`healthcheck: {test: [CMD, a], interval: 5s}`, `healthcheck: {test: b, retries: 7}`, `healthcheck: {test: b, interval: 5s, retries: 7}`},
		"logging":             {`logging: {options: {max-size: 1m}}`, `logging: {options: {max-file: 2}}`, `logging: {options: {max-size: 1m, max-file: 2}}`},
		"ulimits":             {`ulimits: {nofile: {soft: 10, hard: 20}, nproc: 5}`, `ulimits: {nofile: 30}`, `ulimits: {nofile: 30, nproc: 5}`},
		"depends_on, lists":   {`depends_on: [db]`, `depends_on: [store, db]`, `depends_on: [db, store]`},
		"depends_on, both": {
			`depends_on: [db, store]`, `depends_on: {db: {condition: service_started, restart: true}}`,
			`depends_on: {db: {restart: true}, store: {condition: service_started}}`,
		},
		"depends_on, both 2": {
			`depends_on: {db: {restart: true, required: false}}`, `depends_on: [db, store]`,
			`depends_on: {db: {restart: true}, store: {condition: service_started}}`,
		},
		"depends_on, maps": {
			`depends_on: {db: {restart: true}}`, `depends_on: {db: {required: false}}`,
			`depends_on: {db: {restart: true, required: false}}`,
		},
		"bridges, lists": {`bridges: [app]`, `bridges: [back, app]`, `bridges: [app, back]`},
		"bridges, both": {
			`bridges: [app, back]`, `bridges: {back: {aliases: [b]}}`,
			`bridges: {app: , back: {aliases: [b]}}`,
		},
		"bridges, both 2": {
			`bridges: {back: {aliases: [b], mtu: 1400}}`, `bridges: [app]`,
			`bridges: {back: {aliases: [b], mtu: 1400}, app: }`,
		},
		"bridges, maps": {
			`bridges: {back: {aliases: [b], mtu: 1400, address: 10.2.0.8}}`, `bridges: {back: {aliases: [c], mtu: 1300, address: 10.2.0.9}}`,
			`bridges: {back: {aliases: [b, c], mtu: 1300, address: 10.2.0.9}}`,
		},
		"routes": {
			`{bridges: [app], routes: [{to: 10.9.0.0/16, via: 10.1.0.8}]}`, `routes: [{to: 10.9.0.0/16, via: 10.1.0.9}, {to: 10.9.0.0/16, via: 10.1.0.8, metric: 5}]`,
			`{bridges: [app], routes: [{to: 10.9.0.0/16, via: 10.1.0.9}, {to: 10.9.0.0/16, via: 10.1.0.8, metric: 5}]}`,
		},
		"peers": {
			`interfaces: {w: {type: wireguard, address: 10.9.0.1/24, peers: [{public_key: "` + key1 + `", allowed_ips: 10.9.0.2}]}}`,
			`interfaces: {w: {type: wireguard, peers: {far: {public_key: "` + key2 + `", allowed_ips: 10.9.0.3}}}}`,
			`interfaces: {w: {type: wireguard, address: 10.9.0.1/24, peers: [{public_key: "` + key1 + `", allowed_ips: 10.9.0.2}, {public_key: "` + key2 + `", allowed_ips: 10.9.0.3}]}}`,
		},
		"profiles":                              {`profiles: [a]`, `profiles: [b]`, `profiles: [a, b]`},
		"scale":                                 {`scale: 2`, `scale: 3`, `scale: 3`},
		"reset":                                 {`{ports: ["80:80"], hostname: a}`, `ports: !reset []`, `hostname: a`},
		"reset of one":                          {`environment: {A: 1, B: 2}`, `environment: {A: !reset null}`, `environment: {B: 2}`},
		"reset of one, list":                    {`environment: [A=1, B=2]`, `environment: {A: !reset null}`, `environment: {B: 2}`},
		"reset of a scalar":                     {`hostname: a`, `hostname: !reset`, ``},
		"reset by a merge key":                  {`{ports: ["80:80"], hostname: a}`, `{x-r: &r {ports: !reset []}, x-s: &s {<<: *r}, <<: [*s]}`, `hostname: a`},
		"reset by an alias":                     {`{ports: ["80:80"], hostname: a}`, `{x-r: &r !reset [], ports: *r, hostname: *r}`, ``},
		"a merged reset that is said otherwise": {`ports: ["80:80"]`, `{x-r: &r {ports: !reset []}, <<: *r, ports: ["81:81"]}`, `ports: ["80:80", "81:81"]`},
		"override by an alias":                  {`{ports: ["80:80"]}`, `{x-r: &r !override ["81:81"], ports: *r}`, `ports: ["81:81"]`},
		"a merge key of a list":                 {``, `{x-r: &r [{hostname: a}, {hostname: b, user: c}], <<: *r}`, `{hostname: a, user: c}`},
		"override":                              {`ports: ["80:80"]`, `ports: !override ["81:81"]`, `ports: ["81:81"]`},
		"override of a map":                     {`environment: {A: 1}`, `environment: !override {B: 2}`, `environment: {B: 2}`},
		"override alone":                        {``, `ports: !override ["81:81"]`, `ports: ["81:81"]`},
		"variables":                             {`environment: {A: "${SET}"}`, `environment: ["B=${SET}"]`, `environment: {A: "yes", B: "yes"}`},
	} {
		t.Run(name, func(t *testing.T) {
			texts := make([]string, 3)
			for i, web := range c {
				texts[i] = `
name: lab
bridges: {app: {subnet: 10.1.0.0/24}, back: {subnet: 10.2.0.0/24}}
volumes: {data: , logs: }
containers:
  db: {command: [a]}
  store: {command: [a]}
  web:
    ` + web + "\n"
			}
			means(t, texts[2], texts[:2]...)
		})
	}
}

// Three files, each of which adds to the whole: bridges, nodes, links and volumes of all are there.
func TestOverlayOfTheTopLevel(t *testing.T) {
	means(t, `
name: c
bridges: {app: {subnet: 10.3.0.0/24, mtu: 1400}, back: {subnet: none}}
namespaces: {red: {bridges: [app]}, blue: }
links: [[red:x, blue:y]]
volumes: {data: }
`,
		"name: a\nbridges: {app: {subnet: 10.1.0.0/24, mtu: 1400}}\nnamespaces: {red: {bridges: [app]}}\n",
		"bridges: {app: {subnet: 10.3.0.0/24}, back: {subnet: none}}\ncontainers: {web: {volumes: [\"data:/d\"]}}\nvolumes: {data: }\n",
		"name: c\nnamespaces: {blue: }\nlinks: [[red:x, blue:y]]\nx-note: {any: thing}\ncontainers: !reset {}\n",
	)
}

// Uplinks that a later file states were lost where an earlier one has the bridge.
func TestOverlayOfUplinks(t *testing.T) {
	for name, c := range map[string][3]string{
		"none before": {`{}`, `{uplinks: [em1]}`, `{uplinks: [em1]}`},
		"lists":       {`{uplinks: [em1]}`, `{uplinks: [em2, em1]}`, `{uplinks: [em1, em2]}`},
		"both": {
			`{vlan_filtering: true, uplinks: [em1, em2]}`, `{uplinks: {em1: {vlan: 5}}}`,
			`{vlan_filtering: true, uplinks: {em1: {vlan: 5}, em2: }}`,
		},
		"maps": {
			`{vlan_filtering: true, uplinks: {em1: {vlan: 5}}}`, `{uplinks: {em1: {vlan: {tagged: 7}}, em2: }}`,
			`{vlan_filtering: true, uplinks: {em1: {vlan: {tagged: 7}}, em2: }}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			file := func(bridge string) string { return "{name: lab, bridges: {app: " + bridge + "}}" }
			means(t, file(c[2]), file(c[0]), file(c[1]))
		})
	}
}

// Mistakes are those of all files, each at its place.
func TestOverlayMistakes(t *testing.T) {
	_, err := spec.Load(sources(
		"name: lab\nbridges: {app: {subnet: 10.1.0.0/24}}\nnamespaces:\n  red: {bridges: {app: {interface: x}}, colour: red}\n",
		"namespaces:\n  red: {mtu: 5}\n  blue: {bridges: [app, ape], ports: [\"80:80\"]}\ncontainers:\n  red: {ports: [\"80:80\"]}\nlinks: [[red:x, blue:x]]\n",
	), options())
	want := []string{
		"a.yaml:4:36: interface red:x is there twice, also in line 6 of b.yaml", // links are read before bridges
		`a.yaml:4:41: unknown key "colour"`,
		`b.yaml:2:9: unknown key "mtu"`,
		`b.yaml:3:25: there is no bridge "ape", did you mean "app"?`,
		`b.yaml:5:3: node "red" is there twice, as a namespace in line 4 of a.yaml`,
		`b.yaml:5:17: host port 80/tcp is already that of blue (line 3)`,
	}
	if err == nil {
		t.Fatal("no mistake")
	}
	if diff := cmp.Diff(want, strings.Split(err.Error(), "\n")); diff != "" {
		t.Error(diff)
	}

	_, err = spec.Load(sources("name: [\n", "name: lab\nbridges: {a: {mut: 1}}\n", ""), options())
	if err == nil || !strings.Contains(err.Error(), "a.yaml:1:") || !strings.Contains(err.Error(), "b.yaml:2:15") || !strings.Contains(err.Error(), "c.yaml:1:1: the file is empty") {
		t.Error(err)
	}
}
