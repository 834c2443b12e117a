// Package reliability proves what topo promises of crashes, faults, neighbours and races, on the program that users run: it is
// traced ([topo/internal/tracer]), killed, refused and hindered from outside, on machines of its tests' own, and the
// machine is then compared with what it was.
//
// Each test prints the figures that docs/reliability.md has, in lines that begin with "figure:". A run of all of it takes
// hours; without -full each test takes a sample, the same one for the same -seed.
package reliability
