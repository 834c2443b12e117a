package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"topo/bench/shape"
)

// tools are the ways to do a work on this host, with files in a folder of its own and the programs of another.
func (w work) tools(dir, bin string) ([]tool, error) {
	b := builder{work: w, dir: dir, topo: bin + "/topo", floor: bin + "/floor"}
	var tools []tool
	switch w.Name {
	case "ports":
		tools = b.ports()
	case "containers":
		tools = b.containers()
	case "file":
		file := b.shape("wide")
		tools = []tool{
			{"floor", []step{{verb: "decode", argv: []string{bin + "/decode", file}}}},
			{"topo", []step{
				{verb: "validate", argv: []string{b.topo, "validate", "-f", file}},
				{verb: "plan --offline", argv: []string{b.topo, "plan", "--offline", "-f", file}},
			}},
		}
	case "start":
		tools = []tool{
			{"floor", []step{{verb: "start", argv: []string{bin + "/empty"}}}},
			{"topo", []step{{verb: "start", argv: []string{b.topo, "version"}}}},
		}
	default:
		tools = b.network()
	}
	return tools, b.err
}

// builder keeps the first error.
type builder struct {
	work
	dir, topo, floor string
	err              error
}

func (b *builder) write(name, text string) string {
	path := filepath.Join(b.dir, name)
	b.err = errors.Join(b.err, os.WriteFile(path, []byte(text), 0o644))
	return path
}

func (b *builder) make(kind string) shape.Shape {
	s, err := shape.Make(kind, b.Size)
	b.err = errors.Join(b.err, err)
	return s
}

// shape is the file of one.
func (b *builder) shape(kind string) string { return b.write(kind+".yaml", b.make(kind).YAML(kind)) }

// network is a shape that is brought up, read, changed and taken down.
func (b *builder) network() []tool {
	s := b.make(b.Name)
	if b.err != nil {
		return nil
	}
	file, size := b.shape(b.Name), strconv.Itoa(b.Size)
	tools := []tool{
		{"floor", []step{
			{verb: "up", argv: []string{b.floor, "up", b.Name, size}, check: stands(s, "floor")},
			{verb: "plan", argv: []string{b.floor, "read", b.Name, size}},
			{verb: "down", argv: []string{b.floor, "down", b.Name, size}, before: canaries(s, "floor"), until: noCanaries, check: isEmpty},
		}},
		{"topo", []step{
			{verb: "up", argv: []string{b.topo, "up", "-f", file}, check: stands(s, b.Name)},
			{verb: "plan", argv: []string{b.topo, "plan", "--detailed-exitcode", "-f", file}},
			{verb: "again", argv: []string{b.topo, "up", "-f", file}},
			{verb: "repair", argv: []string{b.topo, "up", "-f", file}, before: breaks(s, b.Name), check: stands(s, b.Name)},
			{verb: "down", argv: []string{b.topo, "down", "-f", file}, before: canaries(s, b.Name), until: noCanaries, check: isEmpty},
		}},
	}
	if b.Name == "star" {
		tools = append(tools, b.others(s)...)
	}
	return tools
}

// breaks sets one interface of a node down, by hand.
func breaks(s shape.Shape, project string) func() error {
	n, name := s.From, "eth0"
	if s.Nodes[n].Bridge < 0 {
		last := s.Links[len(s.Links)-1][1]
		n, name = last.Node, last.Interface
	}
	return func() error {
		return runAll([][]string{{"ip", "-n", project + "-" + s.Nodes[n].Name, "link", "set", name, "down"}})
	}
}

// ports is a node that publishes ports; the floor is one iptables-restore of each family, of the rules that topo made.
func (b *builder) ports() []tool {
	file := b.write("ports.yaml", fmt.Sprintf("name: ports\nbridges: {net: {subnet: 10.80.0.0/24}}\nnamespaces:\n  n0: {bridges: [net], ports: [\"10000-%d:10000-%d\"]}\n",
		9999+b.Size, 9999+b.Size))
	rules, rules6 := filepath.Join(b.dir, "rules"), filepath.Join(b.dir, "rules6")
	restore := []string{"sh", "-c", "iptables-restore " + rules + " && ip6tables-restore " + rules6}
	saved := func() error {
		return runAll([][]string{
			{b.topo, "up", "-f", file},
			{"sh", "-c", "iptables-save >" + rules + " && ip6tables-save >" + rules6},
			{b.topo, "down", "-f", file},
		})
	}
	flush := func() error {
		return runAll([][]string{{"iptables", "-t", "nat", "-F"}, {"ip6tables", "-t", "nat", "-F"}})
	}
	published := func() error {
		out, err := output("iptables-save", "-t", "nat")
		if n := strings.Count(out, "--to-destination"); err == nil && n != b.Size {
			err = fmt.Errorf("%d ports are published", n)
		}
		return err
	}
	return []tool{
		{"floor", []step{
			{verb: "up", argv: restore, before: saved, check: published},
			{verb: "repair", argv: restore, before: flush, check: published},
			{verb: "down", argv: []string{"sh", "-c", noRules}},
		}},
		{"topo", []step{
			{verb: "up", argv: []string{b.topo, "up", "-f", file}, check: published},
			{verb: "repair", argv: []string{b.topo, "up", "-f", file}, before: flush, check: published},
			{verb: "down", argv: []string{b.topo, "down", "-f", file}, check: isEmpty},
		}},
	}
}

// containers is processes that are started in namespaces that are there; the floor is crun alone, with what topo would tell it.
func (b *builder) containers() []tool {
	nodes := func(kind, process string) string {
		var text strings.Builder
		fmt.Fprintf(&text, "name: boxes\nbridges: {net: {subnet: 10.80.0.0/16, names: false}}\n%s:\n", kind)
		for i := range b.Size {
			fmt.Fprintf(&text, "  n%d: {bridges: [net]%s}\n", i, process)
		}
		return text.String()
	}
	networks := b.write("networks.yaml", nodes("namespaces", ""))
	boxes := b.write("boxes.yaml", nodes("containers", ", command: [sleep, \"98765\"], stop_signal: SIGKILL"))
	config := filepath.Join(b.dir, "config.json")
	up := []string{b.topo, "up", "-f", networks}
	down := []string{b.topo, "down", "-f", boxes}
	run := func(commands ...[]string) func() error { return func() error { return runAll(commands) } }
	return []tool{
		{"floor", []step{
			{
				verb: "up", argv: []string{b.floor, "containers", "up", strconv.Itoa(b.Size), "boxes", config}, check: sleepers(b.Size),
				before: run([]string{b.topo, "up", "-f", boxes}, []string{"cp", "/run/topo/projects/boxes/nodes/n0/bundle/config.json", config}, down, up),
			},
			{
				verb: "down", argv: []string{b.floor, "containers", "down", strconv.Itoa(b.Size)},
				check: func() error { return errors.Join(sleepers(0)(), run([]string{b.topo, "down", "-f", networks})()) },
			},
		}},
		{"topo", []step{
			{verb: "up", argv: []string{b.topo, "up", "-f", boxes}, before: run(up), check: sleepers(b.Size)},
			{verb: "again", argv: []string{b.topo, "up", "-f", boxes}},
			{verb: "down", argv: down, check: func() error { return errors.Join(sleepers(0)(), isEmpty()) }},
		}},
	}
}

// sleepers says that so many processes of containers are there: crun returns a moment before a program is executed.
func sleepers(want int) func() error {
	return func() error {
		n := -1
		for range 100 {
			out, err := output("sh", "-c", "pgrep -x -f 'sleep 98765' | wc -l")
			if err != nil {
				return err
			}
			if n, err = strconv.Atoi(strings.TrimSpace(out)); n == want || err != nil {
				return err
			}
			time.Sleep(10 * time.Millisecond)
		}
		return fmt.Errorf("%d processes of containers, want %d", n, want)
	}
}

// noRules removes all.
const noRules = `for v in "" 6; do
	for t in filter nat mangle; do
		printf '*%s\nCOMMIT\n' $t
	done | ip${v}tables-restore
done`

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
