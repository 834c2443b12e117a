package planner

import (
	"bytes"
	"encoding/json"
	"slices"
)

// FormatVersion is that of the JSON document; its first number changes when a reader of the old would misread it.
const FormatVersion = "1.0"

type document struct {
	FormatVersion string       `json:"format_version"`
	Project       string       `json:"project"`
	Changes       []jsonChange `json:"changes"`
	Summary       Summary      `json:"summary"`
}

type jsonChange struct {
	ID       string            `json:"id"`
	Kind     string            `json:"kind"`
	Name     string            `json:"name"`
	Action   Action            `json:"action"`
	Reason   Reason            `json:"reason"`
	Before   map[string]string `json:"before"` // null for create
	After    map[string]string `json:"after"`  // null for delete
	Commands []string          `json:"commands"`
	AfterIDs []string          `json:"after_ids"`
}

// JSON is the plan as one document, with a newline at its end.
func (p *Plan) JSON() ([]byte, error) { return indented(p.document()) }

func (p *Plan) document() document {
	doc := document{FormatVersion: FormatVersion, Project: p.Project, Changes: []jsonChange{}, Summary: p.Summary()}
	commands := p.commands()
	after := p.afterIDs()
	for i, c := range p.Changes {
		j := jsonChange{
			ID: c.ID.String(), Kind: c.ID.Kind, Name: c.ID.Name, Action: c.Action, Reason: c.Reason,
			Commands: commands[i], AfterIDs: after[i],
		}
		if j.Commands == nil {
			j.Commands = []string{}
		}
		if c.Have != nil {
			j.Before = attrMap(c.Have)
		}
		if c.Want != nil {
			j.After = attrMap(c.Want)
		}
		doc.Changes = append(doc.Changes, j)
	}
	return doc
}

// indented is a document as topo writes it: nothing is escaped that needs no escape.
func indented(doc any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(doc)
	return b.Bytes(), err
}

// afterIDs lists, for each change, the changes that its steps wait for.
func (p *Plan) afterIDs() [][]string {
	out := make([][]string, len(p.Changes))
	for i := range out {
		out[i] = []string{}
	}
	for _, s := range p.Steps {
		for _, a := range s.After {
			if c := p.Steps[a].Change; c != s.Change {
				out[s.Change] = append(out[s.Change], p.Changes[c].ID.String())
			}
		}
	}
	for i := range out {
		slices.Sort(out[i])
		out[i] = slices.Compact(out[i])
	}
	return out
}
