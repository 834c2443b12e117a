package container

import "runtime"

// onThread runs f on an OS thread of its own, which ends with f: namespaces belong to threads
// (clone(2)), and one that f changed must never be given back to Go. Processes that f starts
// are born in the thread's namespaces.
//
// In f, /proc/self is still the main thread: use /proc/thread-self.
func onThread(f func() error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread dies with this goroutine
		result <- f()
	}()
	return <-result
}
