package main

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"topo/internal/kernel"
)

func lsCommand() *cli.Command {
	return &cli.Command{
		Name:      "ls",
		Usage:     "list all projects on the machine",
		UsageText: "topo ls [--json]",
		Description: `Lists every project of which there is anything, found by the marks in the kernel.

Example:
  topo ls --json | jq -r '.[].project'`,
		Flags:  []cli.Flag{boolFlag("json", "print a JSON array")},
		Action: ls,
	}
}

// projectView is a project in a few numbers.
type projectView struct {
	Project   string `json:"project"`
	Nodes     int    `json:"nodes"`
	Bridges   int    `json:"bridges"`
	Links     int    `json:"links"` // veths whose one end at least is in the host's namespace
	Published int    `json:"published"`
	Processes int    `json:"processes"`
	Running   int    `json:"running"` // of the processes
}

func ls(c *cli.Context) error {
	if _, err := operands(c, 0, 0); err != nil {
		return err
	}
	m, err := openMachine()
	if err != nil {
		return err
	}
	defer m.Close()
	found, err := m.projects(c.Context)
	if err != nil {
		return err
	}
	views := make([]projectView, 0, len(found))
	for _, name := range slices.Sorted(maps.Keys(found)) {
		views = append(views, *found[name])
	}
	if c.Bool("json") {
		return writeJSON(c.App.Writer, views)
	}
	rows := make([][]string, len(views))
	for i, v := range views {
		rows[i] = []string{
			v.Project, strconv.Itoa(v.Nodes), strconv.Itoa(v.Bridges), strconv.Itoa(v.Links), strconv.Itoa(v.Published),
			strconv.Itoa(v.Running) + "/" + strconv.Itoa(v.Processes),
		}
	}
	return writeTable(c.App.Writer, []string{"PROJECT", "NODES", "BRIDGES", "LINKS", "PORTS", "RUNNING"}, rows)
}

// projectsOf finds all projects by their marks.
func projectsOf(s kernel.Snapshot) map[string]*projectView {
	found := map[string]*projectView{}
	of := func(m kernel.Mark) *projectView {
		v := found[m.Project]
		if v == nil {
			v = &projectView{Project: m.Project}
			found[m.Project] = v
		}
		return v
	}
	for _, ns := range s.Netns {
		if ns.Mark.Project != "" {
			of(ns.Mark).Nodes++
		}
	}
	for _, l := range s.Host.Links {
		mark, ok := kernel.ParseMark(l.Alias)
		switch {
		case !ok || mark.Project == kernel.HostProject:
		case l.Kind == "bridge":
			of(mark).Bridges++
		default:
			of(mark).Links++
		}
	}
	published := map[kernel.Mark]bool{} // several rules make one
	for _, r := range s.Rules {
		mark := r.Mark()
		if mark.Project == "" || mark.Project == kernel.HostProject {
			continue
		}
		v := of(mark)
		if strings.HasPrefix(mark.ID, "publish/") && !published[mark] {
			published[mark] = true
			v.Published++
		}
	}
	for _, f := range s.Files {
		if f.Mark.Project != "" {
			of(f.Mark)
		}
	}
	return found
}
