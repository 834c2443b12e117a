package planner

import (
	"testing"

	"topo/spec"
)

// richYAML has something of every kind.
const richYAML = `
name: rich
bridges:
  app: {subnet: [10.1.0.0/24, "fd00:1::/64"]}
  db: {subnet: 10.2.0.0/24, internal: true, icc: false}
  wire: {subnet: none}
  lan: {uplinks: [eth0, eth0.7]}
namespaces:
  r1:
    bridges: [app, wire]
    sysctls: {net.ipv4.ip_forward: "1"}
    routes: [{to: 10.9.0.0/16, via: 10.1.0.77}]
    dns: [192.0.2.53]
  r2:
    bridges: {db: {}, app: {aliases: [two]}}
    command: [sleep, inf]
    environment: {A: b}
    interfaces:
      d0: {type: dummy}
      vx0: {type: vxlan, id: 7, remotes: [192.0.2.1]}
      red: {type: vrf, table: 7, members: [d0]}
      wg0: {type: wireguard, peers: [{public_key: "aGVsbG8gaGVsbG8gaGVsbG8gaGVsbG8gaGVsbG8gaGU=", allowed_ips: 10.7.0.0/24}]}
containers:
  web:
    bridges: [app]
    command: [sleep, inf]
    ports: ["8080:80", "127.0.0.1:8081:81", "53:53/udp"]
    depends_on: [r2]
links:
  - [r1:x1, r2:x2]
`

func load(t testing.TB, yaml string) *spec.Topology {
	t.Helper()
	top, err := spec.Load([]spec.Source{{Name: "t.yaml", Data: []byte(yaml)}}, spec.Options{Dir: "/t"})
	if err != nil {
		t.Fatal(err)
	}
	return top
}
