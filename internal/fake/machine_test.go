package fake

import (
	"errors"
	"flag"
	"os"
	"slices"
	"syscall"
	"testing"

	"topo/internal/kernel"
)

var update = flag.Bool("update", false, "write the goldens anew")

// web is a node on a bridge, with a rule, a file and a process.
var web = []kernel.Op{
	kernel.BridgeAdd{Name: "br0", MAC: "02:00:00:00:00:01", MTU: 1500, Group: 7},
	kernel.NetnsAdd{Name: "p-web", Alias: "topo:p:netns/web", Group: 7},
	kernel.VethAdd{
		A: kernel.VethEnd{Netns: "p-web", Name: "eth0", MAC: "02:00:00:00:00:02", Group: 7, Up: true, Alias: "topo:p:link/web:eth0"},
		B: kernel.VethEnd{Name: "veth0", MAC: "02:00:00:00:00:03", Group: 7, Up: true, Master: "br0", Alias: "topo:p:port/web:eth0"},
	},
	kernel.LinkSet{Name: "br0", Up: ref(true), Alias: ref("topo:p:bridge/app")},
	kernel.AddrAdd{Link: "br0", Prefix: prefix("172.28.0.1/24")},
	kernel.AddrAdd{Netns: "p-web", Link: "eth0", Prefix: prefix("172.28.0.2/24")},
	kernel.RouteReplace{Netns: "p-web", Dst: prefix("0.0.0.0/0"), Via: addr("172.28.0.1"), Link: "eth0", Table: kernel.TableMain},
	kernel.ForwardingOn{Family: kernel.IPv4},
	kernel.Iptables{Family: kernel.IPv4, Table: "nat", Args: "-A POSTROUTING -s 172.28.0.0/24 ! -o br0 -j MASQUERADE"},
	kernel.FileWrite{Path: "/etc/netns/p-web/hosts", Content: kernel.Text{"# topo:p:hosts/web\n127.0.0.1 localhost\n"}},
	kernel.SupervisorStart{Project: "p"},
	kernel.ProcessStart{Process: kernel.Process{
		Project: "p", Node: "web", Netns: "p-web", Argv: []string{"sleep", "infinity"}, Hosts: "/etc/netns/p-web/hosts",
	}},
}

func TestText(t *testing.T) {
	m := New()
	if err := m.Do(t.Context(), web); err != nil {
		t.Fatal(err)
	}
	const golden = "testdata/web.txt"
	if *update {
		if err := os.WriteFile(golden, []byte(m.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got := m.String(); got != string(want) {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestFail(t *testing.T) {
	m := New()
	m.Fail(3, syscall.ENOBUFS)
	err := m.Do(t.Context(), web)
	var failure *kernel.OpError
	if !errors.As(err, &failure) || failure.Op != web[2] || !errors.Is(err, syscall.ENOBUFS) {
		t.Errorf("error %v", err)
	}
	if n := len(m.Done()); n != 2 {
		t.Errorf("%d ops were carried out, want 2", n)
	}
	if err := m.Do(t.Context(), web[2:]); err != nil {
		t.Errorf("the ones after: %v", err)
	}
}

func TestCrash(t *testing.T) {
	for n := range len(web) {
		m := New()
		m.Crash(n, false)
		if err := m.Do(t.Context(), web); !errors.Is(err, ErrCrashed) {
			t.Fatalf("crash after %d: error %v", n, err)
		}
		if err := m.Settle(t.Context(), kernel.Query{Project: "p"}); !errors.Is(err, ErrCrashed) {
			t.Errorf("settling after a crash: %v", err)
		}
		if _, err := m.Snapshot(t.Context(), kernel.Query{}); !errors.Is(err, ErrCrashed) {
			t.Errorf("reading after a crash: %v", err)
		}
		if done := len(m.Done()); !m.Crashed() || done != n {
			t.Errorf("crash after %d: %d were carried out", n, done)
		}
		m.Restart()
		if err := m.Do(t.Context(), web[n:]); err != nil {
			t.Errorf("going on after %d: %v", n, err)
		}
	}
}

// TestCrashSparesTransactions: of ops that are one transaction none is carried out.
func TestCrashSparesTransactions(t *testing.T) {
	m := New()
	before := m.String()
	m.Crash(1, false)
	if err := m.Do(t.Context(), iptables("-N A", "-N B")); !errors.Is(err, ErrCrashed) {
		t.Fatal(err)
	}
	if got := m.String(); got != before {
		t.Errorf("half a transaction:\n%s", got)
	}
}

func TestHalf(t *testing.T) {
	m := New()
	m.Crash(0, true)
	_ = m.Do(t.Context(), web[1:2])
	m.Restart()
	s, err := m.Snapshot(t.Context(), kernel.Query{Project: "p"})
	if err != nil || len(s.Netns) != 1 || !s.Netns[0].Unfinished {
		t.Errorf("half a namespace: %+v, %v", s.Netns, err)
	}
	if err := m.Do(t.Context(), web[:2]); err != nil {
		t.Fatal(err)
	}
	m.Crash(0, true)
	_ = m.Do(t.Context(), web[2:3])
	m.Restart()
	if l := m.host.link("veth0"); l == nil || l.alias != "" || l.group != 7 {
		t.Errorf("half a veth: %+v", l)
	}
}

// TestProcessHoldsNamespace: a namespace lives as long as a process in it, whatever became of its name.
func TestProcessHoldsNamespace(t *testing.T) {
	m := New()
	if err := m.Do(t.Context(), web); err != nil {
		t.Fatal(err)
	}
	if err := m.Do(t.Context(), []kernel.Op{kernel.NetnsDelete{Name: "p-web"}}); err != nil {
		t.Fatal(err)
	}
	if err := m.Settle(t.Context(), kernel.Query{Project: "p"}); !errors.Is(err, syscall.EBUSY) || m.host.link("veth0") == nil {
		t.Errorf("settling: %v", err)
	}
	if err := m.Do(t.Context(), []kernel.Op{kernel.SupervisorStop{Project: "p"}}); !errors.Is(err, syscall.EBUSY) {
		t.Errorf("stopping the supervisor before its process: %v", err)
	}
	if err := m.Do(t.Context(), []kernel.Op{kernel.ProcessStop{Project: "p", Node: "web"}}); err != nil {
		t.Fatal(err)
	}
	if err := m.Settle(t.Context(), kernel.Query{Project: "p"}); err != nil || m.host.link("veth0") != nil {
		t.Errorf("settling: %v", err)
	}
}

func TestProcess(t *testing.T) {
	m := New()
	start := func(node string) kernel.Op {
		return kernel.ProcessStart{Process: kernel.Process{Project: "p", Node: node, Argv: []string{"x"}, Health: &kernel.Healthcheck{}}}
	}
	wait := func(node string, c kernel.Condition) kernel.Op {
		return kernel.ProcessWait{Project: "p", Node: node, Condition: c}
	}
	if err := m.Do(t.Context(), []kernel.Op{start("a")}); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("without a supervisor: %v", err)
	}
	m.Behave("ill", Behaviour{Unhealthy: true})
	m.Behave("bad", Behaviour{ExitCode: 3})
	m.Behave("no", Behaviour{Refuses: true})
	ops := []kernel.Op{kernel.SupervisorStart{Project: "p"}, start("a"), start("ill"), start("bad"), start("job")}
	if err := m.Do(t.Context(), ops); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		op kernel.Op
		ok bool
	}{
		{start("a"), false},
		{start("no"), false},
		{wait("a", kernel.ServiceStarted), true},
		{wait("a", kernel.ServiceHealthy), true},
		{wait("ill", kernel.ServiceHealthy), false},
		{wait("job", kernel.ServiceCompleted), true},
		{wait("bad", kernel.ServiceCompleted), false},
		{wait("none", kernel.ServiceStarted), false},
	} {
		if err := m.Do(t.Context(), []kernel.Op{c.op}); (err == nil) != c.ok {
			t.Errorf("%v: %v", c.op, err)
		}
	}
	s, err := m.Snapshot(t.Context(), kernel.Query{Project: "p"})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range s.Processes {
		got = append(got, p.Process.Node+" "+string(p.Status)+" "+string(p.Health))
	}
	if want := []string{"a running healthy", "bad exited starting", "ill running unhealthy", "job exited starting"}; !slices.Equal(got, want) {
		t.Errorf("processes %v, want %v", got, want)
	}
}

// TestAbsent: a deletion of what is not there succeeds, and is noted.
func TestAbsent(t *testing.T) {
	m := New()
	op := kernel.LinkDelete{Name: "gone"}
	if err := m.Do(t.Context(), append(iptables("-X GONE"), op)); err != nil {
		t.Fatal(err)
	}
	if got := m.Absent(); len(got) != 2 || got[1] != op {
		t.Errorf("absent: %v", got)
	}
}
