package container

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/moby/sys/user"
	"golang.org/x/sys/unix"
)

// defaultPath is Docker's PATH for programs that are given none.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// account is who a program runs as.
type account struct {
	uid, gid uint32
	groups   []uint32
	home     string
	name     string // "" for a uid without a line in passwd
}

// maxID is the highest id of a user or group that moby/sys/user takes by number.
const maxID = 1<<31 - 1

// findAccount looks up "", NAME, UID, NAME:GROUP or UID:GID in the passwd and group files below
// root ("" is root:root). A uid needs no line there; its home is then "/".
func findAccount(root *os.Root, spec string) (account, error) {
	passwd, group := openOrNil(root, "etc/passwd"), openOrNil(root, "etc/group")
	defer closeAll(passwd, group)
	u, err := user.GetExecUser(spec, &user.ExecUser{Home: "/"}, passwd, group)
	if err != nil {
		return account{}, fmt.Errorf("finding user %q: %w", spec, err)
	}
	// passwd and group of an image can have any number; one of more than 32 bits would be taken for another user's, maybe root's.
	for _, id := range append([]int{u.Uid, u.Gid}, u.Sgids...) {
		if id < 0 || id > maxID {
			return account{}, fmt.Errorf("finding user %q: the id %d is not one of 0 to %d", spec, id, maxID)
		}
	}
	a := account{uid: uint32(u.Uid), gid: uint32(u.Gid), home: u.Home}
	for _, g := range u.Sgids {
		a.groups = append(a.groups, uint32(g))
	}
	if again := openOrNil(root, "etc/passwd"); again != nil {
		defer closeAll(again)
		users, err := user.ParsePasswdFilter(again, func(e user.User) bool { return e.Uid == u.Uid })
		if err == nil && len(users) > 0 {
			a.name = users[0].Name
		}
	}
	return a, nil
}

// openOrNil gives a nil interface for a file that is not there: moby/sys/user takes it as empty.
func openOrNil(root *os.Root, name string) io.Reader {
	// Opening a FIFO would wait for ever; asking what it is before would leave a container the time to make one of it.
	f, err := root.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil
	}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		f.Close()
		return nil
	}
	return f
}

func closeAll(readers ...io.Reader) {
	for _, r := range readers {
		if c, ok := r.(io.Closer); ok {
			c.Close()
		}
	}
}

// mergeEnv gives KEY=VALUE lines in which later lists override earlier ones; the place of a
// key is where it came first.
func mergeEnv(lists ...[]string) []string {
	var env []string
	at := map[string]int{}
	for _, list := range lists {
		for _, kv := range list {
			key, _, _ := strings.Cut(kv, "=")
			if i, ok := at[key]; ok {
				env[i] = kv
				continue
			}
			at[key] = len(env)
			env = append(env, kv)
		}
	}
	return env
}

// lookupEnv gives the value of a key in KEY=VALUE lines.
func lookupEnv(env []string, key string) string {
	for _, kv := range env {
		if k, v, ok := strings.Cut(kv, "="); ok && k == key {
			return v
		}
	}
	return ""
}

// containerEnv is what a program in a container starts with, as under Docker: PATH, HOSTNAME
// and HOME; TERM=xterm only on a terminal.
func containerEnv(a account, hostname string) []string {
	return []string{"PATH=" + defaultPath, "HOSTNAME=" + hostname, "HOME=" + a.home}
}

// placeEnv is what a program of a `namespaces:` node starts with: PATH as in the shell that typed the
// command, so that what works after `ip netns exec NODE` is found, and who it is. Nothing
// else is taken over: the same file gives the same environment, whoever runs topo.
func placeEnv(a account, path string) []string {
	if path == "" {
		path = defaultPath
	}
	env := []string{"PATH=" + path, "HOME=" + a.home}
	if a.name != "" {
		env = append(env, "USER="+a.name, "LOGNAME="+a.name)
	}
	return env
}
