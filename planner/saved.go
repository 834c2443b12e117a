package planner

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"

	"topo/spec"
)

// SavedVersion is that of the format of saved plans. A topo carries out those of its own alone.
const SavedVersion = "1.0"

const savedKind = "saved plan"

// Saved is a plan that is carried out later, or not at all: with what it was made from, so that it can be made again, and with
// what was read of the objects that it is about, so that it shows whether these are still the same.
type Saved struct {
	Kind          string `json:"kind"`
	FormatVersion string `json:"format_version"`
	// Topo is the version of the topo that made it, for people.
	Topo    string   `json:"topo"`
	Machine Identity `json:"machine"`

	// What decides the plan besides the machine: see [Options]. The topology is allocated, its paths are absolute.
	Project     string         `json:"project"`
	Nodes       []string       `json:"nodes,omitempty"`
	KeepOrphans bool           `json:"keep_orphans,omitempty"`
	Topology    *spec.Topology `json:"topology"`

	Plan document `json:"plan"`
	// Read is what was there of each resource that the plan changes, of what these stand on, and of what goes with them;
	// nil: it was not there.
	Read map[string]*Read `json:"read"`
}

// Identity tells a machine and its boots apart.
type Identity struct {
	ID        string `json:"id,omitempty"` // machine-id(5)
	Boot      string `json:"boot"`         // changes with each start
	Namespace string `json:"namespace"`    // the cookie of the network namespace that is the host's for topo
}

// Read is what was read of one resource.
type Read struct {
	Attrs map[string]string `json:"attributes"`
	// Object tells the thing from another one that was made alike later: an interface's index, a namespace's cookie.
	Object string `json:"object,omitempty"`
}

// UnsavableError says why a plan can't be saved.
type UnsavableError struct {
	Pos spec.Pos // where the file has what is in the way; zero: nowhere
	Msg string
	// Secret: it is a key, which no saved plan holds.
	Secret bool
}

func (e *UnsavableError) Error() string {
	if e.Pos == (spec.Pos{}) {
		return "the plan can't be saved: " + e.Msg
	}
	return fmt.Sprintf("%s: the plan can't be saved: %s", e.Pos, e.Msg)
}

// SavedError says why what was read is no plan that can be carried out.
type SavedError struct{ Msg string }

func (e *SavedError) Error() string { return e.Msg }

// Save binds a plan to what it was made from. topo is the running program's version.
func Save(p *Plan, o Options, on Identity, topo string) (*Saved, error) {
	s := &Saved{
		Kind: savedKind, FormatVersion: SavedVersion, Topo: topo, Machine: on,
		Project: o.Project, Nodes: o.Nodes, KeepOrphans: o.KeepOrphans, Topology: o.Topology,
		Plan: p.document(), Read: newReading(o).bound(p),
	}
	if err := secrets(o.Topology); err != nil {
		return nil, err
	}
	if text, bad := notUTF8(reflect.ValueOf(s)); bad {
		return nil, &UnsavableError{Msg: fmt.Sprintf("%q is not UTF-8", text)}
	}
	return s, nil
}

// Options is what the plan is made from again, on what is read now.
func (s *Saved) Options() Options {
	return Options{Topology: s.Topology, Project: s.Project, Nodes: s.Nodes, KeepOrphans: s.KeepOrphans}
}

// secrets refuses keys that stand in the file itself: a saved plan is handed on, shown and kept as a file with keys is not.
func secrets(t *spec.Topology) error {
	given := func(pos spec.Pos, k spec.WireGuardKey, key string) error {
		if k.Given == (spec.Secret{}) {
			return nil
		}
		return &UnsavableError{Pos: pos, Msg: key + " is in the file, and a saved plan never holds keys", Secret: true}
	}
	for _, i := range t.Interfaces {
		if i.WireGuard == nil {
			continue
		}
		if err := given(i.Pos, i.WireGuard.Key, "private_key of "+i.Node+":"+i.Name); err != nil {
			return err
		}
		for _, p := range i.WireGuard.Peers {
			if err := given(p.Pos, p.Preshared, "preshared_key of a peer of "+i.Node+":"+i.Name); err != nil {
				return err
			}
		}
	}
	return nil
}

// notUTF8 finds a text that JSON has no way to say: it would come back as another one.
func notUTF8(v reflect.Value) (text string, bad bool) {
	if v.Type().Implements(reflect.TypeFor[encoding.TextMarshaler]()) {
		return "", false
	}
	switch v.Kind() {
	case reflect.String:
		return v.String(), !utf8.ValidString(v.String())
	case reflect.Pointer:
		if !v.IsNil() {
			return notUTF8(v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if text, bad = notUTF8(v.Field(i)); bad {
				return text, true
			}
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			if text, bad = notUTF8(v.Index(i)); bad {
				return text, true
			}
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			if text, bad = notUTF8(key); bad {
				return text, true
			}
			if text, bad = notUTF8(v.MapIndex(key)); bad {
				return text, true
			}
		}
	}
	return "", false
}

// The digest stands at the end, and is that of all bytes before it.
const (
	digestBefore = ",\n  \"digest\": \"sha256:"
	digestAfter  = "\"\n}\n"
)

func digested(body []byte) []byte {
	sum := sha256.Sum256(body)
	return []byte(digestBefore + hex.EncodeToString(sum[:]) + digestAfter)
}

// Encode is the saved plan as one JSON document.
func (s *Saved) Encode() ([]byte, error) {
	doc, err := indented(s)
	if err != nil {
		return nil, err
	}
	body := bytes.TrimSuffix(doc, []byte("\n}\n"))
	return append(body, digested(body)...), nil
}

// IsSaved reports whether a file holds a saved plan, of whatever version, whole or not.
func IsSaved(data []byte) bool {
	return bytes.HasPrefix(data, []byte("{\n  \"kind\": \""+savedKind+"\","))
}

// LoadSaved reads what Encode wrote. What it refuses is a [*SavedError].
func LoadSaved(data []byte) (*Saved, error) {
	var head struct {
		Kind          string `json:"kind"`
		FormatVersion string `json:"format_version"`
		Topo          string `json:"topo"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		if IsSaved(data) {
			return nil, &SavedError{"it is damaged, or not all of it is there: " + err.Error()}
		}
		return nil, &SavedError{"it is no saved plan"}
	}
	if head.Kind != savedKind {
		return nil, &SavedError{"it is no saved plan"}
	}
	if head.FormatVersion != SavedVersion {
		return nil, &SavedError{fmt.Sprintf("it is of format %s, by topo %s; this topo carries out format %s", head.FormatVersion, head.Topo, SavedVersion)}
	}
	at := max(len(data)-len(digested(nil)), 0)
	if !bytes.Equal(data[at:], digested(data[:at])) {
		return nil, &SavedError{"it was edited, or is damaged: its digest is another"}
	}
	s := &struct {
		Saved
		Digest string `json:"digest"`
	}{}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(s); err != nil {
		return nil, &SavedError{fmt.Sprintf("topo %s wrote it, which says more than this topo understands: %v", head.Topo, err)}
	}
	if s.Topology == nil || s.Topology.Name != s.Project {
		return nil, &SavedError{"it is no saved plan: it has no topology"}
	}
	return &s.Saved, nil
}

// longest is how much of an attribute's value is kept: a hosts file names all nodes. Of longer ones it is their hash.
const (
	longest = 200
	hashed  = "sha256:"
)

// reading is what a plan is compared on: both sides of it.
type reading struct {
	list         []Resource // what is there
	have, wanted map[ID]Resource
	objects      map[ID]string
}

func newReading(o Options) *reading {
	want := wantOf(o).all()
	h, list := observe(o, want)
	return &reading{list: list, have: byID(list), wanted: byID(want), objects: h.objects()}
}

// of is what was read of a resource; nil: it is not there.
func (r *reading) of(id ID) *Read {
	there := r.have[id]
	if there == nil {
		return nil
	}
	attrs := attrMap(there)
	for name, value := range attrs {
		if len(value) > longest {
			sum := sha256.Sum256([]byte(value))
			attrs[name] = hashed + hex.EncodeToString(sum[:])
		}
	}
	return &Read{Attrs: attrs, Object: r.objects[id]}
}

// bound is what a plan changes, stands on, and takes along.
func (r *reading) bound(p *Plan) map[string]*Read {
	out := map[string]*Read{}
	var add func(ID)
	bases := func(of Resource) {
		if of == nil {
			return
		}
		for _, id := range basesOf(of) {
			if r.have[id] != nil || r.wanted[id] != nil { // else no plan knows it
				add(id)
			}
		}
	}
	add = func(id ID) {
		if _, done := out[id.String()]; done {
			return
		}
		out[id.String()] = r.of(id)
		bases(r.have[id])
		bases(r.wanted[id])
	}
	goes := map[ID]bool{}
	for _, c := range p.Changes {
		add(c.ID)
		goes[c.ID] = c.Action == Delete || c.Action == Replace
	}
	for more := true; more; {
		more = false
		for _, x := range r.list {
			if id := x.ID(); !goes[id] && slices.ContainsFunc(basesOf(x), func(on ID) bool { return goes[on] }) {
				goes[id], more = true, true
				add(id)
			}
		}
	}
	return out
}

// basesOf are what a resource needs, is in, or is made along with.
func basesOf(r Resource) []ID {
	ids := slices.Clone(r.Needs())
	if c, ok := r.(contained); ok {
		ids = append(ids, c.In()...)
	}
	if c, ok := r.(carried); ok {
		if by, ok := c.CarriedBy(); ok {
			ids = append(ids, by)
		}
	}
	return ids
}

// objects tells interfaces and namespaces from others that are alike.
func (h *Have) objects() map[ID]string {
	out := map[ID]string{}
	for _, l := range h.interfaces() {
		out[l.id] = fmt.Sprintf("ifindex %d", l.Index)
	}
	for _, n := range h.Snapshot.Netns {
		if node, ok := h.nodes[n.Name]; ok && n.Cookie != 0 {
			out[ID{"netns", node}] = fmt.Sprintf("cookie %d", n.Cookie)
		}
	}
	return out
}

// A StaleError says what is not any more as it was when a plan was saved.
type StaleError struct {
	Project string
	Changes []string // a line each
	// Cause is why no plan can be made any more; nil: one can, and it is another.
	Cause error
}

// Error names each change, one a line.
func (e *StaleError) Error() string {
	return "the saved plan of " + e.Project + " is stale; since it was made:\n" + strings.Join(e.Changes, "\n")
}

// On compares the machine with that on which the plan was saved. The error is a [*StaleError].
func (s *Saved) On(now Identity) error {
	line := ""
	switch {
	case now.ID != s.Machine.ID:
		line = fmt.Sprintf("this is another machine: %s, not %s", orNone(now.ID), orNone(s.Machine.ID))
	case now.Boot != s.Machine.Boot:
		line = "the machine was started again"
	case now.Namespace != s.Machine.Namespace:
		line = fmt.Sprintf("this is another network namespace: %s, not %s", now.Namespace, s.Machine.Namespace)
	default:
		return nil
	}
	return &StaleError{Project: s.Project, Changes: []string{line}}
}

// Check compares the plan that [Build] makes of the options now with the saved one: what was read, what is changed, how, and in
// which order. failed is Build's error, or Allocate's. The error is a [*StaleError].
func (s *Saved) Check(p *Plan, o Options, failed error) error {
	if failed != nil {
		return &StaleError{Project: s.Project, Changes: []string{failed.Error()}, Cause: failed}
	}
	objects := s.changedObjects(p, o)
	lines := slices.SortedFunc(maps.Values(objects), func(a, b string) int { return cmp.Compare(natural(a), natural(b)) })
	lines = append(lines, s.changedPlan(p.document(), objects)...)
	if len(lines) == 0 {
		return nil
	}
	return &StaleError{Project: s.Project, Changes: lines}
}

// changedObjects compares what was read of what the plan is bound to; a line for each that differs, by its ID.
func (s *Saved) changedObjects(p *Plan, o Options) map[string]string {
	now := newReading(o)
	lines := map[string]string{}
	for id, was := range s.Read {
		if line := changedObject(was, now.of(parseID(id))); line != "" {
			lines[id] = id + line
		}
	}
	for id := range now.bound(p) {
		// What is wanted and was not bound to before is changed because of something else, which is named.
		if _, known := s.Read[id]; !known && now.have[parseID(id)] != nil && now.wanted[parseID(id)] == nil {
			lines[id] = id + isNew
		}
	}
	return lines
}

const isNew = " is new"

// changedObject says how one reading differs from another; "" for not at all.
func changedObject(was, is *Read) string {
	switch {
	case was == nil && is == nil:
		return ""
	case was == nil:
		return isNew
	case is == nil:
		return " is gone"
	}
	if words := changedValues(was.Attrs, is.Attrs); words != "" {
		return ": " + words
	}
	if was.Object != is.Object {
		return " was removed and made again alike: " + was.Object + " → " + is.Object
	}
	return ""
}

// widest is how long a value may be to be shown.
const widest = 60

// changedValues names the attributes that differ.
func changedValues(was, is map[string]string) string {
	names := sortedKeys(was)
	for _, name := range sortedKeys(is) {
		if _, both := was[name]; !both {
			names = append(names, name)
		}
	}
	unshown := func(v string) bool {
		return utf8.RuneCountInString(v) > widest || strings.Contains(v, "\n")
	}
	var words []string
	for _, name := range names {
		before, inWas := was[name]
		after, inIs := is[name]
		switch {
		case before == after && inWas == inIs:
		case unshown(before), unshown(after):
			words = append(words, name+" differs")
		default:
			words = append(words, fmt.Sprintf("%s %s → %s", strings.TrimPrefix(name, envPrefix), orNone(before), orNone(after)))
		}
	}
	return strings.Join(words, ", ")
}

// changedPlan compares what is done; how objects differ that are named already is not said again. The reasons are not
// compared: they tell what happened between the last up and the reading.
func (s *Saved) changedPlan(now document, named map[string]string) []string {
	saved, fresh := map[string]jsonChange{}, map[string]jsonChange{}
	for _, c := range s.Plan.Changes {
		saved[c.ID] = c
	}
	var lines, order []string
	for _, c := range now.Changes {
		fresh[c.ID] = c
		order = append(order, c.ID)
		was, planned := saved[c.ID]
		if !planned {
			lines = append(lines, strings.TrimSuffix(fmt.Sprintf("%s is to be %sd now (%s): %s", c.ID, c.Action, c.Reason, changedValues(c.Before, c.After)), ": "))
		} else if line := changedChange(was, c); line != "" && named[c.ID] == "" {
			lines = append(lines, c.ID+line)
		}
	}
	var before []string
	for _, c := range s.Plan.Changes {
		before = append(before, c.ID)
		if _, planned := fresh[c.ID]; !planned {
			lines = append(lines, fmt.Sprintf("%s was to be %sd, and needs no change now", c.ID, c.Action))
		}
	}
	if len(lines) == 0 && !slices.Equal(before, order) {
		lines = append(lines, "the plan's order: "+strings.Join(before, ", ")+" → "+strings.Join(order, ", "))
	}
	return lines
}

// changedChange says how a change of an object differs from the saved one; "" for not at all.
func changedChange(was, is jsonChange) string {
	switch {
	case was.Action != is.Action:
		return fmt.Sprintf(" was to be %sd, and is to be %sd now (%s)", was.Action, is.Action, is.Reason)
	case !maps.Equal(was.After, is.After):
		return ": is to have " + changedValues(was.After, is.After)
	case !maps.Equal(was.Before, is.Before):
		return ": has " + changedValues(was.Before, is.Before)
	case !slices.Equal(was.Commands, is.Commands):
		return ": is made by other commands now"
	case !slices.Equal(was.AfterIDs, is.AfterIDs):
		return ": waits for others now"
	}
	return ""
}
