package spec_test

import (
	"errors"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"topo/spec"
)

// TestRandomFiles reads files that are made of the raw types: right keys, values that are right somewhere. It gets deeper than
// fuzzing of bytes does.
func TestRandomFiles(t *testing.T) {
	good := 0
	rapid.Check(t, func(rt *rapid.T) {
		text := draw(rt, spec.FileType(), "file")
		topology, err := load("f", text)
		var list spec.Errors
		switch {
		case (topology == nil) == (err == nil):
			rt.Fatalf("topology %v and error %v of\n%s", topology, err, text)
		case err != nil && (!errors.As(err, &list) || len(list) == 0):
			rt.Fatalf("an error without mistakes: %v", err)
		case err == nil:
			good++
			checkTopology(t, topology)
		}
		for _, e := range list {
			if e.Pos.File != "f" && e.Pos.File != "a.env" || e.Pos.Line < 1 || e.Pos.Column < 1 || strings.Contains(e.Msg, "%!") {
				rt.Errorf("no position, or a message that is none: %v", e)
			}
		}
	})
	if good == 0 {
		t.Error("none of the files was good")
	}
}

// names are few, so that they meet.
var names = []string{"a", "b", "c", "default", "host"}

var words = append([]string{
	"", "none", "default", "10.0.0.0/24", "10.0.0.0/16", "10.0.0.1", "10.0.0.2", "10.0.0.3/24", "fd00::/64", "fd00::2", "fe80::1",
	"eth0", "eth1", "lo", "80", "80:80", "127.0.0.1:80-82:80-82", "a:eth0", "b:eth0", "host:x", "c:eth9", "node:a", "node:b",
	"service_healthy", "service_completed_successfully", "CMD", "NONE", "true", "tcp", "bind", "/x", "./y:/z", "~/y:/z:ro", "K=V",
	"K", "net.ipv4.ip_forward=1", "02:00:00:00:00:01", "SIGTERM", "9", "${SET}", "${NO}", "a.env", "x=10.0.0.9", "\"",
}, names...)

// draw writes a value of a raw type as YAML in one line.
func draw(rt *rapid.T, t reflect.Type, label string) string {
	pick := func(list ...string) string { return rapid.SampledFrom(list).Draw(rt, label) }
	switch {
	case t.Kind() == reflect.Pointer:
		return draw(rt, t.Elem(), label)
	case strings.HasPrefix(t.Name(), "dict["):
		value, _ := t.Elem().FieldByName("Value")
		var items []string
		for _, key := range rapid.SliceOfNDistinct(rapid.SampledFrom(names), 0, 3, rapid.ID).Draw(rt, label) {
			items = append(items, key+": "+draw(rt, value.Type, key))
		}
		return "{" + strings.Join(items, ", ") + "}"
	case t.Kind() == reflect.Slice:
		var items []string
		for range rapid.IntRange(0, 2).Draw(rt, label) {
			items = append(items, draw(rt, t.Elem(), label))
		}
		return "[" + strings.Join(items, ", ") + "]"
	}
	switch t.Name() {
	case "text", "word", "maybe":
		return strconv.Quote(pick(words...))
	case "number":
		return pick("0", "1", "254", "1500", "9000", "-1", "70000")
	case "flag":
		return pick("true", "false")
	case "span":
		return pick("1s", "0s", "15s", "1m30s")
	}
	return drawStruct(rt, t, label)
}

// drawStruct writes one of the forms of a struct. Keys are rare: with all of them nothing would be good.
func drawStruct(rt *rapid.T, t reflect.Type, label string) string {
	var forms []reflect.Type
	var items []string
	for _, f := range reflect.VisibleFields(t) {
		key, tagged := f.Tag.Lookup("yaml")
		switch {
		case f.Name == "Scalar" || f.Name == "List" || f.Name == "Map":
			forms = append(forms, f.Type)
		case !tagged || key == "-":
		case strings.Contains(f.Tag.Get("jsonschema"), "required") || rapid.IntRange(0, 5).Draw(rt, key) == 0:
			items = append(items, key+": "+draw(rt, f.Type, key))
		}
	}
	if len(forms) > 0 && (len(items) == 0 || rapid.Bool().Draw(rt, label)) {
		return draw(rt, rapid.SampledFrom(forms).Draw(rt, label), label)
	}
	return "{" + strings.Join(items, ", ") + "}"
}
