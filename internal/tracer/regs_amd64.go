package tracer

import (
	"golang.org/x/sys/unix"
)

// entry is the call that a thread enters, with its arguments (syscall(2), "Architecture calling conventions").
func entry(tid int) (number uint64, args [6]uint64, err error) {
	var r unix.PtraceRegs
	if err := unix.PtraceGetRegs(tid, &r); err != nil {
		return 0, args, err
	}
	return r.Orig_rax, [6]uint64{r.Rdi, r.Rsi, r.Rdx, r.R10, r.R8, r.R9}, nil
}

// result is what a call ended with: an errno, negative, or what it gives.
func result(tid int) (int64, error) {
	var r unix.PtraceRegs
	if err := unix.PtraceGetRegs(tid, &r); err != nil {
		return 0, err
	}
	n := int64(r.Rax)
	if n < -4095 {
		n = 0 // an address in the upper half
	}
	return n, nil
}

// skip turns the call that a thread enters into one that doesn't exist.
func skip(tid int) error {
	var r unix.PtraceRegs
	if err := unix.PtraceGetRegs(tid, &r); err != nil {
		return err
	}
	r.Orig_rax = ^uint64(0)
	return unix.PtraceSetRegs(tid, &r)
}

// setResult makes a call end with an errno.
func setResult(tid int, errno unix.Errno) error {
	var r unix.PtraceRegs
	if err := unix.PtraceGetRegs(tid, &r); err != nil {
		return err
	}
	r.Rax = -uint64(errno)
	return unix.PtraceSetRegs(tid, &r)
}
