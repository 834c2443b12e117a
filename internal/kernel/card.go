package kernel

import "strconv"

type (
	// CardLend moves a card of the host's into a namespace, under another name. What it had (addresses, routes, static neighbours,
	// name, MTU, group, state) is written down before, durably, for CardReturn. Done again, it does what is left to do.
	CardLend struct {
		Project, Card string
		Netns, Name   string
		MTU           int // bytes; 0: as it is
		Group         uint32
		Up            bool
	}
	// CardReturn moves it back, gives it what it had, and forgets what was written down. A card whose namespace went away is where the
	// kernel put it; one that went with it (a veth) is not missed.
	CardReturn struct{ Project, Card string }
)

// LentCard is what was written down of a card that is in a namespace.
type LentCard struct {
	Project, Card string
	Netns, Name   string
	MTU           int // that it had
	MAC           string
}

func (CardLend) op()   {}
func (CardReturn) op() {}

func (o CardLend) String() string {
	var b line
	b.add("ip link set", o.Card, "netns", o.Netns, "name", o.Name, "group", strconv.FormatUint(uint64(o.Group), 10))
	b.num("mtu", o.MTU)
	if o.Up {
		b.add("&& ip -n", o.Netns, "link set", o.Name, "up")
	}
	return b.String()
}

func (o CardReturn) String() string {
	return "# " + o.Card + " goes back to the host, with the addresses, routes and static neighbours that it had"
}
