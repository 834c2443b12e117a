package fake

import (
	"syscall"

	"topo/internal/kernel"
)

// SetQdisc has an interface send through something that topo does not make: "fq_codel 8001:".
func (m *Machine) SetQdisc(netns, name, kind string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	l, err := m.link(netns, name)
	must(err)
	l.qdisc = &kernel.Qdisc{Kind: kind}
}

func (m *Machine) setNetem(o kernel.NetemSet) error {
	l, err := m.link(o.Netns, o.Link)
	if err != nil {
		return err
	}
	if o.Netem.Limit == 0 {
		return syscall.EINVAL
	}
	// What is at the root stays, with what is below it, where it is a netem of the same handle.
	if l.qdisc == nil || l.qdisc.Netem == nil {
		l.qdisc = &kernel.Qdisc{Kind: "netem"}
	}
	netem := o.Netem
	l.qdisc.Netem = &netem
	return nil
}

func (m *Machine) setTBF(o kernel.TBFSet) error {
	l, err := m.link(o.Netns, o.Link)
	switch {
	case err != nil:
		return err
	case o.TBF.Rate == 0 || o.TBF.Burst == 0:
		return syscall.EINVAL
	case o.Below && (l.qdisc == nil || l.qdisc.Netem == nil):
		return syscall.ENOENT
	}
	tbf := o.TBF
	if o.Below {
		l.qdisc.Below, l.qdisc.TBF = "tbf", &tbf
		return nil
	}
	l.qdisc = &kernel.Qdisc{Kind: "tbf", TBF: &tbf}
	return nil
}

func (m *Machine) deleteQdisc(o kernel.QdiscDelete) error {
	l, err := m.link(o.Netns, o.Link)
	switch {
	case err != nil || l.qdisc == nil || o.Below && l.qdisc.Below == "":
		return errAbsent
	case o.Below:
		l.qdisc.Below, l.qdisc.TBF = "", nil
	default:
		l.qdisc = nil
	}
	return nil
}

// facts are a copy: what is read stays as it was read.
func copyQdisc(q *kernel.Qdisc) *kernel.Qdisc {
	if q == nil {
		return nil
	}
	c := *q
	if q.Netem != nil {
		n := *q.Netem
		c.Netem = &n
	}
	if q.TBF != nil {
		t := *q.TBF
		c.TBF = &t
	}
	return &c
}
