package container

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/moby/profiles/seccomp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// setSeccomp gives a container the profile that its security_opt names, or Docker's, which depends on
// the capabilities in spec; a privileged one has none unless it is named.
func setSeccomp(spec *specs.Spec, privileged bool, opts security) (err error) {
	switch opts.seccomp {
	case "unconfined":
		return nil
	case "":
		if privileged {
			return nil
		}
		spec.Linux.Seccomp, err = seccomp.GetDefaultProfile(spec)
		if err != nil {
			return fmt.Errorf("making the default seccomp profile: %w", err)
		}
		return nil
	}
	profile, err := os.ReadFile(opts.seccomp)
	if err != nil {
		return fmt.Errorf("reading seccomp profile: %w", err)
	}
	if spec.Linux.Seccomp, err = seccomp.LoadProfile(string(profile), spec); err != nil {
		return fmt.Errorf("reading seccomp profile %s: %w", opts.seccomp, err)
	}
	return nil
}

// security is what security_opt says.
type security struct {
	newPrivileges bool   // no-new-privileges is off
	seccomp       string // "": the default; "unconfined"; a path
}

// parseSecurity reads Compose's security_opt. Without it, programs can't gain privileges by execve(2)
// unless the container is privileged.
func parseSecurity(opts []string, privileged bool) (security, error) {
	s := security{newPrivileges: privileged}
	for _, o := range opts {
		key, value, _ := strings.Cut(o, "=")
		if key == o {
			key, value, _ = strings.Cut(o, ":")
		}
		switch {
		case key == "no-new-privileges" && (value == "" || value == "true"):
			s.newPrivileges = false
		case key == "no-new-privileges" && value == "false":
			s.newPrivileges = true
		case key == "seccomp" && value != "":
			s.seccomp = value
		default:
			return s, fmt.Errorf("security_opt %q is not known", o)
		}
	}
	return s, nil
}

// filterAnnotation makes crun take a compiled filter (base64) in the place of a profile.
const filterAnnotation = "run.oci.seccomp_bpf_data"

// filters keeps seccomp filters as crun compiled them. Docker's profile costs crun about 14 ms a
// container; crun leaves what it compiled beside its state, and takes it back by an annotation:
// 50 containers in 355–507 ms instead of 693–880.
type filters struct {
	mu       sync.Mutex
	compiled map[filterKey]string
}

// filterKey is a hash of the profile.
type filterKey [sha256.Size]byte

// reuse replaces a spec's profile by its filter, if that is known. The key finds it again.
func (f *filters) reuse(spec *specs.Spec) (key filterKey, err error) {
	if spec.Linux.Seccomp == nil {
		return key, nil
	}
	profile, err := json.Marshal(spec.Linux.Seccomp)
	if err != nil {
		return key, err
	}
	key = sha256.Sum256(profile)
	f.mu.Lock()
	defer f.mu.Unlock()
	if filter, ok := f.compiled[key]; ok {
		spec.Annotations = map[string]string{filterAnnotation: filter}
	}
	return key, nil
}

// keep remembers the filter that crun left in its state of container id.
func (f *filters) keep(key filterKey, runtimeRoot, id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.compiled == nil {
		f.compiled = map[filterKey]string{}
	}
	if _, ok := f.compiled[key]; ok {
		return
	}
	// Where there is none, later containers do with the profile.
	if filter, err := os.ReadFile(filepath.Join(runtimeRoot, id, "seccomp.bpf")); err == nil && len(filter) > 0 {
		f.compiled[key] = base64.StdEncoding.EncodeToString(filter)
	}
}
