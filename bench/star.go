package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// A tool is one way to a star: steps that are timed, in order.
type tool struct {
	name  string
	steps []step
}

type step struct {
	verb  string
	argv  []string
	check func() error // that it did what it says; not timed
}

func toolsFor(n int, dir, topo, floor string) ([]tool, error) {
	file := filepath.Join(dir, "star.yaml")
	if err := os.WriteFile(file, []byte(topology(n)), 0o644); err != nil {
		return nil, err
	}
	batchUp, batchDown, err := writeBatch(n, dir)
	if err != nil {
		return nil, err
	}
	size := strconv.Itoa(n)
	ours := func(i int) string { return "star-n" + strconv.Itoa(i) }
	plain := func(i int) string { return "b" + strconv.Itoa(i) }
	tools := []tool{
		{"floor", []step{
			{"up", []string{floor, "up", size}, func() error { return checkStar(n, ours) }},
			{"plan", []string{floor, "read", size}, nil},
			{"down", []string{floor, "down", size}, checkEmpty},
		}},
		{"batch", []step{
			{"up", []string{"sh", batchUp}, func() error { return checkStar(n, plain) }},
			{"down", []string{"sh", batchDown}, checkEmpty},
		}},
	}
	if topo != "" {
		tools = append(tools, tool{"topo", []step{
			{"up", []string{topo, "up", "-f", file}, func() error { return checkStar(n, ours) }},
			{"plan", []string{topo, "plan", "--detailed-exitcode", "-f", file}, nil},
			{"again", []string{topo, "up", "-f", file}, nil},
			{"down", []string{topo, "down", "-f", file}, checkEmpty},
		}})
	}
	return tools, nil
}

// topology is the star as topo reads it.
func topology(n int) string {
	var b strings.Builder
	b.WriteString("name: star\nbridges:\n  net: {subnet: 10.80.0.0/16}\nnamespaces:\n")
	for i := range n {
		fmt.Fprintf(&b, "  n%d: {bridges: [net]}\n", i)
	}
	return b.String()
}

// writeBatch writes the star as shell scripts around ip -batch: one for the host and one for each
// namespace, as ip cannot change namespace within a batch.
func writeBatch(n int, dir string) (up, down string, err error) {
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		err = errors.Join(err, os.WriteFile(path, []byte(text), 0o644))
		return path
	}
	var host, script, gone strings.Builder
	host.WriteString("link add bnet type bridge\naddress add 10.80.0.1/16 dev bnet\n")
	for i := range n {
		fmt.Fprintf(&host, "netns add b%d\n", i)
		fmt.Fprintf(&host, "link add bv%d master bnet up type veth peer name eth0 netns b%d\n", i, i)
		address := fmt.Sprintf("10.80.%d.%d", (i+2)>>8, (i+2)&255)
		node := write(fmt.Sprintf("node%d", i), "link set lo up\nlink set eth0 up\naddress add "+address+"/16 dev eth0\nroute add default via 10.80.0.1\n")
		fmt.Fprintf(&script, "ip -n b%d -batch %s\n", i, node)
		fmt.Fprintf(&gone, "netns delete b%d\n", i)
	}
	gone.WriteString("link delete bnet\n")
	const rules = `iptables -t nat -A POSTROUTING -s 10.80.0.0/16 ! -o bnet -j MASQUERADE
iptables -A FORWARD -i bnet -j ACCEPT
iptables -A FORWARD -o bnet -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
sysctl -qw net.ipv4.ip_forward=1
`
	up = write("up.sh", "set -e\nip -batch "+write("host", host.String())+"\n"+script.String()+rules+"ip link set bnet up\n")
	down = write("down.sh", "set -e\niptables -t nat -F\niptables -F\nsysctl -qw net.ipv4.ip_forward=0\nip -batch "+write("gone", gone.String())+
		"\nwhile ip -o link show type veth | grep -q .; do sleep 0.01; done\n")
	return up, down, err
}

func runAll(commands [][]string) error {
	for _, argv := range commands {
		if _, err := output(argv...); err != nil {
			return err
		}
	}
	return nil
}

func output(argv ...string) (string, error) {
	out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("running %s: %w\n%s", strings.Join(argv, " "), err, out)
	}
	return string(out), nil
}
