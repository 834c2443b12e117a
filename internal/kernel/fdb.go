package kernel

import (
	"fmt"
	"strconv"
)

// FDBEntry is a MAC address of which a bridge was told behind which port it is: a static entry of its forwarding database.
type FDBEntry struct {
	MAC  string // lower case, colons
	VLAN int    // 0 = none: what counts on a bridge that filters none
}

type (
	// FDBReplace tells a bridge behind which of its ports a MAC address is, whatever it knew or learnt before. Without a VLAN it
	// is told so for those that the port belongs to, too.
	FDBReplace struct {
		Netns string
		Link  string
		FDBEntry
	}
	// FDBDelete has it forget that.
	FDBDelete struct {
		Netns string
		Link  string
		FDBEntry
	}
)

func (FDBReplace) op() {}
func (FDBDelete) op()  {}

func (o FDBReplace) String() string {
	return fmt.Sprintf("%s fdb replace %s dev %s master static%s", bridge(o.Netns), o.MAC, o.Link, o.vlanWords())
}

func (o FDBDelete) String() string {
	return fmt.Sprintf("%s fdb delete %s dev %s master%s", bridge(o.Netns), o.MAC, o.Link, o.vlanWords())
}

func (e FDBEntry) vlanWords() string {
	if e.VLAN == 0 {
		return ""
	}
	return " vlan " + strconv.Itoa(e.VLAN)
}
