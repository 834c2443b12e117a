package kernel_test

import (
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"topo/internal/kernel"
)

func TestChance(t *testing.T) {
	for percent, want := range map[float64]string{0: "0%", 100: "100%", 0.5: "0.5%", 33.3: "33.3%", 1e-7: "0.0000001%"} {
		if got := kernel.ChanceOf(percent).String(); got != want {
			t.Errorf("%v %% reads %s, want %s", percent, got, want)
		}
	}
	// What is shown says all that the kernel has.
	rapid.Check(t, func(t *rapid.T) {
		c := kernel.Chance(rapid.Uint32().Draw(t, "chance"))
		p, err := strconv.ParseFloat(strings.TrimSuffix(c.String(), "%"), 64)
		if err != nil || kernel.ChanceOf(p) != c {
			t.Errorf("%d reads %s, which is %d", c, c, kernel.ChanceOf(p))
		}
	})
}

// tc refuses 100µs and 1m30s, and has no file of a distribution that is uniform.
func TestWordsAreTcs(t *testing.T) {
	n := kernel.Netem{Limit: 1000, Delay: 90*time.Second + 500*time.Millisecond, Jitter: 100 * time.Microsecond, Distribution: "uniform"}
	if want := "limit 1000 delay 90.5s 100us"; n.String() != want {
		t.Errorf("%q, not %q", n, want)
	}
}

// A burst is shown as it was asked for, to a byte in a thousand.
func TestBurst(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate := rapid.Uint64Range(1e3, 1e11).Draw(t, "rate")
		most := int64(4 * rate)
		bytes := rapid.Int64Range(max(3000, int64(rate)/1e6), most).Draw(t, "bytes")
		got := kernel.TBF{Rate: rate, Burst: kernel.BurstTicks(bytes, rate)}.Bytes()
		if math.Abs(float64(got-bytes)) > max(float64(bytes)/1000, float64(rate)*64e-9) {
			t.Errorf("%d bytes at %d read %d", bytes, rate, got)
		}
	})
}
