package container

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// onThread runs f on an OS thread of its own, which ends with f: namespaces belong to threads
// (clone(2)), and one that f changed must never be given back to Go. Processes that f starts
// are born in the thread's namespaces.
//
// In f, /proc/self is the main thread, still where it was: use /proc/thread-self.
func onThread(f func() error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread dies with this goroutine
		if unix.Gettid() != unix.Getpid() {
			result <- f()
			return
		}
		// The main thread: it would not die, and /proc/self would be where f has left it. While it is held
		// here, another goroutine gets another one.
		defer runtime.UnlockOSThread()
		result <- onThread(f)
	}()
	return <-result
}
