// Package tracer runs a program under ptrace(2) and sees every system call with which it, and every process that it
// starts, changes the machine: netlink messages, iptables transactions, mounts, files, sysctls, processes.
//
// It is for tests of what a program promises about its changes, whatever the program's own code says of them:
// that there are none, that they are those of its plan, that it can be killed before and after each of them, that each
// may fail. The program is the one that users run: nothing is built into it.
//
// Each changing call is told in words ([Call.What]) that are the same in every run of the same program: names and addresses,
// no indices, process IDs or times. So a run can be stopped at one and the same call although its calls
// come in another order each time.
package tracer
