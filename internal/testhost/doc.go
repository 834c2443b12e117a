// Package testhost gives each test a machine of its own.
//
//	func TestBridge(t *testing.T) {
//		t.Parallel()
//		if testhost.Outside(t) {
//			return
//		}
//		testhost.Run(t, "ip", "link", "add", "br0", "type", "bridge")
//
// Outside runs the test binary again, for this one test, in new network, mount, PID, UTS and IPC
// namespaces, and reports what came of it. There are three processes:
//
//   - the outer test only starts the machine, passes on its log, and takes over its result;
//   - PID 1 of the machine (the same binary, which got as far as Outside) mounts the file
//     systems, reaps orphans, and ends with the test; the kernel then kills all that is left;
//   - the inner test runs the body.
//
// The machine has a /proc, /sys and /run of its own, nothing in /var/lib/topo, lo up, forwarding off, and
// its own copies of /etc and /var/lib: writes go to memory. The cgroup mounts are the real machine's;
// so are /tmp and the sources, which is why -update works. All else of the network is empty.
//
// The package uses the system's own tools (ip, iptables-save), never those of topo, so that a test
// does not take topo's word for what topo did.
package testhost
