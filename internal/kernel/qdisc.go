package kernel

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Chance is a probability as the kernel counts it: of 2³²-1.
type Chance uint32

// ChanceOf is that of a percentage.
func ChanceOf(percent float64) Chance { return Chance(math.Round(percent / 100 * math.MaxUint32)) }

// String is in percent, with no more digits than it takes to tell it from others.
func (c Chance) String() string {
	percent := float64(c) / math.MaxUint32 * 100
	for digits := 0; ; digits++ {
		text := strconv.FormatFloat(percent, 'f', digits, 64)
		if p, err := strconv.ParseFloat(text, 64); err != nil || ChanceOf(p) == c {
			return text + "%"
		}
	}
}

// Netem are the parameters of the queueing discipline netem: tc-netem(8), net/sched/sch_netem.c.
type Netem struct {
	Delay, Jitter time.Duration
	// Distribution is that of the jitter: "" or "uniform", "normal", "pareto", "paretonormal". The kernel keeps a table and
	// doesn't tell it; topo's number for it stands in a field that the kernel keeps, too, and uses for nothing: see internal/linux.
	Distribution string
	DelayCorr    Chance
	Limit        uint32 // packets
	Loss         Loss
	Duplicate    Chance
	DupCorr      Chance
	Corrupt      Chance
	CorruptCorr  Chance
	Reorder      Chance
	ReorderCorr  Chance
	Gap          uint32
	Rate         uint64 // bytes per second; for that topo makes a TBF
}

// Loss is a model of loss. Of "" and "random" P are the chance and its correlation, of "state" p13, p31, p32, p23, p14, of "gemodel" p,
// r, h, 1-k.
type Loss struct {
	Model string
	P     [5]Chance
}

// TBF are the parameters of a token bucket filter: tc-tbf(8), net/sched/sch_tbf.c.
type TBF struct {
	Rate  uint64 // bytes per second
	Burst uint32 // how long the bucket lasts at Rate, in the kernel's ticks of 64 ns
	Limit uint32 // bytes that wait
}

// tick is the kernel's: 1 << PSCHED_SHIFT nanoseconds (include/net/pkt_sched.h).
const tick = 64

// BurstTicks is a burst of bytes in ticks at a rate of bytes per second. Four seconds is the most that the kernel takes.
func BurstTicks(bytes int64, rate uint64) uint32 {
	ns := float64(bytes) * 1e9 / float64(rate)
	return uint32(max(1, math.Round(min(ns, math.MaxUint32)/tick)))
}

// Bytes is the burst in bytes.
func (t TBF) Bytes() int64 { return int64(math.Round(float64(t.Burst) * tick / 1e9 * float64(t.Rate))) }

// Qdisc is what an interface sends its packets through, where that is not what the kernel gives it by itself.
type Qdisc struct {
	Kind  string // of the root: "netem", "tbf", "fq_codel"…
	Netem *Netem // of a root netem
	TBF   *TBF   // of a root tbf, or of that below a netem
	// Below is the kind below a netem; "" = none.
	Below string
}

// String is what tc(8) shows.
func (q Qdisc) String() string {
	text := q.Kind
	if q.Netem != nil {
		text += " " + q.Netem.String()
	}
	if q.Below != "" {
		text += ", below it " + q.Below
	}
	if q.TBF != nil {
		text += " " + q.TBF.String()
	}
	return text
}

type (
	// NetemSet puts a netem at the root of what an interface sends through, or changes its parameters, all of them, without losing
	// a packet that waits.
	NetemSet struct {
		Netns, Link string
		Netem       Netem
	}
	// TBFSet does the same for a token bucket filter, at the root or below a netem.
	TBFSet struct {
		Netns, Link string
		Below       bool
		TBF         TBF
	}
	// QdiscDelete takes away what is at the root, with all below, or what is below a netem.
	QdiscDelete struct {
		Netns, Link string
		Below       bool
	}
)

func (NetemSet) op()    {}
func (TBFSet) op()      {}
func (QdiscDelete) op() {}

// The handles of topo's queueing disciplines: 0x74 is a t.
const (
	NetemHandle = 0x7401
	TBFHandle   = 0x7402
)

func (o NetemSet) String() string {
	return fmt.Sprintf("%s qdisc replace dev %s root handle %x: netem %s", tc(o.Netns), o.Link, NetemHandle, o.Netem)
}

func (o TBFSet) String() string {
	return fmt.Sprintf("%s qdisc replace dev %s %s handle %x: tbf %s", tc(o.Netns), o.Link, parent(o.Below), TBFHandle, o.TBF)
}

func (o QdiscDelete) String() string {
	return fmt.Sprintf("%s qdisc delete dev %s %s", tc(o.Netns), o.Link, parent(o.Below))
}

func parent(below bool) string {
	if below {
		return fmt.Sprintf("parent %x:1", NetemHandle)
	}
	return "root"
}

func tc(netns string) string {
	if netns == "" {
		return "tc"
	}
	return "tc -n " + netns
}

// String is in tc(8)'s words.
func (n Netem) String() string {
	var b line
	b.add("limit", strconv.FormatUint(uint64(n.Limit), 10))
	if n.Delay != 0 || n.Jitter != 0 {
		b.add("delay", tcTime(n.Delay))
	}
	if n.Jitter != 0 {
		b.add(tcTime(n.Jitter))
		b.chance("", n.DelayCorr)
		if n.Distribution != "uniform" { // tc's own, for which it has no file
			b.opt("distribution", n.Distribution)
		}
	}
	if loss := n.Loss.String(); loss != "" {
		b.add("loss", loss)
	}
	b.chance("duplicate", n.Duplicate, n.DupCorr)
	b.chance("corrupt", n.Corrupt, n.CorruptCorr)
	b.chance("reorder", n.Reorder, n.ReorderCorr)
	b.num("gap", int(n.Gap))
	if n.Rate != 0 {
		b.add("rate", fmt.Sprintf("%dbps", n.Rate)) // tc's bps are bytes
	}
	return b.String()
}

// tcTime is a time as tc(8) reads it: one number with one unit, and no letter but ASCII's.
func tcTime(d time.Duration) string {
	if d >= time.Minute {
		return strconv.FormatFloat(d.Seconds(), 'f', -1, 64) + "s"
	}
	return strings.Replace(d.String(), "µ", "u", 1)
}

// String is in tc(8)'s words; "" for none.
func (l Loss) String() string {
	var b line
	switch l.Model {
	case "gemodel":
		h := l.P
		h[2] = math.MaxUint32 - h[2] // tc reads 1-h
		b.add(l.Model, chances(h[:4]))
	case "state":
		b.add(l.Model, chances(l.P[:]))
	default:
		b.chance("random", l.P[0], l.P[1])
	}
	return b.String()
}

func chances(list []Chance) string {
	words := make([]string, len(list))
	for i, c := range list {
		words[i] = c.String()
	}
	return strings.Join(words, " ")
}

// chance adds a chance with its correlations, unless it is 0.
func (l *line) chance(word string, c Chance, correlation ...Chance) {
	if c == 0 {
		return
	}
	if word != "" {
		l.add(word)
	}
	l.add(c.String())
	for _, c := range correlation {
		if c != 0 {
			l.add(c.String())
		}
	}
}

// String is in tc(8)'s words.
func (t TBF) String() string {
	return fmt.Sprintf("rate %dbps burst %d limit %d", t.Rate, t.Bytes(), t.Limit)
}
