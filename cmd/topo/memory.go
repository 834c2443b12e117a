package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// What topo allocates it mostly needs until its end, which is near: looking for garbage less often than package runtime does by itself
// spares a quarter of the processor time of a plan. A large topology has less to spare: there may be so much garbage as spare, and as
// much in use with it as room; often where more than that is in use.
const (
	seldom, often = 400, 20 // percent of what is in use, as of GOGC
	spare         = 64 << 20
	room          = 112 << 20
)

// collectLate leaves the matter to the user's GOGC, if there is one.
func collectLate() {
	if os.Getenv("GOGC") != "" {
		return
	}
	debug.SetGCPercent(seldom)
	afterEachCollection(func() {
		live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
		metrics.Read(live)
		used := max(int(live[0].Value.Uint64()), 1)
		debug.SetGCPercent(min(max(100*min(spare, room-used)/used, often), seldom))
	})
}

// afterEachCollection calls f some time after each: an object that nothing leads to is found by one, and f leaves another behind.
func afterEachCollection(f func()) {
	type object struct{ _ *byte }
	var found func(*object)
	found = func(*object) {
		f()
		runtime.SetFinalizer(new(object), found)
	}
	runtime.SetFinalizer(new(object), found)
}
