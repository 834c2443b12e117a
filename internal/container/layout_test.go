package container

import (
	"sync"
	"testing"
)

// A node's folder could not be made while the last other node's was removed, and "nodes" with it.
func TestANodeComesWhileTheLastOneGoes(t *testing.T) {
	dir := t.TempDir()
	l := layout{runDir: dir + "/run", dataDir: dir + "/data", project: "lab"}
	var work sync.WaitGroup
	for _, node := range []string{"a", "b"} {
		work.Go(func() {
			for range 1000 {
				if err := l.makeNode(node); err != nil {
					t.Error(err)
					return
				}
				if err := l.removeNode(node); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	work.Wait()
}
