package main

import (
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"
)

func portCommand() *cli.Command {
	return &cli.Command{
		Name:      "port",
		Usage:     "print where a published port of a node is reached",
		UsageText: "topo port [-f FILE | -p PROJECT] NODE [PORT[/PROTOCOL]]",
		ArgsUsage: "NODE [PORT[/PROTOCOL]]",
		Description: `PORT is the node's own; the protocol is tcp where none is given. Prints the host's address
and port, a line each. Without PORT, prints all published ports of the node.

Example:
  topo port test2 22        # 0.0.0.0:49153
  curl "$(topo port web 5000)"`,
		Flags:        append(targetFlags(false), boolFlag("json", "print a JSON array")),
		Action:       port,
		BashComplete: completeNodes,
	}
}

func port(c *cli.Context) error {
	words, err := operands(c, 1, 2)
	if err != nil {
		return err
	}
	_, node, err := runningNode(c, words[0])
	if err != nil {
		return err
	}
	published := node.Published
	if len(words) == 2 {
		if published, err = leadingTo(c, node, words[1]); err != nil {
			return err
		}
	}
	switch {
	case c.Bool("json"):
		return writeJSON(c.App.Writer, published)
	case len(words) == 2:
		for _, p := range published {
			fmt.Fprintln(c.App.Writer, hostPort(p.HostIP, p.HostPort))
		}
	default:
		for _, p := range published {
			fmt.Fprintf(c.App.Writer, "%d/%s -> %s\n", p.NodePort, p.Protocol, hostPort(p.HostIP, p.HostPort))
		}
	}
	return nil
}

// leadingTo are the published ports that lead to one port of the node.
func leadingTo(c *cli.Context, n nodeView, typed string) ([]publishedView, error) {
	number, protocol, given := strings.Cut(typed, "/")
	if !given {
		protocol = "tcp"
	}
	nodePort := parsePort(number)
	if nodePort == 0 || protocol != "tcp" && protocol != "udp" && protocol != "sctp" {
		return nil, usageErrorf(c, "%q is not a port: 1 to 65535, then /tcp, /udp or /sctp", typed)
	}
	var found []publishedView
	for _, p := range n.Published {
		if p.NodePort == nodePort && p.Protocol == protocol {
			found = append(found, p)
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("%s does not publish %d/%s", n.Node, nodePort, protocol)
	}
	return found, nil
}
