package linux

import (
	"encoding/binary"
	"math"
	"slices"
)

type jitter struct {
	name     string
	quantile func(p float64) float64
}

// distributions are those of a jitter, each as its quantile function: the value, in units of the jitter, below which
// a part p of all packets is. netem draws from a table of it. They are those of tc(8)'s files /usr/lib/tc/*.dist.
var distributions = []jitter{
	{"", nil}, // no table was sent
	{"uniform", func(p float64) float64 { return 2*p - 1 }},
	{"normal", normal},
	{"pareto", pareto},
	{"paretonormal", func(p float64) float64 { return 0.25*normal(p) + 0.75*pareto(p) }},
}

func normal(p float64) float64 { return math.Sqrt2 * math.Erfinv(2*p-1) }

// pareto has the shape 3, moved to the mean 0, and as wide as tc's.
func pareto(p float64) float64 { return (math.Pow(1-p, -1.0/3) - 1.5) * 4 / 3 }

// tableSize is that of tc's tables; the kernel takes up to 16,384 (NETEM_DIST_MAX).
const tableSize = 4096

// distributionScale is what stands for one jitter in a table (NETEM_DIST_SCALE).
const distributionScale = 8192

// distribution is the table of a distribution, in the kernel's form: int16.
func distribution(name string) []byte {
	d := distributions[max(1, distributionNumber(name))]
	b := make([]byte, 0, 2*tableSize)
	for i := range tableSize {
		v := math.Round(d.quantile((float64(i)+0.5)/tableSize) * distributionScale)
		v = max(math.MinInt16, min(math.MaxInt16, v))
		b = binary.NativeEndian.AppendUint16(b, uint16(int16(v)))
	}
	return b
}

// distributionNumber is topo's own number of a distribution: the kernel doesn't tell the table that it has, but keeps a number for
// us. 0: none was sent, which is uniform, too.
func distributionNumber(name string) uint32 {
	return uint32(max(0, slices.IndexFunc(distributions, func(j jitter) bool { return j.name == name })))
}

func distributionName(n uint32) string {
	if int(n) >= len(distributions) {
		return "unknown"
	}
	return distributions[n].name
}
