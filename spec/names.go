package spec

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"unicode"
)

const (
	// maxName is how long the name of a project, node or bridge may be: a label of DNS (RFC 1035, 2.3.4), and short
	// enough for a mark in a link's alias, which takes 255 bytes (IFALIASZ).
	maxName = 63
	// maxInterface is the length of an interface's name (IFNAMSIZ less its zero byte).
	maxInterface = 15
	// maxFile is the length of a file's name (NAME_MAX); a namespace is a file in /run/netns.
	maxFile = 255
)

// shellWords are the characters that mean something to a POSIX shell, or to iptables-restore(8), where they stand in a
// word. To iptables a + at the end means any interface that begins so; and a name that begins with - is an option.
const shellWords = "\"'`\\$&|;<>()*?[]{}!#~^"

var (
	projectName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]*$`)
	objectName  = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]*$`)
	prefixName  = regexp.MustCompile(`^([a-zA-Z0-9_][a-zA-Z0-9_.-]*)?$`)
	notProject  = regexp.MustCompile(`[^a-z0-9_-]`)
)

// project chooses the name: -p, the file's, the folder's.
func (r *resolver) project() {
	name, pos, source := r.Options.Project, Pos{}, "project name"
	switch {
	case name != "":
	case r.file.Name.Set:
		name, pos, source = r.file.Name.Value, r.file.Name.Pos, "name"
	case r.file.Name.Bad:
		return
	default:
		name = folderName(r.Dir)
		pos = r.start
		if name == "" {
			r.add(pos, "the project has no name, and its folder's makes none; write name")
			return
		}
	}
	switch {
	case !projectName.MatchString(name):
		r.add(pos, "%s %q must be lower-case letters, digits, - and _, and start with a letter or digit", source, name)
	case len(name) > maxName:
		r.add(pos, "%s %q is longer than %d bytes", source, name, maxName)
	}
	r.topo.Name = name
}

// folderName makes a project's name of a folder's as Compose does: what can't be in it is left out.
func folderName(dir string) string {
	base := strings.ToLower(filepath.Base(dir))
	return strings.TrimLeft(notProject.ReplaceAllString(base, ""), "_-")
}

func (r *resolver) prefix() {
	r.topo.Prefix = cmp.Or(r.topo.Name, "unnamed") + "-" // a name that is none has been told
	if p := r.file.Prefix; p.Set {
		r.topo.Prefix = p.Value
		if !prefixName.MatchString(p.Value) {
			r.add(p.Pos, "prefix %q must be letters, digits, -, _ and .", p.Value)
		}
	}
}

// checkName checks the name of a node or bridge.
func (r *resolver) checkName(pos Pos, kind, name string) {
	switch {
	case name == Host:
		r.add(pos, "%s can't be called %q: that is the host's own namespace", kind, name)
	case !objectName.MatchString(name):
		r.add(pos, "name %q of a %s must be letters, digits, -, _ and ., and start with a letter or digit", name, kind)
	case len(name) > maxName:
		r.add(pos, "name %q is longer than %d bytes", name, maxName)
	}
}

// checkInterface checks a name as the kernel does (dev_valid_name, sysctl_dev_name_is_allowed). ok is false
// for one that is none.
func (r *resolver) checkInterface(pos Pos, name string) (ok bool) {
	switch {
	case name == "":
		r.add(pos, "an interface needs a name")
	case len(name) > maxInterface:
		r.add(pos, "interface name %q is %d bytes long; the kernel takes %d", name, len(name), maxInterface)
	case name == "lo":
		r.add(pos, "interface name %q is taken: each namespace has one", name)
	case name == "." || name == ".." || name == "all" || name == "default":
		r.add(pos, "interface name %q is not allowed", name)
	case strings.ContainsAny(name, "/:%"):
		r.add(pos, "interface name %q has one of / : %% in it", name)
	case strings.ContainsFunc(name, func(c rune) bool { return unicode.IsSpace(c) || !unicode.IsPrint(c) }):
		r.add(pos, "interface name %q has a blank in it", name)
	case strings.ContainsAny(name, shellWords) || strings.HasPrefix(name, "-") || strings.HasSuffix(name, "+"):
		r.add(pos, "interface name %q would be read as something else by a shell or by iptables", name)
	default:
		return true
	}
	return false
}

// bridgeInterface is a bridge's name in the kernel where the file states none.
func (r *resolver) bridgeInterface(name string) string {
	if full := r.topo.Prefix + name; len(full) <= maxInterface {
		return full
	}
	return "br-" + hash(12, r.topo.Name, name)
}

// hostEnd is the name of the host's end of a veth where the file states none.
func (r *resolver) hostEnd(node, iface string) string {
	return "veth" + hash(10, r.topo.Name, node, iface)
}

// hash is the first digits, in hexadecimal, of a hash of words.
func hash(digits int, words ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(words, "\x00")))
	return hex.EncodeToString(sum[:])[:digits]
}

// A claim is what holds a name or port, for the message to the next who wants it.
type claim struct {
	pos Pos
	who string
}

func (c claim) String() string { return fmt.Sprintf("%s (%s)", c.who, line(c.pos)) }

func (c claim) seenFrom(p Pos) string { return fmt.Sprintf("%s (%s)", c.who, line(c.pos).seenFrom(p)) }

// line is how a message names another place: by its line and, where that is in another file, by that.
type line Pos

func (l line) String() string { return fmt.Sprintf("line %d", l.Line) }

func (l line) seenFrom(p Pos) string {
	if l.File == p.File {
		return l.String()
	}
	return fmt.Sprintf("line %d of %s", l.Line, l.File)
}

// claimHost takes an interface name in the host's namespace.
func (r *resolver) claimHost(pos Pos, name, who string) {
	if c, taken := r.hostNames[name]; taken {
		r.add(pos, "interface name %q on the host is already that of %s", name, c)
		return
	}
	r.hostNames[name] = claim{pos, who}
}
