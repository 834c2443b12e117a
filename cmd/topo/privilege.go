package main

import (
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// checkPrivilege fails with EPERM where this process can't read all of the machine. Without it a reading
// would be of what happens to be readable, and a plan of it wrong.
func checkPrivilege() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData // version 3 has 64 bits, in two words
	if err := unix.Capget(&header, &sets[0]); err != nil {
		return fmt.Errorf("reading our capabilities: %w", err)
	}
	const needed = 1<<unix.CAP_NET_ADMIN | 1<<unix.CAP_SYS_ADMIN // both are in the first word
	if sets[0].Effective&needed != needed {
		return fmt.Errorf("reading the kernel: %w", syscall.EPERM)
	}
	return nil
}
