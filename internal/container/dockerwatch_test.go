package container

import (
	"cmp"
	"os"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"topo/internal/kernel"
	"topo/internal/testhost"
)

// One that had ended, and was started by the engine's own means, went unseen: while there was no supervisor, and under the next one.
func TestDockerStartedAfterASupervisorsDeath(t *testing.T) {
	engines(t, v1.Config{Env: []string{"PATH=/bin"}}, "mkdir -p mnt", func(l *lab, engine string, p kernel.Process) {
		dir := l.TempDir()
		p.Mounts = []kernel.Mount{{Source: dir, Target: "/mnt"}}
		p.Argv = []string{"sh", "-c", "echo run; until test -e /mnt/end; do sleep 0.02; done; rm /mnt/end; exit 7"}
		start := func() { testhost.Run(l, "sh", "-c", engine+"start "+kernel.EngineName(l.project, "n")) }
		end := func() {
			l.Helper()
			if err := os.WriteFile(dir+"/end", nil, 0o644); err != nil {
				l.Fatal(err)
			}
			if s := l.await("ended", is(kernel.Exited)); s.ExitCode != 7 {
				l.Errorf("ended, it is %+v", s)
			}
		}
		l.start(p)
		end()
		l.killSupervisor()
		start()
		l.do(kernel.SupervisorStart{Project: l.project})
		l.await("taken over", is(kernel.Running))
		end()
		l.killSupervisor()
		l.do(kernel.SupervisorStart{Project: l.project})
		start()
		l.await("heard of", is(kernel.Running))
		end()
		l.awaitLog("n", "run\nrun\nrun\n")
	})
}

// Whose containers are is told by their whole names: one whose name is only like them is nobody's business.
func TestDockerContainers(t *testing.T) {
	engines(t, v1.Config{Env: []string{"PATH=/bin"}}, "mkdir -p mnt", func(l *lab, engine string, p kernel.Process) {
		p.Argv = []string{"sleep", "1000"}
		l.start(p)
		own, sandbox := kernel.EngineName(l.project, "n"), kernel.EngineSandboxName(l.project, "n")
		testhost.Run(l, "sh", "-c", engine+"create --name "+own+"x "+p.Image+" true && "+engine+"create --name foreign "+p.Image+" true")
		defer testhost.Run(l, "sh", "-c", engine+"rm "+own+"x foreign")
		found, err := l.Containers(l.Context(), []string{own, sandbox, "foreign", "absent"})
		if err != nil {
			l.Fatal(err)
		}
		slices.SortFunc(found, func(a, b kernel.EngineContainer) int { return cmp.Compare(a.Name, b.Name) })
		var got []string
		for _, c := range found {
			got = append(got, c.Name+" "+c.Mark.Project)
		}
		if want := []string{"foreign ", own + " " + l.project, sandbox + " " + l.project}; !slices.Equal(got, want) {
			l.Errorf("there are %s, want %s", strings.Join(got, ", "), strings.Join(want, ", "))
		}
	})
}
