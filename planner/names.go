package planner

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"regexp"
	"strings"

	"topo/internal/kernel"
)

// parseID is the reverse of [ID.String].
func parseID(s string) ID {
	kind, name, _ := strings.Cut(s, "/")
	return ID{kind, name}
}

// nodeOf is the node that a namespace's mark names ("netns/web").
func nodeOf(m kernel.Mark) string { return parseID(m.ID).Name }

func mark(project string, id ID) string {
	return kernel.Mark{Project: project, ID: id.String()}.String()
}

// hexVeth is the form of a derived name of a veth's end on the host.
var hexVeth = regexp.MustCompile(`^veth[0-9a-f]{10}$`)

// hexBridge is the form of a derived name of a bridge whose own is over 15 bytes.
var hexBridge = regexp.MustCompile(`^br-[0-9a-f]+$`)

// givenName reports whether topo derives such names for a project's links.
func givenName(project, name string) bool {
	return hexVeth.MatchString(name) || hexBridge.MatchString(name) || strings.HasPrefix(name, project+"-")
}

// deriveMAC gives the same locally administered address (02:…) for the same interface of the
// same project on the same machine, or for the same address on a bridge ([macName]): a changed one is seen, and neighbours'
// caches survive a replacement. The machine is part of it, so that two on one wire differ.
func deriveMAC(hostID, project, name string) string {
	sum := sha256.Sum256([]byte(hostID + "\x00" + project + "\x00" + name))
	return fmt.Sprintf("02:%02x:%02x:%02x:%02x:%02x", sum[0], sum[1], sum[2], sum[3], sum[4])
}

// chainHash stands for a project in the names of its chains: those take 28 bytes at most.
func chainHash(project string) string {
	h := fnv.New32a()
	h.Write([]byte(project))
	return hex.EncodeToString(h.Sum(nil))
}

var projectChain = regexp.MustCompile(`^TOPO-[IADSRF]-([0-9a-f]{8})$`)

// chainOwner is the hash of the project that a chain belongs to.
func chainOwner(name string) (hash string, ok bool) {
	m := projectChain.FindStringSubmatch(name)
	if m == nil {
		return "", false
	}
	return m[1], true
}

// claimLink is the name that an interface takes up in its namespace.
func claimLink(netns, name string) string { return "link " + netns + " " + name }
