package container

import (
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/sys/user"
	"golang.org/x/sys/unix"

	"topo/internal/kernel"
)

// A container with userns_mode private has a user namespace of its own, user_namespaces(7): its ids 0 to 65535 are a range of the
// host's that nobody else has, and its root is nobody there. docs/decisions/0008 has the reasons for what follows.
const (
	// idCount is how many ids it has: those that files of distributions have, nobody (65534) among them.
	idCount = 1 << 16
	// firstIDs to lastIDs is where the ranges are: 0x70000000 to 0x7ffdffff, which no one else gives out (systemd's
	// table of "Users, Groups, UIDs and GIDs": below are those of nspawn, below these useradd's of subuid(5)).
	firstIDs, lastIDs = 0x70000000, 0x7ffdffff
	idRanges          = (lastIDs + 1 - firstIDs) / idCount
)

// privateIDs reports whether the container has a user namespace of its own.
func privateIDs(p kernel.Process) bool { return p.UsernsMode == kernel.PrivateUserns }

// idsPrefix begins the name of the file in a node's folder that says which range is the node's: it comes and goes with the folder.
const idsPrefix = "ids-"

// claimIDs gives the first id of the node's range. It is the same for as long as the node has files that it
// owns, and after that, too, unless it was given away meanwhile: the search begins at a place that comes from the names.
func (l layout) claimIDs(node string) (uint32, error) {
	// One look at all nodes of all projects, and the claim, at a time.
	unlock, same, err := lockFolder(l.runDir)
	if err != nil {
		return 0, err
	}
	if !same {
		return 0, fmt.Errorf("%s was removed", l.runDir)
	}
	defer unlock()
	if first, err := l.claimedIDs(node); err != nil || first != 0 {
		return first, err
	}
	taken, err := subordinateIDs("/etc/subuid", "/etc/subgid")
	if err != nil {
		return 0, err
	}
	hash := fnv.New32a()
	fmt.Fprintf(hash, "%s/%s", l.project, node)
	begin := hash.Sum32() % idRanges
	for i := range uint32(idRanges) {
		first := firstIDs + (begin+i)%idRanges*idCount
		if slices.ContainsFunc(taken, func(s user.SubID) bool { return overlap(first, s) }) {
			continue
		}
		name := idsPrefix + strconv.FormatUint(uint64(first), 10)
		others, err := filepath.Glob(filepath.Join(l.runDir, "projects", "*", "nodes", "*", name))
		if err != nil {
			return 0, err
		}
		if len(others) == 0 {
			err := os.WriteFile(l.run("nodes", node, name), nil, 0o600)
			return first, errors.Join(err, os.MkdirAll(l.stagedRoot(), 0o700))
		}
	}
	return 0, errors.New("all ranges of ids for user namespaces are taken")
}

// claimedIDs gives the first id of the node's range; 0 where it has none.
func (l layout) claimedIDs(node string) (uint32, error) {
	found, err := filepath.Glob(l.run("nodes", node, idsPrefix+"*"))
	if err != nil || len(found) == 0 {
		return 0, err
	}
	first, err := strconv.ParseUint(strings.TrimPrefix(filepath.Base(found[0]), idsPrefix), 10, 32)
	if err != nil {
		return 0, fmt.Errorf("reading %s: %w", found[0], err)
	}
	return uint32(first), nil
}

// leaveIDs gives up the range of a node whose folder was removed. The last one removes the folder that stands for their roots.
func (l layout) leaveIDs() error {
	if _, err := os.Stat(l.stagedRoot()); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	unlock, same, err := lockFolder(l.runDir)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !same {
		return nil
	}
	if err != nil {
		return err
	}
	defer unlock()
	claims, err := filepath.Glob(filepath.Join(l.runDir, "projects", "*", "nodes", "*", idsPrefix+"*"))
	if err == nil && len(claims) == 0 {
		removeEmpty(l.stagedRoot())
	}
	return err
}

// subordinateIDs are those that the host has given to users, subuid(5) and subgid(5).
func subordinateIDs(files ...string) ([]user.SubID, error) {
	var list []user.SubID
	for _, file := range files {
		ids, err := user.ParseSubIDFile(file)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("reading %s: %w", file, err)
		}
		list = append(list, ids...)
	}
	return list, nil
}

func overlap(first uint32, s user.SubID) bool {
	return int64(first) < s.SubID+s.Count && s.SubID < int64(first)+idCount
}

// userNamespaces says what a container with a user namespace of its own lacks on this host; "" when it lacks nothing.
func userNamespaces() string {
	most, err := os.ReadFile("/proc/sys/user/max_user_namespaces")
	if err != nil {
		return "the kernel has no user namespaces (CONFIG_USER_NS)"
	}
	if strings.TrimSpace(string(most)) == "0" {
		return "user namespaces are turned off (sysctl user.max_user_namespaces)"
	}
	for _, file := range []string{"/proc/self/uid_map", "/proc/self/gid_map"} {
		ids, err := os.ReadFile(file)
		if err != nil {
			return err.Error()
		}
		if !covers(string(ids)) {
			return fmt.Sprintf("topo itself is in a user namespace without the ids %d to %d (%s)", firstIDs, lastIDs, file)
		}
	}
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		return err.Error()
	}
	// fs/overlayfs takes layers with other owners from 5.19 on; before, only the mount says EPERM, without a reason.
	if release := unix.ByteSliceToString(uts.Release[:]); !atLeast(release, 5, 19) {
		return "overlays of idmapped mounts need Linux 5.19, this is " + release
	}
	return ""
}

// covers reports whether a map of ids (user_namespaces(7)) has all that ranges are taken from.
func covers(idMap string) bool {
	for line := range strings.Lines(idMap) {
		var inside, outside, count uint64
		if _, err := fmt.Sscan(line, &inside, &outside, &count); err == nil && inside <= firstIDs && inside+count > lastIDs {
			return true
		}
	}
	return false
}

func atLeast(release string, major, minor int) bool {
	var x, y int
	if _, err := fmt.Sscanf(release, "%d.%d", &x, &y); err != nil {
		return false
	}
	return x > major || x == major && y >= minor
}
