package kernel

import (
	"testing"
	"time"
)

func TestRestartAgain(t *testing.T) {
	for _, c := range []struct {
		r        Restart
		success  bool
		restarts int
		want     bool
	}{
		{Restart{}, false, 0, false},
		{Restart{Policy: RestartNo}, false, 0, false},
		{Restart{Policy: RestartAlways}, true, 1000, true},
		{Restart{Policy: RestartUnlessStopped}, false, 1000, true},
		{Restart{Policy: RestartOnFailure}, true, 0, false},
		{Restart{Policy: RestartOnFailure}, false, 1000, true},
		{Restart{Policy: RestartOnFailure, Max: 3}, false, 2, true},
		{Restart{Policy: RestartOnFailure, Max: 3}, false, 3, false},
	} {
		if got := c.r.Again(c.success, c.restarts); got != c.want {
			t.Errorf("%s, success %t, after %d: %t", c.r, c.success, c.restarts, got)
		}
	}
}

func TestBackoff(t *testing.T) {
	var last time.Duration
	for _, want := range []time.Duration{100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 51200, 60000, 60000} {
		if last = NextBackoff(last, time.Second); last != want*time.Millisecond {
			t.Fatalf("got %v, want %v", last, want*time.Millisecond)
		}
	}
	if got := NextBackoff(last, 10*time.Second); got != 100*time.Millisecond {
		t.Errorf("after a long run: %v", got)
	}
}
