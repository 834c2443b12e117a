package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"strings"

	"golang.org/x/sys/unix"

	"topo/executor"
	"topo/internal/container"
	"topo/internal/image"
	"topo/internal/kernel"
	"topo/internal/linux"
	"topo/planner"
)

// hints says what a person can do about an error. It is the one place that
// does: the packages state facts.
func hints(err error) []string {
	var (
		half     *unfinishedError
		usage    *usageError
		missing  *missingFileError
		notUp    *notUpError
		locked   *linux.LockedError
		tables   *linux.TablesLockedError
		conflict *planner.ConflictError
		short    *planner.ShortError
		feature  *linux.FeatureError
		differs  *executor.VerifyError
		internal *internalError
		inUse    *volumeInUseError
		engine   *container.UnreachableError

		back      *rolledBackError
		waits     *pendingError
		unwatched *unwatchedError
		elsewhere *container.ElsewhereError
		unasked   *consentError
		unagreed  *notAgreedError
		stale     *planner.StaleError
		saved     *savedPlanError
		unsavable *planner.UnsavableError
	)
	switch {
	case errors.As(err, &back):
		return rollbackHints(back)
	case errors.As(err, &waits), errors.As(err, &unwatched):
		return confirmHints
	case errors.As(err, &half):
		again := fmt.Sprintf("What is done stays. \"topo %s\" again continues.", half.verb)
		return append(hints(half.cause), again)
	case errors.As(err, &internal):
		return []string{
			"This is a mistake in topo. Please report it with the command line, the file and the output of \"topo version\".",
			"What is made so far stays; \"topo plan\" shows where things stand.",
		}
	case errors.As(err, &stale):
		return append(hints(stale.Cause), "Nothing was changed. Plan anew, and look at that plan: topo plan --out FILE")
	case errors.As(err, &saved):
		return []string{"Nothing was changed. Make it anew with this topo: topo plan --out " + saved.file}
	case errors.As(err, &unsavable) && unsavable.Secret:
		return []string{"Put the key into a file of its own: private_key_file, preshared_key_file."}
	case errors.As(err, &usage):
		return []string{"See: " + strings.TrimSpace("topo "+usage.command) + " --help"}
	case errors.As(err, &missing):
		return []string{"Name the file with -f FILE, or the project with -p NAME."}
	case errors.As(err, &notUp):
		return []string{"\"topo ls\" lists what is up."}
	case errors.As(err, &locked):
		return []string{"Wait until it is done, or let topo wait: --lock-timeout 1m."}
	case errors.As(err, &tables):
		return []string{"Wait until that program is done, or end it."}
	case errors.As(err, &inUse):
		return []string{"Stop what uses it first: topo down -p " + inUse.volume.Users[0].Project}
	case errors.As(err, &unasked):
		what := unasked.move.String() + "."
		if unasked.move.Bridge != "" {
			what += " Open connections stay; should a gateway that answers now not do so any more, all is undone."
		}
		return []string{
			what,
			"To have it so: topo up --yes. \"topo down\" gives " + unasked.move.Card + " all back.",
			"To have it undone unless you can still say that it is good: topo up --yes --confirm 60s, then topo confirm.",
		}
	case errors.As(err, &unagreed):
		return []string{"To have it so: topo gc --yes. --dry-run only shows it."}
	case errors.As(err, &conflict):
		return conflictHints(err)
	case errors.As(err, &differs) && differs.Plan.Ended():
		return []string{"See what it printed: topo logs " + differs.Plan.Changes[0].ID.Name}
	case errors.As(err, &differs):
		return []string{"Something else on this machine may be changing it back. \"topo plan\" shows whether it lasts."}
	case errors.As(err, &short):
		return shortHints(short)
	case errors.As(err, &feature):
		return []string{"Load the module of " + feature.Option + ", or run a kernel that has it: see \"lsmod\", /boot/config-$(uname -r)."}
	case errors.As(err, &elsewhere):
		return []string{"Unset DOCKER_HOST, or set it to the socket of this machine's engine; or run topo on the machine of that engine."}
	case errors.As(err, &engine) && errors.Is(err, fs.ErrPermission):
		return []string{"Run it as root: sudo topo …"}
	case errors.As(err, &engine):
		return []string{"Start the engine (systemctl start docker, or podman.socket), or say where it listens: DOCKER_HOST=unix:///PATH."}
	case startsContainer(err) && absent("crun") && absent("runc"):
		return []string{"Install an OCI runtime: sudo apt-get install crun"}
	case image.Denied(err):
		return []string{"If the image is private: topo uses what \"docker login\" writes, DOCKER_CONFIG or ~/.docker/config.json of " + currentUser() + "."}
	case errors.Is(err, unix.EROFS):
		return []string{"That file system is read-only: sudo mount -o remount,rw MOUNT (\"findmnt --target PATH\" names it). topo writes to /run, /etc/netns and /var/lib/topo."}
	case errors.Is(err, fs.ErrPermission) && os.Geteuid() != 0:
		return []string{
			"Run it as root: sudo topo …",
			"Without privilege there are validate, config, schema, and plan --offline (against an empty machine).",
		}
	case errors.Is(err, fs.ErrPermission):
		return []string{"This root lacks a capability: topo needs CAP_NET_ADMIN and CAP_SYS_ADMIN (in a container: --privileged)."}
	}
	return nil
}

// rollbackHints: where what was before is back, nothing that was done stays, and what ran has left no logs.
func rollbackHints(e *rolledBackError) []string {
	var half *unfinishedError
	var differs *executor.VerifyError
	cause := e.cause
	if errors.As(cause, &half) {
		cause = half.cause
	}
	switch {
	case e.undone != nil:
		return append(hints(cause), "\"topo plan\" shows where things stand; \"topo up\" and \"topo down\" go on from there.")
	case errors.As(cause, &differs):
		return nil
	}
	return hints(cause)
}

// startsContainer reports whether what failed is the start of a container.
func startsContainer(err error) bool {
	var step *executor.StepError
	if !errors.As(err, &step) {
		return false
	}
	start, ok := step.Op.(kernel.ProcessStart)
	return ok && start.Process.Container
}

// currentUser is who runs topo: with sudo, root.
func currentUser() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return "this user"
}

// absent reports whether there is no such program.
func absent(program string) bool {
	_, err := exec.LookPath(program)
	return err != nil
}

// conflictHints are the ways out of each conflict.
func conflictHints(err error) []string {
	var all planner.Conflicts
	var one *planner.ConflictError
	if !errors.As(err, &all) && errors.As(err, &one) {
		all = planner.Conflicts{one}
	}
	var lines []string
	for _, c := range all {
		if len(c.Ways) > 0 {
			lines = append(lines, c.Object+": "+strings.Join(c.Ways, "; or "))
		}
	}
	if len(lines) == 0 {
		return nil
	}
	return append([]string{"Nothing was changed. Ways out:"}, lines...)
}
