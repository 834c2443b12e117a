// Package fake is a strict machine in memory: an executor.Machine that says no
// where Linux says no, and that does by itself what Linux does by itself.
//
// It is no mock: it has the rules of the kernel (links fall with their
// namespace, IPv6 addresses with their link going down, routes with the last
// address, other addresses with the first of their subnet) and refuses with the
// kernel's error numbers. Where the kernel takes its time, so does the fake: the
// near ends of the veths of a deleted namespace stand until Settle.
//
// [Contract] is what keeps it honest: one suite that is run against the fake and
// against Linux. Facts are those of Linux 6.18 and iptables 1.8.9 (nf_tables).
package fake
