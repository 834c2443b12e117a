// Package linux is the only code of topo that talks to the kernel's network: netlink,
// iptables, /proc/sys, network namespaces. It reads a host into a [kernel.Snapshot] and
// carries out [kernel.Op]s. It decides nothing: what it is told to do it does, or it says why not, in
// the kernel's words.
//
// # Namespaces and threads
//
// A network namespace belongs to an OS thread, not to a goroutine. A thread enters one only to do what
// can be done from nowhere else (opening a socket, reading /proc/sys/net), on a goroutine of its own that
// is locked to it; if it can't come back, the thread ends with that goroutine and nobody else gets it.
// Everything after that goes through the socket, which stays in its namespace. Sockets are kept.
//
// # Dumps
//
// The kernel sends long answers in parts and lets the tables change in between. It says so
// (NLM_F_DUMP_INTR); such a dump is thrown away and asked for again, and in the end it is an error.
// Package netlink's own dumping calls are not used, so that this holds everywhere.
package linux
