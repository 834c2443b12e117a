package examples_test

import (
	"testing"

	"topo/internal/testhost"
)

// breakages are what somebody does by hand to a machine on which flask-redis is up, and the plan that must follow:
// these changes, no others.
var breakages = []struct {
	by   string
	plan []string
}{
	{"ip -n flask-redis-web link set eth0 mtu 1400", []string{"~ link/web:eth0"}},
	{"ip -n flask-redis-web link set eth0 down", []string{"~ link/web:eth0", "+ route/web:default"}},
	{"ip -n flask-redis-web address flush dev eth0 scope global", []string{"+ address/web:eth0/172.28.0.3/24", "+ route/web:default"}},
	{"ip -n flask-redis-web route delete default", []string{"+ route/web:default"}},
	{"ip -n flask-redis-redis link set lo down", []string{"~ netns/redis"}},
	{"ip link set flask-redis-app down", []string{"~ up/app"}},
	{"ip link set flask-redis-app mtu 1300", []string{"~ bridge/app"}},
	{"ip link set flask-redis-app alias mine", []string{"~ bridge/app"}},
	{"ip address flush dev flask-redis-app scope global", []string{"+ address/host:flask-redis-app/172.28.0.1/24"}},
	{
		"ip link set $(ip -n flask-redis-web -o link show eth0 | sed 's/.*@if\\([0-9]*\\):.*/\\1/' | xargs -I{} sh -c \"ip -o link | sed -n 's/^{}: \\([^@]*\\)@.*/\\1/p'\") nomaster",
		[]string{"~ port/web:eth0"},
	},
	{"iptables-save -t nat | grep publish/web | sed 's/^-A/iptables -t nat -D/' | sh", []string{"+ publish/web:5000/tcp"}},
	{"iptables -t nat -F", []string{"~ firewall/ipv4/nat", "~ chain/ipv4/nat", "+ masquerade/app", "+ hairpin/app", "+ publish/web:5000/tcp"}},
	{"iptables -F FORWARD", []string{"~ firewall/ipv4/filter"}},
	{"sysctl -w net.ipv4.ip_forward=0", []string{"~ forwarding/ipv4"}},
	{"sed -i s/172.28.0.2/172.28.0.9/ /etc/netns/flask-redis-web/hosts", []string{"~ hosts/web"}},
}

// Things that take more than a line to break, and need a closer look afterwards.
func TestRepair(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	l := start(t, "flask-redis.yaml")
	page := func() { t.Helper(); l.shows(get("http://127.0.0.1:5000/"), "has been viewed") }
	page()
	web, redis := l.pid("web"), l.pid("redis")

	// The bridge is deleted, with all that hangs on it; the processes are not to blame.
	l.sh("ip link delete flask-redis-app")
	l.plans("ip link delete flask-redis-app",
		"+ bridge/app", "+ up/app", "+ sysctl/host:net/ipv4/conf/flask-redis-app/route_localnet",
		"+ address/host:flask-redis-app/172.28.0.1/24", "~ port/redis:eth0", "~ port/web:eth0")
	l.up()
	l.settled()
	page()

	// A veth is deleted.
	l.sh("ip -n flask-redis-web link delete eth0")
	l.plans("ip -n flask-redis-web link delete eth0",
		"+ link/web:eth0", "+ port/web:eth0", "+ address/web:eth0/172.28.0.3/24", "+ route/web:default")
	l.up()
	l.settled()
	page()
	if l.pid("web") != web || l.pid("redis") != redis {
		t.Error("the repair of links restarted a process")
	}

	// A process is killed: the other one is left alone.
	l.sh("kill -KILL " + web)
	l.gone(web)
	l.plans("the death of web", "~ process/web")
	l.up()
	l.settled()
	page()
	if l.pid("redis") != redis {
		t.Error("the repair of web restarted redis")
	}

	// Half of it is deleted, then all of it is to go.
	l.sh("ip link delete flask-redis-app; iptables -t nat -F; ip netns delete flask-redis-redis")
	l.down()
}
