package main

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"gopkg.in/yaml.v3"

	"topo/internal/kernel"
	"topo/planner"
	"topo/spec"
)

// everything is a topology that states what the examples don't.
const everything = `
name: everything
prefix: ev-
bridges:
  six: {subnet: [10.9.0.0/24, fd00:9::/64], gateway: [10.9.0.7, "fd00:9::7"], mtu: 1400, mac: 02:00:00:00:00:09, stp: true, forward_delay: 4s}
  shy: {subnet: 10.10.0.0/24, gateway: none}
  cell: {subnet: 10.11.0.0/24, icc: false, masquerade: false, names: false}
  inner: {internal: true}
  plain: {subnet: none}
  house: {external: true, name: br-house, subnet: 10.12.0.0/24}
namespaces:
  r1:
    bridges:
      six: {interface: up0, address: [10.9.0.20, "fd00:9::20"], aliases: [router, gw], host_interface: r1-six, mac: 02:00:00:00:00:0a, mtu: 1300, accept_ra: true}
      cell: {default_route: true}
    routes:
      - {to: 10.77.0.0/16, via: 10.9.0.9, metric: 5}
      - {to: 10.78.0.0/16, interface: up0, table: 100}
      - {to: 10.79.0.0/16, type: blackhole}
      - {to: 10.80.0.0/16, via: 10.9.0.9, src: 10.9.0.20, mtu: 1200}
      - {to: 10.81.0.0/16, via: [10.9.0.8, 10.9.0.9]}
      - {to: 10.82.0.0/16, nexthops: [{via: 10.9.0.8, weight: 3}, {interface: up0}]}
      - {to: 10.83.0.0/16, via: 192.0.2.1, interface: up0, onlink: true}
    sysctls: {net.ipv4.ip_forward: 1}
    rules:
      - {priority: 100, from: 10.9.0.0/24, to: 10.77.0.1, iif: up0, oif: lo, fwmark: 0x10/0xf0, table: 100}
      - {priority: 101, fwmark: 7, type: prohibit}
  guest: {network_mode: "node:r1", command: [sleep, "1"]}
containers:
  all-from-image: {image: "redis:7"}
  command: {image: redis, command: [a], pull_policy: always, platform: linux/aarch64}
  empty-command: {image: redis, command: []}
  entrypoint: {image: "oci:/layout:x", entrypoint: sh -c, command: ["true"], pull_policy: never}
  healthless: {image: "docker-archive:/a.tar", stop_signal: SIGINT, healthcheck: {disable: true}}
  root: {rootfs: /srv/root}
  web:
    bridges: [six, inner]
    command: ["sh", "-c", "echo $$HOME 'quoted' \"true\""]
    environment: {PRICE: "5$$", EMPTY: "", YES: "yes", NUMBER: "007", LINES: "a\nb\n"}
    ports: ["127.0.0.1:8080:80", "[2001:db8::1]:8081:80/tcp", "53:53/udp"]
    links: ["r1:uplink"]
    extra_hosts: ["db=10.0.0.9", "host.docker.internal=host-gateway"]
    dns: [10.9.0.7]
    dns_search: [example.org]
    working_dir: /srv
    user: "1000:1000"
    hostname: www
    volumes: ["/etc:/mnt:ro", {type: bind, source: /usr, target: /u, bind: {propagation: rslave, create_host_path: false}}]
    read_only: true
    init: true
    security_opt: [seccomp=unconfined]
    mem_limit: 100000001
    cpus: 0.333
    pids_limit: 100
    ulimits: {nofile: {soft: 1024, hard: 4096}, memlock: -1}
    cap_add: [net_admin]
    cap_drop: [ALL]
    tmpfs: [/run, "/tmp:size=64m,mode=1777"]
    stop_signal: SIGINT
    stop_grace_period: 90s
    labels: {a.b: "c: d"}
    healthcheck: {test: "true || false", interval: 1s, retries: 7}
    depends_on: {r1: {condition: service_started, restart: true}, guest: {condition: service_completed_successfully, required: false}}
    restart: "on-failure:4"
    logging: {driver: local, options: {max-size: 2m, max-file: 7}}
  alone: {network_mode: none, privileged: true, restart: always, logging: {options: {max-size: -1}}}
  open: {network_mode: host, ports: ["9000:9000"]}
  keeper:
    network_mode: none
    volumes:
      - data:/data:nocopy
      - /cache
      - {type: volume, source: theirs, target: /theirs, read_only: true, volume: {subpath: a/b}}
      - {type: tmpfs, target: /mem, tmpfs: {size: 64m, mode: 0700}}
  heir: {network_mode: none, volumes_from: ["keeper:ro"], volumes: ["/data"]}
  heir2: {network_mode: none, volumes_from: [heir, keeper]}
  apart: {userns_mode: private, sysctls: {net/ipv4/ping_group_range: "1 0"}}
volumes:
  data: {labels: {a.b: "$$c"}}
  theirs: {external: true}
  named: {name: verbatim}
links:
  - [r1:p0, web:p1]
  - endpoints:
      - {node: host, interface: ev-h, address: 10.50.0.1/30}
      - {node: r1, interface: to-host, address: 10.50.0.2/30, mtu: 9000, mac: 02:00:00:00:00:0b, up: false}
`

// TestConfigRoundTrip: what config prints reads as the same topology.
func TestConfigRoundTrip(t *testing.T) {
	t.Parallel()
	texts := map[string]string{"everything": everything}
	for _, name := range []string{"interfaces", "kind-links", "wireguard"} {
		data, err := os.ReadFile(filepath.Join("..", "..", "spec", "testdata", "good", name+".yaml"))
		if err != nil {
			t.Fatal(err)
		}
		texts[name] = string(data)
	}
	files, err := filepath.Glob(filepath.Join("..", "..", "examples", "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		texts[filepath.Base(f)] = string(data)
	}
	for name, text := range texts {
		t.Run(name, func(t *testing.T) {
			want := resolved(t, text)
			var b strings.Builder
			e := yaml.NewEncoder(&b)
			if err := e.Encode(topologyNode(want)); err != nil {
				t.Fatal(err)
			}
			for _, key := range keys {
				if strings.Contains(b.String(), key) {
					t.Errorf("config prints a key:\n%s", b.String())
				}
			}
			got := resolved(t, b.String())
			if d := cmp.Diff(want, got, withoutPlaces...); d != "" {
				t.Errorf("config changes the topology (-want +got):\n%s\n%s", d, b.String())
			}
		})
	}
}

// keys are what stands in testdata's wireguard.yaml, by the variables that config prints in their place.
var keys = map[string]string{
	"PRIVATE_KEY_HUB_WG0":           "aGVsbG8gaGVsbG8gaGVsbG8gaGVsbG8gaGVsbG8gaGU=",
	"PRESHARED_KEY_HUB_WG0_TWO_WG0": "aGVsbG8gaGVsbG8gaGVsbG8gaGVsbG8gaGVsbG8gaGU=",
}

var withoutPlaces = cmp.Options{
	cmpopts.IgnoreTypes(spec.Pos{}),
	cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{}, netip.AddrPort{}),
	cmpopts.EquateEmpty(),
	// config writes the nodes that there are, each as an entry of its own.
	cmpopts.IgnoreFields(spec.Node{}, "Of"),
	cmpopts.IgnoreFields(spec.Topology{}, "Inactive", "Scaled"),
}

func resolved(t *testing.T, text string) *spec.Topology {
	t.Helper()
	loaded, err := spec.Load([]spec.Source{{Name: "test.yaml", Data: []byte(text)}}, spec.Options{Dir: "/srv/lab", ReadFile: os.ReadFile, Env: keys})
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	allocated, err := planner.Allocate(loaded, kernel.Snapshot{})
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return allocated
}
