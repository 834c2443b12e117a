package examples_test

import (
	"math"
	"regexp"
	"strconv"
	"testing"

	"topo/internal/testhost"
)

// A rate is kept, by what each side sends, and changed without losing what waits.
func TestRate(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	l := start(t, "rate.yaml")
	l.shows("tc -n rate-server qdisc show dev wan", "tbf 7402: root", "rate 10Mbit")
	l.shows("tc -n rate-client qdisc show dev wan", "tbf 7402: root", "rate 2Mbit")
	l.sh(in("rate-client", get("--output /dev/null http://10.7.0.2/8m"))) // the server is there
	l.downloads("rate-client", "http://10.7.0.2/8m", 10e6, 0.05)
	l.heal("tc -n rate-server qdisc change dev wan root handle 7402: tbf rate 5mbit burst 6250 limit 125000", "~ impair/server:wan")
	l.heal("tc -n rate-server qdisc delete dev wan root", "+ impair/server:wan")
	l.heal("tc -n rate-server qdisc replace dev wan root pfifo limit 7", "± impair/server:wan")
	l.edited("rate: 10mbit", "rate: 40mbit")
	before := l.sh("tc -n rate-server -s qdisc show dev wan | grep -o 'Sent [0-9]*'")
	l.plans("another rate", "~ impair/server:wan")
	l.up()
	if after := l.sh("tc -n rate-server -s qdisc show dev wan | grep -o 'Sent [0-9]*'"); after != before {
		t.Errorf("the queue was made anew: %q, before %q", after, before)
	}
	l.edited("    impair: {rate: 40mbit}\n", "")
	l.plans("no rate", "- impair/server:wan")
	l.up()
	l.shows("tc -n rate-server qdisc show dev wan", "noqueue")
	l.down()
}

// A bad line: delay, jitter, loss and a rate, and edits of each while packets are under way.
func TestVMWAN(t *testing.T) {
	if testhost.Outside(t) {
		return
	}
	testhost.Netem(t)
	l := start(t, "wan.yaml")
	l.shows("tc -n wan-r1 qdisc show dev wan", "netem 7401: root", "delay 20ms  1ms", "loss 1%", "tbf 7402: parent 7401:1", "rate 10Mbit")
	// A loaded machine makes packets late, and none early.
	least, lost := pinged(t, l.sh(in("wan-berlin", "ping -q -c 1000 -i 0.01 10.8.2.2 || true")))
	if least < 30 || least > 41 { // of jitters of 1 ms
		t.Errorf("the fastest way there and back: %v ms, want a little less than 40", least)
	}
	if lost < 0.5 || lost > 4 { // 1.99 % of 1,000 are expected; four deviations are 1.8 %
		t.Errorf("%v %% were lost, want some 2 %%", lost)
	}
	// What TCP makes of 1 % loss is less than the line has, and more than a tenth of it.
	if rate := 8 * bytesPerSecond(l, in("wan-berlin", "curl --silent --output /dev/null --write-out %{speed_download} http://10.8.2.2/1m")); rate < 1e6 || rate > 10e6*1448/1514*1.05 {
		t.Errorf("a download: %v bit/s", rate)
	}
	l.heal("tc -n wan-r1 qdisc change dev wan root handle 7401: netem delay 50ms limit 22000", "~ impair/r1:wan")
	l.heal("tc -n wan-r2 qdisc delete dev wan parent 7401:1", "~ impair/r2:wan")
	l.heal("tc -n wan-r2 qdisc delete dev wan root", "+ impair/r2:wan")
	l.edited("loss: 1%, ", "", "jitter: 1ms, distribution: normal, ", "")
	l.up()
	least, lost = pinged(t, l.sh(in("wan-berlin", "ping -q -c 100 -i 0.01 10.8.2.2")))
	near(t, "without jitter, in ms", least, 40, 0.03)
	near(t, "lost, in percent", lost, 0, 0)
	// Nobody loses a packet by an edit, one way or the other.
	l.sh(in("wan-berlin", "ping -q -c 300 -i 0.01 10.8.2.2") + ` > /run/pings & echo $! > /run/pinging`)
	for _, delay := range []string{"delay: 30ms", "delay: 60ms, rate: 20mbit", "delay: 20ms, rate: 20mbit, corrupt: 0%"} {
		l.edited("delay: 20ms", delay, ", rate: 10mbit", "")
		l.up()
		l.file = "wan.yaml"
		l.edited("loss: 1%, ", "", "jitter: 1ms, distribution: normal, ", "")
	}
	l.sh(`while kill -0 $(cat /run/pinging) 2>/dev/null; do sleep 0.1; done`)
	_, lost = pinged(t, l.sh("cat /run/pings; rm /run/pings /run/pinging"))
	near(t, "lost while it was edited, in percent", lost, 0, 0)
	l.downloads("wan-berlin", "http://10.8.2.2/1m", 20e6, 0.3)
	l.down()
}

// downloads has a node fetch a file by a line of so many bits a second, of which it must make all, but for a part. A loaded machine makes
// a download slower, and none faster: the best of three counts.
func (l *lab) downloads(node, url string, line, but float64) {
	l.Helper()
	line = line * 1448 / 1514 // of a frame of 1514 bytes 1448 are the program's
	rate := 0.0
	for try := 0; try < 3 && rate < (1-but)*line; try++ {
		rate = max(rate, 8*bytesPerSecond(l, in(node, "curl --silent --output /dev/null --write-out %{speed_download} "+url)))
	}
	near(l.T, "a download, in bit/s", rate, line, but)
}

func bytesPerSecond(l *lab, line string) float64 {
	l.Helper()
	rate, err := strconv.ParseFloat(l.sh(line), 64)
	if err != nil {
		l.Fatal(err)
	}
	return rate
}

// pinged reads the least round trip in ms and the percentage that was lost of ping's summary.
func pinged(t *testing.T, summary string) (least, lost float64) {
	t.Helper()
	times := regexp.MustCompile(`= ([0-9.]+)/`).FindStringSubmatch(summary)
	loss := regexp.MustCompile(`([0-9.]+)% packet loss`).FindStringSubmatch(summary)
	if times == nil || loss == nil {
		t.Fatalf("no summary of a ping:\n%s", summary)
	}
	least, err := strconv.ParseFloat(times[1], 64)
	if err != nil {
		t.Fatal(err)
	}
	if lost, err = strconv.ParseFloat(loss[1], 64); err != nil {
		t.Fatal(err)
	}
	return least, lost
}

// near checks that a value is what it should be, but for a part of it.
func near(t *testing.T, what string, got, want, part float64) {
	t.Helper()
	if math.Abs(got-want) > part*want {
		t.Errorf("%s: %v, want %v within %v %%", what, got, want, 100*part)
	}
}
