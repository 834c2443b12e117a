package linux

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"topo/internal/kernel"
)

// What package nl lacks of linux/pkt_sched.h.
const (
	netemLatency64 = 10 // TCA_NETEM_LATENCY64
	netemJitter64  = 11 // TCA_NETEM_JITTER64
	lossGI         = 1  // NETEM_LOSS_GI, the model of four states
	lossGE         = 2  // NETEM_LOSS_GE, Gilbert-Elliott

	rootHandle = 0xffffffff // TC_H_ROOT
)

func (h *Host) netemSet(o kernel.NetemSet) error {
	return h.in(o.Netns, func(c *conn) error {
		req, err := newQdisc(c, o.Link, kernel.NetemHandle<<16, rootHandle)
		if err != nil {
			return err
		}
		req.AddData(textAttr(nl.TCA_KIND, "netem"))
		req.AddData(nl.NewRtAttr(nl.TCA_OPTIONS, netemOptions(o.Netem)))
		return unknownKind(c.change(req, "RTM_NEWQDISC "+o.Link+" netem"), "netem", "CONFIG_NET_SCH_NETEM")
	})
}

func (h *Host) tbfSet(o kernel.TBFSet) error {
	return h.in(o.Netns, func(c *conn) error {
		req, err := newQdisc(c, o.Link, kernel.TBFHandle<<16, parentOf(o.Below))
		if err != nil {
			return err
		}
		req.AddData(textAttr(nl.TCA_KIND, "tbf"))
		opt := nl.TcTbfQopt{Limit: o.TBF.Limit, Buffer: o.TBF.Burst}
		// The kernel computes with the rate itself, and needs no table, where the link layer is said (qdisc_get_rtab).
		opt.Rate.Linklayer = nl.LINKLAYER_ETHERNET
		opt.Rate.Rate = uint32(min(o.TBF.Rate, math.MaxUint32))
		options := nl.NewRtAttr(nl.TCA_OPTIONS, nil)
		options.AddRtAttr(nl.TCA_TBF_PARMS, opt.Serialize())
		if o.TBF.Rate >= math.MaxUint32 {
			options.AddRtAttr(nl.TCA_TBF_RATE64, binary.NativeEndian.AppendUint64(nil, o.TBF.Rate))
		}
		req.AddData(options)
		return unknownKind(c.change(req, "RTM_NEWQDISC "+o.Link+" tbf"), "tbf", "CONFIG_NET_SCH_TBF")
	})
}

func (h *Host) qdiscDelete(o kernel.QdiscDelete) error {
	return gone(h.in(o.Netns, func(c *conn) error {
		index, err := c.index(o.Link)
		if err != nil {
			return err
		}
		req := nl.NewNetlinkRequest(unix.RTM_DELQDISC, 0)
		req.AddData(&nl.TcMsg{Family: unix.AF_UNSPEC, Ifindex: int32(index), Parent: parentOf(o.Below)})
		err = c.change(req, "RTM_DELQDISC "+o.Link)
		if errors.Is(err, unix.EINVAL) { // "Cannot find specified qdisc on specified device", from Linux 4.16 on; before, ENOENT
			return unix.ENOENT
		}
		return err
	}))
}

func parentOf(below bool) uint32 {
	if below {
		return kernel.NetemHandle<<16 | 1
	}
	return rootHandle
}

// newQdisc is a request to make a queueing discipline, or to change it in place where it is there: one of the same kind
// and handle stays, with the packets that wait in it.
func newQdisc(c *conn, link string, handle, parent uint32) (*nl.NetlinkRequest, error) {
	index, err := c.index(link)
	if err != nil {
		return nil, err
	}
	req := nl.NewNetlinkRequest(unix.RTM_NEWQDISC, unix.NLM_F_CREATE|unix.NLM_F_REPLACE)
	req.AddData(&nl.TcMsg{Family: unix.AF_UNSPEC, Ifindex: int32(index), Handle: handle, Parent: parent})
	return req, nil
}

// unknownKind: a kind that the kernel has not got is ENOENT (tc_modify_qdisc in net/sched/sch_api.c), and EOPNOTSUPP where it has none.
func unknownKind(err error, kind, option string) error {
	if errors.Is(err, unix.ENOENT) {
		return &FeatureError{Feature: kind, Option: option, err: err}
	}
	return lacking(err, kind, option)
}

// netemOptions are all parameters: what is left out, the kernel leaves as it is.
func netemOptions(n kernel.Netem) []byte {
	put := func(b []byte, values ...uint32) []byte {
		for _, v := range values {
			b = binary.NativeEndian.AppendUint32(b, v)
		}
		return b
	}
	attr := func(b []byte, kind int, value []byte) []byte {
		return append(b, nl.NewRtAttr(kind, value).Serialize()...)
	}
	corr := func(list []byte, kind int, values ...kernel.Chance) []byte {
		var b []byte
		for _, v := range values {
			b = put(b, uint32(v))
		}
		return attr(list, kind, b)
	}
	random := n.Loss.P[:2]
	if n.Loss.Model != "" && n.Loss.Model != "random" {
		random = []kernel.Chance{0, 0}
	}
	// struct tc_netem_qopt: latency and jitter are in the attributes with 64 bits.
	b := put(nil, 0, n.Limit, uint32(random[0]), n.Gap, uint32(n.Duplicate), 0)
	b = attr(b, netemLatency64, binary.NativeEndian.AppendUint64(nil, uint64(n.Delay)))
	b = attr(b, netemJitter64, binary.NativeEndian.AppendUint64(nil, uint64(n.Jitter)))
	b = corr(b, nl.TCA_NETEM_CORR, n.DelayCorr, random[1], n.DupCorr)
	b = corr(b, nl.TCA_NETEM_REORDER, n.Reorder, n.ReorderCorr)
	b = corr(b, nl.TCA_NETEM_CORRUPT, n.Corrupt, n.CorruptCorr)
	// struct tc_netem_rate: cell_overhead is used with a cell_size only.
	b = attr(b, nl.TCA_NETEM_RATE, put(nil, uint32(min(n.Rate, math.MaxUint32)), 0, 0, distributionNumber(n.Distribution)))
	if n.Rate >= math.MaxUint32 {
		b = attr(b, nl.TCA_NETEM_RATE64, binary.NativeEndian.AppendUint64(nil, n.Rate))
	}
	if n.Jitter > 0 {
		b = attr(b, nl.TCA_NETEM_DELAY_DIST, distribution(n.Distribution))
	}
	p := n.Loss.P
	switch n.Loss.Model {
	case "state": // struct tc_netem_gimodel: p13, p31, p32, p14, p23
		model := nl.NewRtAttr(lossGI, put(nil, uint32(p[0]), uint32(p[1]), uint32(p[2]), uint32(p[4]), uint32(p[3])))
		b = attr(b, nl.TCA_NETEM_LOSS|unix.NLA_F_NESTED, model.Serialize())
	case "gemodel": // struct tc_netem_gemodel: p, r, h, k1
		model := nl.NewRtAttr(lossGE, put(nil, uint32(p[0]), uint32(p[1]), uint32(p[2]), uint32(p[3])))
		b = attr(b, nl.TCA_NETEM_LOSS|unix.NLA_F_NESTED, model.Serialize())
	}
	return b
}

// readQdiscs finds out what the links of a namespace send through, of those for which that is not the kernel's own choice.
func readQdiscs(c *conn, links []link) error {
	byIndex := map[int]*link{}
	for i := range links {
		if l := &links[i]; l.impaired() {
			byIndex[l.Index] = l
		}
	}
	if len(byIndex) == 0 {
		return nil
	}
	return c.dump(unix.RTM_GETQDISC, &nl.TcMsg{Family: unix.AF_UNSPEC},
		func() {
			for _, l := range byIndex {
				l.Qdisc = &kernel.Qdisc{Kind: l.qdisc}
			}
		},
		func(body []byte) error {
			parseQdisc(body, byIndex)
			return nil
		})
}

// impaired: what topo makes has noqueue by itself, and noop before it is first set up. A tun, an ifb and a macvtap have a queue of
// their own, which isn't topo's.
func (l *link) impaired() bool {
	_, made := linkKinds[l.Kind]
	queues := l.Kind == "tun" || l.Kind == "ifb" || l.Kind == "macvtap"
	return (l.Kind == "veth" || made && !queues) && l.qdisc != "noqueue" && l.qdisc != "noop" && l.qdisc != ""
}

// parseQdisc reads a struct tcmsg with its attributes.
func parseQdisc(body []byte, links map[int]*link) {
	if len(body) < nl.SizeofTcMsg {
		return
	}
	l := links[signed(body[4:])]
	if l == nil {
		return
	}
	handle, above := unsigned(body[8:]), unsigned(body[12:])
	kind, options := "", []byte(nil)
	for k, value := range attributes(body[nl.SizeofTcMsg:]) {
		switch k {
		case nl.TCA_KIND:
			kind = text(value)
		case nl.TCA_OPTIONS:
			options = value
		}
	}
	q := l.Qdisc
	switch {
	case above == rootHandle && kind == "netem" && handle == kernel.NetemHandle<<16:
		q.Netem = parseNetem(options)
	case above == rootHandle && kind == "tbf" && handle == kernel.TBFHandle<<16:
		q.TBF = parseTBF(options)
	case above == rootHandle:
		q.Kind = fmt.Sprintf("%s %x:", kind, handle>>16) // somebody else's
	case above == parentOf(true) && kind == "tbf" && handle == kernel.TBFHandle<<16:
		q.Below, q.TBF = kind, parseTBF(options)
	case above>>16 == kernel.NetemHandle:
		q.Below = fmt.Sprintf("%s %x:", kind, handle>>16)
	}
}

func parseTBF(b []byte) *kernel.TBF {
	var t kernel.TBF
	for kind, value := range attributes(b) {
		switch {
		case kind == nl.TCA_TBF_PARMS && len(value) >= nl.SizeofTcTbfQopt:
			opt := nl.DeserializeTcTbfQopt(value)
			t.Rate, t.Burst, t.Limit = max(t.Rate, uint64(opt.Rate.Rate)), opt.Buffer, opt.Limit
		case kind == nl.TCA_TBF_RATE64 && len(value) == 8:
			t.Rate = binary.NativeEndian.Uint64(value)
		}
	}
	return &t
}

func parseNetem(b []byte) *kernel.Netem {
	const size = nl.SizeofTcNetemQopt
	if len(b) < size {
		return nil
	}
	at := func(b []byte, i int) kernel.Chance {
		if len(b) < 4*i+4 {
			return 0
		}
		return kernel.Chance(binary.NativeEndian.Uint32(b[4*i:]))
	}
	n := &kernel.Netem{Limit: uint32(at(b, 1)), Gap: uint32(at(b, 3)), Duplicate: at(b, 4)}
	n.Loss.P[0] = at(b, 2)
	for kind, value := range attributes(b[size:]) {
		switch kind {
		case netemLatency64:
			n.Delay = nanoseconds(value)
		case netemJitter64:
			n.Jitter = nanoseconds(value)
		case nl.TCA_NETEM_CORR:
			n.DelayCorr, n.DupCorr = at(value, 0), at(value, 2)
			n.Loss.P[1] = at(value, 1)
		case nl.TCA_NETEM_REORDER:
			n.Reorder, n.ReorderCorr = at(value, 0), at(value, 1)
		case nl.TCA_NETEM_CORRUPT:
			n.Corrupt, n.CorruptCorr = at(value, 0), at(value, 1)
		case nl.TCA_NETEM_RATE:
			n.Rate = max(n.Rate, uint64(at(value, 0)))
			n.Distribution = distributionName(uint32(at(value, 3)))
		case nl.TCA_NETEM_RATE64:
			if len(value) == 8 {
				n.Rate = binary.NativeEndian.Uint64(value)
			}
		case nl.TCA_NETEM_LOSS:
			for model, p := range attributes(value) {
				switch model {
				case lossGI:
					n.Loss = kernel.Loss{Model: "state", P: [5]kernel.Chance{at(p, 0), at(p, 1), at(p, 2), at(p, 4), at(p, 3)}}
				case lossGE:
					n.Loss = kernel.Loss{Model: "gemodel", P: [5]kernel.Chance{at(p, 0), at(p, 1), at(p, 2), at(p, 3)}}
				}
			}
		}
	}
	return n
}

func nanoseconds(b []byte) time.Duration {
	if len(b) != 8 {
		return 0
	}
	return time.Duration(binary.NativeEndian.Uint64(b))
}
