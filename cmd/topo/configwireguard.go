package main

import (
	"strings"
	"unicode"

	"gopkg.in/yaml.v3"

	"topo/spec"
)

// addWireGuardKeys writes what a WireGuard has.
func addWireGuardKeys(m *yamlMap, i spec.Interface) {
	w := i.WireGuard
	addKey(m, "private_key", w.Key, i.Node, i.Name)
	if w.ListenPort != 0 {
		m.number("listen_port", w.ListenPort)
	}
	m.number("fwmark", int(w.FwMark))
	if w.Local.IsValid() {
		m.text("local", w.Local.String())
	}
	peers := &yaml.Node{Kind: yaml.SequenceNode}
	for _, p := range w.Peers {
		one := newMap()
		one.text("node", p.Node)
		one.text("interface", p.Interface)
		one.text("public_key", p.PublicKey)
		switch {
		case p.Passive:
			one.text("endpoint", "none")
		case p.Endpoint.IsValid():
			one.text("endpoint", p.Endpoint.String())
		}
		one.texts("allowed_ips", words(p.AllowedIPs))
		one.number("persistent_keepalive", p.Keepalive)
		addKey(one, "preshared_key", p.Preshared, i.Node, i.Name, p.Node, p.Interface, p.PublicKey)
		peers.Content = append(peers.Content, one.flow())
	}
	m.put("peers", peers)
}

// addKey writes where a key is. One that stands in the file is not printed: in its place is a variable, without which what is printed
// says so when it is read.
func addKey(m *yamlMap, name string, k spec.WireGuardKey, of ...string) {
	m.text(name+"_file", k.File)
	if k.Given == (spec.Secret{}) {
		return
	}
	variable := strings.Map(func(r rune) rune {
		if r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			return '_'
		}
		return unicode.ToUpper(r)
	}, strings.TrimRight(strings.Join(append([]string{name}, of...), "_"), "_"))
	value := new(yaml.Node)
	value.SetString("${" + variable + ":?a key is not printed}")
	m.put(name, value)
}
