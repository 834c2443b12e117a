package fake

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"syscall"

	"topo/internal/kernel"
)

// Machine is a host in memory. It is safe for use by many goroutines.
type Machine struct {
	mu        sync.Mutex
	host      *space
	named     map[string]*space   // /run/netns
	leftovers map[string]bool     // empty files in /run/netns with no namespace mounted on them
	dying     []*space            // deleted; the kernel has not come round to it, or a process lives there
	settled   bool                // all has happened since the last edit that happens by itself
	tables    map[tableKey]*table // those that somebody has used
	records   map[recordKey]string
	forwards  map[kernel.Family]map[string]string // sysctls of the host from before forwarding was turned on
	files     map[string]string
	listeners []kernel.Listener

	supervisors map[string]int // project → PID
	processes   map[processKey]*process
	behaviours  map[string]Behaviour // by node
	registry    map[string]string    // what images are named elsewhere: reference → digest
	images      map[imageKey]string  // the store, likewise
	volumes     map[string]kernel.Volume
	keys        map[keyID]kernel.Secret // that topo made
	keysMade    map[keyID]int           // ever
	keyFiles    map[string]kernel.Secret
	uplinks     map[string]*uplink  // by card
	lent        map[string]*lent    // by card
	silent      map[netip.Addr]bool // gateways that answer on cards only

	serial int // of link indices, process IDs and times: with several workers, not the same in every run
	faults faults
}

// ErrCrashed is what everything returns after a crash, until [Machine.Restart].
var ErrCrashed = errors.New("the process that ran topo is dead")

// faults is what goes wrong, and the record of what went right.
type faults struct {
	count   int // ops that were begun since the last Inject, Crash or Restart
	fail    map[int]error
	crashAt int // the op that is never carried out; 0: none
	half    bool
	crashed bool
	done    []kernel.Op
	absent  []kernel.Op
}

// New is a machine with lo and one network card, eth0, that has 192.0.2.10/24,
// 2001:db8:2::10/64 and default routes. Nothing forwards.
func New() *Machine {
	m := &Machine{
		named:       map[string]*space{},
		leftovers:   map[string]bool{},
		tables:      map[tableKey]*table{},
		records:     map[recordKey]string{},
		forwards:    map[kernel.Family]map[string]string{},
		files:       map[string]string{},
		supervisors: map[string]int{},
		processes:   map[processKey]*process{},
		behaviours:  map[string]Behaviour{},
		registry:    map[string]string{},
		images:      map[imageKey]string{},
		volumes:     map[string]kernel.Volume{},
		keys:        map[keyID]kernel.Secret{},
		keysMade:    map[keyID]int{},
		keyFiles:    map[string]kernel.Secret{},
		uplinks:     map[string]*uplink{},
		lent:        map[string]*lent{},
		silent:      map[netip.Addr]bool{},
	}
	m.host = m.newSpace("")
	up := true
	eth0 := &link{space: m.host, name: "eth0", mac: "52:54:00:00:00:10", mtu: 1500}
	m.insert(eth0)
	must(m.setLink(kernel.LinkSet{Name: "lo", Up: &up}))
	must(m.setLink(kernel.LinkSet{Name: "eth0", Up: &up}))
	must(m.addAddr(kernel.AddrAdd{Link: "eth0", Prefix: prefix("192.0.2.10/24")}))
	must(m.addAddr(kernel.AddrAdd{Link: "eth0", Prefix: prefix("2001:db8:2::10/64")}))
	must(m.replaceRoute("", kernel.Route{Dst: prefix("0.0.0.0/0"), Via: addr("192.0.2.1"), Link: "eth0", Protocol: 4}))
	must(m.replaceRoute("", kernel.Route{Dst: prefix("::/0"), Via: addr("2001:db8:2::1"), Link: "eth0", Protocol: 4}))
	m.settle()
	return m
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// Fail makes the n-th op from now (from 1) fail with err, without effect.
func (m *Machine) Fail(n int, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.faults.count = 0
	m.faults.fail = map[int]error{n: err}
}

// Crash makes topo die after n more ops: the next one is not carried out, and
// everything returns [ErrCrashed] until [Machine.Restart]. The machine lives on. With half, the
// next op is half done, as far as it can be: a namespace made and not mounted, a
// link without its alias, a record written and its sysctl not, a card's addresses on the card and on the bridge.
func (m *Machine) Crash(n int, half bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.faults.count = 0
	m.faults.crashAt, m.faults.half = n+1, half
}

// Restart ends a crash, and forgets all faults and what was recorded.
func (m *Machine) Restart() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.faults = faults{}
}

// Crashed reports whether a crash came to pass.
func (m *Machine) Crashed() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.faults.crashed
}

// Done is the ops that were carried out since the last Restart, in order.
func (m *Machine) Done() []kernel.Op {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]kernel.Op(nil), m.faults.done...)
}

// Absent is the ops among them that deleted what was not there. That succeeds, but where
// nobody interferes it tells of a wrong order.
func (m *Machine) Absent() []kernel.Op {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]kernel.Op(nil), m.faults.absent...)
}

// Foreign carries out edits as somebody else: they are neither recorded nor counted.
func (m *Machine) Foreign(ops ...kernel.Op) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, op := range ops {
		if err := m.one(op); err != nil && !errors.Is(err, errAbsent) {
			return &kernel.OpError{Op: op, Err: err}
		}
	}
	return nil
}

// Do implements executor.Machine.
func (m *Machine) Do(ctx context.Context, ops []kernel.Op) error {
	for batch := range kernel.Transactions(ops) {
		if err := m.transaction(ctx, batch); err != nil {
			return err
		}
	}
	return nil
}

// transaction carries out ops of which either all or none take effect.
func (m *Machine) transaction(ctx context.Context, ops []kernel.Op) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.faults.crashed {
		return ErrCrashed
	}
	for _, op := range ops {
		if wait, ok := op.(kernel.ProcessWait); ok && ctx.Err() != nil {
			return &kernel.OpError{Op: wait, Err: ctx.Err()}
		}
	}
	for _, op := range ops {
		m.faults.count++
		if err := m.faults.fail[m.faults.count]; err != nil {
			return &kernel.OpError{Op: op, Err: err}
		}
		if m.faults.count == m.faults.crashAt {
			m.faults.crashed = true
			if m.faults.half {
				m.half(op)
			}
			return ErrCrashed
		}
	}
	if _, ok := ops[0].(kernel.Iptables); ok {
		refused, absent, err := m.iptables(ops)
		if err != nil {
			return &kernel.OpError{Op: refused, Err: err}
		}
		m.faults.absent = append(m.faults.absent, absent...)
		m.faults.done = append(m.faults.done, ops...)
		return nil
	}
	err := m.one(ops[0])
	switch {
	case errors.Is(err, errAbsent):
		m.faults.absent = append(m.faults.absent, ops[0])
	case err != nil:
		return &kernel.OpError{Op: ops[0], Err: err}
	}
	m.faults.done = append(m.faults.done, ops[0])
	return nil
}

// errAbsent is what an edit returns that deleted nothing: a success, but a noted one.
var errAbsent = errors.New("not there")

func (m *Machine) one(op kernel.Op) error {
	m.settled = false
	switch o := op.(type) {
	case kernel.NetnsAdd:
		return m.addNetns(o)
	case kernel.NetnsDelete:
		return m.deleteNetns(o)
	case kernel.BridgeAdd:
		return m.addBridge(o)
	case kernel.BridgeSet:
		return m.setBridge(o)
	case kernel.PortSet:
		return m.setPort(o)
	case kernel.VethAdd:
		return m.addVeth(o)
	case kernel.LinkAdd:
		return m.addLink(o)
	case kernel.LinkParams:
		return m.setParams(o)
	case kernel.Enslave:
		return m.enslave(o)
	case kernel.RemoteAdd:
		return m.addRemote(o)
	case kernel.RemoteDelete:
		return m.deleteRemote(o)
	case kernel.KeyAdd:
		return m.addKey(o)
	case kernel.KeyDelete:
		return m.deleteKey(o)
	case kernel.WireGuardSet:
		return m.setWireGuard(o)
	case kernel.PeerSet:
		return m.setPeer(o)
	case kernel.PeerDelete:
		return m.deletePeer(o)
	case kernel.LinkSet:
		return m.setLink(o)
	case kernel.LinkDelete:
		return m.deleteLink(o)
	case kernel.GroupDelete:
		return m.deleteGroup(o)
	case kernel.AddrAdd:
		return m.addAddr(o)
	case kernel.AddrDelete:
		return m.deleteAddr(o)
	case kernel.RouteReplace:
		return m.replaceRoute(o.Netns, kernel.Route{
			Dst: o.Dst, Via: o.Via, Link: o.Link, Metric: o.Metric, Table: o.Table, Protocol: kernel.Protocol, Type: o.Type, RouteMore: o.RouteMore,
		})
	case kernel.RouteDelete:
		return m.deleteRoute(o)
	case kernel.VLANAdd:
		return m.addVLAN(o)
	case kernel.VLANDelete:
		return m.deleteVLAN(o)
	case kernel.FDBReplace:
		return m.replaceFDB(o)
	case kernel.FlowsDelete, kernel.FlowsRenew:
		return nil // no flow is tracked here
	case kernel.FDBDelete:
		return m.deleteFDB(o)
	case kernel.PolicyRuleAdd:
		return m.addPolicyRule(o)
	case kernel.PolicyRuleDelete:
		return m.deletePolicyRule(o)
	case kernel.NetemSet:
		return m.setNetem(o)
	case kernel.TBFSet:
		return m.setTBF(o)
	case kernel.QdiscDelete:
		return m.deleteQdisc(o)
	case kernel.UplinkTake:
		return m.takeUplink(o)
	case kernel.UplinkRelease:
		return m.releaseUplink(o)
	case kernel.CardLend:
		return m.lendCard(o)
	case kernel.CardReturn:
		return m.returnCard(o)
	case kernel.SysctlSet:
		return m.setSysctl(o)
	case kernel.SysctlRestore:
		return m.restoreSysctl(o)
	case kernel.ForwardingOn:
		return m.forwardingOn(o.Family)
	case kernel.ForwardingRestore:
		return m.restoreForwarding(o.Family)
	case kernel.Iptables:
		_, _, err := m.iptables([]kernel.Op{o})
		return err
	case kernel.FileWrite:
		return m.writeFile(o)
	case kernel.FileDelete:
		return m.deleteFile(o)
	case kernel.SupervisorStart:
		return m.startSupervisor(o)
	case kernel.SupervisorStop:
		return m.stopSupervisor(o)
	case kernel.ProcessStart:
		return m.startProcess(o.Process)
	case kernel.ProcessStop:
		return m.stopProcess(o)
	case kernel.ProcessUpdate:
		return m.updateProcess(o)
	case kernel.ProcessWait:
		return m.waitProcess(o)
	case kernel.ImagePull:
		return m.pullImage(o)
	case kernel.VolumeCreate:
		return m.createVolume(o)
	case kernel.VolumeSet:
		return m.setVolume(o)
	case kernel.VolumeDelete:
		return m.deleteVolume(o)
	case kernel.ProcessHalt:
		return m.haltProcess(o)
	case kernel.ProcessResume:
		return m.resumeProcess(o)
	case kernel.ProcessSignal:
		return m.signalProcess(o)
	case kernel.ProcessAdjust:
		return m.adjustProcess(o)
	}
	return fmt.Errorf("%T: %w", op, syscall.ENOSYS)
}

// half carries out the part of an op that a crash can leave behind.
func (m *Machine) half(op kernel.Op) {
	switch o := op.(type) {
	case kernel.NetnsAdd:
		if m.named[o.Name] == nil {
			m.leftovers[o.Name] = true
		}
	case kernel.VethAdd:
		o.A.Alias, o.B.Alias = "", ""
		_ = m.addVeth(o) // refused: then nothing is left behind
	case kernel.LinkAdd:
		if o.Alias != "" {
			o.Name, o.Alias, o.Up = "veth0123456789", "", false // it has no name of its own yet
			_ = m.addLink(o)
		}
	case kernel.SysctlSet:
		if o.Record {
			_ = m.record(o)
		}
	case kernel.ForwardingOn:
		m.recordForwarding(o.Family)
	case kernel.CardLend:
		if m.named[o.Netns] != nil && m.host.link(o.Card) != nil {
			m.recordCard(o)
		}
	case kernel.UplinkTake, kernel.UplinkRelease:
		m.halfUplink(op)
	}
}

// Settle implements executor.Machine. It is an error while a process holds a deleted namespace.
func (m *Machine) Settle(context.Context, kernel.Query) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.faults.crashed {
		return ErrCrashed
	}
	m.settle()
	for _, s := range m.dying {
		return fmt.Errorf("namespace %s: a process holds it: %w", s.name, syscall.EBUSY)
	}
	return nil
}

// settle lets all happen that happens by itself.
func (m *Machine) settle() {
	m.settled = true
	kept := m.dying[:0]
	for _, s := range m.dying {
		if m.inhabited(s) {
			kept = append(kept, s)
			continue
		}
		m.evict(s)
		for len(s.links) > 0 {
			m.remove(s.links[0])
		}
	}
	m.dying = kept
	for k, p := range m.processes {
		if p.Health == kernel.Starting && p.Status == kernel.Running {
			p.Health = kernel.Healthy
			if m.behaviours[k.node].Unhealthy {
				p.Health = kernel.Unhealthy
			}
		}
	}
	for _, s := range m.spaces() {
		for _, l := range s.links {
			for i := range l.addrs {
				l.addrs[i].Tentative = false
			}
			if l.port != nil && l.running() && l.master.up {
				l.port.State = "forwarding"
			}
		}
	}
}
