package spec

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/docker/go-units"
)

// Impair is what becomes of the packets that an interface sends: what a wire does that is long, slow or bad. In the words of
// tc-netem(8) and tc-tbf(8). The zero value, but for Pos, is a perfect wire.
type Impair struct {
	Pos          Pos
	Delay        time.Duration
	Jitter       time.Duration
	Distribution string  // of the jitter: "uniform" when not stated, "normal", "pareto", "paretonormal"
	Correlation  float64 // of the jitter with that of the packet before, in percent
	Loss         Loss
	Duplicate    Chance
	Corrupt      Chance // of one bit
	Reorder      Chance // of being sent at once; the others wait for Delay
	Gap          int    // of reordering: every Gap-th packet; 0 = any
	Rate         uint64 // bits per second; 0 = no limit
	Burst        int64  // bytes that may be sent at once; 0 = derived from Rate
	Limit        int    // packets that wait; 0 = derived
}

// Chance is how likely something is, and how much that depends on the packet before; both in percent.
type Chance struct{ Percent, Correlation float64 }

// Loss says which packets are lost.
type Loss struct {
	Model LossModel
	// P are in percent. Of LossRandom: the chance, and its correlation. Of LossState: p13, p31, p32, p23, p14. Of
	// LossGilbertElliott: p, r, 1-h, 1-k.
	P [5]float64
}

// LossModel is a model of loss, by tc-netem(8)'s word.
type LossModel string

// The models of loss.
const (
	LossNone           LossModel = ""
	LossRandom         LossModel = "random"
	LossState          LossModel = "state"   // a Markov chain of four states
	LossGilbertElliott LossModel = "gemodel" // a good state and a bad one
)

// UniformJitter is the distribution of a jitter that states none.
const UniformJitter = "uniform"

// impairment reads what is said of an interface; nil: nothing is done to its packets.
func (r *resolver) impairment(raw *impair) *Impair {
	if raw == nil || !raw.Set {
		return nil
	}
	i := &Impair{
		Pos: raw.Pos, Delay: raw.Delay.Value, Distribution: raw.Distribution.Value,
		Duplicate: r.chance("duplicate", raw.Duplicate), Corrupt: r.chance("corrupt", raw.Corrupt), Limit: raw.Limit.Value,
	}
	r.jitter(i, raw.Jitter)
	i.Loss = r.loss(raw.Loss)
	r.reorder(i, raw.Reorder)
	if raw.Rate.Set {
		var ok bool
		if i.Rate, ok = parseRate(raw.Rate.Value); !ok {
			r.add(raw.Rate.Pos, "rate must be like 10mbit (bit, kbit, mbit, gbit per second), not %q", raw.Rate.Value)
		}
	}
	if raw.Burst.Set {
		n, err := units.RAMInBytes(raw.Burst.Value)
		if i.Burst = n; err != nil || n <= 0 || n > math.MaxUint32 {
			r.add(raw.Burst.Pos, "burst must be bytes, like 32k, not %q", raw.Burst.Value)
		}
	}
	for _, need := range []struct {
		key, other string
		at         origin
		there      bool
	}{
		{"jitter", "delay", raw.Jitter.origin, raw.Delay.Set || raw.Delay.Bad},
		{"reorder", "delay", raw.Reorder.origin, raw.Delay.Set || raw.Delay.Bad},
		{"distribution", "jitter", raw.Distribution.origin, raw.Jitter.Set || raw.Jitter.Bad},
		{"burst", "rate", raw.Burst.origin, raw.Rate.Set || raw.Rate.Bad},
	} {
		if need.at.Set && !need.there {
			r.add(need.at.Pos, "%s needs a %s", need.key, need.other)
		}
	}
	if i.Jitter == 0 {
		i.Distribution, i.Correlation = "", 0
	} else if i.Distribution == "" {
		i.Distribution = UniformJitter
	}
	if *i == (Impair{Pos: i.Pos, Limit: i.Limit}) {
		return nil
	}
	return i
}

func (r *resolver) jitter(i *Impair, w word) {
	if !w.Set {
		return
	}
	words := strings.Fields(w.Value)
	var jitter span
	problem := "must be a duration like 2ms"
	if len(words) > 0 {
		problem = jitter.read(scalar{text: words[0]})
	}
	ok := problem == "" && len(words) <= 2
	if ok && len(words) == 2 {
		i.Correlation, ok = parsePercent(words[1])
	}
	if i.Jitter = jitter.Value; !ok {
		r.add(w.Pos, "jitter must be a duration, and its correlation in percent if there is one, like 2ms 25%%, not %q", w.Value)
	}
}

// chance reads PERCENT [CORRELATION].
func (r *resolver) chance(key string, w word) (c Chance) {
	if !w.Set {
		return c
	}
	p, ok := percents(strings.Fields(w.Value), 1, 2)
	if !ok {
		r.add(w.Pos, "%s must be a percentage, and its correlation if there is one, like 1%% or 1%% 25%%, not %q", key, w.Value)
	}
	return Chance{p[0], p[1]}
}

// reorder reads PERCENT [CORRELATION] [gap N].
func (r *resolver) reorder(i *Impair, w word) {
	if !w.Set {
		return
	}
	words := strings.Fields(w.Value)
	ok := true
	if n := len(words); n >= 2 && words[n-2] == "gap" {
		gap, err := strconv.Atoi(words[n-1])
		ok = err == nil && gap > 0
		i.Gap, words = gap, words[:n-2]
	}
	p, fine := percents(words, 1, 2)
	if i.Reorder = (Chance{p[0], p[1]}); !ok || !fine {
		r.add(w.Pos, "reorder must be a percentage, its correlation and a gap if there are any, like 25%% or 25%% 50%% gap 5, not %q", w.Value)
	}
}

// loss reads [random] PERCENT [CORRELATION], state P13 [P31 [P32 [P23 [P14]]]] and gemodel P [R [1-H [1-K]]], with tc-netem(8)'s
// defaults.
func (r *resolver) loss(w word) (l Loss) {
	if !w.Set {
		return l
	}
	words := strings.Fields(w.Value)
	l.Model = LossRandom
	most := 2
	if len(words) > 0 {
		switch m := LossModel(words[0]); m {
		case LossRandom:
			words = words[1:]
		case LossState:
			l.Model, words, most = m, words[1:], 5
		case LossGilbertElliott:
			l.Model, words, most = m, words[1:], 4
		}
	}
	p, ok := percents(words, 1, most)
	if !ok {
		r.add(w.Pos, "loss must be like 1%%, 1%% 25%% (with a correlation), gemodel 1%% 10%% 70%% 0.1%% or state 1%% 10%%, not %q", w.Value)
		return Loss{}
	}
	if l.Model != LossRandom && len(words) == 1 {
		p[1] = 100 - p[0]
	}
	if l.Model == LossGilbertElliott && len(words) < 3 {
		p[2] = 100 // all is lost in the bad state
	}
	if l.Model == LossState && len(words) < 4 {
		p[3] = 100 // out of the burst's good state, which would never end otherwise
	}
	if l.P = p; l.Model == LossRandom && p[0] == 0 {
		return Loss{}
	}
	return l
}

func percents(words []string, least, most int) (p [5]float64, ok bool) {
	if len(words) < least || len(words) > most {
		return p, false
	}
	for i, w := range words {
		if p[i], ok = parsePercent(w); !ok {
			return p, false
		}
	}
	return p, true
}

func parsePercent(s string) (float64, bool) {
	p, err := strconv.ParseFloat(strings.TrimSuffix(s, "%"), 64)
	return p, err == nil && p >= 0 && p <= 100
}

var rateFormat = regexp.MustCompile(`^([0-9]+(?:\.[0-9]+)?) ?([kmgt]i?)?(bit|bps)?$`)

// parseRate reads a rate in tc(8)'s units, in bits per second: bit, kbit, mbit… are 1,000 of the one before, kibit… 1,024; bps is
// bytes. At least a byte per second.
func parseRate(s string) (uint64, bool) {
	m := rateFormat.FindStringSubmatch(strings.ToLower(s))
	if m == nil {
		return 0, false
	}
	n, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		return 0, false
	}
	if m[2] != "" {
		base := 1000.0
		if len(m[2]) == 2 {
			base = 1024
		}
		n *= math.Pow(base, float64(1+strings.IndexByte("kmgt", m[2][0])))
	}
	if m[3] == "bps" {
		n *= 8
	}
	return uint64(n), n >= 8 && n <= 1e15
}

// String is the loss in the file's words.
func (l Loss) String() string {
	n := map[LossModel]int{LossRandom: 2, LossState: 5, LossGilbertElliott: 4}[l.Model]
	var words []string
	if l.Model != LossRandom {
		words = append(words, string(l.Model))
	}
	for i, p := range l.P[:n] {
		if l.Model != LossRandom || i == 0 || p != 0 {
			words = append(words, percent(p))
		}
	}
	return strings.Join(words, " ")
}

// String is the chance in the file's words; "" for none.
func (c Chance) String() string {
	switch {
	case c == Chance{}:
		return ""
	case c.Correlation == 0:
		return percent(c.Percent)
	}
	return percent(c.Percent) + " " + percent(c.Correlation)
}

func percent(p float64) string { return strconv.FormatFloat(p, 'f', -1, 64) + "%" }

// RateText is a rate in the largest unit that has a whole number of it.
func RateText(bits uint64) string {
	unit := ""
	for _, u := range []string{"k", "m", "g", "t"} {
		if bits == 0 || bits%1000 != 0 {
			break
		}
		bits, unit = bits/1000, u
	}
	return fmt.Sprintf("%d%sbit", bits, unit)
}
